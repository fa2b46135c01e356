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
        let (parts, window) = (Parts::of(room, &lots), window(room, &lots));
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
                ahead: (memory.per_s * AHEAD_SECS) as i64,
            }
        };
        backlogs.iter().map(lot).collect()
    }
}

/// How many chunks may be in flight: one for each lane, and those that will be taken next.
fn window(room: Room, lots: &[Lot<'_>]) -> i64 {
    let ahead: i64 = lots.iter().map(|lot| lot.ahead).sum();
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
mod tests {
    use contracts::BroadcastId;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn flow(tenant: u128, priority: Priority) -> Flow {
        let tenant = TenantId(Uuid::from_u128(tenant));
        Flow { tenant, priority }
    }

    fn backlog(flow: Flow, in_flight: i64, due: impl IntoIterator<Item = i32>) -> (Flow, Backlog) {
        let broadcast = BroadcastId(Uuid::from_u128(
            flow.tenant.0.as_u128() * 3 + flow.priority as u128,
        ));
        let due = due.into_iter().zip(0..).map(|(recipients, n)| Due {
            chunk: ChunkKey {
                tenant: flow.tenant,
                broadcast,
                n,
            },
            recipients,
        });
        let backlog = Backlog {
            in_flight,
            oldest_secs: 0.1,
            due: due.collect(),
        };
        (flow, backlog)
    }

    fn of(taken: &[Due], flow: Flow, backlogs: &Backlogs) -> i64 {
        let is_of = |due: &&Due| backlogs[&flow].due.contains(due);
        taken.iter().filter(is_of).count() as i64
    }

    fn room(lanes: i64) -> Room {
        Room {
            lanes,
            chunks_max: 64,
        }
    }

    /// One that has seen the flows end many chunks.
    fn experienced(backlogs: &Backlogs, now: Instant) -> Turns {
        let quick = |flow: &Flow| {
            let memory = Memory {
                per_s: 4.0,
                in_flight: backlogs[flow].in_flight,
                ..Memory::default()
            };
            (*flow, memory)
        };
        Turns {
            flows: backlogs.keys().map(quick).collect(),
            looked: Some(now),
            ..Turns::default()
        }
    }

    fn share(lanes: i64, backlogs: &Backlogs) -> Vec<Due> {
        let now = Instant::now();
        experienced(backlogs, now).share(room(lanes), backlogs, now)
    }

    #[test]
    fn a_newcomer_catches_up_first() {
        let (big, small) = (flow(1, Priority::Normal), flow(2, Priority::Normal));
        let backlogs: Backlogs = [backlog(big, 38, [500; 64]), backlog(small, 0, [500; 2])].into();
        let taken = share(40, &backlogs);
        assert_eq!((of(&taken, big, &backlogs), of(&taken, small, &backlogs)), (2, 2));
        let backlogs: Backlogs = [backlog(big, 0, [500; 64]), backlog(small, 0, [500; 64])].into();
        let taken = share(38, &backlogs);
        assert_eq!(
            (of(&taken, big, &backlogs), of(&taken, small, &backlogs)),
            (20, 20)
        );
        assert!(
            taken
                .windows(2)
                .all(|two| two[0].chunk.tenant != two[1].chunk.tenant)
        );
    }

    #[test]
    fn what_is_urgent_goes_first_within_its_tenant_and_takes_nothing_from_others() {
        let [urgent, bulk] = [flow(1, Priority::Urgent), flow(1, Priority::Bulk)];
        let other = flow(2, Priority::Bulk);
        let backlogs: Backlogs = [urgent, bulk, other]
            .map(|flow| backlog(flow, 0, [500; 64]))
            .into();
        let taken = share(42, &backlogs);
        let counts = [urgent, bulk, other].map(|flow| of(&taken, flow, &backlogs));
        assert!(counts[0] >= 6 * counts[1] && counts[1] >= 1, "{counts:?}");
        assert!((20..=23).contains(&counts[2]), "{counts:?}");
    }

    #[test]
    fn who_is_slow_or_unknown_leaves_a_quarter_of_the_lanes() {
        let slow = flow(1, Priority::Normal);
        let mut backlogs: Backlogs = [backlog(slow, 2, [500; 64])].into();
        let now = Instant::now();
        assert_eq!(
            Turns::default().share(room(8), &backlogs, now).len(),
            4,
            "6 of 8 lanes"
        );
        let mut turns = experienced(&backlogs, now);
        backlogs.get_mut(&slow).unwrap().oldest_secs = 4.0;
        assert_eq!(turns.clone().share(room(8), &backlogs, now).len(), 4);
        assert_eq!(turns.clone().share(room(2), &backlogs, now).len(), 0);
        backlogs.get_mut(&slow).unwrap().oldest_secs = 0.1;
        assert_eq!(
            turns.share(room(8), &backlogs, now).len(),
            7,
            "all lanes and one in the queue"
        );
    }

    #[test]
    fn slowness_is_remembered_for_a_while() {
        let slow = flow(1, Priority::Normal);
        let mut backlogs: Backlogs = [backlog(slow, 6, [500; 64])].into();
        let now = Instant::now();
        let mut turns = experienced(&backlogs, now);
        backlogs.get_mut(&slow).unwrap().oldest_secs = 4.0;
        assert!(turns.share(room(8), &backlogs, now).is_empty());
        backlogs.get_mut(&slow).unwrap().oldest_secs = 0.0;
        assert!(turns.share(room(8), &backlogs, now).is_empty());
        assert!(turns.flows[&slow].slow_until.is_some());
        turns.look(&backlogs, now + SLOW_FOR + Duration::from_secs(1));
        assert!(turns.flows[&slow].slow_until.is_none());
    }

    #[test]
    fn the_queue_is_as_deep_as_chunks_end_quickly() {
        let (quick, mut now) = (flow(1, Priority::Normal), Instant::now());
        let mut turns = Turns::default();
        let mut backlogs: Backlogs = [backlog(quick, 0, [500; 64])].into();
        assert_eq!(turns.share(room(0), &backlogs, now).len(), 1, "somebody may come");
        for _ in 0..200 {
            // 100 a second.
            now += Duration::from_millis(50);
            turns.flows.get_mut(&quick).unwrap().in_flight = 5;
            backlogs.get_mut(&quick).unwrap().in_flight = 0;
            turns.look(&backlogs, now);
        }
        let deep = window(room(2), &turns.lots(&backlogs));
        assert!((27..=30).contains(&deep), "{deep}");
        assert_eq!(
            window(
                Room {
                    lanes: 2,
                    chunks_max: 20
                },
                &turns.lots(&backlogs)
            ),
            20
        );
    }

    fn flows() -> impl Strategy<Value = Flow> {
        let priorities = [Priority::Urgent, Priority::Normal, Priority::Bulk];
        (1u128..5, prop::sample::select(priorities.to_vec())).prop_map(|(n, priority)| flow(n, priority))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_window_is_used_and_never_passed_and_nobody_gets_more_while_others_wait_for_their_part(
            lanes in 4i64..64,
            lots in prop::collection::btree_map(flows(), (0i64..20, prop::collection::vec(1i32..=500, 0..60)), 0..8),
            again in 1usize..4,
        ) {
            let mut backlogs: Backlogs =
                lots.into_iter().map(|(flow, (in_flight, due))| backlog(flow, in_flight, due)).collect();
            let now = Instant::now();
            let mut turns = experienced(&backlogs, now);
            for _ in 0..again {
                let taken = turns.share(room(lanes), &backlogs, now);
                let in_flight: i64 = backlogs.values().map(|b| b.in_flight).sum();
                let due: i64 = backlogs.values().map(|b| b.due.len() as i64).sum();
                let all = turns.lots(&backlogs);
                prop_assert_eq!(taken.len() as i64, due.min((window(room(lanes), &all) - in_flight).max(0)));
                let parts = Parts::of(room(lanes), &all);
                let lots: Vec<_> = all.iter().map(|lot| {
                    let got = of(&taken, lot.flow, &backlogs);
                    let part = parts.lanes(lot) + lot.ahead;
                    (got, lot.in_flight() + got - part, lot.backlog.due.len() as i64 > got)
                }).collect();
                let someone_waits = lots.iter().any(|(_, over, has_more)| *has_more && *over < 0);
                let someone_has_more = lots.iter().any(|(got, over, _)| *got > 0 && *over > 0);
                prop_assert!(!(someone_waits && someone_has_more), "{lots:?}");
                // Each flow's own order is kept.
                for (flow, backlog) in &mut backlogs {
                    let got = of_in_order(&taken, *flow);
                    prop_assert!(got.iter().eq(backlog.due.iter().take(got.len())));
                    backlog.due.drain(..got.len());
                    backlog.in_flight += got.len() as i64;
                }
            }
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Workers that take from the queue in its order, a tenant whose chunks take long and one that is quick: the
        /// quick one is served nearly as if half the lanes were its own, and a newcomer is served at once.
        #[test]
        fn a_slow_tenant_costs_another_no_more_than_its_part(
            lanes in 4i64..12, slowness in 2u32..200, sizes in prop::collection::vec(100i32..=500, 1..20),
        ) {
            let alone = simulate(lanes, &[(1, 1)], &sizes, 4_000);
            let beside = simulate(lanes, &[(1, 1), (2, slowness)], &sizes, 4_000);
            prop_assert!(beside.served[&1] * 100 >= alone.served[&1] * 35, "{beside:?} {alone:?}");
            let equals = simulate(lanes, &[(1, 1), (2, 1)], &sizes, 4_000);
            let (a, b) = (equals.served[&1], equals.served[&2]);
            prop_assert!((a - b).abs() <= 4 * 500 * lanes + (a + b) / 20, "{a} {b}");
            prop_assert!(beside.newcomer_millis <= 1_000, "{beside:?}");
        }
    }

    fn of_in_order(taken: &[Due], flow: Flow) -> Vec<Due> {
        let broadcast = backlog(flow, 0, [1]).1.due[0].chunk.broadcast;
        taken
            .iter()
            .copied()
            .filter(|due| due.chunk.broadcast == broadcast)
            .collect()
    }

    #[derive(Debug, Default)]
    struct Served {
        served: BTreeMap<u128, i64>,
        newcomer_millis: u64,
    }

    /// Tenants that always have more, a chunk taking a millisecond for ten recipients times the tenant's slowness, and a
    /// newcomer with one chunk after three quarters of the time. Workers hand a chunk back after five seconds.
    fn simulate(lanes: i64, tenants: &[(u128, u32)], sizes: &[i32], millis: u64) -> Served {
        const NEWCOMER: u128 = 99;
        const SLICE_MILLIS: u64 = 5_000;
        // Where the window itself is what is scarce, its places are shared and not the lanes.
        let wide = Room {
            lanes,
            chunks_max: 1_000,
        };
        let (mut turns, began) = (Turns::default(), Instant::now());
        let mut queue: VecDeque<(u128, i64, u64)> = VecDeque::new();
        let mut busy: Vec<(u128, i64, u64, u64)> = vec![];
        let mut served = Served::default();
        let (mut n, arrives) = (0, millis * 3 / 4);
        for millis in 0..millis {
            busy.retain(|&(tenant, recipients, _, until)| {
                if until <= millis {
                    *served.served.entry(tenant).or_default() += recipients;
                }
                until > millis
            });
            if millis % 20 == 0 {
                let now = began + Duration::from_millis(millis);
                let mut backlogs = Backlogs::new();
                for (tenant, _) in tenants {
                    let sizes = (0..400).map(|i| sizes[(n + i) % sizes.len()]);
                    backlogs.extend([backlog(flow(*tenant, Priority::Normal), 0, sizes)]);
                }
                if millis >= arrives
                    && served.newcomer_millis == 0
                    && !queue.iter().any(|(t, ..)| *t == NEWCOMER)
                {
                    backlogs.extend([backlog(flow(NEWCOMER, Priority::Normal), 0, [500])]);
                }
                for (tenant, since) in queue
                    .iter()
                    .map(|(t, _, at)| (*t, *at))
                    .chain(busy.iter().map(|(t, _, at, _)| (*t, *at)))
                {
                    let entry = backlogs.entry(flow(tenant, Priority::Normal)).or_default();
                    entry.in_flight += 1;
                    entry.oldest_secs = entry.oldest_secs.max((millis - since) as f64 / 1e3);
                }
                for due in turns.share(wide, &backlogs, now) {
                    n += 1;
                    queue.push_back((due.chunk.tenant.0.as_u128(), due.recipients.into(), millis));
                }
            }
            while (busy.len() as i64) < lanes {
                let Some((tenant, recipients, at)) = queue.pop_front() else {
                    break;
                };
                if tenant == NEWCOMER {
                    served.newcomer_millis = (millis - arrives).max(1);
                }
                let slowness = tenants
                    .iter()
                    .find(|(t, _)| *t == tenant)
                    .map_or(1, |(_, slowness)| *slowness);
                let takes = (recipients as u64 / 10 + 1) * u64::from(slowness);
                busy.push((tenant, recipients, at, millis + takes.min(SLICE_MILLIS)));
            }
        }
        if served.newcomer_millis == 0 {
            served.newcomer_millis = u64::MAX;
        }
        served
    }
}
