//! A task: one sending member's share of a mass message, which she confirms before any of it is sent (D77).

use std::time::Duration;

use contracts::{BroadcastId, ContactId, MemberId, TaskId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::broadcast::Kind;
use crate::content::card::Card;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::post::To;

/// Fewer than a body of 1 MiB can name.
const DESELECTED_MAX: usize = 10_000;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum State {
    /// For the member to confirm.
    Waiting,
    Confirmed,
    /// Not confirmed in time.
    Expired,
    /// She cancelled it, or the mass message was cancelled first.
    Cancelled,
}

impl State {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Confirmed => "confirmed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A member's share of a mass message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Task {
    pub task_id: TaskId,
    pub broadcast_id: BroadcastId,
    pub member_id: MemberId,
    pub kind: Kind,
    /// Whether it goes to contacts, or into groups that she owns.
    #[serde(default)]
    pub to: To,
    pub title: String,
    /// What will be sent in her name; of content what it says to nobody in particular.
    pub text: String,
    /// What goes with the text.
    #[serde(default)]
    pub attachments: Vec<Card>,
    pub state: State,
    /// Contacts it would go to, or groups; contacts without consent, and of e-mails those without an address, are not counted.
    pub recipients: i64,
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub confirmed_at: Option<Timestamp>,
    /// How often she was reminded to confirm, at most three times in 24 hours.
    pub reminders: i32,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub reminded_at: Option<Timestamp>,
}

/// Whether a confirmation is the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    First,
    Repeated,
}

impl Task {
    /// Takes her word, unless it comes too late.
    pub(crate) fn confirm(&self, now: Timestamp) -> Result<Confirmation, Error> {
        match self.state {
            State::Waiting if now < self.expires_at => Ok(Confirmation::First),
            State::Confirmed => Ok(Confirmation::Repeated),
            State::Waiting | State::Expired => Err(Error::TaskExpired),
            State::Cancelled => Err(Error::TaskCancelled),
        }
    }
}

impl Task {
    /// Whether there is something to cancel: nothing when it is cancelled already.
    pub(crate) fn cancel(&self) -> Result<bool, Error> {
        match self.state {
            State::Waiting | State::Confirmed => Ok(true),
            State::Cancelled => Ok(false),
            State::Expired => Err(Error::TaskExpired),
        }
    }

    /// Whether she is to be reminded now: as long after she was asked, or reminded last, as is between two reminders.
    pub(crate) fn is_to_be_reminded(&self, now: Timestamp, every: Duration) -> bool {
        let since = now.duration_since(self.reminded_at.unwrap_or(self.opened_at));
        self.state == State::Waiting
            && now < self.expires_at
            && since.unsigned_abs() >= every
            && since.is_positive()
    }
}

/// Contacts to leave out, at most 10,000.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Vec<ContactId>")]
#[schema(value_type = Vec<ContactId>, max_items = 10_000)]
pub(crate) struct Deselected(Vec<ContactId>);

impl Deselected {
    /// Sorted, each once.
    pub(crate) fn contacts(&self) -> &[ContactId] {
        &self.0
    }
}

impl TryFrom<Vec<ContactId>> for Deselected {
    type Error = String;

    fn try_from(mut contacts: Vec<ContactId>) -> Result<Self, String> {
        if contacts.len() > DESELECTED_MAX {
            return Err(format!(
                "{} contacts are too many; leave out at most {DESELECTED_MAX}",
                contacts.len()
            ));
        }
        contacts.sort_unstable();
        contacts.dedup();
        Ok(Self(contacts))
    }
}

/// The member's word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"deselect": []}))]
pub(crate) struct ConfirmTask {
    #[serde(default)]
    pub deselect: Deselected,
}

/// One contact of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Recipient {
    /// Of a post in groups the group's id.
    pub contact_id: ContactId,
    /// The terminal state, once there is one.
    pub state: Option<Outcome>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(state: State) -> Task {
        let opened_at = Timestamp::UNIX_EPOCH;
        Task {
            task_id: TaskId::new(),
            broadcast_id: BroadcastId::new(),
            member_id: MemberId::new(),
            kind: Kind::Enterprise,
            to: To::Contacts,
            title: String::new(),
            text: String::new(),
            attachments: vec![],
            state,
            recipients: 1,
            opened_at,
            expires_at: Timestamp::from_second(86_400).unwrap(),
            confirmed_at: None,
            reminders: 0,
            reminded_at: None,
        }
    }

    #[test]
    fn she_is_reminded_at_most_three_times_a_day_and_not_after_her_time() {
        let every = Duration::from_secs(8 * 3600);
        let mut task = task(State::Waiting);
        task.expires_at = Timestamp::from_second(72 * 3600).unwrap();
        let mut reminded = vec![];
        for minute in 0..100 * 60 {
            let now = Timestamp::from_second(minute * 60).unwrap();
            if task.is_to_be_reminded(now, every) {
                task.reminded_at = Some(now);
                reminded.push(minute);
            }
        }
        assert_eq!(reminded.len(), 8, "{reminded:?}");
        assert!(reminded.iter().all(|minute| *minute < 72 * 60));
        for first in &reminded {
            let day = reminded
                .iter()
                .filter(|at| (*first..first + 24 * 60).contains(*at));
            assert!(day.count() <= 3);
        }
        task.state = State::Confirmed;
        assert!(!task.is_to_be_reminded(Timestamp::from_second(70 * 3600).unwrap(), every));
    }

    #[test]
    fn what_has_not_ended_is_cancelled_once() {
        assert!(task(State::Waiting).cancel().unwrap() && task(State::Confirmed).cancel().unwrap());
        assert!(!task(State::Cancelled).cancel().unwrap());
        assert!(matches!(task(State::Expired).cancel(), Err(Error::TaskExpired)));
    }

    #[test]
    fn a_share_is_confirmed_in_time_or_not_at_all() {
        let in_time = Timestamp::from_second(86_399).unwrap();
        let late = Timestamp::from_second(86_400).unwrap();
        assert_eq!(
            task(State::Waiting).confirm(in_time).unwrap(),
            Confirmation::First
        );
        assert!(matches!(
            task(State::Waiting).confirm(late),
            Err(Error::TaskExpired)
        ));
        assert_eq!(
            task(State::Confirmed).confirm(late).unwrap(),
            Confirmation::Repeated
        );
        assert!(matches!(
            task(State::Expired).confirm(in_time),
            Err(Error::TaskExpired)
        ));
        assert!(matches!(
            task(State::Cancelled).confirm(in_time),
            Err(Error::TaskCancelled)
        ));
    }

    #[test]
    fn the_list_to_leave_out_is_sorted_and_bounded() {
        let (a, b) = (ContactId::new(), ContactId::new());
        assert_eq!(Deselected::try_from(vec![b, a, b]).unwrap().contacts(), [a, b]);
        assert!(Deselected::try_from(vec![a; DESELECTED_MAX + 1]).is_err());
    }
}
