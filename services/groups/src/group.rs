//! A group: a community with a declared theme, a promised benefit and a fixed number of seats.

use chassis::text::{Multiline, Text};
use contracts::{GroupId, MemberId, SeriesId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;

/// Who sits in a group; it decides how many may (D3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum GroupKind {
    /// Contacts, looked after by members.
    External,
    /// Employees only: no contact gets a seat.
    Internal,
}

/// A community.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Group {
    pub group_id: GroupId,
    /// The series it belongs to, if any.
    pub series_id: Option<SeriesId>,
    /// Its place in the series, from 1.
    pub number: Option<i32>,
    pub kind: GroupKind,
    pub name: String,
    /// The one topic it is about (D19).
    pub theme: String,
    /// What it gives those who join (D68).
    pub benefit: String,
    /// What each newcomer is told once; empty for nothing.
    pub greeting: String,
    pub capacity: i32,
    pub seats_taken: i32,
    /// Who answers for it and speaks in it; none for groups of old. Where it has none, its series' owner speaks.
    pub owner_id: Option<MemberId>,
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
}

/// What an operator says to open a group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "Sensitive skin",
    "theme": "Care for sensitive skin",
    "benefit": "A dermatologist answers every Thursday.",
    "greeting": "Welcome! The week's questions are pinned.",
    "capacity": 500,
    "kind": "external"
}))]
pub(crate) struct OpenGroup {
    pub name: Text<80>,
    /// The one topic it is about (D19).
    pub theme: Text<80>,
    /// What it gives those who join (D68).
    pub benefit: Multiline<500>,
    /// What each newcomer is told once.
    pub greeting: Option<Multiline<500>>,
    /// Seats, if fewer than the policy allows.
    #[schema(minimum = 1)]
    pub capacity: Option<i32>,
    pub kind: GroupKind,
    /// The member who answers for it and speaks in it: whoever opens it, unless told otherwise.
    pub owner_id: Option<MemberId>,
}

/// What holds for a tenant's group that opens now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) is_verified: bool,
    /// The capacity profile in effect, if there is one.
    pub(crate) seats_max: Option<i32>,
}

impl Terms {
    /// The seats of a group that opens under these terms: those asked for, or all the policy allows.
    pub(crate) fn capacity(self, asked: Option<i32>) -> Result<i32, Error> {
        if !self.is_verified {
            return Err(Error::TenantUnverified);
        }
        let seats_max = self.seats_max.ok_or(Error::NoCapacityProfile)?;
        match asked {
            None => Ok(seats_max),
            Some(asked) if (1..=seats_max).contains(&asked) => Ok(asked),
            Some(asked) => Err(Error::CapacityOutOfRange { asked, seats_max }),
        }
    }
}

/// The member named, or whoever opens it. Peers take the nil id for nobody, so it is no member's.
pub(crate) fn owner(named: Option<MemberId>, opener: MemberId) -> Result<MemberId, Error> {
    match named {
        Some(member) if member.0.is_nil() => Err(Error::OwnerNil),
        named => Ok(named.unwrap_or(opener)),
    }
}

impl Group {
    /// Opens a group of its own.
    pub(crate) fn open(
        command: OpenGroup,
        opener: MemberId,
        terms: Terms,
        now: Timestamp,
    ) -> Result<Self, Error> {
        Ok(Self {
            group_id: GroupId::new(),
            series_id: None,
            number: None,
            kind: command.kind,
            name: command.name.into(),
            theme: command.theme.into(),
            benefit: command.benefit.into(),
            greeting: command.greeting.map(String::from).unwrap_or_default(),
            capacity: terms.capacity(command.capacity)?,
            seats_taken: 0,
            owner_id: Some(owner(command.owner_id, opener)?),
            opened_at: now,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        is_verified: true,
        seats_max: Some(500),
    };

    #[test]
    fn a_group_gets_the_seats_asked_for_within_the_policy() {
        assert_eq!(TERMS.capacity(None).unwrap(), 500);
        assert_eq!(TERMS.capacity(Some(1)).unwrap(), 1);
        assert_eq!(TERMS.capacity(Some(500)).unwrap(), 500);
        for asked in [i32::MIN, -1, 0, 501, i32::MAX] {
            assert!(matches!(
                TERMS.capacity(Some(asked)),
                Err(Error::CapacityOutOfRange { seats_max: 500, .. })
            ));
        }
    }

    #[test]
    fn an_unverified_tenant_opens_nothing() {
        let terms = Terms {
            is_verified: false,
            ..TERMS
        };
        assert!(matches!(terms.capacity(None), Err(Error::TenantUnverified)));
    }

    #[test]
    fn without_a_profile_in_effect_nothing_opens() {
        let terms = Terms {
            seats_max: None,
            ..TERMS
        };
        assert!(matches!(terms.capacity(Some(1)), Err(Error::NoCapacityProfile)));
    }

    #[test]
    fn it_is_owned_by_whoever_is_named_or_opens_it_and_never_by_nobody() {
        let (opener, named) = (MemberId::new(), MemberId::new());
        assert_eq!(owner(None, opener).unwrap(), opener);
        assert_eq!(owner(Some(named), opener).unwrap(), named);
        let nobody = MemberId(uuid::Uuid::nil());
        assert!(matches!(owner(Some(nobody), opener), Err(Error::OwnerNil)));
    }

    #[test]
    fn theme_and_benefit_must_be_said() {
        let whole = serde_json::json!({
            "name": "n", "theme": "t", "benefit": "b", "kind": "external"
        });
        assert!(serde_json::from_value::<OpenGroup>(whole.clone()).is_ok());
        for (field, value) in [
            ("theme", None),
            ("benefit", None),
            ("theme", Some(" ")),
            ("benefit", Some("")),
        ] {
            let mut lacking = whole.clone();
            match value {
                Some(value) => lacking[field] = value.into(),
                None => drop(lacking.as_object_mut().unwrap().remove(field)),
            }
            assert!(
                serde_json::from_value::<OpenGroup>(lacking).is_err(),
                "{field} {value:?}"
            );
        }
    }
}
