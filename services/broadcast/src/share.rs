//! How the dispatcher shares its window of chunks in flight: deficit round robin over tenants and priorities.
//!
//! What is scarce are the workers' lanes. Each tenant that wants any gets as many as any other, and within a tenant each
//! priority by its weight; beyond its lanes a flow has as many chunks in the queue as it is known to end in a quarter of
//! a second, so that no lane waits for the dispatcher and no newcomer for a long queue. Whose turn it is among those below
//! their part, and among all once these have theirs, goes by recipients: a turn is worth so many of them, and by what a
//! chunk was cheaper the next turn is worth more. Flows that hold lanes for long never get the last quarter of them, nor do
//! those of which nothing is known.
//!
//! One whose receiver is slow gets only those lanes that the others have not wanted of late. What it has beyond them goes
//! aside, where each worker has a place for one such chunk, beside its lanes.
//!
//! All this stands in the leader's memory. Another leader begins without it, which costs a turn.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use contracts::TenantId;

use crate::chunk::ChunkKey;
use crate::schedule::Priority;

/// Recipients of a whole turn.
const TURN_RECIPIENTS: i64 = 500;
/// A tenant's weight, which its priorities share.
const WEIGHT_OF_ALL: i64 = Priority::Urgent.weight() + Priority::Normal.weight() + Priority::Bulk.weight();
/// What a chunk costs at least: claim and settlement are the same for one recipient.
const CHUNK_RECIPIENTS_MIN: i64 = 50;
/// After this time in flight a flow's chunks are taken to hold lanes for long, and remembered for a while.
const LONG_AFTER_SECS: f64 = 3.0;
const LONG_FOR: Duration = Duration::from_secs(30);
/// How long lanes are kept for what a flow last wanted: a crowd of small wants must not meet lanes that are taken.
const WANTS_SECS: f64 = 5.0;
/// Chunks ended a second, of late, below which nothing is known of a flow.
const KNOWN_PER_S_MIN: f64 = 0.05;
/// What waits in the queue is what ends in this time.
const AHEAD_SECS: f64 = 0.25;
const WINDOW_CHUNKS_MIN: i64 = 4;

/// What takes turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flow {
    pub tenant: TenantId,
    pub priority: Priority,
}

/// A chunk that may be dispatched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub chunk: ChunkKey,
    pub recipients: i32,
}

impl Due {
    fn cost(&self) -> i64 {
        i64::from(self.recipients).max(CHUNK_RECIPIENTS_MIN)
    }
}

/// What one flow has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Backlog {
    /// Chunks queued for a lane, or being sent in one.
    pub in_flight: i64,
    /// How long the oldest of them has been.
    pub oldest_secs: f64,
    /// Those beside the lanes.
    pub aside: i64,
    /// Workers say that its receiver is.
    pub is_slow: bool,
    /// Those to be dispatched next, in this order; no more than the window has room for.
    pub due: VecDeque<Due>,
}

pub(crate) type Backlogs = BTreeMap<Flow, Backlog>;

/// What there is room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Chunks that workers can send at once, as far as it is known.
    pub lanes: i64,
    /// Chunks in flight at most, but for those aside.
    pub chunks_max: i64,
    /// Chunks aside at most.
    pub aside_max: i64,
}

impl Room {
    /// Lanes that are not kept for who is known to be quick.
    fn lanes_for_all(&self) -> i64 {
        ((self.lanes * 3 + 3) / 4).max(1)
    }
}

/// What is dispatched, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shares {
    pub lanes: Vec<Due>,
    pub aside: Vec<Due>,
}

/// What the dispatcher remembers between two looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    flows: BTreeMap<Flow, Memory>,
    /// Whose turn is next, and whether it has begun: a full window interrupts it.
    turn: Option<(Flow, bool)>,
    /// Who had the last one aside.
    last_aside: Option<TenantId>,
    looked: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
struct Memory {
    deficit: i64,
    /// Chunks in flight after the last look.
    in_flight: i64,
    /// Chunks ended a second, of late.
    per_s: f64,
    /// Chunks that it had or could have had in flight, of late.
    wants: f64,
    long_until: Option<Instant>,
    /// At the last look.
    is_slow: bool,
}

impl Memory {
    /// Chunks that end in the time a newcomer may wait.
    fn ahead(&self) -> i64 {
        (self.per_s * AHEAD_SECS) as i64
    }

    fn is_of_use(&self) -> bool {
        self.long_until.is_some() || self.wants >= 0.5
    }
}

/// One flow while the window is shared out.
#[derive(Debug)]
struct Lot<'a> {
    flow: Flow,
    backlog: &'a Backlog,
    taken: usize,
    taken_aside: usize,
    weight: i64,
    /// Its receiver is.
    is_slow: bool,
    /// It holds lanes for long.
    is_long: bool,
    is_known: bool,
    /// Chunks it may have in the queue.
    ahead: i64,
}

impl Lot<'_> {
    fn next(&self) -> Option<Due> {
        self.backlog.due.get(self.taken + self.taken_aside).copied()
    }

    fn in_flight(&self) -> i64 {
        self.backlog.in_flight + self.taken as i64
    }

    fn is_unknown(&self) -> bool {
        !self.is_long && !self.is_known
    }
}

impl Turns {
    /// The chunks to dispatch now.
    pub(crate) fn share(&mut self, room: Room, backlogs: &Backlogs, now: Instant) -> Shares {
        self.look(room, backlogs, now);
        let mut lots = self.lots(backlogs);
        let ahead = lots.iter().map(|lot| lot.ahead).sum();
        let (parts, window) = (Parts::of(room, &lots), window(room, ahead));
        let in_flight = |is_counted: fn(&Lot<'_>) -> bool| -> i64 {
            lots.iter()
                .filter(|lot| is_counted(lot))
                .map(Lot::in_flight)
                .sum()
        };
        let mut round = Round {
            free: window - in_flight(|_| true),
            free_for_unknown: room.lanes_for_all() - in_flight(|lot| lot.is_unknown()),
            free_for_long: room.lanes_for_all() - in_flight(|lot| lot.is_long),
            free_for_slow: self.lanes_for_slow(room) - in_flight(|lot| lot.is_slow),
            taken: vec![],
        };
        round.run(self, &mut lots, |lot| parts.lanes(lot) + lot.ahead);
        round.run(self, &mut lots, |_| i64::MAX);
        let aside = self.share_aside(room, &mut lots);
        for lot in &lots {
            self.flows.entry(lot.flow).or_default().in_flight = lot.in_flight();
        }
        Shares {
            lanes: round.taken,
            aside,
        }
    }

    /// How many more chunks of a flow can be of use, as far as was known at the last look.
    pub(crate) fn free(&self, room: Room, backlogs: &Backlogs, is_any_slow: bool) -> i64 {
        let ahead = self.flows.values().map(Memory::ahead).sum();
        let in_flight: i64 = backlogs.values().map(|backlog| backlog.in_flight).sum();
        let aside: i64 = backlogs.values().map(|backlog| backlog.aside).sum();
        let free_aside = if is_any_slow { room.aside_max - aside } else { 0 };
        (window(room, ahead) - in_flight).max(free_aside)
    }

    /// Whether nothing was in flight at the last look.
    pub(crate) fn is_idle(&self) -> bool {
        self.flows.values().all(|memory| memory.in_flight == 0)
    }

    /// What ended since the last look, how quick the flows are, what they want, and how slow their receivers are.
    fn look(&mut self, room: Room, backlogs: &Backlogs, now: Instant) {
        let since = self
            .looked
            .map_or(Duration::ZERO, |then| now.duration_since(then));
        self.looked = Some(now);
        for memory in self.flows.values_mut() {
            // A mean over about a second.
            memory.per_s *= (-since.as_secs_f64()).exp();
            memory.wants *= (-since.as_secs_f64() / WANTS_SECS).exp();
            memory.long_until = memory.long_until.filter(|until| *until > now);
        }
        for (flow, backlog) in backlogs {
            let memory = self.flows.entry(*flow).or_default();
            let ended = (memory.in_flight - backlog.in_flight).max(0);
            memory.per_s += ended as f64;
            let wants = (backlog.in_flight + backlog.due.len() as i64).min(room.lanes);
            memory.wants = memory.wants.max(wants as f64);
            if backlog.in_flight > 0 && backlog.oldest_secs > LONG_AFTER_SECS {
                memory.long_until = Some(now + LONG_FOR);
            }
            memory.is_slow = backlog.is_slow;
        }
        self.flows.retain(|flow, memory| {
            let has_any = backlogs.contains_key(flow);
            memory.in_flight *= i64::from(has_any);
            has_any || memory.is_of_use()
        });
    }

    /// Lanes that those with a slow receiver may have: none that the others could use.
    fn lanes_for_slow(&self, room: Room) -> i64 {
        let others = self.flows.values().filter(|memory| !memory.is_slow);
        let wanted: f64 = others.map(|memory| memory.wants.round()).sum();
        (room.lanes_for_all() - wanted as i64).max(0)
    }

    /// Tenants with a slow receiver take turns at the places beside the lanes, the most urgent chunk each: all are handed
    /// back in time.
    fn share_aside(&mut self, room: Room, lots: &mut [Lot<'_>]) -> Vec<Due> {
        let free = room.aside_max - lots.iter().map(|lot| lot.backlog.aside).sum::<i64>();
        let mut taken = vec![];
        for _ in 0..free {
            let slow = lots.iter_mut().filter(|lot| lot.is_slow && lot.next().is_some());
            let Some(lot) = slow.min_by_key(|lot| (self.last_aside >= Some(lot.flow.tenant), lot.flow))
            else {
                break;
            };
            taken.extend(lot.next());
            lot.taken_aside += 1;
            self.last_aside = Some(lot.flow.tenant);
        }
        taken
    }

    /// Each with its weight: tenants have the same, which their priorities share.
    fn lots<'a>(&self, backlogs: &'a Backlogs) -> Vec<Lot<'a>> {
        let mut of_tenant: BTreeMap<TenantId, i64> = BTreeMap::new();
        for flow in backlogs.keys() {
            *of_tenant.entry(flow.tenant).or_default() += flow.priority.weight();
        }
        let lot = |(flow, backlog): (&Flow, &'a Backlog)| {
            let memory = self.flows.get(flow).cloned().unwrap_or_default();
            Lot {
                flow: *flow,
                backlog,
                taken: 0,
                taken_aside: 0,
                weight: (WEIGHT_OF_ALL * flow.priority.weight() / of_tenant[&flow.tenant]).max(1),
                is_slow: memory.is_slow,
                is_long: memory.is_slow || memory.long_until.is_some(),
                is_known: memory.per_s >= KNOWN_PER_S_MIN,
                ahead: memory.ahead(),
            }
        };
        backlogs.iter().map(lot).collect()
    }
}

/// How many chunks may be in flight: one for each lane, and those that will be taken next.
fn window(room: Room, ahead: i64) -> i64 {
    (room.lanes + ahead).max(WINDOW_CHUNKS_MIN).min(room.chunks_max)
}

/// The lanes, shared by weight.
struct Parts {
    lanes: i64,
    weights: i64,
}

impl Parts {
    fn of(room: Room, lots: &[Lot<'_>]) -> Self {
        Self {
            lanes: room.lanes,
            weights: lots.iter().map(|lot| lot.weight).sum(),
        }
    }

    fn lanes(&self, lot: &Lot<'_>) -> i64 {
        (self.lanes * lot.weight / self.weights.max(1)).max(1)
    }
}

/// One sharing out.
struct Round {
    free: i64,
    /// Of lanes, for whoever is not known to be quick; what some of them hold for long, newcomers don't miss.
    free_for_unknown: i64,
    free_for_long: i64,
    free_for_slow: i64,
    taken: Vec<Due>,
}

impl Round {
    /// Turns, until the window is full or nobody below their limit has anything.
    fn run(&mut self, turns: &mut Turns, lots: &mut [Lot<'_>], limit: impl Fn(&Lot<'_>) -> i64) {
        let begin = turns
            .turn
            .map_or(0, |(flow, _)| lots.partition_point(|lot| lot.flow < flow));
        let mut has_begun = lots
            .get(begin)
            .is_some_and(|lot| turns.turn == Some((lot.flow, true)));
        let count = lots.len();
        let mut idle = 0;
        for i in begin.. {
            if self.free <= 0 || idle >= count {
                return;
            }
            let lot = &mut lots[i % count];
            if !self.may_take(lot, &limit) {
                (idle, has_begun) = (idle + 1, false);
                continue;
            }
            idle = 0;
            let deficit = &mut turns.flows.entry(lot.flow).or_default().deficit;
            if !std::mem::take(&mut has_begun) {
                *deficit += (TURN_RECIPIENTS * lot.weight / WEIGHT_OF_ALL).max(1);
            }
            while let Some(due) = lot.next().filter(|due| due.cost() <= *deficit) {
                if !self.may_take(lot, &limit) {
                    break;
                }
                *deficit -= due.cost();
                lot.taken += 1;
                self.free -= 1;
                self.free_for_unknown -= i64::from(lot.is_unknown());
                self.free_for_long -= i64::from(lot.is_long);
                self.free_for_slow -= i64::from(lot.is_slow);
                self.taken.push(due);
            }
            // Nothing is saved up by who has nothing, or no place for it.
            *deficit = lot.next().map_or(0, |_| (*deficit).min(TURN_RECIPIENTS));
            let is_interrupted = self.free <= 0 && lot.next().is_some_and(|due| due.cost() <= *deficit);
            turns.turn = match is_interrupted {
                true => Some((lot.flow, true)),
                false => Some((lots[(i + 1) % count].flow, false)),
            };
        }
    }

    fn may_take(&self, lot: &Lot<'_>, limit: impl Fn(&Lot<'_>) -> i64) -> bool {
        self.free > 0
            && lot.next().is_some()
            && lot.in_flight() < limit(lot)
            && (!lot.is_unknown() || self.free_for_unknown > 0)
            && (!lot.is_long || self.free_for_long > 0)
            && (!lot.is_slow || self.free_for_slow > 0)
    }
}

#[cfg(test)]
mod tests;
