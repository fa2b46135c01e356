//! A forecast: how a mass message ends for each recipient if all confirm and nothing else changes, who holds the caps in
//! its way, and what would reach more.

use std::collections::BTreeMap;

use contracts::{BroadcastId, ContactId, MemberId};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::broadcast::Kind;
use crate::outcome::{Outcome, Outcomes};
use crate::zone::{LocalTime, Zone};

/// Holders of caps that are told.
const HOLDERS_MAX: usize = 10;

/// How it ends, as far as can be known now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Forecast {
    pub broadcast_id: BroadcastId,
    pub audience: i64,
    /// Recipients by terminal state, those included whose part is over; they sum to the audience.
    pub outcomes: Outcomes,
    /// Whose mass messages hold the caps that are in the way, the ten with the most.
    pub holders: Vec<Holder>,
    /// What reaches more than sending it now, the most first.
    pub alternatives: Vec<Alternative>,
}

/// A mass message that holds what this one would need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Holder {
    /// `capped` or `fatigued`.
    pub outcome: Outcome,
    pub broadcast_id: BroadcastId,
    pub title: String,
    pub recipients: i64,
}

/// Another way to reach this audience.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Alternative {
    pub way: Way,
    /// When, in the tenant's zone; absent: as it is scheduled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// What each contact's clock shows then, where it is planned by those.
    pub at_local: Option<LocalTime>,
    /// As `outcomes.delivered`.
    pub delivered: i64,
}

/// What would be done otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// The same at 09:00 of the day after: in the tenant's zone, or in each contact's if it is planned by those.
    Tomorrow,
    /// Each sending member writes to her share herself, which takes her own cap.
    ByMember,
    /// The tenant writes to them, which takes the tenant's cap.
    ByEnterprise,
}

impl Way {
    /// The kind of mass message it would be instead.
    pub(crate) const fn other(kind: Kind) -> Self {
        match kind {
            Kind::Member => Self::ByEnterprise,
            Kind::Enterprise => Self::ByMember,
        }
    }
}

/// Contacts whose cap somebody else holds, sorted, each with one of its holders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    contacts: Vec<(ContactId, usize)>,
    holders: Vec<BroadcastId>,
}

impl Held {
    /// By holder, in any order.
    pub(crate) fn new(by_holder: Vec<(BroadcastId, Vec<ContactId>)>) -> Self {
        let mut held = Self::default();
        let contacts = by_holder.iter().map(|(_, contacts)| contacts.len());
        held.contacts.reserve_exact(contacts.sum());
        for (n, (holder, contacts)) in by_holder.into_iter().enumerate() {
            held.holders.push(holder);
            held.contacts
                .extend(contacts.into_iter().map(|contact| (contact, n)));
        }
        held.contacts.sort_unstable();
        held
    }

    fn by(&self, holder: usize) -> BroadcastId {
        self.holders[holder]
    }
}

/// Goes through something sorted beside something else sorted; steps double, so that sparse and dense both are cheap.
struct Walk<'a, T> {
    sorted: &'a [T],
    at: usize,
}

impl<'a, T: Copy> Walk<'a, T> {
    fn new(sorted: &'a [T]) -> Self {
        Self { sorted, at: 0 }
    }

    /// The entry of a contact that comes after all asked for before.
    fn find(&mut self, contact: ContactId, id: impl Fn(&T) -> ContactId) -> Option<T> {
        let rest = &self.sorted[self.at..];
        let mut step = 1;
        while step < rest.len() && id(&rest[step]) < contact {
            step *= 2;
        }
        let near = &rest[..rest.len().min(step + 1)];
        self.at += near.partition_point(|entry| id(entry) < contact);
        self.sorted
            .get(self.at)
            .filter(|entry| id(entry) == contact)
            .copied()
    }
}

/// Recipients that have no end yet, as a chunk has them.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub n: i32,
    pub member: MemberId,
    pub zone: Option<Zone>,
    /// Sorted, with those whose part is over.
    pub contacts: Vec<ContactId>,
    /// Sorted.
    pub held_out: Vec<ContactId>,
    /// The chunk is withdrawn, or never will be dispatched: how the rest of it ends.
    pub ends_as: Option<Outcome>,
}

/// On which of the days that are known a share leaves, as it is scheduled and on the morning after; none: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leaves {
    pub as_is: Option<usize>,
    pub tomorrow: Option<usize>,
}

/// Which sets count on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Day {
    pub capped: usize,
    pub fatigued: usize,
    pub otherwise: usize,
}

/// What is known of everybody the tenant knows; all sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub days: Vec<Day>,
    /// Recipients whose part is over.
    pub ended: Vec<ContactId>,
    pub opted_out: Vec<ContactId>,
    /// Who holds the caps, a set for each window; and the same of fatigue.
    pub capped: Vec<Held>,
    pub fatigued: Vec<Held>,
    /// Whose cap of the other kind is held: for whom it is counted, and the contact.
    pub otherwise: Vec<Vec<(MemberId, ContactId)>>,
}

/// What is in the way on a day, walked along.
struct Obstacles<'a> {
    capped: (&'a Held, Walk<'a, (ContactId, usize)>),
    fatigued: (&'a Held, Walk<'a, (ContactId, usize)>),
}

impl<'a> Obstacles<'a> {
    fn on(known: &'a Known, day: Day) -> Self {
        let walk = |held: &'a Held| (held, Walk::new(&held.contacts));
        Self {
            capped: walk(&known.capped[day.capped]),
            fatigued: walk(&known.fatigued[day.fatigued]),
        }
    }

    /// Who holds the cap, and who tired the contact out.
    fn of(&mut self, contact: ContactId) -> (Option<BroadcastId>, Option<BroadcastId>) {
        let find = |(held, walk): &mut (&'a Held, Walk<'a, (ContactId, usize)>)| {
            let found = walk.find(contact, |held| held.0);
            found.map(|(_, holder)| held.by(holder))
        };
        (find(&mut self.capped), find(&mut self.fatigued))
    }
}

/// What has been counted so far.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub outcomes: Outcomes,
    pub delivered_later: i64,
    pub delivered_otherwise: i64,
    holders: BTreeMap<(Outcome, BroadcastId), i64>,
}

impl Count {
    /// Counts a share; `other` is for whom its caps of the other kind are counted.
    pub(crate) fn add(&mut self, share: &Share, known: &Known, leaves: Leaves, other: MemberId) {
        let itself = |contact: &ContactId| *contact;
        let (mut ended, mut out) = (Walk::new(&known.ended), Walk::new(&known.opted_out));
        let mut held_out = Walk::new(&share.held_out);
        let day = |day: Option<usize>| day.map(|day| known.days[day]);
        let (day, tomorrow) = (day(leaves.as_is), day(leaves.tomorrow));
        let mut now = day.map(|day| Obstacles::on(known, day));
        // The same sets are not walked along twice.
        let is_other = |one: Day, two: Day| (one.capped, one.fatigued) != (two.capped, two.fatigued);
        let mut then = tomorrow
            .filter(|tomorrow| day.is_none_or(|day| is_other(day, *tomorrow)))
            .map(|day| Obstacles::on(known, day));
        let otherwise = day.map(|day| &known.otherwise[day.otherwise]);
        for &contact in &share.contacts {
            if ended.find(contact, itself).is_some() {
                continue;
            }
            let certain = share.ends_as.or_else(|| {
                let is_out = out.find(contact, itself).is_some();
                is_out.then_some(Outcome::OptedOut)
            });
            let certain = certain.or_else(|| {
                let is_held_out = held_out.find(contact, itself).is_some();
                is_held_out.then_some(Outcome::HeldOut)
            });
            if let Some(outcome) = certain {
                self.outcomes.add(outcome, 1);
                continue;
            }
            let holders = now.as_mut().map(|now| now.of(contact));
            let outcome = match holders {
                None => Outcome::QuietExpired,
                Some((Some(holder), _)) => self.hold(Outcome::Capped, holder),
                Some((None, Some(holder))) => self.hold(Outcome::Fatigued, holder),
                Some((None, None)) => Outcome::Delivered,
            };
            self.outcomes.add(outcome, 1);
            let later = match &mut then {
                Some(then) => Some(then.of(contact)),
                None => tomorrow.and(holders),
            };
            self.delivered_later += i64::from(later == Some((None, None)));
            let is_free = |held: &Vec<_>| held.binary_search(&(other, contact)).is_err();
            let is_free_otherwise = matches!(holders, Some((_, None))) && otherwise.is_some_and(is_free);
            self.delivered_otherwise += i64::from(is_free_otherwise);
        }
    }

    fn hold(&mut self, outcome: Outcome, holder: BroadcastId) -> Outcome {
        *self.holders.entry((outcome, holder)).or_default() += 1;
        outcome
    }

    /// The ones with the most.
    pub(crate) fn top_holders(&self) -> Vec<(Outcome, BroadcastId, i64)> {
        let mut holders: Vec<_> = self.holders.iter().map(|((o, b), n)| (*o, *b, *n)).collect();
        holders.sort_by_key(|(.., recipients)| -recipients);
        holders.truncate(HOLDERS_MAX);
        holders
    }
}

/// What is better than now, the best first.
pub(crate) fn better(now: i64, mut ways: Vec<Alternative>) -> Vec<Alternative> {
    ways.retain(|way| way.delivered > now);
    ways.sort_by_key(|way| -way.delivered);
    ways
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn id(n: u8) -> ContactId {
        ContactId(Uuid::from_u128(n.into()))
    }

    proptest! {
        #[test]
        fn a_walk_finds_what_is_there(
            sorted in prop::collection::btree_set(any::<u8>(), 0..80),
            asked in prop::collection::btree_set(any::<u8>(), 0..80),
        ) {
            let list: Vec<_> = sorted.iter().copied().map(id).collect();
            let mut walk = Walk::new(&list);
            for n in asked {
                let found = walk.find(id(n), |contact| *contact);
                prop_assert_eq!(found.is_some(), sorted.contains(&n));
            }
        }

        /// Each recipient once, by the first reason there is, as one by one.
        #[test]
        fn everybody_is_counted_once_by_the_first_reason(
            contacts in prop::collection::btree_set(any::<u8>(), 0..60),
            sets in prop::collection::vec(prop::collection::btree_set(any::<u8>(), 0..60), 5),
        ) {
            let list = |set: &std::collections::BTreeSet<u8>| set.iter().copied().map(id).collect::<Vec<_>>();
            let holder = BroadcastId::new();
            let share = Share {
                n: 0,
                member: MemberId::new(),
                zone: None,
                contacts: list(&contacts),
                held_out: list(&sets[2]),
                ends_as: None,
            };
            let known = Known {
                ended: list(&sets[0]),
                opted_out: list(&sets[1]),
                capped: vec![Held::new(vec![(holder, list(&sets[3]))])],
                fatigued: vec![Held::new(vec![(holder, list(&sets[4]))]), Held::default()],
                otherwise: vec![vec![]],
                days: vec![Day::default(), Day { fatigued: 1, ..Day::default() }],
            };
            let mut count = Count::default();
            let leaves = Leaves { as_is: Some(0), tomorrow: Some(1) };
            count.add(&share, &known, leaves, share.member);
            let mut expected = Outcomes::default();
            for n in contacts.iter().filter(|n| !sets[0].contains(n)) {
                let reasons = [Outcome::OptedOut, Outcome::HeldOut, Outcome::Capped, Outcome::Fatigued];
                let reason = reasons.iter().zip(&sets[1..]).find(|(_, set)| set.contains(n));
                expected.add(reason.map_or(Outcome::Delivered, |(outcome, _)| *outcome), 1);
            }
            prop_assert_eq!(count.outcomes, expected);
            let held: i64 = count.top_holders().iter().map(|(.., n)| n).sum();
            prop_assert_eq!(held, expected.capped + expected.fatigued);
            // Nobody is tired on the other day.
            prop_assert_eq!(count.delivered_later, expected.delivered + expected.fatigued);

            let mut late = Count::default();
            late.add(&share, &known, Leaves::default(), share.member);
            expected.quiet_expired = expected.capped + expected.fatigued + expected.delivered;
            (expected.capped, expected.fatigued, expected.delivered) = (0, 0, 0);
            prop_assert_eq!(late.outcomes, expected);
            prop_assert_eq!((late.delivered_later, late.delivered_otherwise), (0, 0));
        }
    }

    #[test]
    fn only_what_is_better_is_offered() {
        let way = |way, delivered| Alternative {
            way,
            at: None,
            at_local: None,
            delivered,
        };
        let ways = better(5, vec![way(Way::ByMember, 6), way(Way::Tomorrow, 9)]);
        assert_eq!(
            ways.iter().map(|way| way.way).collect::<Vec<_>>(),
            [Way::Tomorrow, Way::ByMember]
        );
        assert!(better(9, ways).is_empty());
    }
}
