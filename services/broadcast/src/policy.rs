//! What a tenant says of caps: which limit holds from which day on. A day that has begun keeps its limits, so a change
//! never reaches into the past, and whoever counts on a day counts by one rule.

use contracts::MemberId;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cap::{Limit, Scope};
use crate::error::Error;

/// How far ahead a limit may be set.
pub(crate) const AHEAD_DAYS_MAX: i64 = 366;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "scope": "fatigue",
    "limit": {"window": "rolling_days", "days": 7, "sends_max": 3}
}))]
pub(crate) struct SetCapPolicy {
    pub scope: Scope,
    /// The first day it counts, in the tenant's zone: tomorrow at the earliest, and unless told otherwise.
    #[schema(value_type = Option<String>, format = Date)]
    pub since: Option<Date>,
    /// Absent: as by default.
    pub limit: Option<Limit>,
}

impl SetCapPolicy {
    /// The first day it counts, given the last one that has begun.
    pub(crate) fn first_day(&self, begun: Date) -> Result<Date, Error> {
        let tomorrow = begun.saturating_add(1.day());
        let since = self.since.unwrap_or(tomorrow);
        if since < tomorrow {
            return Err(Error::PolicyTooEarly(tomorrow));
        }
        let last = begun.saturating_add(AHEAD_DAYS_MAX.days());
        if since > last {
            return Err(Error::PolicyTooLate(last));
        }
        Ok(since)
    }
}

/// A limit and the day from which on it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CapPolicy {
    pub scope: Scope,
    /// Absent: ever since.
    #[schema(value_type = Option<String>, format = Date)]
    pub since: Option<Date>,
    /// Absent: no limit.
    pub limit: Option<Limit>,
    /// Whether it is what holds where nothing is set.
    pub is_default: bool,
    pub set_by: Option<MemberId>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub set_at: Option<Timestamp>,
}

/// What holds today, and what will from later days on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CapPolicies {
    /// In the tenant's zone.
    #[schema(value_type = String, format = Date)]
    pub today: Date,
    /// By scope, then by day: the first of a scope holds today.
    pub items: Vec<CapPolicy>,
}

impl CapPolicies {
    /// What was said, after what holds by default until then.
    pub(crate) fn complete(today: Date, said: Vec<CapPolicy>) -> Self {
        let items = Scope::ALL.into_iter().flat_map(|scope| {
            let said: Vec<_> = said
                .iter()
                .filter(|policy| policy.scope == scope)
                .cloned()
                .collect();
            let holds = said.first().is_some_and(|first| first.since <= Some(today));
            let default = (!holds).then(|| CapPolicy {
                scope,
                since: None,
                limit: scope.limit_by_default(),
                is_default: true,
                set_by: None,
                set_at: None,
            });
            default.into_iter().chain(said)
        });
        Self {
            today,
            items: items.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn asked(since: Option<Date>) -> SetCapPolicy {
        SetCapPolicy {
            scope: Scope::Fatigue,
            since,
            limit: None,
        }
    }

    #[test]
    fn a_day_that_has_begun_keeps_its_limits() {
        let today = date(2026, 12, 31);
        assert_eq!(asked(None).first_day(today).unwrap(), date(2027, 1, 1));
        let far = date(2028, 1, 1);
        assert_eq!(asked(Some(far)).first_day(today).unwrap(), far);
        for day in [today, date(2026, 1, 1)] {
            let refused = asked(Some(day)).first_day(today);
            assert!(matches!(refused, Err(Error::PolicyTooEarly(first)) if first == date(2027, 1, 1)));
        }
        let refused = asked(Some(date(2028, 1, 2))).first_day(today);
        assert!(matches!(refused, Err(Error::PolicyTooLate(last)) if last == far));
    }

    #[test]
    fn what_holds_by_default_is_told_until_something_else_does() {
        let today = date(2026, 11, 22);
        let said = |scope, since| CapPolicy {
            scope,
            since: Some(since),
            limit: None,
            is_default: false,
            set_by: Some(MemberId::new()),
            set_at: Some(Timestamp::UNIX_EPOCH),
        };
        let told = CapPolicies::complete(
            today,
            vec![
                said(Scope::Enterprise, today),
                said(Scope::Fatigue, date(2026, 12, 1)),
            ],
        );
        let told: Vec<_> = told
            .items
            .iter()
            .map(|policy| (policy.scope, policy.is_default))
            .collect();
        assert_eq!(
            told,
            [
                (Scope::Member, true),
                (Scope::Enterprise, false),
                (Scope::Fatigue, true),
                (Scope::Fatigue, false),
                (Scope::Group, true)
            ]
        );
    }
}
