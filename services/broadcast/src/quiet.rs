//! Quiet hours: when a tenant's mass messages wait, by the clock of whoever gets them (D102).

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schedule::Schedule;

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

impl Hours {
    /// How a moment in a zone lies to them.
    pub(crate) fn at(self, now: Timestamp, zone: &TimeZone) -> Quiet {
        let (is_quiet, changes) = self.look(now, zone);
        let secs = changes.duration_since(now).as_secs_f64();
        Quiet {
            rest_secs: is_quiet.then_some(secs),
            begin_secs: (!is_quiet).then_some(secs),
        }
    }

    /// Whether a moment in a zone is in them, and when that changes.
    fn look(self, now: Timestamp, zone: &TimeZone) -> (bool, Timestamp) {
        let local = zone.to_datetime(now);
        let (today, time) = (local.date(), local.time());
        let is_quiet = match self.starts < self.ends {
            true => self.starts <= time && time < self.ends,
            false => self.starts <= time || time < self.ends,
        };
        let changes = if is_quiet { self.ends } else { self.starts };
        let day = match time < changes {
            true => today,
            false => today.tomorrow().unwrap_or(Date::MAX),
        };
        (is_quiet, next(now, day, changes, zone))
    }
}

/// When clocks show this time of the day; the second time in autumn, if the first one is over.
fn next(now: Timestamp, day: Date, time: Time, zone: &TimeZone) -> Timestamp {
    let shown = zone.to_ambiguous_timestamp(day.to_datetime(time));
    let first = shown.compatible().unwrap_or(Timestamp::MAX);
    match first > now {
        true => first,
        false => shown.later().unwrap_or(first),
    }
}

/// When a mass message leaves for a zone, seen from now: not in its quiet hours, and never when its time is over before.
pub(crate) fn departure(
    schedule: &Schedule,
    hours: Option<Hours>,
    zone: &TimeZone,
    now: Timestamp,
) -> Option<Timestamp> {
    let begins = schedule.begins(zone).map_or(now, |at| at.max(now));
    let leaves = match hours.map(|hours| hours.look(begins, zone)) {
        Some((true, over)) => over,
        _ => begins,
    };
    Some(leaves).filter(|at| schedule.send_until.is_none_or(|until| *at < until))
}

/// When mass messages wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"hours": {"starts": "22:00", "ends": "08:00"}}))]
pub(crate) struct QuietHours {
    /// In each contact's zone, where none is known in the tenant's; absent: never.
    pub hours: Option<Hours>,
}

/// How this moment lies to the quiet hours.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Quiet {
    /// In them: how long they last.
    pub rest_secs: Option<f64>,
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
    use proptest::prelude::*;
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

    fn between(starts: &str, ends: &str) -> Hours {
        let (starts, ends) = (starts.parse().unwrap(), ends.parse().unwrap());
        Hours { starts, ends }
    }

    #[test]
    fn a_night_is_one_by_the_clock_of_the_zone() {
        let quiet = |hours: Hours, at: &str, zone: &str| {
            let quiet = hours.at(at.parse().unwrap(), &TimeZone::get(zone).unwrap());
            (quiet.rest_secs, quiet.begin_secs)
        };
        let (night, noon) = (between("22:00", "08:00"), between("12:00", "14:00"));
        let hours = |hours: f64| Some(hours * 3600.0);
        let evening = "2026-11-23T14:30:00Z"; // half past ten in Shanghai, half past three in Paris
        assert_eq!(quiet(night, evening, "Asia/Shanghai"), (hours(9.5), None));
        assert_eq!(quiet(night, evening, "Europe/Paris"), (None, hours(6.5)));
        let early = "2026-11-22T23:30:00Z"; // half past seven in Shanghai
        assert_eq!(quiet(night, early, "Asia/Shanghai"), (hours(0.5), None));
        assert_eq!(
            quiet(night, "2026-11-23T00:00:00Z", "Asia/Shanghai"),
            (None, hours(14.0))
        );
        assert_eq!(
            quiet(night, "2026-11-23T14:00:00Z", "Asia/Shanghai"),
            (hours(10.0), None)
        );
        assert_eq!(
            quiet(noon, "2026-11-23T05:00:00Z", "Asia/Shanghai"),
            (hours(1.0), None)
        );
        assert_eq!(
            quiet(noon, "2026-11-23T06:00:00Z", "Asia/Shanghai"),
            (None, hours(22.0))
        );
        // The night of 8 March is an hour shorter in New York, that of 1 November an hour longer.
        let new_york = "America/New_York";
        assert_eq!(quiet(night, "2026-03-08T04:00:00Z", new_york), (hours(8.0), None));
        assert_eq!(
            quiet(night, "2026-11-01T03:00:00Z", new_york),
            (hours(10.0), None)
        );
        // Half past one comes twice; the second time it is still to come.
        let short = between("23:00", "01:30");
        assert_eq!(quiet(short, "2026-11-01T05:00:00Z", new_york), (hours(0.5), None));
        assert_eq!(
            quiet(short, "2026-11-01T06:10:00Z", new_york),
            (Some(1_200.0), None)
        );
        // Half past two does not come on that day.
        let short = between("23:00", "02:30");
        assert_eq!(quiet(short, "2026-03-08T06:30:00Z", new_york), (hours(1.0), None));
    }

    #[test]
    fn it_leaves_when_its_time_has_come_and_the_night_is_over() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (starts, ends) = ("21:00".parse().unwrap(), "10:00".parse().unwrap());
        let leaves = |schedule: &Schedule, zone: &str, night: bool| {
            let hours = night.then_some(Hours { starts, ends });
            let zone = TimeZone::get(zone).unwrap();
            departure(schedule, hours, &zone, at("2026-11-23T00:30:00Z"))
        };
        let nine = Schedule {
            send_at_local: Some("2026-11-23T09:00".to_owned().try_into().unwrap()),
            ..Schedule::default()
        };
        let (paris, tokyo) = ("Europe/Paris", "Asia/Tokyo");
        assert_eq!(leaves(&nine, paris, false), Some(at("2026-11-23T08:00:00Z")));
        assert_eq!(
            leaves(&nine, paris, true),
            Some(at("2026-11-23T09:00:00Z")),
            "at ten"
        );
        assert_eq!(
            leaves(&nine, tokyo, false),
            Some(at("2026-11-23T00:30:00Z")),
            "past, so at once"
        );
        assert_eq!(leaves(&nine, tokyo, true), Some(at("2026-11-23T01:00:00Z")));
        let short = Schedule {
            send_until: Some(at("2026-11-23T08:30:00Z")),
            ..nine
        };
        assert!(leaves(&short, paris, false).is_some());
        assert_eq!(
            leaves(&short, paris, true),
            None,
            "its time is over before the night is"
        );
        assert_eq!(
            leaves(&short, "America/New_York", false),
            None,
            "its time is over before it is nine"
        );
        let over = Schedule {
            send_until: Some(at("2026-11-23T00:30:00Z")),
            ..Schedule::default()
        };
        assert_eq!(leaves(&over, paris, false), None);
    }

    proptest! {
        /// Whenever and wherever: what is quiet ends, and what is not begins.
        #[test]
        fn quiet_hours_begin_and_end(
            at in 1_700_000_000i64..1_900_000_000,
            zone in prop::sample::select(vec!["Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"]),
            // Two hours and more: one could be the one that clocks skip.
            starts in 0i8..24,
            lasts in 2i8..23,
        ) {
            let half_past = |hour: i8| Time::constant(hour % 24, 30, 0, 0);
            let hours = Hours { starts: half_past(starts), ends: half_past(starts + lasts) };
            let zone = TimeZone::get(zone).unwrap();
            let now = Timestamp::from_second(at).unwrap();
            let quiet = hours.at(now, &zone);
            let secs = quiet.rest_secs.or(quiet.begin_secs).unwrap();
            prop_assert!(quiet.rest_secs.is_some() != quiet.begin_secs.is_some());
            prop_assert!(secs > 0.0 && secs <= 26.0 * 3600.0, "{secs}");
            let then = hours.at(now + jiff::SignedDuration::from_secs_f64(secs), &zone);
            prop_assert!(then.rest_secs.is_some() != quiet.rest_secs.is_some(), "{secs} s later it is the same");
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
