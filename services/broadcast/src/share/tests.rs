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
    let deep = turns.free(room(2), 0);
    assert!((27..=30).contains(&deep), "{deep}");
    let narrow = Room {
        lanes: 2,
        chunks_max: 20,
    };
    assert_eq!(turns.free(narrow, 0), 20);
    assert_eq!(turns.free(narrow, 20), 0);
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
            prop_assert_eq!(taken.len() as i64, due.min(turns.free(room(lanes), in_flight).max(0)));
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
            if millis >= arrives && served.newcomer_millis == 0 && !queue.iter().any(|(t, ..)| *t == NEWCOMER)
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
