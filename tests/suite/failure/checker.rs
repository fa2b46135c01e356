//! Judges a run by the receiver's log and by what the API says of outcomes: the invariants V1, V2, V3, V5 and V6 of the
//! fault matrix, and how soon the rate is back (V8). It knows nothing of our tables.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use serde::Deserialize;
use uuid::Uuid;

mod rate;
#[cfg(test)]
mod tests;

pub(crate) use rate::{back_after, longest_dip, steady_rate};

/// The closed set of ends.
pub(crate) const ENDS: [&str; 12] = [
    "delivered",
    "capped",
    "fatigued",
    "quiet_expired",
    "opted_out",
    "not_a_friend",
    "no_channel",
    "held_out",
    "deselected",
    "unconfirmed",
    "cancelled",
    "dead",
];
/// Ends of recipients whom a call may have been started for.
const CALLED: [&str; 3] = ["delivered", "cancelled", "dead"];
/// After a pause or a cancellation is answered, calls may start for so long.
const STOPS_WITHIN: SignedDuration = SignedDuration::from_secs(1);
/// Of each kind of violation so many are named.
const NAMED_MAX: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Member,
    Enterprise,
}

/// What the receiver answered, or did instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Taken,
    /// With 200, when nobody waited for it any more.
    TakenTooLate,
    /// To come again: 429, 503.
    Again,
    /// The connection was reset without an answer.
    CutOff,
}

impl Told {
    const fn is_taken(self) -> bool {
        matches!(self, Self::Taken | Self::TakenTooLate)
    }

    /// Whether the sender has a reason to call again.
    const fn asks_again(self) -> bool {
        !matches!(self, Self::Taken)
    }
}

/// A request as the receiver had it, in the order of arrival.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The header `webhook-id`.
    pub(crate) key: String,
    pub(crate) kind: Kind,
    pub(crate) tenant: Uuid,
    pub(crate) broadcast: Uuid,
    pub(crate) member: Uuid,
    pub(crate) contact: Uuid,
    /// When the sender says it started the call; its clock may be wrong.
    pub(crate) started: Timestamp,
    pub(crate) arrived: Timestamp,
    pub(crate) told: Told,
}

/// What the API said of a mass message while it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) audience: u64,
    /// Recipients by end.
    pub(crate) outcomes: BTreeMap<String, u64>,
}

/// What the API says of a mass message that is over.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) broadcast: Uuid,
    /// Whom it was for.
    pub(crate) snapshot: BTreeSet<Uuid>,
    /// As asked for while it ran, the last one when it was over.
    pub(crate) progress: Vec<Progress>,
    /// Contact and end, one row per recipient.
    pub(crate) receipts: Vec<(Uuid, String)>,
    /// From when a pause or a cancellation was answered until it was resumed, if it was.
    pub(crate) stops: Vec<(Timestamp, Option<Timestamp>)>,
}

/// A run to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) calls: Vec<Call>,
    pub(crate) accounts: Vec<Account>,
    /// Where days and weeks are cut.
    pub(crate) zone: TimeZone,
    /// Repetitions that nothing in the receiver's answers explains.
    pub(crate) repeats_max: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    Loss(String),
    Effect(String),
    Cap(String),
    Progress(String),
    Control(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (invariant, what) = match self {
            Self::Loss(what) => ("V1 no loss", what),
            Self::Effect(what) => ("V2 one effect", what),
            Self::Cap(what) => ("V3 caps", what),
            Self::Progress(what) => ("V5 progress", what),
            Self::Control(what) => ("V6 control", what),
        };
        write!(f, "{invariant}: {what}")
    }
}

impl Run {
    /// Everything that is wrong with it, of each kind the first few.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let first = |found: Vec<Violation>| found.into_iter().take(NAMED_MAX);
        let mut found = Vec::new();
        for account in &self.accounts {
            found.extend(first(self.losses(account)));
            found.extend(first(progress_breaks(account)));
            found.extend(first(self.late_calls(account)));
        }
        found.extend(first(self.strangers()));
        found.extend(first(self.double_effects()));
        let repeats = repeats(&self.calls);
        if repeats > self.repeats_max {
            found.push(Violation::Effect(format!(
                "{repeats} repeated calls that no answer asked for, allowed are {}",
                self.repeats_max
            )));
        }
        found.extend(first(broken_caps(&self.calls, &self.zone)));
        found
    }

    /// V1: each of the snapshot has one end, and whoever is delivered is in the log.
    fn losses(&self, account: &Account) -> Vec<Violation> {
        let loss = |what: String| Violation::Loss(format!("{}: {what}", account.broadcast));
        let mut found = Vec::new();
        let mut ended: HashMap<Uuid, &str> = HashMap::new();
        for (contact, end) in &account.receipts {
            if !ENDS.contains(&end.as_str()) {
                found.push(loss(format!("{contact} ended as {end}, which is no end")));
            }
            if let Some(other) = ended.insert(*contact, end) {
                found.push(loss(format!("{contact} ended twice, as {other} and {end}")));
            }
            if !account.snapshot.contains(contact) {
                found.push(loss(format!(
                    "{contact} ended as {end} and is not in the snapshot"
                )));
            }
        }
        let endless = account
            .snapshot
            .iter()
            .filter(|contact| !ended.contains_key(contact));
        found.extend(endless.map(|contact| loss(format!("{contact} has no end"))));
        if let Some(last) = account.progress.last()
            && last.audience != account.snapshot.len() as u64
        {
            found.push(loss(format!(
                "the audience is {}, the snapshot {}",
                last.audience,
                account.snapshot.len()
            )));
        }
        let (mut called, mut taken) = (HashSet::new(), HashSet::new());
        for call in self
            .calls
            .iter()
            .filter(|call| call.broadcast == account.broadcast)
        {
            called.insert(call.contact);
            if call.told.is_taken() {
                taken.insert(call.contact);
            }
        }
        for (contact, end) in &account.receipts {
            if end == "delivered" && !taken.contains(contact) {
                found.push(loss(format!(
                    "{contact} is delivered, but the receiver never took it"
                )));
            }
            if !CALLED.contains(&end.as_str()) && called.contains(contact) {
                found.push(loss(format!(
                    "{contact} ended as {end} and was called all the same"
                )));
            }
        }
        found
    }

    /// V1, the other way round: calls that belong to nobody.
    fn strangers(&self) -> Vec<Violation> {
        let snapshots: HashMap<Uuid, &BTreeSet<Uuid>> = self
            .accounts
            .iter()
            .map(|account| (account.broadcast, &account.snapshot))
            .collect();
        let is_stranger = |call: &&Call| {
            snapshots
                .get(&call.broadcast)
                .is_none_or(|snapshot| !snapshot.contains(&call.contact))
        };
        let strangers = self.calls.iter().filter(is_stranger);
        strangers
            .map(|call| {
                Violation::Loss(format!(
                    "{} got {}, which is not for them",
                    call.contact, call.broadcast
                ))
            })
            .collect()
    }

    /// V2: a key is one recipient of one mass message, and the reverse.
    fn double_effects(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut of_key: HashMap<&str, (Uuid, Uuid)> = HashMap::new();
        let mut of_recipient: HashMap<(Uuid, Uuid), &str> = HashMap::new();
        for call in &self.calls {
            let recipient = (call.broadcast, call.contact);
            let first = *of_key.entry(&call.key).or_insert(recipient);
            if first != recipient {
                found.push(Violation::Effect(format!(
                    "key {} is {first:?} and {recipient:?}",
                    call.key
                )));
            }
            let first = *of_recipient.entry(recipient).or_insert(&call.key);
            if first != call.key {
                found.push(Violation::Effect(format!(
                    "{recipient:?} came under the keys {first} and {}",
                    call.key
                )));
            }
        }
        found
    }

    /// V6: once a pause or a cancellation is answered, calls end within a second.
    fn late_calls(&self, account: &Account) -> Vec<Violation> {
        let is_late = |call: &Call, (from, to): (Timestamp, Option<Timestamp>)| {
            let began = call.started.min(call.arrived);
            began > from + STOPS_WITHIN && to.is_none_or(|to| began < to)
        };
        let calls = self
            .calls
            .iter()
            .filter(|call| call.broadcast == account.broadcast);
        let late =
            calls.filter_map(|call| Some((call, account.stops.iter().find(|stop| is_late(call, **stop))?)));
        late.map(|(call, (from, _))| {
            Violation::Control(format!(
                "{}: stopped at {from}, and a call to {} began at {}",
                account.broadcast, call.contact, call.started
            ))
        })
        .collect()
    }
}

/// Calls that came again although the one before was taken in time.
pub(crate) fn repeats(calls: &[Call]) -> usize {
    let mut last: HashMap<&str, Told> = HashMap::new();
    let mut repeats = 0;
    for call in calls {
        let before = last.insert(&call.key, call.told);
        repeats += usize::from(before.is_some_and(|before| !before.asks_again()));
    }
    repeats
}

/// V3, from the log alone: `member` at most one per member, contact and day; `enterprise` at most one per contact and
/// ISO week.
fn broken_caps(calls: &[Call], zone: &TimeZone) -> Vec<Violation> {
    let mut holders: HashMap<(Uuid, Kind, Uuid, Uuid, Date), BTreeSet<&str>> = HashMap::new();
    for call in calls {
        let day = call.arrived.to_zoned(zone.clone()).date();
        let (member, window) = match call.kind {
            Kind::Member => (call.member, day),
            Kind::Enterprise => (Uuid::nil(), monday_of(day)),
        };
        holders
            .entry((call.tenant, call.kind, member, call.contact, window))
            .or_default()
            .insert(&call.key);
    }
    let broken = holders.into_iter().filter(|(_, keys)| keys.len() > 1);
    broken
        .map(|((_, kind, member, contact, window), keys)| {
            Violation::Cap(format!(
                "{contact} got {} of kind {kind:?} (of {member}) in {window}",
                keys.len()
            ))
        })
        .collect()
}

fn monday_of(day: Date) -> Date {
    let days_since = day.weekday().to_monday_zero_offset();
    day.saturating_sub(Span::new().days(days_since))
}

/// V5: what the API tells never goes back, and its last word is the recount.
fn progress_breaks(account: &Account) -> Vec<Violation> {
    let broken = |what: String| Violation::Progress(format!("{}: {what}", account.broadcast));
    let mut found = Vec::new();
    for (before, after) in account.progress.iter().zip(account.progress.iter().skip(1)) {
        if after.audience < before.audience {
            found.push(broken(format!(
                "the audience went from {} to {}",
                before.audience, after.audience
            )));
        }
        for (end, count) in &before.outcomes {
            let now = after.outcomes.get(end).copied().unwrap_or_default();
            if now < *count {
                found.push(broken(format!("{end} went from {count} to {now}")));
            }
        }
    }
    let mut recount: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, end) in &account.receipts {
        *recount.entry(end).or_default() += 1;
    }
    let Some(last) = account.progress.last() else {
        return vec![broken("nothing was told of it".to_owned())];
    };
    for end in ENDS {
        let (told, counted) = (
            last.outcomes.get(end).copied().unwrap_or_default(),
            recount.get(end).copied().unwrap_or_default(),
        );
        if told != counted {
            found.push(broken(format!("{told} are said to be {end}, {counted} are")));
        }
    }
    found
}
