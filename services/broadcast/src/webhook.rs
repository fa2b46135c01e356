//! Where a tenant's own system takes mass messages: what it is told of itself.

mod address;
mod answer;
mod secret;

pub(crate) use address::{Target, UrlError, is_public};
pub(crate) use answer::{back_off, retry_after};
pub(crate) use secret::{Secret, signatures};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const OVERLAP_SECS_MAX: i64 = 7 * 24 * 60 * 60;

/// Where mass messages go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"url": "https://crm.example.com/shequn"}))]
pub(crate) struct SetWebhook {
    /// An https URL of a public host.
    #[schema(max_length = 2000)]
    pub url: String,
}

/// The tenant's webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Webhook {
    pub url: String,
    #[schema(value_type = String, format = DateTime)]
    pub set_at: Timestamp,
    /// When the secret was made that calls are signed with.
    #[schema(value_type = String, format = DateTime)]
    pub secret_at: Timestamp,
    /// Until when calls are signed with the secret before as well.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub old_secret_until: Option<Timestamp>,
    /// The secret calls are signed with, `whsec_…`: told once, to whoever sets the webhook first or rotates its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub secret: Option<Secret>,
}

/// For how long the secret before signs as well.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"overlap_secs": 86_400}))]
pub(crate) struct RotateSecret {
    #[serde(default)]
    pub overlap_secs: OverlapSecs,
}

/// Seconds in which calls carry both signatures: 0 to 604,800, a day unless told. With 0 the old secret is over at once,
/// as for one that got into wrong hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "i64")]
#[schema(value_type = i64, minimum = 0, maximum = 604_800, default = 86_400)]
pub(crate) struct OverlapSecs(i64);

impl Default for OverlapSecs {
    fn default() -> Self {
        Self(24 * 60 * 60)
    }
}

impl TryFrom<i64> for OverlapSecs {
    type Error = String;

    fn try_from(secs: i64) -> Result<Self, String> {
        match secs {
            0..=OVERLAP_SECS_MAX => Ok(Self(secs)),
            _ => Err(format!("must be 0 to {OVERLAP_SECS_MAX}, a week")),
        }
    }
}

impl OverlapSecs {
    /// When the secret before is over; none: at once.
    pub(crate) fn until(self, now: Timestamp) -> Option<Timestamp> {
        (self.0 > 0).then(|| {
            now.saturating_add(SignedDuration::from_secs(self.0))
                .unwrap_or(now)
        })
    }
}

/// Where a claimed chunk's calls go, and what signs them.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub url: String,
    /// One, or while it is being rotated two, the newer first.
    pub secrets: Vec<Secret>,
}
