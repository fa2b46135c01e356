//! A forecast: how a mass message ends for each recipient if all confirm and nothing else changes, who holds the caps in
//! its way, and what would reach more.

use std::collections::BTreeMap;

use contracts::{BroadcastId, ContactId, MemberId};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::broadcast::Kind;
use crate::cap::Keeping;
use crate::outcome::{Outcome, Outcomes};

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
    /// When; absent: as it is scheduled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// As `outcomes.delivered`.
    pub delivered: i64,
}

/// What would be done otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// The same at 09:00 of the day after, in the tenant's zone.
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
    /// Sorted, with those whose part is over.
    pub contacts: Vec<ContactId>,
    /// Sorted.
    pub held_out: Vec<ContactId>,
    /// The chunk is withdrawn: how the rest of it ends.
    pub ends_as: Option<Outcome>,
}

/// When it would be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Moment {
    #[default]
    Now,
    /// Quiet hours last until tomorrow.
    Tomorrow,
    /// Quiet hours last longer than its time.
    Never,
}

/// What is known of everybody the tenant knows; all sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub moment: Moment,
    /// Recipients whose part is over.
    pub ended: Vec<ContactId>,
    pub opted_out: Vec<ContactId>,
    pub capped: Held,
    pub fatigued: Held,
    /// The same on the next day, where that is another set.
    pub capped_later: Option<Held>,
    pub fatigued_later: Option<Held>,
    /// Whose cap of the other kind is held: for whom it is counted, and the contact.
    pub capped_otherwise: Vec<(MemberId, ContactId)>,
}

impl Known {
    /// The caps and the fatigue that count when it is sent.
    fn holds(&self) -> (&Held, &Held) {
        if self.moment != Moment::Tomorrow {
            return (&self.capped, &self.fatigued);
        }
        let capped = self.capped_later.as_ref().unwrap_or(&self.capped);
        (capped, self.fatigued_later.as_ref().unwrap_or(&self.fatigued))
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
    pub(crate) fn add<'a>(&mut self, share: &Share, known: &'a Known, other: MemberId) {
        let itself = |contact: &ContactId| *contact;
        let first = |held: &(ContactId, usize)| held.0;
        let (mut ended, mut out) = (Walk::new(&known.ended), Walk::new(&known.opted_out));
        let mut held_out = Walk::new(&share.held_out);
        let (in_the_way, tiring) = known.holds();
        let (mut capped, mut fatigued) = (Walk::new(&in_the_way.contacts), Walk::new(&tiring.contacts));
        let walk = |held: &'a Option<Held>| held.as_ref().map(|held| Walk::new(&held.contacts));
        let (mut capped_later, mut fatigued_later) = (walk(&known.capped_later), walk(&known.fatigued_later));
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
            let certain =
                certain.or_else(|| (known.moment == Moment::Never).then_some(Outcome::QuietExpired));
            if let Some(outcome) = certain {
                self.outcomes.add(outcome, 1);
                continue;
            }
            let own = capped.find(contact, first);
            let tired = fatigued.find(contact, first);
            let outcome = match (own, tired) {
                (Some((_, holder)), _) => self.hold(Outcome::Capped, in_the_way.by(holder)),
                (None, Some((_, holder))) => self.hold(Outcome::Fatigued, tiring.by(holder)),
                (None, None) => Outcome::Delivered,
            };
            self.outcomes.add(outcome, 1);
            let is_held_later = |later: &mut Option<Walk<'_, _>>, now: bool| match later {
                Some(later) => later.find(contact, first).is_some(),
                None => now,
            };
            let is_capped_later = is_held_later(&mut capped_later, own.is_some());
            let is_fatigued_later = is_held_later(&mut fatigued_later, tired.is_some());
            self.delivered_later += i64::from(!is_capped_later && !is_fatigued_later);
            let is_free_otherwise =
                tired.is_none() && known.capped_otherwise.binary_search(&(other, contact)).is_err();
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

/// Whether what holds on one day holds on the other without being asked again.
pub(crate) fn is_same_window(one: Keeping, other: Keeping) -> bool {
    matches!((one, other), (Keeping::One { window_start: a }, Keeping::One { window_start: b }) if a == b)
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
                contacts: list(&contacts),
                held_out: list(&sets[2]),
                ends_as: None,
            };
            let known = Known {
                ended: list(&sets[0]),
                opted_out: list(&sets[1]),
                capped: Held::new(vec![(holder, list(&sets[3]))]),
                fatigued: Held::new(vec![(holder, list(&sets[4]))]),
                ..Known::default()
            };
            let mut count = Count::default();
            count.add(&share, &known, share.member);
            let mut expected = Outcomes::default();
            for n in contacts.iter().filter(|n| !sets[0].contains(n)) {
                let reasons = [Outcome::OptedOut, Outcome::HeldOut, Outcome::Capped, Outcome::Fatigued];
                let reason = reasons.iter().zip(&sets[1..]).find(|(_, set)| set.contains(n));
                expected.add(reason.map_or(Outcome::Delivered, |(outcome, _)| *outcome), 1);
            }
            prop_assert_eq!(count.outcomes, expected);
            let held: i64 = count.top_holders().iter().map(|(.., n)| n).sum();
            prop_assert_eq!(held, expected.capped + expected.fatigued);
        }
    }

    #[test]
    fn only_what_is_better_is_offered() {
        let way = |way, delivered| Alternative {
            way,
            at: None,
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
