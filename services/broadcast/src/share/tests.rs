//! Sharing, over made-up backlogs.

use contracts::BroadcastId;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

mod simulated;

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
        is_slow: false,
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
    turns.free(
        room,
        &[backlog(flow(1, Priority::Normal), in_flight, [])].into(),
        false,
    )
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
        let mut backlogs: Backlogs =
            [backlog(slow, 0, [500; 64]), backlog(quick, 0, vec![500; wanted])].into();
        backlogs.get_mut(&slow).unwrap().is_slow = true;
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
        backlog.is_slow = true;
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
    assert!(
        turns.share(room(8), &backlogs, now).aside.is_empty(),
        "both are taken"
    );
}

#[test]
fn what_is_urgent_of_a_slow_tenant_goes_first_aside_and_takes_no_other_tenants_turn() {
    let [bulk, urgent, other] = [
        flow(1, Priority::Bulk),
        flow(1, Priority::Urgent),
        flow(2, Priority::Bulk),
    ];
    let mut backlogs: Backlogs = [bulk, urgent, other]
        .map(|flow| backlog(flow, 0, [500; 8]))
        .into();
    for backlog in backlogs.values_mut() {
        backlog.is_slow = true;
    }
    backlogs.extend([backlog(flow(3, Priority::Normal), 0, [500; 64])]); // wants all lanes
    let now = Instant::now();
    let aside = experienced(&backlogs, now).share(room(32), &backlogs, now).aside;
    let counts = [bulk, urgent, other].map(|flow| of(&aside, flow, &backlogs));
    assert_eq!(counts, [0, 4, 4]);
}

#[test]
fn the_queue_is_as_deep_as_chunks_end_quickly() {
    let (quick, mut now) = (flow(1, Priority::Normal), Instant::now());
    let mut turns = Turns::default();
    let mut backlogs: Backlogs = [backlog(quick, 0, [500; 64])].into();
    assert_eq!(
        turns.share(room(0), &backlogs, now).lanes.len(),
        1,
        "somebody may come"
    );
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
            prop_assert_eq!(taken.len() as i64, due.min(turns.free(room(lanes), &backlogs, false).max(0)));
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

fn of_in_order(taken: &[Due], flow: Flow) -> Vec<Due> {
    let broadcast = backlog(flow, 0, [1]).1.due[0].chunk.broadcast;
    taken
        .iter()
        .copied()
        .filter(|due| due.chunk.broadcast == broadcast)
        .collect()
}
