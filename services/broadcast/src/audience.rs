//! To whom a mass message goes: conditions are a union, exceptions are taken out of it.

use contracts::{ContactId, ContactListId, GroupId, MemberId};
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;

use crate::broadcast::Tags;

/// Contacts named by id in one call; more go into a list.
const CONTACTS_MAX: usize = 10_000;
pub(crate) const GROUPS_MAX: usize = 1_000;
pub(crate) const MEMBERS_MAX: usize = 100;

/// Contacts, in any of these forms. Several forms together mean whoever any of them names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Condition {
    /// Contacts with at least one of these tags (if there are any) and all of `tags_all`.
    pub tags_any: Tags,
    pub tags_all: Tags,
    /// Contacts with a seat in one of these groups: at most 1,000.
    #[serde(deserialize_with = "ids::<_, _, GROUPS_MAX>")]
    #[schema(max_items = 1_000)]
    pub groups: Vec<GroupId>,
    /// Contacts whom one of these members follows: at most 100.
    #[serde(deserialize_with = "ids::<_, _, MEMBERS_MAX>")]
    #[schema(max_items = 100)]
    pub followed_by: Vec<MemberId>,
    /// These contacts: at most 10,000. Whom nobody can speak to ends `not_a_friend`.
    #[serde(deserialize_with = "ids::<_, _, CONTACTS_MAX>")]
    #[schema(max_items = 10_000)]
    pub contacts: Vec<ContactId>,
    /// The contacts of an uploaded list; they are named by id as well.
    pub list: Option<ContactListId>,
}

impl Condition {
    fn is_empty(&self) -> bool {
        self.has_tags_alone() && self.tags_any.is_empty() && self.tags_all.is_empty()
    }

    fn has_tags_alone(&self) -> bool {
        self.groups.is_empty()
            && self.followed_by.is_empty()
            && self.contacts.is_empty()
            && self.list.is_none()
    }
}

/// Which contacts: whoever any of the forms names, everybody if none is used, without `except`.
///
/// Each contact gets one message from one sender: of the members named in `followed_by` the one who talked last, of all
/// who follow the contact when none of them does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Audience {
    /// Contacts with at least one of these tags (if there are any) and all of `tags_all`.
    pub tags_any: Tags,
    pub tags_all: Tags,
    /// Contacts with a seat in one of these groups: at most 1,000.
    #[serde(deserialize_with = "ids::<_, _, GROUPS_MAX>")]
    #[schema(max_items = 1_000)]
    pub groups: Vec<GroupId>,
    /// Contacts whom one of these members follows: at most 100.
    #[serde(deserialize_with = "ids::<_, _, MEMBERS_MAX>")]
    #[schema(max_items = 100)]
    pub followed_by: Vec<MemberId>,
    /// These contacts: at most 10,000. Whom nobody can speak to ends `not_a_friend`.
    #[serde(deserialize_with = "ids::<_, _, CONTACTS_MAX>")]
    #[schema(max_items = 10_000)]
    pub contacts: Vec<ContactId>,
    /// The contacts of an uploaded list; they are named by id as well.
    pub list: Option<ContactListId>,
    /// Contacts who are left out, whatever names them.
    pub except: Condition,
}

impl Audience {
    /// An audience that only tags describe.
    pub(crate) fn tagged(tags_any: Tags, tags_all: Tags) -> Self {
        Self {
            tags_any,
            tags_all,
            ..Self::default()
        }
    }

    /// The forms that name contacts.
    pub(crate) fn named(&self) -> Condition {
        Condition {
            tags_any: self.tags_any.clone(),
            tags_all: self.tags_all.clone(),
            groups: self.groups.clone(),
            followed_by: self.followed_by.clone(),
            contacts: self.contacts.clone(),
            list: self.list,
        }
    }

    /// Whether no form is used: then everybody is meant.
    pub(crate) fn is_everybody(&self) -> bool {
        self.named().is_empty()
    }

    /// Whether tags are all there is to know.
    pub(crate) fn has_tags_alone(&self) -> bool {
        self.named().has_tags_alone() && self.except.is_empty()
    }
}

/// At most `MAX` ids, sorted, each once.
pub(crate) fn ids<'de, D, T, const MAX: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Ord,
{
    let mut ids = Vec::<T>::deserialize(from)?;
    if ids.len() > MAX {
        let detail = format!("{} ids are too many in a call; name at most {MAX}", ids.len());
        return Err(de::Error::custom(detail));
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(audience: Value) -> Result<Audience, String> {
        serde_json::from_value(audience).map_err(|error| error.to_string())
    }

    #[test]
    fn ids_are_bounded_sorted_and_each_once() {
        let (one, two) = (ContactId::new(), ContactId::new());
        let audience = parse(json!({"contacts": [two, one, two]})).unwrap();
        assert_eq!(audience.contacts, [one, two]);
        assert!(parse(json!({"contacts": vec![one; 10_000]})).is_ok());
        let refused = parse(json!({"contacts": vec![one; 10_001]})).unwrap_err();
        assert_eq!(refused, "10001 ids are too many in a call; name at most 10000");
        assert!(parse(json!({"except": {"contacts": vec![one; 10_001]}})).is_err());
        assert!(parse(json!({"groups": vec![one; 1_001]})).is_err());
        assert!(parse(json!({"followed_by": vec![one; 101]})).is_err());
        assert!(parse(json!({"contacts": ["wx-1"]})).is_err());
        assert!(parse(json!({"contact": []})).is_err());
    }

    #[test]
    fn nothing_named_is_everybody() {
        assert!(parse(json!({})).unwrap().is_everybody());
        let except = parse(json!({"except": {"tags_any": ["vip"]}})).unwrap();
        assert!(except.is_everybody() && !except.has_tags_alone());
        let tags = parse(json!({"tags_all": ["vip"]})).unwrap();
        assert!(!tags.is_everybody() && tags.has_tags_alone());
        let groups = parse(json!({"groups": [GroupId::new()]})).unwrap();
        assert!(!groups.is_everybody() && !groups.has_tags_alone());
    }

    #[test]
    fn what_is_stored_reads_back() {
        let audience = parse(json!({
            "tags_any": ["vip"], "groups": [GroupId::new()], "followed_by": [MemberId::new()],
            "contacts": [ContactId::new()], "except": {"tags_all": ["quiet"], "contacts": [ContactId::new()]}
        }))
        .unwrap();
        assert_eq!(parse(serde_json::to_value(&audience).unwrap()).unwrap(), audience);
    }
}
