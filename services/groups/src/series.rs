//! A series: groups under one name that open one after another as each fills.

use chassis::text::{Multiline, Text};
use contracts::{GroupId, MemberId, SeriesId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;
use crate::group::{Group, GroupKind, Terms, owner};

/// Groups that open one after another as each fills.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Series {
    pub series_id: SeriesId,
    /// The base name; each group adds its number.
    pub name: String,
    /// The one topic its groups are about (D19).
    pub theme: String,
    /// What its groups give those who join (D68).
    pub benefit: String,
    /// What each newcomer is told once; empty for nothing.
    pub greeting: String,
    /// Seats of each group.
    pub capacity: i32,
    pub groups_opened: i32,
    /// The group that takes newcomers now.
    pub current_group_id: GroupId,
    /// Who owns the groups that open; none for series of old.
    pub owner_id: Option<MemberId>,
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
}

/// What an operator says to open a series.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "Lily's skin care circle",
    "theme": "Daily skin care",
    "benefit": "New products first, and honest answers from the laboratory.",
    "greeting": "Welcome! Tell us your skin type.",
    "capacity": 500
}))]
pub(crate) struct OpenSeries {
    /// The base name; each group adds its number.
    pub name: Text<60>,
    /// The one topic its groups are about (D19).
    pub theme: Text<80>,
    /// What its groups give those who join (D68).
    pub benefit: Multiline<500>,
    /// What each newcomer is told once.
    pub greeting: Option<Multiline<500>>,
    /// Seats of each group, if fewer than the policy allows.
    #[schema(minimum = 1)]
    pub capacity: Option<i32>,
    /// The member who owns its groups: whoever opens the series, unless told otherwise.
    pub owner_id: Option<MemberId>,
}

impl Series {
    /// Opens a series together with its first group. Series are for contacts: always external.
    pub(crate) fn open(
        command: OpenSeries,
        opener: MemberId,
        terms: Terms,
        now: Timestamp,
    ) -> Result<(Self, Group), Error> {
        let mut series = Self {
            series_id: SeriesId::new(),
            name: command.name.into(),
            theme: command.theme.into(),
            benefit: command.benefit.into(),
            greeting: command.greeting.map(String::from).unwrap_or_default(),
            capacity: terms.capacity(command.capacity)?,
            groups_opened: 0,
            current_group_id: GroupId::default(),
            owner_id: Some(owner(command.owner_id, opener)?),
            opened_at: now,
        };
        let first = series.open_next(terms, now)?;
        Ok((series, first))
    }

    /// Opens the next group and makes it the current one. A policy that shrank since the series
    /// opened binds the new group.
    pub(crate) fn open_next(&mut self, terms: Terms, now: Timestamp) -> Result<Group, Error> {
        let seats_max = terms.capacity(None)?;
        let group_id = GroupId::new();
        self.groups_opened += 1;
        self.current_group_id = group_id;
        Ok(Group {
            group_id,
            series_id: Some(self.series_id),
            number: Some(self.groups_opened),
            kind: GroupKind::External,
            name: format!("{} {}", self.name, self.groups_opened),
            theme: self.theme.clone(),
            benefit: self.benefit.clone(),
            greeting: self.greeting.clone(),
            capacity: self.capacity.min(seats_max),
            seats_taken: 0,
            owner_id: self.owner_id,
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

    const OPENER: MemberId = MemberId(uuid::Uuid::max());

    fn angels(capacity: Option<i32>) -> Result<(Series, Group), Error> {
        let command =
            serde_json::json!({ "name": "天使群", "theme": "t", "benefit": "b", "capacity": capacity });
        Series::open(
            serde_json::from_value(command).unwrap(),
            OPENER,
            TERMS,
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn groups_count_on_from_one() {
        let (mut series, first) = angels(None).unwrap();
        let second = series.open_next(TERMS, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((first.name.as_str(), first.number), ("天使群 1", Some(1)));
        assert_eq!((second.name.as_str(), second.number), ("天使群 2", Some(2)));
        assert_eq!(
            (series.groups_opened, series.current_group_id),
            (2, second.group_id)
        );
        assert_ne!(first.group_id, second.group_id);
        assert_eq!((first.capacity, second.capacity), (500, 500));
        assert_eq!([first.owner_id, second.owner_id], [Some(OPENER); 2]);
    }

    #[test]
    fn a_policy_that_shrank_binds_the_next_group() {
        let (mut series, first) = angels(Some(400)).unwrap();
        assert_eq!(first.capacity, 400);
        let shrunk = Terms {
            seats_max: Some(200),
            ..TERMS
        };
        assert_eq!(
            series.open_next(shrunk, Timestamp::UNIX_EPOCH).unwrap().capacity,
            200
        );
        assert_eq!(
            series.open_next(TERMS, Timestamp::UNIX_EPOCH).unwrap().capacity,
            400
        );
    }

    #[test]
    fn a_series_is_never_owned_by_nobody() {
        let command = serde_json::json!({
            "name": "s", "theme": "t", "benefit": "b", "owner_id": uuid::Uuid::nil()
        });
        let command = serde_json::from_value(command).unwrap();
        let opened = Series::open(command, OPENER, TERMS, Timestamp::UNIX_EPOCH);
        assert!(matches!(opened, Err(Error::OwnerNil)));
    }

    #[test]
    fn a_series_keeps_to_the_policy() {
        assert!(matches!(
            angels(Some(501)),
            Err(Error::CapacityOutOfRange {
                asked: 501,
                seats_max: 500
            })
        ));
    }
}
