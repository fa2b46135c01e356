//! How the dispatcher shares its window of chunks in flight among the tenants.

use contracts::TenantId;

/// What one tenant has, in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub tenant: TenantId,
    /// Queued or being sent.
    pub in_flight: i64,
    /// Ready to be dispatched.
    pub ready: i64,
}

/// Chunks to dispatch now for each tenant that gets any: one at a time to whoever has the fewest in
/// flight, until the window is full or nothing is ready. A tenant that starts while another
/// one's million is on its way thus waits for one turn, not for the million.
pub(crate) fn share(window_chunks: i64, backlogs: &[Backlog]) -> Vec<(TenantId, i64)> {
    let mut free = window_chunks - backlogs.iter().map(|backlog| backlog.in_flight).sum::<i64>();
    let mut taken = vec![0; backlogs.len()];
    while free > 0 {
        let neediest = (0..backlogs.len())
            .filter(|&i| taken[i] < backlogs[i].ready)
            .min_by_key(|&i| backlogs[i].in_flight + taken[i]);
        let Some(i) = neediest else { break };
        taken[i] += 1;
        free -= 1;
    }
    backlogs
        .iter()
        .zip(taken)
        .filter(|(_, taken)| *taken > 0)
        .map(|(backlog, taken)| (backlog.tenant, taken))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backlog(in_flight: i64, ready: i64) -> Backlog {
        Backlog {
            tenant: TenantId::new(),
            in_flight,
            ready,
        }
    }

    #[test]
    fn a_newcomer_catches_up_first() {
        let (big, small) = (backlog(60, 2000), backlog(0, 2));
        assert_eq!(share(64, &[big, small]), [(big.tenant, 2), (small.tenant, 2)]);
        let even = [backlog(0, 100), backlog(0, 100)];
        assert_eq!(share(64, &even), [(even[0].tenant, 32), (even[1].tenant, 32)]);
        assert_eq!(share(64, &[backlog(64, 5)]), []);
    }

    proptest! {
        #[test]
        fn the_window_is_used_and_never_passed(
            window in 1i64..100,
            lots in prop::collection::vec((0i64..40, 0i64..80), 0..8),
        ) {
            let backlogs: Vec<_> = lots.into_iter().map(|(in_flight, ready)| backlog(in_flight, ready)).collect();
            let shares = share(window, &backlogs);
            let in_flight: i64 = backlogs.iter().map(|b| b.in_flight).sum();
            let ready: i64 = backlogs.iter().map(|b| b.ready).sum();
            let taken: i64 = shares.iter().map(|(_, taken)| taken).sum();
            prop_assert_eq!(taken, ready.min((window - in_flight).max(0)));
            let taken_of = |b: &Backlog| shares.iter().find(|(t, _)| *t == b.tenant).map_or(0, |(_, n)| *n);
            for a in &backlogs {
                prop_assert!(taken_of(a) <= a.ready);
                // Whoever still has something ready is at most one chunk behind whoever got some.
                for b in &backlogs {
                    if taken_of(a) < a.ready && taken_of(b) > 0 && taken > 0 {
                        prop_assert!(a.in_flight + taken_of(a) + 1 >= b.in_flight + taken_of(b));
                    }
                }
            }
        }
    }
}
