//! A brand on the platform: what it is called, where its days begin, and whether it is verified.

use std::fmt;
use std::str::FromStr;

use chassis::text::Text;
use contracts::TenantId;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::Error;

/// Whose rows are no tenant's: the keys of registrations, and who changed what of the platform's own.
pub(crate) const NOBODY: TenantId = TenantId(Uuid::nil());

const SLUG_CHARS_MIN: usize = 3;
const SLUG_CHARS_MAX: usize = 40;
const ZONE_DEFAULT: &str = "Asia/Shanghai";

pub(crate) type TenantName = Text<80>;
/// Number of a business licence or of a sole trader's identity document.
pub(crate) type LicenceNumber = Text<64>;
pub(crate) type Reason = Text<500>;

/// A brand using the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Tenant {
    pub tenant_id: TenantId,
    pub slug: Slug,
    pub name: TenantName,
    pub state: TenantState,
    pub zone: Zone,
    #[schema(value_type = String, format = DateTime)]
    pub registered_at: Timestamp,
}

/// How far the platform trusts a tenant: until it is verified, nothing it does reaches outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum TenantState {
    /// Waits for a reviewer.
    Pending,
    Verified,
    /// May submit its documents again.
    Rejected,
}

/// What a reviewer says about a pending tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decision {
    Verified,
    Rejected,
}

impl TenantState {
    /// The state after a reviewer's decision: only a pending tenant is decided, and only once.
    ///
    /// # Errors
    /// When the tenant does not wait for a decision.
    pub(crate) fn decide(self, decision: Decision) -> Result<Self, Error> {
        match (self, decision) {
            (Self::Pending, Decision::Verified) => Ok(Self::Verified),
            (Self::Pending, Decision::Rejected) => Ok(Self::Rejected),
            (Self::Verified | Self::Rejected, _) => Err(Error::TenantNotPending(self)),
        }
    }

    /// The state after documents were submitted again: only a rejected tenant may.
    ///
    /// # Errors
    /// When there is nothing to submit for.
    pub(crate) fn resubmit(self) -> Result<Self, Error> {
        match self {
            Self::Rejected => Ok(Self::Pending),
            Self::Pending | Self::Verified => Err(Error::TenantNotRejected(self)),
        }
    }
}

impl fmt::Display for TenantState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Rejected => "rejected",
        })
    }
}

/// The name a tenant logs in with: `yunji`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(try_from = "String", into = "String")]
#[sqlx(transparent)]
#[schema(value_type = String, min_length = 3, max_length = 40, pattern = "^[a-z0-9][a-z0-9-]*[a-z0-9]$")]
pub(crate) struct Slug(String);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a slug has {SLUG_CHARS_MIN} to {SLUG_CHARS_MAX} of a-z, 0-9 and -, and a letter or digit at both ends"
)]
pub(crate) struct SlugMalformed;

impl FromStr for Slug {
    type Err = SlugMalformed;

    fn from_str(raw: &str) -> Result<Self, SlugMalformed> {
        let slug = raw.trim();
        let fits = (SLUG_CHARS_MIN..=SLUG_CHARS_MAX).contains(&slug.len())
            && slug
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !slug.starts_with('-')
            && !slug.ends_with('-');
        if fits {
            Ok(Self(slug.to_owned()))
        } else {
            Err(SlugMalformed)
        }
    }
}

impl TryFrom<String> for Slug {
    type Error = SlugMalformed;

    fn try_from(raw: String) -> Result<Self, SlugMalformed> {
        raw.parse()
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0
    }
}

impl Slug {
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The IANA zone in which a tenant's days and weeks are cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(try_from = "String", into = "String")]
#[sqlx(transparent)]
#[schema(value_type = String, default = "Asia/Shanghai")]
pub(crate) struct Zone(String);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("zone is not in the IANA database; give a name such as Asia/Shanghai or Asia/Tokyo")]
pub(crate) struct ZoneUnknown;

impl FromStr for Zone {
    type Err = ZoneUnknown;

    fn from_str(raw: &str) -> Result<Self, ZoneUnknown> {
        // The database answers to any case; what is kept is its own spelling.
        let zone = TimeZone::get(raw.trim()).map_err(|_| ZoneUnknown)?;
        zone.iana_name()
            .map(|name| Self(name.to_owned()))
            .ok_or(ZoneUnknown)
    }
}

impl TryFrom<String> for Zone {
    type Error = ZoneUnknown;

    fn try_from(raw: String) -> Result<Self, ZoneUnknown> {
        raw.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(ZONE_DEFAULT.to_owned())
    }
}

impl Zone {
    #[must_use]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Anything that may happen to a tenant.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Decide(Decision),
        Resubmit,
    }

    fn step(state: TenantState, step: Step) -> Result<TenantState, Error> {
        match step {
            Step::Decide(decision) => state.decide(decision),
            Step::Resubmit => state.resubmit(),
        }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let one = prop_oneof![
            Just(Step::Decide(Decision::Verified)),
            Just(Step::Decide(Decision::Rejected)),
            Just(Step::Resubmit),
        ];
        prop::collection::vec(one, 0..20)
    }

    proptest! {
        #[test]
        fn a_tenant_is_verified_by_a_decision_alone_and_stays_so(steps in steps()) {
            let mut state = TenantState::Pending;
            for taken in steps {
                let Ok(next) = step(state, taken) else { continue };
                prop_assert_ne!(state, TenantState::Verified, "verified is final");
                prop_assert_eq!(
                    next == TenantState::Verified,
                    matches!(taken, Step::Decide(Decision::Verified))
                );
                prop_assert_eq!(
                    next == TenantState::Pending,
                    state == TenantState::Rejected
                );
                state = next;
            }
        }

        #[test]
        fn a_slug_is_what_its_pattern_says(raw in "[a-zA-Z0-9 _.é-]{0,44}") {
            let slug = raw.trim();
            let expected = (3..=40).contains(&slug.len())
                && slug.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                && !slug.starts_with('-') && !slug.ends_with('-');
            prop_assert_eq!(raw.parse::<Slug>().is_ok(), expected);
        }
    }

    #[test]
    fn only_a_rejected_tenant_submits_again() {
        assert_eq!(TenantState::Rejected.resubmit().unwrap(), TenantState::Pending);
        assert!(matches!(
            TenantState::Pending.resubmit(),
            Err(Error::TenantNotRejected(TenantState::Pending))
        ));
        assert!(matches!(
            TenantState::Verified.decide(Decision::Rejected),
            Err(Error::TenantNotPending(TenantState::Verified))
        ));
    }

    #[test]
    fn a_zone_is_one_of_the_iana_database() {
        assert_eq!("asia/tokyo".parse::<Zone>().unwrap().as_str(), "Asia/Tokyo");
        assert_eq!(Zone::default().as_str().parse(), Ok(Zone::default()));
        for raw in ["", "Asia/Atlantis", "+08:00", "../../etc/passwd", "CST-8"] {
            assert_eq!(raw.parse::<Zone>(), Err(ZoneUnknown), "{raw}");
        }
    }
}
