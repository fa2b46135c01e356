//! The twelve ways a recipient's part in a mass message can end, and their tally.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How it ended for one recipient: a closed set, each recipient gets exactly one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The channel took the message.
    Delivered,
    /// Another message of the kind holds the contact's cap of this window.
    Capped,
    /// The cross-channel fatigue cap is reached.
    Fatigued,
    /// The quiet hours outlasted the message.
    QuietExpired,
    /// The contact has not agreed to marketing.
    OptedOut,
    /// The contact is no friend of the sender any more.
    NotAFriend,
    /// There is no way to reach the contact over the chosen channel.
    NoChannel,
    /// Kept out on purpose, to measure against.
    HeldOut,
    /// The sending member took the contact off the list.
    Deselected,
    /// The sending member did not confirm in time.
    Unconfirmed,
    /// The mass message was cancelled first.
    Cancelled,
    /// The channel refused the message for good.
    Dead,
}

impl Outcome {
    pub(crate) const ALL: [Self; 12] = [
        Self::Delivered,
        Self::Capped,
        Self::Fatigued,
        Self::QuietExpired,
        Self::OptedOut,
        Self::NotAFriend,
        Self::NoChannel,
        Self::HeldOut,
        Self::Deselected,
        Self::Unconfirmed,
        Self::Cancelled,
        Self::Dead,
    ];

    /// As in the database, in JSON and in events.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Capped => "capped",
            Self::Fatigued => "fatigued",
            Self::QuietExpired => "quiet_expired",
            Self::OptedOut => "opted_out",
            Self::NotAFriend => "not_a_friend",
            Self::NoChannel => "no_channel",
            Self::HeldOut => "held_out",
            Self::Deselected => "deselected",
            Self::Unconfirmed => "unconfirmed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }
}

impl Outcome {
    /// For whoever reads the report.
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Delivered => "the channel took the message",
            Self::Capped => "another mass message of the kind holds the contact's cap of the day or week",
            Self::Fatigued => "the contact has had as many mass messages as all channels together may bring",
            Self::QuietExpired => "its time was over before the contact could be sent to",
            Self::OptedOut => "the contact has not agreed to marketing, or not any more",
            Self::NotAFriend => "the contact is no friend of the sending member any more",
            Self::NoChannel => "there is no way to reach the contact over this channel",
            Self::HeldOut => "the contact was kept out on purpose, to measure against",
            Self::Deselected => "the sending member left the contact out",
            Self::Unconfirmed => "the sending member did not confirm in time",
            Self::Cancelled => "the mass message, or the member's share, was cancelled first",
            Self::Dead => "the channel refused the message for good",
        }
    }
}

/// Recipients by terminal state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Outcomes {
    pub delivered: i64,
    pub capped: i64,
    pub fatigued: i64,
    pub quiet_expired: i64,
    pub opted_out: i64,
    pub not_a_friend: i64,
    pub no_channel: i64,
    pub held_out: i64,
    pub deselected: i64,
    pub unconfirmed: i64,
    pub cancelled: i64,
    pub dead: i64,
}

impl Outcomes {
    pub(crate) const fn of(&self, outcome: Outcome) -> i64 {
        match outcome {
            Outcome::Delivered => self.delivered,
            Outcome::Capped => self.capped,
            Outcome::Fatigued => self.fatigued,
            Outcome::QuietExpired => self.quiet_expired,
            Outcome::OptedOut => self.opted_out,
            Outcome::NotAFriend => self.not_a_friend,
            Outcome::NoChannel => self.no_channel,
            Outcome::HeldOut => self.held_out,
            Outcome::Deselected => self.deselected,
            Outcome::Unconfirmed => self.unconfirmed,
            Outcome::Cancelled => self.cancelled,
            Outcome::Dead => self.dead,
        }
    }

    pub(crate) const fn add(&mut self, outcome: Outcome, recipients: i64) {
        let counted = match outcome {
            Outcome::Delivered => &mut self.delivered,
            Outcome::Capped => &mut self.capped,
            Outcome::Fatigued => &mut self.fatigued,
            Outcome::QuietExpired => &mut self.quiet_expired,
            Outcome::OptedOut => &mut self.opted_out,
            Outcome::NotAFriend => &mut self.not_a_friend,
            Outcome::NoChannel => &mut self.no_channel,
            Outcome::HeldOut => &mut self.held_out,
            Outcome::Deselected => &mut self.deselected,
            Outcome::Unconfirmed => &mut self.unconfirmed,
            Outcome::Cancelled => &mut self.cancelled,
            Outcome::Dead => &mut self.dead,
        };
        *counted += recipients;
    }

    /// Recipients whose part is over.
    pub(crate) fn total(&self) -> i64 {
        Outcome::ALL.iter().map(|outcome| self.of(*outcome)).sum()
    }

    /// As events and gRPC answers carry them: every name, also those with nobody.
    pub(crate) fn by_name(&self) -> BTreeMap<String, u64> {
        Outcome::ALL
            .iter()
            .map(|outcome| (outcome.name().to_owned(), self.of(*outcome).unsigned_abs()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcomes(counts: [u32; 12]) -> Outcomes {
        let named: serde_json::Map<_, _> = Outcome::ALL
            .iter()
            .zip(counts)
            .map(|(o, n)| (o.name().to_owned(), n.into()))
            .collect();
        serde_json::from_value(named.into()).unwrap()
    }

    #[test]
    fn names_are_the_same_everywhere() {
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
        }
        let fields = serde_json::to_value(Outcomes::default()).unwrap();
        assert_eq!(fields.as_object().unwrap().len(), Outcome::ALL.len());
    }

    proptest! {
        #[test]
        fn the_total_is_the_sum_of_what_is_told(counts: [u32; 12]) {
            let outcomes = outcomes(counts);
            prop_assert_eq!(outcomes.total(), counts.iter().map(|n| i64::from(*n)).sum::<i64>());
            let told = outcomes.by_name();
            prop_assert_eq!(told.len(), 12);
            prop_assert_eq!(told.values().sum::<u64>(), outcomes.total().unsigned_abs());
        }
    }
}
