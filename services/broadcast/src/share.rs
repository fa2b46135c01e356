//! How the dispatcher shares its window of chunks in flight: deficit round robin over tenants and priorities.
//!
//! What is scarce are the workers' lanes. Each tenant that wants any gets as many as any other, and within a tenant each
//! priority by its weight; beyond its lanes a flow has as many chunks in the queue as it is known to end in a quarter of
//! a second, so that no lane waits for the dispatcher and no newcomer for a long queue. Whose turn it is among those below
//! their part, and among all once these have theirs, goes by recipients: a turn is worth so many of them, and by what a
//! chunk was cheaper the next turn is worth more. A flow that is slow, or not known to be quick, never gets the last
//! quarter of the lanes.
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
/// After this time in flight a chunk's channel is taken to be slow, and remembered for a while.
const SLOW_AFTER_SECS: f64 = 3.0;
const SLOW_FOR: Duration = Duration::from_secs(30);
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
    /// Chunks queued or being sent.
    pub in_flight: i64,
    /// How long the oldest of them has been.
    pub oldest_secs: f64,
    /// Those to be dispatched next, in this order; no more than the window has room for.
    pub due: VecDeque<Due>,
}

pub(crate) type Backlogs = BTreeMap<Flow, Backlog>;

/// What there is room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Chunks that workers can send at once, as far as it is known.
    pub lanes: i64,
    /// Chunks in flight at most.
    pub chunks_max: i64,
}

/// What the dispatcher remembers between two looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    flows: BTreeMap<Flow, Memory>,
    /// Whose turn is next, and whether it has begun: a full window interrupts it.
    turn: Option<(Flow, bool)>,
    looked: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
struct Memory {
    deficit: i64,
    /// Chunks in flight after the last look.
    in_flight: i64,
    /// Chunks ended a second, of late.
    per_s: f64,
    slow_until: Option<Instant>,
}

impl Memory {
    /// Chunks that end in the time a newcomer may wait.
    fn ahead(&self) -> i64 {
        (self.per_s * AHEAD_SECS) as i64
    }
}

/// One flow while the window is shared out.
#[derive(Debug)]
struct Lot<'a> {
    flow: Flow,
    backlog: &'a Backlog,
    taken: usize,
    weight: i64,
    is_slow: bool,
    /// Chunks it may have in the queue.
    ahead: i64,
}

impl Lot<'_> {
    fn next(&self) -> Option<Due> {
        self.backlog.due.get(self.taken).copied()
    }

    fn in_flight(&self) -> i64 {
        self.backlog.in_flight + self.taken as i64
    }
}

impl Turns {
    /// The chunks to dispatch now, in this order.
    pub(crate) fn share(&mut self, room: Room, backlogs: &Backlogs, now: Instant) -> Vec<Due> {
        self.look(backlogs, now);
        let mut lots = self.lots(backlogs);
        let ahead = lots.iter().map(|lot| lot.ahead).sum();
        let (parts, window) = (Parts::of(room, &lots), window(room, ahead));
        let in_flight: i64 = lots.iter().map(Lot::in_flight).sum();
        let slow: i64 = lots.iter().filter(|lot| lot.is_slow).map(Lot::in_flight).sum();
        let mut round = Round {
            free: window - in_flight,
            free_for_slow: ((room.lanes * 3 + 3) / 4).max(1) - slow,
            taken: vec![],
        };
        round.run(self, &mut lots, |lot| parts.lanes(lot) + lot.ahead);
        round.run(self, &mut lots, |_| i64::MAX);
        for lot in &lots {
            self.flows.entry(lot.flow).or_default().in_flight = lot.in_flight();
        }
        round.taken
    }

    /// How many chunks there is room for beside those in flight, as far as was known at the last look.
    pub(crate) fn free(&self, room: Room, in_flight: i64) -> i64 {
        let ahead = self.flows.values().map(Memory::ahead).sum();
        window(room, ahead) - in_flight
    }

    /// Whether nothing was in flight at the last look.
    pub(crate) fn is_idle(&self) -> bool {
        self.flows.values().all(|memory| memory.in_flight == 0)
    }

    /// What ended since the last look, how quick the flows are, and how slow.
    fn look(&mut self, backlogs: &Backlogs, now: Instant) {
        let since = self
            .looked
            .map_or(Duration::ZERO, |then| now.duration_since(then));
        self.looked = Some(now);
        self.flows.retain(|flow, memory| {
            backlogs.contains_key(flow) || memory.slow_until.is_some_and(|until| until > now)
        });
        for (flow, backlog) in backlogs {
            let memory = self.flows.entry(*flow).or_default();
            let ended = (memory.in_flight - backlog.in_flight).max(0);
            // A mean over about a second.
            memory.per_s = memory.per_s * (-since.as_secs_f64()).exp() + ended as f64;
            if backlog.in_flight > 0 && backlog.oldest_secs > SLOW_AFTER_SECS {
                memory.slow_until = Some(now + SLOW_FOR);
            }
            memory.slow_until = memory.slow_until.filter(|until| *until > now);
        }
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
                weight: (WEIGHT_OF_ALL * flow.priority.weight() / of_tenant[&flow.tenant]).max(1),
                is_slow: memory.slow_until.is_some() || memory.per_s < KNOWN_PER_S_MIN,
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
            && (!lot.is_slow || self.free_for_slow > 0)
    }
}

#[cfg(test)]
mod tests;
