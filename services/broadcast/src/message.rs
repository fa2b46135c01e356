//! A message in a contact's inbox, stored once under a key that says what it is.

use contracts::{BroadcastId, ContactId, GroupId, MemberId, MessageId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::content::said::Said;
use crate::opt_out::Links;

/// Why the contact got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[schema(as = MessageKind)] // there is the kind of a mass message, too
pub(crate) enum Kind {
    /// A member became a friend (D65).
    Welcome,
    /// The contact joined a group.
    Greeting,
    /// A mass message of one member.
    Member,
    /// A mass message of the tenant.
    Enterprise,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::Greeting => "greeting",
            Self::Member => "member",
            Self::Enterprise => "enterprise",
        }
    }
}

impl From<crate::broadcast::Kind> for Kind {
    fn from(kind: crate::broadcast::Kind) -> Self {
        match kind {
            crate::broadcast::Kind::Member => Self::Member,
            crate::broadcast::Kind::Enterprise => Self::Enterprise,
        }
    }
}

/// What a contact reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Message {
    pub message_id: MessageId,
    pub kind: Kind,
    /// The member it comes from (D78); none for a group's greeting.
    pub from_member: Option<MemberId>,
    /// The words, for showing as they are: nothing in them is markup.
    #[serde(flatten)]
    pub said: Said,
    /// Where the contact opts out of messages like this one; only with mass messages.
    pub opt_out_url: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub read_at: Option<Timestamp>,
}

impl Message {
    /// With the way out, if it is marketing.
    pub(crate) fn with_way_out(self, contact: ContactId, links: Option<&Links>) -> Self {
        let is_marketing = matches!(self.kind, Kind::Member | Kind::Enterprise);
        let links = links.filter(|_| is_marketing);
        Self {
            opt_out_url: links.map(|links| links.of(contact)),
            ..self
        }
    }
}

/// The key of a mass message to one contact, the same in every attempt: every channel that can dedupes by it.
pub(crate) fn mass(broadcast: BroadcastId, contact: ContactId) -> MessageId {
    MessageId(Uuid::new_v5(&broadcast.0, contact.0.as_bytes()))
}

/// The key of the welcome from a member: one per follow.
pub(crate) fn welcome(contact: ContactId, member: MemberId) -> MessageId {
    let name = [member.0.as_bytes(), b"welcome".as_slice()].concat();
    MessageId(Uuid::new_v5(&contact.0, &name))
}

/// The key of a group's greeting to a newcomer: one, also for who leaves and comes back.
pub(crate) fn greeting(group: GroupId, contact: ContactId) -> MessageId {
    MessageId(Uuid::new_v5(&group.0, contact.0.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_stable_and_apart() {
        let (contact, other) = (ContactId::new(), ContactId::new());
        let (broadcast, member, group) = (BroadcastId::new(), MemberId::new(), GroupId::new());
        assert_eq!(mass(broadcast, contact), mass(broadcast, contact));
        let keys = [
            mass(broadcast, contact),
            mass(broadcast, other),
            mass(BroadcastId::new(), contact),
            welcome(contact, member),
            welcome(contact, MemberId::new()),
            greeting(group, contact),
            greeting(group, other),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }
}
