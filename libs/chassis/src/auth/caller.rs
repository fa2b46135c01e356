//! Callers, and extractors that name who may ask: a handler that takes `Operator` is closed to everybody else.

use axum::extract::FromRequestParts;
use contracts::{ContactId, MemberId, TenantId};
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::{Class, Problem};

/// What a member may do; each role includes the ones before it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema, sqlx::Type,
)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Role {
    /// Reads everything, changes nothing.
    Auditor,
    /// Serves own contacts.
    Agent,
    /// Runs codes, groups, broadcasts, orders.
    Operator,
    /// Manages members, plans, webhooks.
    Admin,
    /// Speaks for the tenant.
    Owner,
}

impl Role {
    /// The name in tokens and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auditor => "auditor",
            Self::Agent => "agent",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

/// Who a valid token proves to be asking; the tenant comes from nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// One of the tenant's staff.
    Member {
        tenant: TenantId,
        member: MemberId,
        role: Role,
    },
    /// The platform's own, who verifies tenants.
    Reviewer { reviewer: Uuid },
    /// A peer, acting for a tenant.
    Service { service: String, tenant: TenantId },
    /// An end customer.
    Contact { tenant: TenantId, contact: ContactId },
}

impl Caller {
    /// The caller's name in a request's key.
    pub(crate) fn subject(&self) -> String {
        match self {
            Self::Member { member, .. } => format!("member:{member}"),
            Self::Reviewer { reviewer } => format!("reviewer:{reviewer}"),
            Self::Service { service, .. } => format!("service:{service}"),
            Self::Contact { contact, .. } => format!("contact:{contact}"),
        }
    }

    /// What the caller is called in a refusal.
    fn describe(&self) -> &'static str {
        match self {
            Self::Member { role, .. } => role.as_str(),
            Self::Reviewer { .. } => "reviewer",
            Self::Service { .. } => "service",
            Self::Contact { .. } => "contact",
        }
    }
}

/// The caller that the authentication middleware put into the request.
fn caller(parts: &Parts) -> Result<&Caller, Problem> {
    parts
        .extensions
        .get()
        .ok_or_else(super::middleware::token_missing)
}

fn forbidden(caller: &Caller, allowed: &str) -> Problem {
    let detail = format!(
        "this is for {allowed}, and the token is of the kind {}",
        caller.describe()
    );
    Problem::new(Class::Forbidden, "caller_not_allowed", detail)
}

macro_rules! members {
    ($($(#[$doc:meta])* $name:ident from $least:ident: $allowed:literal;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            pub tenant: TenantId,
            pub member: MemberId,
            pub role: Role,
        }

        impl TryFrom<&Caller> for $name {
            type Error = Problem;

            fn try_from(caller: &Caller) -> Result<Self, Problem> {
                match *caller {
                    Caller::Member { tenant, member, role } if role >= Role::$least => {
                        Ok(Self { tenant, member, role })
                    }
                    _ => Err(forbidden(caller, $allowed)),
                }
            }
        }
    )* };
}

members! {
    /// Any member: for reading.
    Staff from Auditor: "members";
    /// An agent or more.
    Agent from Agent: "agents, operators, admins and owners";
    /// An operator or more.
    Operator from Operator: "operators, admins and owners";
    /// An admin or the owner.
    Admin from Admin: "admins and owners";
    /// The owner.
    Owner from Owner: "owners";
}

/// A platform reviewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reviewer {
    pub reviewer: Uuid,
}

impl TryFrom<&Caller> for Reviewer {
    type Error = Problem;

    fn try_from(caller: &Caller) -> Result<Self, Problem> {
        match *caller {
            Caller::Reviewer { reviewer } => Ok(Self { reviewer }),
            _ => Err(forbidden(caller, "reviewers")),
        }
    }
}

/// A contact, asking for what is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContactSelf {
    pub tenant: TenantId,
    pub contact: ContactId,
}

impl TryFrom<&Caller> for ContactSelf {
    type Error = Problem;

    fn try_from(caller: &Caller) -> Result<Self, Problem> {
        match *caller {
            Caller::Contact { tenant, contact } => Ok(Self { tenant, contact }),
            _ => Err(forbidden(caller, "contacts")),
        }
    }
}

/// A contact for themselves, or an operator for a contact they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactOrOperator {
    Contact(ContactSelf),
    Operator(Operator),
}

impl TryFrom<&Caller> for ContactOrOperator {
    type Error = Problem;

    fn try_from(caller: &Caller) -> Result<Self, Problem> {
        let contact = ContactSelf::try_from(caller).map(Self::Contact);
        contact
            .or_else(|_| Operator::try_from(caller).map(Self::Operator))
            .map_err(|_| forbidden(caller, "contacts, operators, admins and owners"))
    }
}

macro_rules! extractors {
    ($($name:ident)*) => { $(
        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
                Self::try_from(caller(parts)?)
            }
        }
    )* };
}

extractors! { Staff Agent Operator Admin Owner Reviewer ContactSelf ContactOrOperator }

#[cfg(test)]
mod tests {
    use super::*;

    fn member(role: Role) -> Caller {
        Caller::Member {
            tenant: TenantId::new(),
            member: MemberId::new(),
            role,
        }
    }

    /// Which of the extractors a caller gets through.
    fn doors(caller: &Caller) -> Vec<&'static str> {
        let mut open = Vec::new();
        macro_rules! knock {
            ($($name:ident)*) => { $(
                match $name::try_from(caller) {
                    Ok(_) => open.push(stringify!($name)),
                    Err(problem) => assert_eq!((problem.class, problem.code), (Class::Forbidden, "caller_not_allowed")),
                }
            )* };
        }
        knock! { Staff Agent Operator Admin Owner Reviewer ContactSelf ContactOrOperator }
        open
    }

    #[test]
    fn each_caller_gets_through_its_own_doors_only() {
        assert_eq!(doors(&member(Role::Auditor)), ["Staff"]);
        assert_eq!(doors(&member(Role::Agent)), ["Staff", "Agent"]);
        assert_eq!(
            doors(&member(Role::Operator)),
            ["Staff", "Agent", "Operator", "ContactOrOperator"]
        );
        assert_eq!(
            doors(&member(Role::Admin)),
            ["Staff", "Agent", "Operator", "Admin", "ContactOrOperator"]
        );
        assert_eq!(
            doors(&member(Role::Owner)),
            [
                "Staff",
                "Agent",
                "Operator",
                "Admin",
                "Owner",
                "ContactOrOperator"
            ]
        );
        assert_eq!(
            doors(&Caller::Reviewer {
                reviewer: Uuid::nil()
            }),
            ["Reviewer"]
        );
        assert_eq!(
            doors(&Caller::Contact {
                tenant: TenantId::new(),
                contact: ContactId::new()
            }),
            ["ContactSelf", "ContactOrOperator"]
        );
        assert!(
            doors(&Caller::Service {
                service: "peer".to_owned(),
                tenant: TenantId::new()
            })
            .is_empty()
        );
    }

    #[test]
    fn a_refusal_says_who_may_and_who_asked() {
        let problem = Operator::try_from(&member(Role::Agent)).unwrap_err();
        assert_eq!(
            problem.detail,
            "this is for operators, admins and owners, and the token is of the kind agent"
        );
    }

    #[tokio::test]
    async fn a_request_that_skipped_the_middleware_is_unauthenticated() {
        let mut parts = http::Request::new(()).into_parts().0;
        let problem = Staff::from_request_parts(&mut parts, &()).await.unwrap_err();
        assert_eq!(problem.class, Class::Unauthenticated);
    }

    #[test]
    fn role_names_are_the_same_in_tokens_and_tables() {
        for role in [
            Role::Auditor,
            Role::Agent,
            Role::Operator,
            Role::Admin,
            Role::Owner,
        ] {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
    }
}
