//! Sharing among tenants whose chunks simulated workers send.

use super::*;

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
        let is_slow = QUICK_MILLIS * slowness > SLOW_CALL_MILLIS;
        let kept = if is_slow { 90 } else { 33 };
        prop_assert!(beside.served[&1] * 100 >= alone.served[&1] * kept, "{beside:?} {alone:?}");
        prop_assert!(beside.newcomer_millis <= 1_000, "{beside:?}");
        if is_slow {
            prop_assert!(beside.served[&2] > 0, "{beside:?}");
            let alone = simulate(lanes, &[(2, slowness)], &sizes);
            let sub_batches = (SIMULATED_MILLIS - SETTLED_MILLIS) / (QUICK_MILLIS * slowness);
            let all = room(lanes).lanes_for_all().unsigned_abs() * 22 * sub_batches;
            prop_assert!(alone.served[&2] * 100 >= all * 70, "{alone:?} {all}");
            prop_assert!(alone.newcomer_millis <= 1_000, "{alone:?}");
        }
        let equals = simulate(lanes, &[(1, 1), (2, 1)], &sizes);
        let (a, b) = (equals.served[&1], equals.served[&2]);
        prop_assert!(a.abs_diff(b) <= 4 * 500 * lanes.unsigned_abs() + (a + b) / 20, "{a} {b}");
    }
}

/// Workers tell of longer calls while they last, and are believed for so long.
const SLOW_CALL_MILLIS: u64 = 1_000;
const SLOW_FOR_MILLIS: u64 = 10_000;
/// How long a quick tenant's calls take, of which a sub-batch makes all at once.
const QUICK_MILLIS: u64 = 10;
const SIMULATED_MILLIS: u64 = 20_000;
/// From then on it is counted who is served: slowness is known, and lanes that were taken before are given back.
const SETTLED_MILLIS: u64 = 8_000;
const NEWCOMER: u128 = 99;

#[derive(Debug, Default)]
struct Served {
    served: BTreeMap<u128, u64>,
    newcomer_millis: u64,
}

/// A chunk in flight.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    tenant: u128,
    recipients: u64,
    is_aside: bool,
    queued: u64,
    call_millis: u64,
    /// When a worker took it.
    began: Option<u64>,
}

impl Chunk {
    fn at_once(&self) -> u64 {
        if self.is_aside { 5 } else { 22 }
    }

    /// Between two sub-batches it is handed back after five seconds.
    fn sub_batches(&self) -> u64 {
        const SLICE_MILLIS: u64 = 5_000;
        let all = self.recipients.div_ceil(self.at_once());
        all.min(SLICE_MILLIS.div_ceil(self.call_millis))
    }

    fn ends(&self) -> u64 {
        self.began
            .map_or(u64::MAX, |began| began + self.sub_batches() * self.call_millis)
    }

    /// How many it has served by then.
    fn served(&self, by: u64) -> u64 {
        let began = self.began.unwrap_or(u64::MAX);
        let sub_batches = (by.saturating_sub(began) / self.call_millis).min(self.sub_batches());
        (sub_batches * self.at_once()).min(self.recipients)
    }

    /// And since it is counted.
    fn counted(&self, by: u64) -> u64 {
        self.served(by) - self.served(SETTLED_MILLIS.min(by))
    }

    /// Whether its worker tells now that the calls under way are slow.
    fn tells(&self, millis: u64) -> bool {
        let since = self.began.map(|began| (millis - began) % self.call_millis);
        since == Some(SLOW_CALL_MILLIS)
    }
}

/// What the dispatcher sees: tenants that always have more, and the newcomer's one chunk.
fn seen(chunks: &[Chunk], tenants: &[(u128, u64)], sizes: &[i32], n: usize, millis: u64) -> Backlogs {
    let mut backlogs = Backlogs::new();
    for (tenant, _) in tenants {
        let sizes = (0..200).map(|i| sizes[(n + i) % sizes.len()]);
        let (flow, mut backlog) = backlog(flow(*tenant, Priority::Normal), 0, sizes);
        backlog.oldest_secs = 0.0;
        backlogs.insert(flow, backlog);
    }
    for chunk in chunks {
        let backlog = backlogs.entry(flow(chunk.tenant, Priority::Normal)).or_default();
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
    let mut slow_until: BTreeMap<u128, u64> = BTreeMap::new();
    for millis in 0..SIMULATED_MILLIS {
        chunks.retain(|chunk| {
            let is_over = chunk.ends() <= millis;
            if is_over {
                *served.served.entry(chunk.tenant).or_default() += chunk.counted(millis);
            }
            !is_over
        });
        for chunk in chunks.iter().filter(|chunk| chunk.tells(millis)) {
            slow_until.insert(chunk.tenant, millis + SLOW_FOR_MILLIS);
        }
        if millis % 40 == 0 {
            let mut backlogs = seen(&chunks, tenants, sizes, n, millis);
            if millis >= arrives && !is_there {
                backlogs.extend([backlog(flow(NEWCOMER, Priority::Normal), 0, [500])]);
            }
            for (tenant, until) in &slow_until {
                let slow = backlogs.get_mut(&flow(*tenant, Priority::Normal));
                slow.into_iter()
                    .for_each(|backlog| backlog.is_slow = millis < *until);
            }
            let shares = turns.share(wide, &backlogs, began + Duration::from_millis(millis));
            let in_lanes = shares.lanes.iter().map(|due| (due, false));
            for (due, is_aside) in in_lanes.chain(shares.aside.iter().map(|due| (due, true))) {
                let tenant = due.chunk.tenant.0.as_u128();
                let slowness = tenants.iter().find(|(t, _)| *t == tenant);
                (n, is_there) = (n + 1, is_there || tenant == NEWCOMER);
                chunks.push(Chunk {
                    tenant,
                    recipients: due.recipients.unsigned_abs().into(),
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
    for chunk in chunks {
        *served.served.entry(chunk.tenant).or_default() += chunk.counted(SIMULATED_MILLIS);
    }
    served
}
