//! Contacts: end customers, once per tenant, and the members who follow them (D31, D36).

use chassis::text::Text;
use contracts::{CodeId, ContactId, MemberId};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The version of the text on consent that scan and consent pages show.
pub(crate) const CONSENT_VERSION: i32 = 1;
/// Members shown with a contact.
pub(crate) const FOLLOWS_MAX: i64 = 100;

/// The tenant's own id of a person: an openid, a shop's customer number.
pub(crate) type ExternalId = Text<64>;
pub(crate) type ContactName = Text<100>;

/// The language a contact chose, as a BCP 47 tag: `ja`, `zh-Hans`, `en`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, max_length = 35, example = "zh")]
pub(crate) struct Language(String);

impl TryFrom<String> for Language {
    type Error = &'static str;

    fn try_from(tag: String) -> Result<Self, Self::Error> {
        let mut parts = tag.split('-');
        let language = parts.next().is_some_and(|part| {
            (2..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic())
        });
        let rest = parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if language && rest && tag.len() <= 35 {
            Ok(Self(tag))
        } else {
            Err("not a language tag; write one like `ja`, `zh` or `zh-Hans`")
        }
    }
}

impl Language {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The time zone a contact lives in, by its name in the IANA database: `Asia/Tokyo`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, max_length = 64, example = "Asia/Tokyo")]
pub(crate) struct Zone(String);

impl TryFrom<String> for Zone {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        // The database answers to any case; what is kept is its own spelling.
        let zone = TimeZone::get(name.trim()).ok().filter(|zone| !zone.is_unknown());
        let name = zone.as_ref().and_then(TimeZone::iana_name);
        name.filter(|name| name.len() <= 64)
            .map(|name| Self(name.to_owned()))
            .ok_or("not a time zone; write one of the IANA database, like `Asia/Tokyo`")
    }
}

impl Zone {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// An end customer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Contact {
    pub(crate) contact_id: ContactId,
    pub(crate) external_id: String,
    /// Empty while unknown.
    pub(crate) name: String,
    /// BCP 47; empty while unknown.
    pub(crate) language: String,
    /// E.164.
    pub(crate) phone: Option<String>,
    /// Where e-mails go.
    pub(crate) email: Option<String>,
    /// `YYYY-MM`
    pub(crate) birth_month: Option<String>,
    /// IANA; null while unknown, then the tenant's counts.
    pub(crate) zone: Option<String>,
    /// Whether marketing messages are welcome.
    pub(crate) marketing: bool,
    pub(crate) tags: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
}

/// An end customer with everything we know of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ContactDetail {
    #[serde(flatten)]
    pub(crate) contact: Contact,
    pub(crate) consent: Consent,
    /// Who follows the contact, the last active first; at most 100.
    pub(crate) follows: Vec<Follow>,
}

/// What a contact's answer to marketing rests on (D37).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Consent {
    pub(crate) marketing: bool,
    pub(crate) basis: ConsentBasis,
    /// The version of the text the contact saw; 0: none.
    pub(crate) version: i32,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
}

/// Where an answer to marketing comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum ConsentBasis {
    /// Nobody asked yet.
    Import,
    /// The scan page states it.
    Scan,
    /// The contact said so.
    Contact,
}

/// Whether a follow still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum FollowState {
    Active,
    /// The member left, another took over.
    Moved,
}

/// How a follow came about (D32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum AddWay {
    LiveCode,
    PhoneSearch,
    ExternalGroup,
    Card,
}

impl AddWay {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::LiveCode => "live_code",
            Self::PhoneSearch => "phone_search",
            Self::ExternalGroup => "external_group",
            Self::Card => "card",
        }
    }
}

/// The relation of a member to a contact.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Follow {
    pub(crate) member_id: MemberId,
    /// What the contact sees.
    pub(crate) alias: String,
    pub(crate) state: FollowState,
    /// Who took over, when the member left.
    pub(crate) moved_to: Option<MemberId>,
    /// The member's own note beside the contact's name; at most 20 characters.
    pub(crate) remark: String,
    pub(crate) add_way: AddWay,
    pub(crate) code_id: CodeId,
    /// The state of the code it came by, as it was at the scan (D61).
    pub(crate) channel: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) befriended_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) last_active_at: Timestamp,
}

/// A member as contacts see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Face {
    pub(crate) member_id: MemberId,
    pub(crate) alias: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_tags() {
        for tag in ["ja", "zh", "zh-Hans-CN", "yue"] {
            assert_eq!(Language::try_from(tag.to_owned()).unwrap().as_str(), tag);
        }
        for tag in ["", "j", "japanese", "zh_CN", "zh-", "-zh", "ja 1", "zh-aaaaaaaaa"] {
            assert!(Language::try_from(tag.to_owned()).is_err(), "{tag}");
        }
    }

    #[test]
    fn zones_are_those_of_the_iana_database() {
        for (name, kept) in [(" asia/tokyo ", "Asia/Tokyo"), ("Europe/Paris", "Europe/Paris")] {
            assert_eq!(Zone::try_from(name.to_owned()).unwrap().as_str(), kept);
        }
        for name in [
            "",
            "+09:00",
            "Asia/Nowhere",
            "Etc/Unknown",
            "JST-9",
            "../Asia/Tokyo",
        ] {
            assert!(Zone::try_from(name.to_owned()).is_err(), "{name}");
        }
    }
}
