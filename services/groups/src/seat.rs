//! A seat: one contact's place in one group, taken and given back by the contact or by a member for it.

use chassis::auth::ContactOrOperator;
use contracts::{ContactId, GroupId, MemberId, TenantId};
use jiff::Timestamp;
use outbox::Actor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;

/// For whom a seat is taken or given back, and by whom (D18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applicant {
    pub(crate) tenant_id: TenantId,
    pub(crate) contact_id: ContactId,
    /// The member who acts for the contact; `None`: the contact itself.
    pub(crate) member_id: Option<MemberId>,
}

impl Applicant {
    /// A contact acts for itself alone; a member says for whom.
    pub(crate) fn parse(caller: &ContactOrOperator, named: Option<ContactId>) -> Result<Self, Error> {
        match (caller, named) {
            (ContactOrOperator::Contact(own), Some(named)) if named != own.contact => {
                Err(Error::ContactForeign)
            }
            (ContactOrOperator::Contact(own), _) => Ok(Self {
                tenant_id: own.tenant,
                contact_id: own.contact,
                member_id: None,
            }),
            (ContactOrOperator::Operator(operator), Some(contact_id)) => Ok(Self {
                tenant_id: operator.tenant,
                contact_id,
                member_id: Some(operator.member),
            }),
            (ContactOrOperator::Operator(_), None) => Err(Error::ContactMissing),
        }
    }

    /// Who acts.
    pub(crate) fn actor(&self) -> Actor {
        self.member_id
            .map_or(Actor::Contact(self.contact_id), Actor::Member)
    }

    /// What the seat in this group is called in the audit.
    pub(crate) fn seat(&self, group_id: GroupId) -> String {
        format!("{group_id}/{}", self.contact_id)
    }
}

/// For whom a seat is asked or given back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "contact_id": "0199a3f0-7c1e-7d7a-9f64-3b1c5a0e2d11" }))]
pub(crate) struct ForContact {
    /// The contact a member acts for; a contact itself leaves it out.
    #[serde(default)]
    pub contact_id: Option<ContactId>,
}

/// What happened to a seat, as the history keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum Change {
    JoinedGroup,
    JoinedSeries,
    Left,
}

/// Where a contact sits now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Joined {
    pub group_id: GroupId,
    pub group_name: String,
    /// How many sat in the group once the contact had taken its seat.
    pub seat: i32,
    /// Whether the contact sat there before it asked.
    pub already: bool,
}

/// A seat that was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Left {
    pub group_id: GroupId,
    pub contact_id: ContactId,
}

/// A contact in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Seat {
    pub contact_id: ContactId,
    /// How many sat in the group once the contact had taken its seat.
    pub seat: i32,
    #[schema(value_type = String, format = DateTime)]
    pub taken_at: Timestamp,
}

/// A group in a contact's own list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OwnGroup {
    pub group_id: GroupId,
    pub group_name: String,
    /// The one topic it is about (D19).
    pub theme: String,
    /// What it gives its members (D68).
    pub benefit: String,
    pub seat: i32,
    #[schema(value_type = String, format = DateTime)]
    pub taken_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use chassis::auth::{ContactSelf, Operator, Role};

    use super::*;

    #[test]
    fn a_contact_acts_for_itself_alone() {
        let own = ContactSelf {
            tenant: TenantId::new(),
            contact: ContactId::new(),
        };
        let caller = ContactOrOperator::Contact(own);
        let applicant = Applicant::parse(&caller, None).unwrap();
        assert_eq!((applicant.contact_id, applicant.member_id), (own.contact, None));
        assert_eq!(Applicant::parse(&caller, Some(own.contact)).unwrap(), applicant);
        assert!(matches!(
            Applicant::parse(&caller, Some(ContactId::new())),
            Err(Error::ContactForeign)
        ));
    }

    #[test]
    fn a_member_says_for_whom() {
        let operator = Operator {
            tenant: TenantId::new(),
            member: MemberId::new(),
            role: Role::Operator,
        };
        let caller = ContactOrOperator::Operator(operator);
        let contact = ContactId::new();
        let applicant = Applicant::parse(&caller, Some(contact)).unwrap();
        assert_eq!(
            (applicant.contact_id, applicant.member_id),
            (contact, Some(operator.member))
        );
        assert!(matches!(
            Applicant::parse(&caller, None),
            Err(Error::ContactMissing)
        ));
    }
}
