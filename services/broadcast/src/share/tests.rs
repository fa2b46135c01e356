//! Sharing, over made-up backlogs and simulated workers.

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
        aside: 0,
        call_secs: Some(0.05),
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
        aside_max: (lanes / 4).max(1),
    }
}

fn free(turns: &Turns, room: Room, in_flight: i64) -> i64 {
    turns.free(room, &[backlog(flow(1, Priority::Normal), in_flight, [])].into())
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
    experienced(backlogs, now).share(room(lanes), backlogs, now).lanes
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
fn who_takes_long_or_is_unknown_leaves_a_quarter_of_the_lanes() {
    let slow = flow(1, Priority::Normal);
    let mut backlogs: Backlogs = [backlog(slow, 2, [500; 64])].into();
    let now = Instant::now();
    let count = |turns: &mut Turns, lanes, backlogs: &Backlogs| {
        let shares = turns.share(room(lanes), backlogs, now);
        (shares.lanes.len(), shares.aside.len())
    };
    assert_eq!(count(&mut Turns::default(), 8, &backlogs), (4, 0), "6 of 8 lanes");
    let turns = experienced(&backlogs, now);
    backlogs.get_mut(&slow).unwrap().oldest_secs = 4.0;
    assert_eq!(count(&mut turns.clone(), 8, &backlogs), (4, 0));
    assert_eq!(count(&mut turns.clone(), 2, &backlogs), (0, 0));
    backlogs.get_mut(&slow).unwrap().oldest_secs = 0.1;
    assert_eq!(
        count(&mut turns.clone(), 8, &backlogs),
        (7, 0),
        "all lanes and one in the queue"
    );
}

#[test]
fn who_is_slow_gets_the_lanes_that_nobody_wants_and_a_place_aside() {
    let (slow, quick) = (flow(1, Priority::Normal), flow(2, Priority::Normal));
    let now = Instant::now();
    // 6 of 8 lanes are for whoever is slow; a crowd's wants, a few, and none.
    for (wanted, lanes) in [(64, 0), (2, 4), (0, 6)] {
        let mut backlogs: Backlogs = [
            backlog(slow, 0, [500; 64]),
            backlog(quick, 0, vec![500; wanted]),
        ]
        .into();
        backlogs.get_mut(&slow).unwrap().call_secs = Some(1.5);
        let shares = experienced(&backlogs, now).share(room(8), &backlogs, now);
        assert_eq!(of(&shares.lanes, slow, &backlogs), lanes, "{wanted} are wanted");
        assert_eq!(of(&shares.aside, slow, &backlogs), 2);
        assert_eq!(of(&shares.aside, quick, &backlogs), 0);
        assert!(shares.aside.iter().all(|due| !shares.lanes.contains(due)));
    }
}

#[test]
fn places_aside_are_taken_in_turns() {
    let flows = [1, 2, 3].map(|n| flow(n, Priority::Normal));
    let mut backlogs: Backlogs = flows.map(|flow| backlog(flow, 0, [500; 8])).into();
    for backlog in backlogs.values_mut() {
        backlog.call_secs = Some(4.0);
    }
    let (now, mut got) = (Instant::now(), [0; 3]);
    let mut turns = experienced(&backlogs, now);
    for _ in 0..6 {
        let aside = turns.share(room(8), &backlogs, now).aside;
        assert_eq!(aside.len(), 2);
        for (got, flow) in got.iter_mut().zip(flows) {
            *got += of(&aside, flow, &backlogs);
        }
    }
    assert_eq!(got, [4; 3]);
    backlogs.get_mut(&flows[0]).unwrap().aside = 2;
    assert!(turns.share(room(8), &backlogs, now).aside.is_empty(), "both are taken");
    assert_eq!(turns.free(room(8), &backlogs), 8, "lanes");
}

#[test]
fn slowness_is_remembered_for_a_while() {
    let slow = flow(1, Priority::Normal);
    let mut backlogs: Backlogs = [backlog(slow, 6, [500; 64])].into();
    let now = Instant::now();
    let mut turns = experienced(&backlogs, now);
    let slow_memory = |turns: &Turns| turns.flows[&slow].slow_until.is_some();
    turns.look(room(8), &backlogs, now);
    assert!(!slow_memory(&turns));
    backlogs.get_mut(&slow).unwrap().call_secs = Some(1.5);
    assert!(turns.share(room(8), &backlogs, now).lanes.is_empty());
    backlogs.get_mut(&slow).unwrap().call_secs = None;
    assert!(turns.share(room(8), &backlogs, now).lanes.is_empty());
    assert!(slow_memory(&turns));
    turns.look(room(8), &backlogs, now + SLOW_FOR + Duration::from_secs(1));
    assert!(!slow_memory(&turns));
}

#[test]
fn the_queue_is_as_deep_as_chunks_end_quickly() {
    let (quick, mut now) = (flow(1, Priority::Normal), Instant::now());
    let mut turns = Turns::default();
    let mut backlogs: Backlogs = [backlog(quick, 0, [500; 64])].into();
    assert_eq!(turns.share(room(0), &backlogs, now).lanes.len(), 1, "somebody may come");
    for _ in 0..200 {
        // 100 a second.
        now += Duration::from_millis(50);
        turns.flows.get_mut(&quick).unwrap().in_flight = 5;
        backlogs.get_mut(&quick).unwrap().in_flight = 0;
        turns.look(room(2), &backlogs, now);
    }
    let deep = free(&turns, room(2), 0);
    assert!((27..=30).contains(&deep), "{deep}");
    let narrow = Room {
        chunks_max: 20,
        ..room(2)
    };
    assert_eq!(free(&turns, narrow, 0), 20);
    assert_eq!(free(&turns, narrow, 20), 0);
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
            let taken = turns.share(room(lanes), &backlogs, now).lanes;
            let due: i64 = backlogs.values().map(|b| b.due.len() as i64).sum();
            let all = turns.lots(&backlogs);
            prop_assert_eq!(taken.len() as i64, due.min(turns.free(room(lanes), &backlogs).max(0)));
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

    /// Workers that take from the queue in its order, a tenant whose calls take long and one that is quick: beside a slow
    /// one the quick one is served nearly as if it were alone, beside one whose calls are merely longer as if half the
    /// lanes were its own, and a newcomer is served at once. A slow one alone has its three quarters.
    #[test]
    fn a_slow_tenant_costs_another_nothing(
        lanes in 4i64..12, slowness in 2u64..200, sizes in prop::collection::vec(100i32..=500, 1..20),
    ) {
        let alone = simulate(lanes, &[(1, 1)], &sizes);
        let beside = simulate(lanes, &[(1, 1), (2, slowness)], &sizes);
        let is_slow = (QUICK_MILLIS * slowness) as f64 > SLOW_CALL_SECS * 1e3;
        let kept = if is_slow { 90 } else { 35 };
        prop_assert!(beside.served[&1] * 100 >= alone.served[&1] * kept, "{beside:?} {alone:?}");
        prop_assert!(beside.newcomer_millis <= 1_000, "{beside:?}");
        if is_slow {
            prop_assert!(beside.served.contains_key(&2), "{beside:?}");
            let alone = simulate(lanes, &[(2, slowness)], &sizes);
            let sub_batches = (SIMULATED_MILLIS - SETTLED_MILLIS) / (QUICK_MILLIS * slowness);
            let all = room(lanes).lanes_for_all() * 25 * sub_batches as i64;
            prop_assert!(alone.served[&2] * 100 >= all * 80, "{alone:?} {all}");
            prop_assert!(alone.newcomer_millis <= 1_000, "{alone:?}");
        }
        let equals = simulate(lanes, &[(1, 1), (2, 1)], &sizes);
        let (a, b) = (equals.served[&1], equals.served[&2]);
        prop_assert!((a - b).abs() <= 4 * 500 * lanes + (a + b) / 20, "{a} {b}");
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

/// How long a quick tenant's calls take, of which a sub-batch makes all at once.
const QUICK_MILLIS: u64 = 10;
const SIMULATED_MILLIS: u64 = 20_000;
/// From then on it is counted who is served: slowness is known, and lanes that were taken before are given back.
const SETTLED_MILLIS: u64 = 8_000;
const NEWCOMER: u128 = 99;

#[derive(Debug, Default)]
struct Served {
    served: BTreeMap<u128, i64>,
    newcomer_millis: u64,
}

/// A chunk in flight.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    tenant: u128,
    recipients: i64,
    is_aside: bool,
    queued: u64,
    call_millis: u64,
    /// When a worker took it.
    began: Option<u64>,
}

impl Chunk {
    /// When it ends or is handed back after five seconds, and how many it has served by then.
    fn ends(&self) -> (u64, i64) {
        const SLICE_MILLIS: u64 = 5_000;
        let at_once = if self.is_aside { 5 } else { 25 };
        let all = self.recipients.unsigned_abs().div_ceil(at_once);
        let sub_batches = all.min(SLICE_MILLIS.div_ceil(self.call_millis));
        let served = (sub_batches * at_once).min(self.recipients.unsigned_abs());
        let began = self.began.unwrap_or(u64::MAX / 2);
        (began + sub_batches * self.call_millis, served as i64)
    }

    /// What its worker has told of its calls.
    fn call_secs(&self, millis: u64) -> Option<f64> {
        let is_told = self.began.is_some_and(|began| began + self.call_millis <= millis);
        is_told.then_some(self.call_millis as f64 / 1e3)
    }
}

/// What the dispatcher sees: tenants that always have more, and the newcomer's one chunk.
fn seen(chunks: &[Chunk], tenants: &[(u128, u64)], sizes: &[i32], n: usize, millis: u64) -> Backlogs {
    let mut backlogs = Backlogs::new();
    for (tenant, _) in tenants {
        let sizes = (0..200).map(|i| sizes[(n + i) % sizes.len()]);
        let (flow, mut backlog) = backlog(flow(*tenant, Priority::Normal), 0, sizes);
        (backlog.oldest_secs, backlog.call_secs) = (0.0, None);
        backlogs.insert(flow, backlog);
    }
    for chunk in chunks {
        let backlog = backlogs.entry(flow(chunk.tenant, Priority::Normal)).or_default();
        backlog.call_secs = backlog.call_secs.or(chunk.call_secs(millis));
        if chunk.is_aside {
            backlog.aside += 1;
        } else {
            backlog.in_flight += 1;
            let secs = (millis - chunk.queued) as f64 / 1e3;
            backlog.oldest_secs = backlog.oldest_secs.max(secs);
        }
    }
    backlogs
}

/// A newcomer with one chunk comes after three quarters of the time. Two lanes are a worker with a place aside.
fn simulate(lanes: i64, tenants: &[(u128, u64)], sizes: &[i32]) -> Served {
    // Where the window itself is what is scarce, its places are shared and not the lanes.
    let wide = Room {
        chunks_max: 1_000,
        ..room(lanes)
    };
    let (mut turns, began) = (Turns::default(), Instant::now());
    let mut chunks: Vec<Chunk> = vec![];
    let mut served = Served {
        newcomer_millis: u64::MAX,
        ..Served::default()
    };
    let (mut n, arrives) = (0, SIMULATED_MILLIS * 3 / 4);
    let mut is_there = false;
    for millis in 0..SIMULATED_MILLIS {
        chunks.retain(|chunk| {
            let (end, recipients) = chunk.ends();
            if end <= millis && millis >= SETTLED_MILLIS {
                *served.served.entry(chunk.tenant).or_default() += recipients;
            }
            end > millis
        });
        if millis % 40 == 0 {
            let mut backlogs = seen(&chunks, tenants, sizes, n, millis);
            if millis >= arrives && !is_there {
                backlogs.extend([backlog(flow(NEWCOMER, Priority::Normal), 0, [500])]);
            }
            let shares = turns.share(wide, &backlogs, began + Duration::from_millis(millis));
            let in_lanes = shares.lanes.iter().map(|due| (due, false));
            for (due, is_aside) in in_lanes.chain(shares.aside.iter().map(|due| (due, true))) {
                let tenant = due.chunk.tenant.0.as_u128();
                let slowness = tenants.iter().find(|(t, _)| *t == tenant);
                (n, is_there) = (n + 1, is_there || tenant == NEWCOMER);
                chunks.push(Chunk {
                    tenant,
                    recipients: due.recipients.into(),
                    is_aside,
                    queued: millis,
                    call_millis: QUICK_MILLIS * slowness.map_or(1, |(_, slowness)| *slowness),
                    began: None,
                });
            }
        }
        for (is_aside, places) in [(false, lanes), (true, lanes / 2)] {
            let is_busy = |chunk: &&Chunk| chunk.is_aside == is_aside && chunk.began.is_some();
            let free = (places as usize).saturating_sub(chunks.iter().filter(is_busy).count());
            let waiting = chunks
                .iter_mut()
                .filter(|chunk| chunk.is_aside == is_aside && chunk.began.is_none());
            for chunk in waiting.take(free) {
                chunk.began = Some(millis);
                if chunk.tenant == NEWCOMER {
                    served.newcomer_millis = (millis - arrives).max(1);
                }
            }
        }
    }
    served
}
