//! A post in groups: a mass message whose recipients are groups, each of which gets it once, from its owner. The same words
//! go to contacts or into groups, each with limits of its own (D85, decisions/0014).

use contracts::{GroupId, MemberId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audience::{GROUPS_MAX, MEMBERS_MAX, ids};
use crate::broadcast::{AcceptBroadcast, ChannelName, HeldOutPpm, Kind};
use crate::cap::Policy;
use crate::content::Content;
use crate::error::Error;

/// What the recipients of a mass message are: all of one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum To {
    #[default]
    Contacts,
    /// It is posted in groups: what stands as a recipient's `contact_id` is a group's id.
    Groups,
}

impl To {
    pub(crate) fn of(post_in: Option<&PostIn>) -> Self {
        post_in.map_or(Self::Contacts, |_| Self::Groups)
    }

    /// The caps it takes when a member sends it: a group's are its own, whoever posts and as which kind.
    pub(crate) fn policy(self, kind: Kind, sender: MemberId) -> Policy {
        match self {
            Self::Contacts => Policy::of(kind, sender),
            Self::Groups => Policy::of_groups(),
        }
    }
}

/// Groups: whichever any of the forms names, all of the tenant's if none is used, without `except`.
///
/// Of the kind `member` only those that whoever starts it owns. Groups of employees are none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PostIn {
    /// These groups: at most 1,000. What is no group one may post in ends `not_a_friend`.
    #[serde(deserialize_with = "ids::<_, _, GROUPS_MAX>")]
    #[schema(max_items = 1_000)]
    pub groups: Vec<GroupId>,
    /// Groups that one of these members owns: at most 100.
    #[serde(deserialize_with = "ids::<_, _, MEMBERS_MAX>")]
    #[schema(max_items = 100)]
    pub owned_by: Vec<MemberId>,
    /// Not these: at most 1,000.
    #[serde(deserialize_with = "ids::<_, _, GROUPS_MAX>")]
    #[schema(max_items = 1_000)]
    pub except: Vec<GroupId>,
}

impl PostIn {
    pub(crate) fn is_all(&self) -> bool {
        self.groups.is_empty() && self.owned_by.is_empty()
    }
}

impl AcceptBroadcast {
    /// Whether it says to whom, once, and says nothing that makes no sense in a group.
    pub(crate) fn check_recipients(&self) -> Result<(), Error> {
        match (&self.audience, &self.post_in) {
            (Some(_), None) => return Ok(()),
            (None, None) => return Err(Error::ToNobody),
            (Some(_), Some(_)) => return Err(Error::ToBoth),
            (None, Some(_)) => {}
        }
        if self.channel != ChannelName::Webhook {
            return Err(Error::PostChannel);
        }
        if self.held_out_ppm != HeldOutPpm::default() {
            return Err(Error::PostHeldOut);
        }
        check_words(self.content.as_ref())
    }
}

/// A group reads it together: the words are the same for all.
pub(crate) fn check_words(content: Option<&Content>) -> Result<(), Error> {
    match content {
        Some(content) if !content.is_same_for_all() => Err(Error::PostPersonal),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cap::Scope;

    fn check(change: Value) -> Result<(), Error> {
        let mut command = json!({
            "kind": "enterprise", "title": "t", "text": "x", "channel": "webhook", "post_in": {}
        });
        for (name, value) in change.as_object().unwrap() {
            command[name] = value.clone();
        }
        serde_json::from_value::<AcceptBroadcast>(command)
            .unwrap()
            .check_recipients()
    }

    #[test]
    fn it_goes_to_contacts_or_into_groups() {
        assert!(check(json!({})).is_ok());
        assert!(check(json!({"audience": {}, "post_in": null, "channel": "inbox"})).is_ok());
        assert!(matches!(check(json!({"audience": {}})), Err(Error::ToBoth)));
        assert!(matches!(check(json!({"post_in": null})), Err(Error::ToNobody)));
    }

    #[test]
    fn a_group_has_no_inbox_no_name_and_nobody_held_out() {
        let content = |text: &str| {
            let content = json!({"language": "zh", "variants": {"zh": {"text": text}}});
            json!({"text": null, "content": content})
        };
        assert!(check(content("新品到了。")).is_ok());
        assert!(matches!(
            check(content("{{contact.name|亲}}")),
            Err(Error::PostPersonal)
        ));
        assert!(matches!(
            check(json!({"channel": "inbox"})),
            Err(Error::PostChannel)
        ));
        assert!(matches!(
            check(json!({"held_out_ppm": 1})),
            Err(Error::PostHeldOut)
        ));
    }

    #[test]
    fn groups_are_named_within_bounds() {
        let parse = |post_in: Value| serde_json::from_value::<PostIn>(post_in);
        let (one, two) = (GroupId::new(), GroupId::new());
        let named = parse(json!({"groups": [two, one, two]})).unwrap();
        assert_eq!(named.groups, [one, two]);
        assert!(!named.is_all());
        assert_eq!(parse(serde_json::to_value(&named).unwrap()).unwrap(), named);
        assert!(parse(json!({"except": [one]})).unwrap().is_all());
        assert!(parse(json!({"groups": vec![one; 1_001]})).is_err());
        assert!(parse(json!({"owned_by": vec![one; 101]})).is_err());
        assert!(parse(json!({"tags_any": ["vip"]})).is_err());
    }

    #[test]
    fn a_groups_cap_is_its_own_whoever_posts() {
        let sender = MemberId::new();
        for kind in [Kind::Member, Kind::Enterprise] {
            let policy = To::Groups.policy(kind, sender);
            assert_eq!(policy.scope, Scope::Group);
            assert!(policy.member.0.is_nil());
            assert_eq!(To::Contacts.policy(kind, sender), Policy::of(kind, sender));
        }
    }
}
