//! Time zones in which recipients live, and which of them are one to a mass message.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;

/// For how long clocks have to agree: all summers and winters there are, which costs two or three changes of each zone met.
/// Mass messages begin within 90 days of being accepted; one that is paused for longer than this may find that a zone of
/// its has other clocks by then.
const AGREES_FOR: SignedDuration = SignedDuration::from_hours(400 * 24);
const LOCAL_TIME: &str = "%Y-%m-%dT%H:%M";
const LOCAL_TIME_BYTES: usize = "2026-11-23T09:00".len();

/// The names of the time zone database, some hundreds, sorted.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let available = jiff::tz::db().available();
    let mut names: Vec<_> = available.map(|name| name.as_str().to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    names
});

/// A zone of the database, by the place of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Zone(u16);

impl Zone {
    /// None for a name that this process's database does not have.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let place = NAMES.binary_search_by(|known| known.as_str().cmp(name)).ok()?;
        u16::try_from(place).ok().map(Self)
    }

    pub(crate) fn name(self) -> &'static str {
        &NAMES[usize::from(self.0)]
    }
}

/// The tenant's own zone.
pub(crate) fn tenants(name: &str) -> Result<TimeZone, Error> {
    TimeZone::get(name).map_err(|_| Error::Zone(name.to_owned()))
}

/// The zone of a chunk: the tenant's where it has none that is known here.
pub(crate) fn of_chunk(zone: Option<Zone>, tenants: &TimeZone) -> TimeZone {
    let own = zone.and_then(|zone| TimeZone::get(zone.name()).ok());
    own.unwrap_or_else(|| tenants.clone())
}

/// What clocks are set to from a moment on: first this, then from each of these moments on that.
type Settings = Vec<(Timestamp, Offset)>;

fn settings(zone: &TimeZone, from: Timestamp) -> Settings {
    let until = from.saturating_add(AGREES_FOR).unwrap_or(Timestamp::MAX);
    let mut settings = vec![(from, zone.to_offset(from))];
    for change in zone.following(from) {
        if change.timestamp() > until {
            break;
        }
        // A zone may change its name alone.
        if settings.last().map(|(_, offset)| *offset) != Some(change.offset()) {
            settings.push((change.timestamp(), change.offset()));
        }
    }
    settings
}

/// The zones met in an audience. Those whose clocks agree are one: the fewer there are, the fuller are chunks. Whose
/// clock agrees with the tenant's has no zone of their own.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    from: Timestamp,
    tenants: Settings,
    met: Vec<(Settings, Zone)>,
    by_name: BTreeMap<String, Option<Zone>>,
}

impl Zones {
    pub(crate) fn new(tenants: &TimeZone, now: Timestamp) -> Self {
        Self {
            from: now,
            tenants: settings(tenants, now),
            ..Self::default()
        }
    }

    /// The zone that stands for the one of this name.
    pub(crate) fn meet(&mut self, name: &str) -> Option<Zone> {
        if let Some(zone) = self.by_name.get(name) {
            return *zone;
        }
        let zone = self.stand_in(name);
        self.by_name.insert(name.to_owned(), zone);
        zone
    }

    fn stand_in(&mut self, name: &str) -> Option<Zone> {
        let Some((zone, clocks)) = Zone::named(name).zip(TimeZone::get(name).ok()) else {
            tracing::warn!(
                zone = name,
                "zone is not known here, its contacts go by the tenant's"
            );
            return None;
        };
        let settings = settings(&clocks, self.from);
        if settings == self.tenants {
            return None;
        }
        if let Some((_, same)) = self.met.iter().find(|(met, _)| *met == settings) {
            return Some(*same);
        }
        self.met.push((settings, zone));
        Some(zone)
    }
}

/// A date and time of the day, to the minute, wherever one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$", example = "2026-12-24T09:00")]
pub(crate) struct LocalTime(pub DateTime);

impl TryFrom<String> for LocalTime {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let read = DateTime::strptime(LOCAL_TIME, &text).ok();
        read.filter(|_| text.len() == LOCAL_TIME_BYTES)
            .map(Self)
            .ok_or("not a date and time of the day; write it like 2026-12-24T09:00, without an offset")
    }
}

impl From<LocalTime> for String {
    fn from(time: LocalTime) -> Self {
        time.0.strftime(LOCAL_TIME).to_string()
    }
}

impl LocalTime {
    /// When clocks in the zone show it. What they skip in spring is as much later as they are put forward; of what they
    /// show twice in autumn it is the first.
    pub(crate) fn within(self, zone: &TimeZone) -> Timestamp {
        let moment = zone.to_ambiguous_timestamp(self.0).compatible();
        moment.unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn zones_are_known_by_name() {
        assert_eq!(Zone::named("Asia/Tokyo").unwrap().name(), "Asia/Tokyo");
        for name in ["", "Asia/Nowhere", "+09:00"] {
            assert_eq!(Zone::named(name), None, "{name}");
        }
        let shanghai = zone("Asia/Shanghai");
        assert_eq!(of_chunk(None, &shanghai), shanghai);
        assert_eq!(of_chunk(Zone::named("Asia/Tokyo"), &shanghai), zone("Asia/Tokyo"));
        assert!(matches!(tenants("Asia/Nowhere"), Err(Error::Zone(_))));
    }

    #[test]
    fn zones_whose_clocks_agree_are_one() {
        let mut zones = Zones::new(&zone("Asia/Shanghai"), at("2026-03-01T00:00:00Z"));
        for name in ["Asia/Shanghai", "Asia/Taipei", "Asia/Singapore", "Asia/Nowhere"] {
            assert_eq!(zones.meet(name), None, "{name}");
        }
        let tokyo = zones.meet("Asia/Tokyo");
        assert_eq!(tokyo.map(Zone::name), Some("Asia/Tokyo"));
        assert_eq!(zones.meet("Asia/Seoul"), tokyo);
        // An hour apart for three weeks of spring, though not today.
        let (berlin, new_york) = (zones.meet("Europe/Berlin"), zones.meet("America/New_York"));
        assert_eq!(zones.meet("Europe/Paris"), berlin);
        let lagos = zones.meet("Africa/Lagos");
        assert!(lagos.is_some() && lagos != berlin && new_york.is_some());
        // The same all summer.
        let mut zones = Zones::new(&zone("Asia/Shanghai"), at("2026-04-01T00:00:00Z"));
        let berlin = zones.meet("Europe/Berlin");
        assert_ne!(zones.meet("Africa/Johannesburg"), berlin);
    }

    #[test]
    fn a_local_time_is_a_date_and_a_time_of_the_day() {
        let read = |text: &str| LocalTime::try_from(text.to_owned());
        let nine = read("2026-12-24T09:00").unwrap();
        assert_eq!(String::from(nine), "2026-12-24T09:00");
        for bad in [
            "2026-12-24",
            "2026-12-24T09:00:00",
            "2026-12-24T09:00+08:00",
            "2026-12-24T09:00Z",
            "2026-12-24 09:00",
            "2026-02-30T09:00",
            "2026-12-24T25:00",
            "2026-12-24T9:00",
            "",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_local_time_is_a_moment_in_each_zone() {
        let within =
            |text: &str, name: &str| LocalTime::try_from(text.to_owned()).unwrap().within(&zone(name));
        let nine = "2026-11-23T09:00";
        assert_eq!(within(nine, "Asia/Shanghai"), at("2026-11-23T01:00:00Z"));
        assert_eq!(within(nine, "America/New_York"), at("2026-11-23T14:00:00Z"));
        // Clocks skip 02:00 to 03:00 on 8 March, and show 01:00 to 02:00 twice on 1 November.
        let new_york = "America/New_York";
        assert_eq!(within("2026-03-08T02:30", new_york), at("2026-03-08T07:30:00Z"));
        assert_eq!(within("2026-11-01T01:30", new_york), at("2026-11-01T05:30:00Z"));
        assert_eq!(within("9999-12-31T23:59", "Etc/GMT+12"), Timestamp::MAX);
    }
}
