//! Quiet hours: when a tenant's mass messages wait, in its zone (D102).

use std::time::Duration;

use jiff::civil::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// From one time of the day to another; the night may lie between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "AskedHours")]
pub(crate) struct Hours {
    #[schema(value_type = String, example = "22:00")]
    pub starts: Time,
    #[schema(value_type = String, example = "08:00")]
    pub ends: Time,
}

/// Hours as somebody writes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedHours {
    starts: Time,
    ends: Time,
}

impl TryFrom<AskedHours> for Hours {
    type Error = &'static str;

    fn try_from(asked: AskedHours) -> Result<Self, Self::Error> {
        if asked.starts == asked.ends {
            return Err(
                "quiet hours end when they start; give two times of the day, or leave `hours` out for none",
            );
        }
        Ok(Self {
            starts: asked.starts,
            ends: asked.ends,
        })
    }
}

/// When mass messages wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"hours": {"starts": "22:00", "ends": "08:00"}}))]
pub(crate) struct QuietHours {
    /// In the tenant's zone; absent: never.
    pub hours: Option<Hours>,
}

/// How this moment lies to the quiet hours.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Quiet {
    /// In them: how long they last, and whether the day changes meanwhile.
    pub rest_secs: Option<f64>,
    pub is_over_night: bool,
    /// Outside of them: when they begin.
    pub begin_secs: Option<f64>,
}

impl Quiet {
    /// The time in which calls may start.
    pub(crate) fn begins_in(&self) -> Duration {
        self.begin_secs.map_or(Duration::MAX, |secs| {
            Duration::try_from_secs_f64(secs).unwrap_or_default()
        })
    }

    /// Whether the quiet hours outlast what is left of a mass message's time.
    pub(crate) fn outlasts(&self, left_secs: Option<f64>) -> bool {
        self.rest_secs
            .zip(left_secs)
            .is_some_and(|(rest, left)| left <= rest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hours_are_two_times_of_the_day() {
        let read = |hours| serde_json::from_value::<QuietHours>(json!({"hours": hours}));
        assert!(read(json!({"starts": "22:00", "ends": "08:00"})).is_ok());
        assert!(read(json!(null)).unwrap().hours.is_none());
        for bad in [
            json!({"starts": "22:00", "ends": "22:00"}),
            json!({"starts": "25:00", "ends": "08:00"}),
            json!({"starts": "22:00"}),
            json!({"starts": "22:00", "ends": "08:00", "surprise": 1}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_ends_in_quiet_hours_is_outlasted() {
        let quiet = Quiet {
            rest_secs: Some(60.0),
            ..Quiet::default()
        };
        assert!(quiet.outlasts(Some(60.0)) && quiet.outlasts(Some(-1.0)));
        assert!(!quiet.outlasts(Some(61.0)) && !quiet.outlasts(None));
        assert!(!Quiet::default().outlasts(Some(1.0)));
    }
}
