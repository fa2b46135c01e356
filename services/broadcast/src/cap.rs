//! Caps: how many mass messages of a kind a contact may get per window, and who holds the one there is.
//!
//! The window's start is computed by the database from its own clock in the tenant's zone, so a worker's clock
//! never matters; here stands which window it is.

use std::time::Duration;

use contracts::{ContactId, MemberId};

use crate::broadcast::Kind;

/// The cap a kind of mass message takes: today's defaults of D74 and D76.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub kind: Kind,
    /// Whom the contact's cap is counted for: the sending member, or nil for the tenant as a whole.
    pub member: MemberId,
    /// `day` or `week` (ISO, from Monday), as Postgres' `date_trunc` names them.
    pub window: &'static str,
}

impl Policy {
    pub(crate) fn of(kind: Kind, sender: MemberId) -> Self {
        match kind {
            Kind::Member => Self {
                kind,
                member: sender,
                window: "day",
            },
            Kind::Enterprise => Self {
                kind,
                member: MemberId(uuid::Uuid::nil()),
                window: "week",
            },
        }
    }
}

/// The time that is left to start calls under the window's caps: those that start in its last moments could
/// reach the contact in the next window. `None`: wait for the next one.
pub(crate) fn time_to_send(window_left: Duration, guard: Duration) -> Option<Duration> {
    window_left.checked_sub(guard).filter(|left| !left.is_zero())
}

/// Those of the sorted recipients that are not among some: whose cap somebody else holds, who did not opt out.
pub(crate) fn not_among(recipients: &[ContactId], some: &[ContactId]) -> Vec<ContactId> {
    recipients
        .iter()
        .filter(|contact| some.binary_search(contact).is_err())
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_kind_has_its_own_cap() {
        let sender = MemberId::new();
        let member = Policy::of(Kind::Member, sender);
        assert_eq!((member.member, member.window), (sender, "day"));
        let enterprise = Policy::of(Kind::Enterprise, sender);
        assert!(enterprise.member.0.is_nil());
        assert_eq!(enterprise.window, "week");
    }

    #[test]
    fn the_last_moments_of_a_window_send_nothing() {
        let secs = Duration::from_secs;
        assert_eq!(time_to_send(secs(60), secs(5)), Some(secs(55)));
        assert_eq!(time_to_send(secs(5), secs(5)), None);
        assert_eq!(time_to_send(secs(3), secs(5)), None);
    }

    proptest! {
        #[test]
        fn allowed_and_suppressed_are_everybody(all in prop::collection::btree_map(any::<u128>(), any::<bool>(), 0..50)) {
            let id = |n: &u128| ContactId(Uuid::from_u128(*n));
            let everybody: Vec<_> = all.keys().map(id).collect();
            let allowed: Vec<_> = all.iter().filter(|(_, free)| **free).map(|(n, _)| id(n)).collect();
            let mut both = not_among(&everybody, &allowed);
            both.extend(&allowed);
            both.sort();
            prop_assert_eq!(both, everybody);
        }
    }
}
