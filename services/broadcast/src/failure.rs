//! Why a call failed: a closed set, by which the dead are listed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a recipient died of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum Failure {
    /// The receiver refused the message for good.
    Refused,
    /// The receiver is there no more (410).
    Gone,
    /// The receiver sent the call elsewhere, which is not followed.
    Redirected,
    /// The receiver failed on this message at every attempt, while it took others.
    Erred,
    /// The receiver asked to come later, or its gateway did.
    Busy,
    /// No answer in time.
    TimedOut,
    /// The connection ended before there was an answer.
    Broken,
    /// No connection: the name does not resolve, the host is not public, or nobody listens.
    Unreachable,
    /// The receiver took nothing for hours.
    Away,
    /// The recipient's chunk ended its workers.
    Stuck,
    /// What they would have got can't be written, so nobody was called.
    Unwritten,
}

impl Failure {
    #[cfg(test)]
    const ALL: [Self; 11] = [
        Self::Refused,
        Self::Gone,
        Self::Redirected,
        Self::Erred,
        Self::Busy,
        Self::TimedOut,
        Self::Broken,
        Self::Unreachable,
        Self::Away,
        Self::Stuck,
        Self::Unwritten,
    ];

    /// As in the database and in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Gone => "gone",
            Self::Redirected => "redirected",
            Self::Erred => "erred",
            Self::Busy => "busy",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::Unreachable => "unreachable",
            Self::Away => "away",
            Self::Stuck => "stuck",
            Self::Unwritten => "unwritten",
        }
    }

    /// What an HTTP status says; none of success.
    pub(crate) const fn of_status(status: u16) -> Option<Self> {
        match status {
            200..300 => None,
            300..400 => Some(Self::Redirected),
            410 => Some(Self::Gone),
            429 | 502..=504 => Some(Self::Busy),
            408 | 425 | 500..600 => Some(Self::Erred),
            _ => Some(Self::Refused),
        }
    }

    /// Whether another attempt would end the same.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Self::Refused | Self::Gone | Self::Redirected)
    }

    /// Whether it says something of the receiver and nothing of the recipient, who never dies of it alone.
    pub(crate) const fn is_the_receivers(self) -> bool {
        matches!(self, Self::Busy | Self::Unreachable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_classified() {
        assert_eq!(Failure::of_status(204), None);
        for (status, failure) in [
            (100, Failure::Refused),
            (301, Failure::Redirected),
            (308, Failure::Redirected),
            (400, Failure::Refused),
            (404, Failure::Refused),
            (410, Failure::Gone),
            (408, Failure::Erred),
            (425, Failure::Erred),
            (429, Failure::Busy),
            (500, Failure::Erred),
            (502, Failure::Busy),
            (503, Failure::Busy),
            (507, Failure::Erred),
        ] {
            assert_eq!(Failure::of_status(status), Some(failure), "{status}");
        }
    }

    #[test]
    fn names_are_the_same_everywhere() {
        for failure in Failure::ALL {
            assert_eq!(serde_json::to_value(failure).unwrap(), failure.name());
            assert!(!(failure.is_final() && failure.is_the_receivers()));
        }
    }
}
