//! Caps: how many mass messages a contact may get per window, and who holds the ones there are.
//!
//! The day it is comes from the database's own clock in the tenant's zone, so a worker's clock never matters; here stands
//! which window that day is in, and how its caps are kept.

use std::time::Duration;

use contracts::{ContactId, MemberId};
use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::broadcast::Kind;

pub(crate) const SENDS_MAX: i32 = 100;
pub(crate) const ROLLING_DAYS_MAX: i32 = 90;

/// What a limit counts.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum Scope {
    /// A member's own mass messages to a contact: one a day unless told otherwise (D74).
    Member,
    /// The tenant's mass messages to a contact: one an ISO week unless told otherwise (D76).
    Enterprise,
    /// All mass messages to a contact, of all kinds, members and channels: unlimited unless told otherwise (D102).
    Fatigue,
    /// Posts in a group, of all kinds and members: one a day unless told otherwise (D85).
    Group,
}

impl Scope {
    pub(crate) const ALL: [Self; 4] = [Self::Member, Self::Enterprise, Self::Fatigue, Self::Group];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Enterprise => "enterprise",
            Self::Fatigue => "fatigue",
            Self::Group => "group",
        }
    }

    /// What holds where the tenant has set nothing.
    pub(crate) const fn limit_by_default(self) -> Option<Limit> {
        let window = match self {
            Self::Member | Self::Group => Window::Day,
            Self::Enterprise => Window::IsoWeek,
            Self::Fatigue => return None,
        };
        Some(Limit {
            window,
            sends_max: 1,
            days: None,
        })
    }
}

impl From<Kind> for Scope {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Member => Self::Member,
            Kind::Enterprise => Self::Enterprise,
        }
    }
}

/// The caps a mass message takes, and for whom they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub scope: Scope,
    /// The sending member, or nil where all of the tenant are counted together.
    pub member: MemberId,
}

impl Policy {
    pub(crate) fn of(kind: Kind, sender: MemberId) -> Self {
        match kind {
            Kind::Member => Self {
                scope: Scope::Member,
                member: sender,
            },
            Kind::Enterprise => Self {
                scope: Scope::Enterprise,
                member: MemberId(uuid::Uuid::nil()),
            },
        }
    }

    /// Of posts: who sits in a group is spared nothing and loses nothing by them.
    pub(crate) fn of_groups() -> Self {
        Self {
            scope: Scope::Group,
            member: MemberId(uuid::Uuid::nil()),
        }
    }

    pub(crate) fn fatigue() -> Self {
        Self {
            scope: Scope::Fatigue,
            member: MemberId(uuid::Uuid::nil()),
        }
    }
}

/// Over which days is counted, in the tenant's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum Window {
    /// A calendar day.
    Day,
    /// Monday to Sunday.
    IsoWeek,
    /// A calendar month.
    MonthDays,
    /// As many days as `days` says, today the last of them.
    RollingDays,
}

impl Window {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::IsoWeek => "iso_week",
            Self::MonthDays => "month_days",
            Self::RollingDays => "rolling_days",
        }
    }
}

/// At most so many in each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "AskedLimit")]
pub(crate) struct Limit {
    pub window: Window,
    #[schema(minimum = 1, maximum = 100)]
    pub sends_max: i32,
    /// 2 to 90, with `rolling_days` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 2, maximum = 90)]
    pub days: Option<i32>,
}

/// A limit as somebody writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedLimit {
    window: Window,
    sends_max: i32,
    days: Option<i32>,
}

impl TryFrom<AskedLimit> for Limit {
    type Error = String;

    fn try_from(asked: AskedLimit) -> Result<Self, String> {
        if !(1..=SENDS_MAX).contains(&asked.sends_max) {
            return Err(format!("sends_max is out of range; give 1 to {SENDS_MAX}"));
        }
        match (asked.window, asked.days) {
            (Window::RollingDays, Some(days)) if (2..=ROLLING_DAYS_MAX).contains(&days) => {}
            (Window::RollingDays, _) => {
                return Err(format!("rolling_days needs days; give 2 to {ROLLING_DAYS_MAX}"));
            }
            (_, Some(_)) => return Err("days goes with rolling_days alone; leave it out".to_owned()),
            (_, None) => {}
        }
        Ok(Self {
            window: asked.window,
            sends_max: asked.sends_max,
            days: asked.days,
        })
    }
}

/// A limit as it stands on some day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub limit: Limit,
    /// Its first day; none if nothing else was ever said.
    pub since: Option<Date>,
}

/// How a day's caps are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// One in a window that stands still: the window's first day is in the key of the one row there is.
    One { window_start: Date },
    /// Anything else: those taken from this day on are counted, also those that an earlier rule kept as `One`, if it
    /// reaches into the window.
    Several {
        first_day: Date,
        sends_max: i32,
        counts_ones: bool,
    },
}

impl Rule {
    pub(crate) fn keeping(&self, today: Date) -> Keeping {
        let first_day = self.first_day(today);
        let is_whole = self.since.is_none_or(|since| since <= first_day);
        let stands_still = matches!(self.limit.window, Window::Day | Window::IsoWeek);
        match self.limit.sends_max {
            1 if stands_still && is_whole => Keeping::One {
                window_start: first_day,
            },
            sends_max => Keeping::Several {
                first_day,
                sends_max,
                counts_ones: !is_whole,
            },
        }
    }

    /// The first day of the window that ends, or stands, today.
    pub(crate) fn first_day(&self, today: Date) -> Date {
        let back = match self.limit.window {
            Window::Day => return today,
            Window::MonthDays => return today.first_of_month(),
            Window::IsoWeek => i64::from(today.weekday().since(Weekday::Monday)),
            Window::RollingDays => i64::from(self.limit.days.unwrap_or(1)) - 1,
        };
        today.saturating_sub(back.days())
    }
}

/// The rules of a day for one kind of mass message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Today {
    pub day: Date,
    /// Until it is over.
    pub left_secs: f64,
    pub own: Option<Rule>,
    pub fatigue: Option<Rule>,
}

/// The time that is left to start calls under a day's caps: those that start in its last moments could reach the
/// contact on the next. `None`: wait for the next one.
pub(crate) fn time_to_send(day_left: Duration, guard: Duration) -> Option<Duration> {
    day_left.checked_sub(guard).filter(|left| !left.is_zero())
}

/// Those of the sorted recipients that are not among some: whose cap somebody else holds, who did not opt out.
pub(crate) fn not_among(recipients: &[ContactId], some: &[ContactId]) -> Vec<ContactId> {
    recipients
        .iter()
        .filter(|contact| some.binary_search(contact).is_err())
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn rule(window: Window, sends_max: i32, days: Option<i32>, since: Option<Date>) -> Rule {
        let limit = Limit {
            window,
            sends_max,
            days,
        };
        Rule { limit, since }
    }

    #[test]
    fn each_kind_has_its_own_cap() {
        let sender = MemberId::new();
        let member = Policy::of(Kind::Member, sender);
        assert_eq!((member.member, member.scope), (sender, Scope::Member));
        let enterprise = Policy::of(Kind::Enterprise, sender);
        assert!(enterprise.member.0.is_nil() && Policy::fatigue().member.0.is_nil());
        let windows = Scope::ALL.map(|scope| scope.limit_by_default().map(|limit| limit.window));
        assert_eq!(
            windows,
            [Some(Window::Day), Some(Window::IsoWeek), None, Some(Window::Day)]
        );
    }

    #[test]
    fn the_last_moments_of_a_day_send_nothing() {
        let secs = Duration::from_secs;
        assert_eq!(time_to_send(secs(60), secs(5)), Some(secs(55)));
        assert_eq!(time_to_send(secs(5), secs(5)), None);
        assert_eq!(time_to_send(secs(3), secs(5)), None);
    }

    #[test]
    fn windows_begin_where_the_calendar_says() {
        let sunday = date(2026, 3, 1);
        let begins = |window, days| rule(window, 2, days, None).first_day(sunday);
        assert_eq!(begins(Window::Day, None), sunday);
        assert_eq!(begins(Window::IsoWeek, None), date(2026, 2, 23));
        assert_eq!(begins(Window::MonthDays, None), sunday);
        assert_eq!(begins(Window::RollingDays, Some(7)), date(2026, 2, 23));
        let monday = rule(Window::IsoWeek, 1, None, None).first_day(date(2026, 3, 2));
        assert_eq!(monday, date(2026, 3, 2));
    }

    #[test]
    fn one_a_window_is_a_row_once_its_rule_holds_for_all_of_it() {
        let (wednesday, monday) = (date(2026, 11, 25), date(2026, 11, 23));
        let week = |since| rule(Window::IsoWeek, 1, None, since).keeping(wednesday);
        let one = Keeping::One { window_start: monday };
        assert_eq!([week(None), week(Some(monday))], [one, one]);
        assert_eq!(
            week(Some(wednesday)),
            Keeping::Several {
                first_day: monday,
                sends_max: 1,
                counts_ones: true
            }
        );
        let day = rule(Window::Day, 1, None, Some(wednesday)).keeping(wednesday);
        assert_eq!(
            day,
            Keeping::One {
                window_start: wednesday
            }
        );
        assert_eq!(
            rule(Window::RollingDays, 1, Some(3), Some(monday)).keeping(wednesday),
            Keeping::Several {
                first_day: monday,
                sends_max: 1,
                counts_ones: false
            }
        );
    }

    #[test]
    fn limits_are_bounded_and_whole() {
        let read = |limit| serde_json::from_value::<Limit>(limit);
        for good in [
            json!({"window": "day", "sends_max": 1}),
            json!({"window": "month_days", "sends_max": 100}),
            json!({"window": "rolling_days", "sends_max": 2, "days": 90}),
        ] {
            assert_eq!(serde_json::to_value(read(good.clone()).unwrap()).unwrap(), good);
        }
        for bad in [
            json!({"window": "day", "sends_max": 0}),
            json!({"window": "day", "sends_max": 101}),
            json!({"window": "iso_week", "sends_max": 1, "days": 7}),
            json!({"window": "rolling_days", "sends_max": 1}),
            json!({"window": "rolling_days", "sends_max": 1, "days": 1}),
            json!({"window": "rolling_days", "sends_max": 1, "days": 91}),
            json!({"window": "year", "sends_max": 1}),
            json!({"window": "day", "sends_max": 1, "surprise": 1}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn allowed_and_suppressed_are_everybody(all in prop::collection::btree_map(any::<u128>(), any::<bool>(), 0..50)) {
            let id = |n: &u128| ContactId(Uuid::from_u128(*n));
            let everybody: Vec<_> = all.keys().map(id).collect();
            let allowed: Vec<_> = all.iter().filter(|(_, free)| **free).map(|(n, _)| id(n)).collect();
            let mut both = not_among(&everybody, &allowed);
            both.extend(&allowed);
            both.sort();
            prop_assert_eq!(both, everybody);
        }
    }
}
