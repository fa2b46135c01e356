//! A person on a tenant's staff: how they log in, what contacts see of them, and what they may do.

use std::fmt;
use std::str::FromStr;

use chassis::auth::Role;
use chassis::text::Text;
use contracts::MemberId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;

const EMAIL_CHARS_MAX: usize = 254;
const EMAIL_LOCAL_CHARS_MAX: usize = 64;
const EMAIL_LABEL_CHARS_MAX: usize = 63;

pub(crate) type PersonName = Text<80>;

/// One of a tenant's staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Member {
    pub member_id: MemberId,
    pub email: Email,
    /// For colleagues; it never leaves identity.
    pub name: PersonName,
    /// What contacts see.
    pub alias: PersonName,
    pub role: Role,
    pub state: MemberState,
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum MemberState {
    Active,
    /// Can't log in any more.
    Left,
}

impl Member {
    /// A new member. Who chooses no alias shows the real name.
    #[must_use]
    pub(crate) fn new(
        email: Email,
        name: PersonName,
        alias: Option<PersonName>,
        role: Role,
        now: Timestamp,
    ) -> Self {
        let alias = alias.unwrap_or_else(|| name.clone());
        Self {
            member_id: MemberId::new(),
            email,
            name,
            alias,
            role,
            state: MemberState::Active,
            joined_at: now,
        }
    }

    /// The member after leaving, on the word of somebody with `by`'s role. `active_owners` counts
    /// the tenant's owners, this one included.
    ///
    /// # Errors
    /// When they stand above the one who says so, or are the last owner.
    pub(crate) fn leave(self, by: Role, active_owners: usize) -> Result<Self, Error> {
        reaches(by, self.role)?;
        if self.role == Role::Owner && active_owners <= 1 {
            return Err(Error::LastOwner);
        }
        Ok(Self {
            state: MemberState::Left,
            ..self
        })
    }
}

/// Nobody appoints or dismisses above their own role.
///
/// # Errors
/// When `role` is above `by`.
pub(crate) fn reaches(by: Role, role: Role) -> Result<(), Error> {
    if by >= role {
        Ok(())
    } else {
        Err(Error::RoleAbove(role))
    }
}

/// An e-mail address, in lower case.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(try_from = "String", into = "String")]
#[sqlx(transparent)]
#[schema(value_type = String, format = "email", max_length = 254)]
pub struct Email(String);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("e-mail address is not of the form name@example.com, of at most {EMAIL_CHARS_MAX} ASCII characters")]
pub struct EmailMalformed;

impl FromStr for Email {
    type Err = EmailMalformed;

    fn from_str(raw: &str) -> Result<Self, EmailMalformed> {
        let email = raw.trim().to_ascii_lowercase();
        let (local, domain) = email.rsplit_once('@').ok_or(EmailMalformed)?;
        let fits = email.len() <= EMAIL_CHARS_MAX
            && (1..=EMAIL_LOCAL_CHARS_MAX).contains(&local.len())
            && local
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b))
            && domain.contains('.')
            && domain.split('.').all(is_label);
        if fits {
            Ok(Self(email))
        } else {
            Err(EmailMalformed)
        }
    }
}

fn is_label(label: &str) -> bool {
    (1..=EMAIL_LABEL_CHARS_MAX).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl TryFrom<String> for Email {
    type Error = EmailMalformed;

    fn try_from(raw: String) -> Result<Self, EmailMalformed> {
        raw.parse()
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl Email {
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Personal data: it does not stand in a log.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROLES: [Role; 5] = [
        Role::Auditor,
        Role::Agent,
        Role::Operator,
        Role::Admin,
        Role::Owner,
    ];

    fn member(role: Role) -> Member {
        let email = "li@yunji.example".parse().unwrap();
        Member::new(
            email,
            PersonName::parse("李娜").unwrap(),
            None,
            role,
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn who_chooses_no_alias_shows_the_name() {
        assert_eq!(member(Role::Agent).alias, PersonName::parse("李娜").unwrap());
    }

    #[test]
    fn the_last_owner_stays() {
        assert!(matches!(
            member(Role::Owner).leave(Role::Owner, 1),
            Err(Error::LastOwner)
        ));
        assert_eq!(
            member(Role::Owner).leave(Role::Owner, 2).unwrap().state,
            MemberState::Left
        );
    }

    #[test]
    fn an_admin_neither_makes_nor_dismisses_an_owner() {
        assert!(matches!(
            reaches(Role::Admin, Role::Owner),
            Err(Error::RoleAbove(Role::Owner))
        ));
        assert!(matches!(
            member(Role::Owner).leave(Role::Admin, 2),
            Err(Error::RoleAbove(Role::Owner))
        ));
        for role in ROLES {
            assert!(reaches(Role::Owner, role).is_ok());
        }
    }

    proptest! {
        /// However members come and go, a tenant that has an owner keeps one.
        #[test]
        fn a_tenant_keeps_an_owner(leavers in prop::collection::vec((0..5_usize, 0..5_usize), 0..12)) {
            let mut owners = 2;
            for (role, by) in leavers {
                let (role, by) = (ROLES[role], ROLES[by]);
                if member(role).leave(by, owners).is_ok() && role == Role::Owner {
                    owners -= 1;
                }
                prop_assert!(owners >= 1);
            }
        }

        #[test]
        fn a_parsed_address_parses_to_itself(raw in "\\PC{0,20}@\\PC{0,20}") {
            if let Ok(email) = raw.parse::<Email>() {
                prop_assert_eq!(email.as_str().parse::<Email>().unwrap(), email.clone());
                prop_assert!(!email.as_str().contains(char::is_whitespace));
            }
        }
    }

    #[test]
    fn addresses_are_lower_cased_and_checked() {
        assert_eq!(
            " Li.Na+x@Yunji.Example ".parse::<Email>().unwrap().as_str(),
            "li.na+x@yunji.example"
        );
        assert!("reviewer@shequn.local".parse::<Email>().is_ok());
        let long = format!("{}@b.example", "a".repeat(65));
        for raw in [
            "",
            "li",
            "@b.example",
            "a@",
            "a@b",
            "a@b..c",
            "a@-b.c",
            "a b@c.de",
            "a@b@c.de",
            "李@c.de",
            &long,
        ] {
            assert_eq!(raw.parse::<Email>(), Err(EmailMalformed), "{raw}");
        }
    }

    #[test]
    fn an_address_is_not_logged() {
        assert!(!format!("{:?}", member(Role::Agent)).contains("yunji"));
    }
}
