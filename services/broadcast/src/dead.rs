//! The dead: recipients whom the channel did not take, and their replay.

use contracts::{BroadcastId, ContactId, MemberId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::broadcast::State;
use crate::error::Error;
use crate::failure::Failure;

const CONTACTS_MAX: usize = 500;

/// One of a chunk, as it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dead {
    pub contact: ContactId,
    pub failure: Failure,
    pub is_handed: bool,
}

/// A recipient that ended `dead`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DeadRecipient {
    pub dead_recipient_id: Uuid,
    pub broadcast_id: BroadcastId,
    /// Of a post in groups the group's id.
    pub contact_id: ContactId,
    pub failure: Failure,
    /// Whether the receiver was called, so that the contact's cap stayed taken.
    pub is_handed: bool,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// When it was replayed; the end that came of it is the recipient's receipt.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub replayed_at: Option<Timestamp>,
    pub replayed_by: Option<MemberId>,
}

/// Which of a mass message's dead to replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"contact_ids": ["0193a1f0-0000-7000-8000-000000000001"]}))]
pub(crate) struct ReplayDead {
    /// These, 1 to 500, of whom those that are not dead are left as they are; all of them when left out.
    #[serde(default)]
    #[schema(value_type = Option<Vec<ContactId>>, min_items = 1, max_items = 500)]
    pub contact_ids: Option<ContactIds>,
}

/// 1 to 500 contacts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<ContactId>")]
pub(crate) struct ContactIds(pub(crate) Vec<ContactId>);

impl TryFrom<Vec<ContactId>> for ContactIds {
    type Error = String;

    fn try_from(contacts: Vec<ContactId>) -> Result<Self, String> {
        match contacts.len() {
            1..=CONTACTS_MAX => Ok(Self(contacts)),
            _ => Err(format!(
                "must be 1 to {CONTACTS_MAX} contacts; leave the field out for all"
            )),
        }
    }
}

/// What came of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Replayed {
    /// Recipients that are sent to again.
    pub replayed: i64,
    /// Dead recipients of the mass message that this request did not replay.
    pub left: i64,
}

/// Whether a mass message that stands so can have its dead replayed.
pub(crate) fn check_replay(state: State) -> Result<(), Error> {
    match state {
        State::Resolving | State::Running | State::Paused | State::Finished => Ok(()),
        State::Cancelling | State::Cancelled => Err(Error::BroadcastCancelled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cancelled_stays_so() {
        assert!(check_replay(State::Finished).is_ok() && check_replay(State::Running).is_ok());
        for state in [State::Cancelling, State::Cancelled] {
            assert!(matches!(check_replay(state), Err(Error::BroadcastCancelled)));
        }
    }

    #[test]
    fn some_are_named_or_all_are_meant() {
        let parse = |count: usize| {
            let contacts: Vec<_> = (0..count).map(|_| ContactId::new()).collect();
            serde_json::from_value::<ReplayDead>(serde_json::json!({ "contact_ids": contacts }))
        };
        assert!(parse(500).is_ok() && parse(0).is_err() && parse(501).is_err());
        let all: ReplayDead = serde_json::from_str("{}").unwrap();
        assert_eq!(all.contact_ids, None);
    }
}
