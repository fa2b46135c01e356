//! When a mass message is sent: before which others of its tenant, not before a time, and not after one. The time it begins
//! is one for all, or a time of the day wherever each contact is.

use std::time::Duration;

use chassis::auth::Role;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;
use crate::zone::LocalTime;

/// How far ahead a mass message can be planned, from when it was accepted: put off again and again, it still ends.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Which of a tenant's mass messages go first; between tenants it changes nothing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum Priority {
    /// Before everything else of the tenant; for operators.
    Urgent,
    #[default]
    Normal,
    /// What can wait.
    Bulk,
}

impl Priority {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
        }
    }

    /// Its part of what its tenant has, when the others want theirs, too.
    pub(crate) const fn weight(self) -> i64 {
        match self {
            Self::Urgent => 16,
            Self::Normal => 4,
            Self::Bulk => 1,
        }
    }

    pub(crate) fn check(self, role: Role) -> Result<(), Error> {
        match self {
            Self::Urgent if role < Role::Operator => Err(Error::UrgentOperatorNeeded),
            _ => Ok(()),
        }
    }
}

/// The time in which a mass message may be sent; without bounds it is at once, for as long as it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"send_at": "2026-12-24T09:00:00+08:00", "send_until": "2026-12-24T21:00:00+08:00"}))]
pub(crate) struct Schedule {
    /// Nothing is sent before: at most 90 days ahead. Members confirm before and after.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    pub send_at: Option<Timestamp>,
    /// Nothing is sent to a contact before their clock shows this; in the tenant's zone to those whose zone is not known.
    /// Ahead in the tenant's zone; where it is past already, it is sent at once.
    #[serde(default)]
    pub send_at_local: Option<LocalTime>,
    /// Nothing is sent after: who is not reached by then ends as `quiet_expired`, or `unconfirmed`.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    pub send_until: Option<Timestamp>,
}

impl Schedule {
    /// When it begins to be sent to contacts in a zone; none: at once.
    pub(crate) fn begins(&self, zone: &TimeZone) -> Option<Timestamp> {
        match self.send_at_local {
            Some(local) => Some(local.within(zone)),
            None => self.send_at,
        }
    }

    /// Whether its time is over before it begins in a zone, seen from now: there nothing of it is ever dispatched.
    pub(crate) fn is_over_before(&self, now: Timestamp, zone: &TimeZone) -> bool {
        let begins = self.begins(zone).map_or(now, |at| at.max(now));
        self.send_until.is_some_and(|until| until <= begins)
    }

    /// Whether it can be kept by what was accepted then, seen from now in the tenant's zone.
    pub(crate) fn check(
        &self,
        now: Timestamp,
        accepted_at: Timestamp,
        tenants: &TimeZone,
    ) -> Result<(), Error> {
        let ahead = |at: Timestamp| at.duration_since(accepted_at);
        let begins = self.begins(tenants);
        let field = match (self.send_at, self.send_at_local) {
            (Some(_), Some(_)) => return Err(Error::ScheduleTwice),
            (_, Some(_)) => "send_at_local",
            _ => "send_at",
        };
        if begins.is_some_and(|at| at <= now) {
            return Err(Error::SchedulePast(field));
        }
        let begin = begins.unwrap_or(now);
        if self.send_until.is_some_and(|until| until <= begin) {
            return Err(match begins {
                Some(_) => Error::ScheduleEmpty,
                None => Error::SchedulePast("send_until"),
            });
        }
        for (field, at) in [(field, begins), ("send_until", self.send_until)] {
            if at.is_some_and(|at| ahead(at) > AHEAD_MAX) {
                return Err(Error::ScheduleFar(field));
            }
        }
        Ok(())
    }

    /// Until when a member can confirm who has `patience` from when she is asked, or from when it may be sent in the
    /// tenant's zone.
    pub(crate) fn confirm_by(&self, now: Timestamp, patience: Duration, tenants: &TimeZone) -> Timestamp {
        let from = self.begins(tenants).map_or(now, |at| at.max(now));
        let patience = SignedDuration::try_from(patience).unwrap_or(SignedDuration::MAX);
        let by = from.saturating_add(patience).unwrap_or(Timestamp::MAX);
        self.send_until.map_or(by, |until| by.min(until))
    }

    /// Whether it may have begun to be sent in one of the zones.
    pub(crate) fn has_begun(&self, now: Timestamp, zones: &[TimeZone]) -> bool {
        let has_begun = |zone| self.begins(zone).is_none_or(|at| at <= now);
        zones.iter().any(has_begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Option<Timestamp> {
        Some(Timestamp::from_second(hours * 3600).unwrap())
    }

    fn check(send_at: Option<Timestamp>, send_until: Option<Timestamp>) -> Result<(), Error> {
        let schedule = Schedule {
            send_at,
            send_until,
            ..Schedule::default()
        };
        schedule.check(at(0).unwrap(), at(0).unwrap(), &TimeZone::UTC)
    }

    #[test]
    fn putting_off_counts_from_the_beginning() {
        let put_off = |send_at, send_until| {
            let schedule = Schedule {
                send_at,
                send_until,
                ..Schedule::default()
            };
            schedule.check(at(80 * 24).unwrap(), at(0).unwrap(), &TimeZone::UTC)
        };
        put_off(at(90 * 24), None).unwrap();
        let late = at(90 * 24 + 1);
        assert!(matches!(put_off(late, None), Err(Error::ScheduleFar("send_at"))));
        let long = put_off(at(81 * 24), late);
        assert!(matches!(long, Err(Error::ScheduleFar("send_until"))));
    }

    #[test]
    fn what_is_over_or_far_can_not_be_planned() {
        check(None, None).unwrap();
        check(at(1), None).unwrap();
        check(at(90 * 24), None).unwrap();
        check(at(1), at(2)).unwrap();
        check(None, at(1)).unwrap();
        assert!(matches!(check(at(0), None), Err(Error::SchedulePast("send_at"))));
        assert!(matches!(
            check(None, at(-1)),
            Err(Error::SchedulePast("send_until"))
        ));
        assert!(matches!(check(at(2), at(2)), Err(Error::ScheduleEmpty)));
        assert!(matches!(
            check(at(90 * 24 + 1), None),
            Err(Error::ScheduleFar("send_at"))
        ));
        assert!(matches!(
            check(at(1), at(90 * 24 + 1)),
            Err(Error::ScheduleFar("send_until"))
        ));
    }

    #[test]
    fn members_confirm_before_and_after_it_may_be_sent() {
        let by = |send_at, send_until, now| {
            let schedule = Schedule {
                send_at,
                send_until,
                ..Schedule::default()
            };
            let patience = Duration::from_secs(24 * 3600);
            Some(schedule.confirm_by(at(now).unwrap(), patience, &TimeZone::UTC))
        };
        assert_eq!(by(None, None, 0), at(24));
        assert_eq!(by(at(100), None, 0), at(124));
        assert_eq!(by(at(1), None, 2), at(26), "resolved late");
        assert_eq!(by(at(100), at(110), 0), at(110));
    }

    #[test]
    fn a_local_time_begins_with_each_zone_and_is_checked_in_the_tenants() {
        let zone = |name| TimeZone::get(name).unwrap();
        let (shanghai, tokyo, paris) = (zone("Asia/Shanghai"), zone("Asia/Tokyo"), zone("Europe/Paris"));
        let nine = Schedule {
            send_at_local: Some("2026-11-23T09:00".to_owned().try_into().unwrap()),
            ..Schedule::default()
        };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        // Half past eight in Shanghai, half past nine in Tokyo, half past one in Paris.
        let now = at("2026-11-23T00:30:00Z");
        nine.check(now, now, &shanghai).unwrap();
        let past = nine.check(now, now, &tokyo);
        assert!(matches!(past, Err(Error::SchedulePast("send_at_local"))));
        let early = at("2026-08-01T00:00:00Z");
        let far = nine.check(early, early, &shanghai);
        assert!(matches!(far, Err(Error::ScheduleFar("send_at_local"))));
        let until = |text| Schedule {
            send_until: Some(at(text)),
            ..nine
        };
        let empty = until("2026-11-23T01:00:00Z").check(now, now, &shanghai);
        assert!(matches!(empty, Err(Error::ScheduleEmpty)));
        until("2026-11-23T01:00:01Z").check(now, now, &shanghai).unwrap();
        let twice = Schedule {
            send_at: Some(at("2026-11-23T02:00:00Z")),
            ..nine
        };
        assert!(matches!(
            twice.check(now, now, &shanghai),
            Err(Error::ScheduleTwice)
        ));

        assert!(nine.has_begun(now, &[paris.clone(), tokyo]));
        assert!(!nine.has_begun(now, &[paris.clone(), shanghai.clone()]));
        let by = nine.confirm_by(now, Duration::from_secs(3600), &shanghai);
        assert_eq!(by, at("2026-11-23T02:00:00Z"));
        assert_eq!(nine.begins(&paris), Some(at("2026-11-23T08:00:00Z")));

        let short = until("2026-11-23T08:00:00Z");
        assert!(short.is_over_before(now, &paris) && !short.is_over_before(now, &shanghai));
        assert!(short.is_over_before(at("2026-11-23T08:00:00Z"), &shanghai));
        assert!(!nine.is_over_before(now, &paris));
        assert!(Schedule::default().has_begun(now, &[shanghai]));
    }

    #[test]
    fn only_operators_are_urgent() {
        assert!(Priority::Urgent.check(Role::Operator).is_ok());
        assert!(matches!(
            Priority::Urgent.check(Role::Agent),
            Err(Error::UrgentOperatorNeeded)
        ));
        for priority in [Priority::Normal, Priority::Bulk] {
            assert!(priority.check(Role::Agent).is_ok());
        }
    }
}
