//! Who reads a message, as far as its words depend on it.

use contracts::{ContactId, MemberId};

use super::template::Value;
use crate::click::ShortLinks;

/// Who reads it, as far as the words depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    /// BCP 47; empty while unknown.
    pub language: &'a str,
    pub contact_name: Value<'a>,
    pub member_alias: Value<'a>,
    pub shop_link: Value<'a>,
    pub opt_out_link: Value<'a>,
    /// Where links lead over us, if the content says so.
    pub short: Option<ShortLinks<'a>>,
}

/// What customers knows of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub contact: ContactId,
    /// Empty while unknown.
    pub name: String,
    /// BCP 47; empty while unknown.
    pub language: String,
    /// Where e-mails to them go; empty while unknown.
    pub email: String,
    /// Who speaks to them.
    pub member: Option<MemberId>,
    /// What they see of that member; empty while unknown.
    pub member_alias: String,
    /// Whether that member follows them.
    pub is_friend: bool,
}

/// A value, unless it is empty.
pub(crate) fn known(text: &str) -> Value<'_> {
    if text.is_empty() {
        Value::Missing
    } else {
        Value::Known(text)
    }
}
