//! A chunk: up to 500 recipients of one sending member, the unit of work. Its states, and what a
//! worker makes of a hint to send it.
//!
//! ```text
//!            confirm          dispatch           claim            all recipients terminal
//!  waiting ──────────► ready ──────────► queued ───────► sending ───────────────────────► done
//!     │                  │ ▲                │ │            │  │
//!     │                  │ └────────────────┘─┼────────────┘  └─ lease expired, handed back, hint lost: ready
//!     └──────────────────┴────────────────────┴► cancelled       (cancel while sending: the worker ends the rest;
//!                                                                  pause: queued and sending go back to ready)
//! ```

use std::time::Duration;

use contracts::{BroadcastId, ContactId, TenantId};

/// Where a chunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum State {
    /// The sending member has not confirmed.
    Waiting,
    /// May be dispatched.
    Ready,
    /// A hint of its epoch is, or should be, in the work queue.
    Queued,
    /// A worker holds its lease.
    Sending,
    /// Every recipient has a terminal state.
    Done,
    /// Withdrawn; the recipients left get the terminal state it was withdrawn with.
    Cancelled,
}

impl State {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkKey {
    pub tenant: TenantId,
    pub broadcast: BroadcastId,
    pub n: i32,
}

/// A dispatched chunk: what the work queue carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub chunk: ChunkKey,
    pub epoch: i32,
    /// Its receiver is slow: it is sent beside the lanes.
    pub is_aside: bool,
}

/// A worker's right to send a chunk; a fresh owner for every claim fences all earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub chunk: ChunkKey,
    pub owner: uuid::Uuid,
}

/// What the claim goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub state: State,
    pub epoch: i32,
    pub is_lease_expired: bool,
}

/// What to make of a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Claim the chunk.
    Take,
    /// Another worker is at it; look again later.
    Busy,
    /// The hint has been overtaken; forget it.
    Stale,
}

impl Standing {
    /// A hint counts only for the dispatch it was published for.
    pub(crate) fn heed(&self, hinted_epoch: i32) -> Verdict {
        match self.state {
            State::Queued if self.epoch == hinted_epoch => Verdict::Take,
            State::Sending if self.epoch == hinted_epoch && self.is_lease_expired => Verdict::Take,
            State::Sending if self.epoch == hinted_epoch => Verdict::Busy,
            _ => Verdict::Stale,
        }
    }
}

/// Claims in a row without one committed sub-batch: after `attempts_max` of them the chunk itself
/// is taken to be what kills its workers.
pub(crate) fn is_poison(earlier_attempts: i32, attempts_max: i32) -> bool {
    earlier_attempts >= attempts_max
}

/// Of the sorted recipients still without a terminal state, those that were certainly never handed
/// to the channel. A claim that ended without a word may have handed over its first sub-batch.
pub(crate) fn never_handed(
    unended: &[ContactId],
    earlier_attempts: i32,
    sub_batch_recipients: usize,
) -> &[ContactId] {
    let doubtful = if earlier_attempts == 0 {
        0
    } else {
        sub_batch_recipients.min(unended.len())
    };
    &unended[doubtful..]
}

/// How long a chunk rests after a failed attempt: 1, 2, 4, 8, 16 s.
pub(crate) fn rest_after(attempts: i32) -> Duration {
    Duration::from_secs(1 << attempts.saturating_sub(1).clamp(0, 4))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hint_counts_once_and_only_for_its_epoch() {
        let standing = |state, is_lease_expired| Standing {
            state,
            epoch: 3,
            is_lease_expired,
        };
        assert_eq!(standing(State::Queued, false).heed(3), Verdict::Take);
        assert_eq!(standing(State::Sending, true).heed(3), Verdict::Take);
        assert_eq!(standing(State::Sending, false).heed(3), Verdict::Busy);
        for state in [State::Waiting, State::Ready, State::Done, State::Cancelled] {
            assert_eq!(standing(state, true).heed(3), Verdict::Stale, "{state:?}");
        }
        for state in [State::Queued, State::Sending] {
            assert_eq!(standing(state, true).heed(2), Verdict::Stale, "{state:?}");
            assert_eq!(standing(state, true).heed(4), Verdict::Stale, "{state:?}");
        }
    }

    #[test]
    fn a_silent_claim_casts_doubt_on_one_sub_batch() {
        let unended: Vec<_> = (0..120).map(|_| ContactId::new()).collect();
        assert_eq!(never_handed(&unended, 0, 50).len(), 120);
        assert_eq!(never_handed(&unended, 1, 50), &unended[50..]);
        assert!(never_handed(&unended[..20], 3, 50).is_empty());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Dispatch,
        Deliver(prop::sample::Index),
        LeaseExpires,
        Reconcile,
        HandBack,
        Finish,
        Cancel,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Dispatch),
            5 => any::<prop::sample::Index>().prop_map(Step::Deliver),
            2 => Just(Step::LeaseExpires),
            2 => Just(Step::Reconcile),
            1 => Just(Step::HandBack),
            1 => Just(Step::Finish),
            1 => Just(Step::Cancel),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Hints come late, twice and in any order; leases expire; still nobody takes a chunk that
        /// somebody holds, and none is sent after its end.
        #[test]
        fn one_holder_at_a_time(steps in prop::collection::vec(step(), 1..60)) {
            let mut chunk = Standing { state: State::Ready, epoch: 0, is_lease_expired: false };
            let mut published: Vec<i32> = vec![];
            for step in steps {
                match (step, chunk.state) {
                    (Step::Dispatch, State::Ready) => {
                        chunk.state = State::Queued;
                        chunk.epoch += 1;
                        published.push(chunk.epoch);
                    }
                    (Step::Deliver(which), before) if !published.is_empty() => {
                        let epoch = published[which.index(published.len())];
                        if chunk.heed(epoch) == Verdict::Take {
                            prop_assert!(before == State::Queued || (before == State::Sending && chunk.is_lease_expired));
                            prop_assert_eq!(Some(&epoch), published.last());
                            chunk.state = State::Sending;
                            chunk.is_lease_expired = false;
                            prop_assert_ne!(chunk.heed(epoch), Verdict::Take);
                        }
                    }
                    (Step::LeaseExpires, State::Sending) => chunk.is_lease_expired = true,
                    (Step::Reconcile, State::Queued) => chunk.state = State::Ready,
                    (Step::Reconcile, State::Sending) if chunk.is_lease_expired => chunk.state = State::Ready,
                    (Step::HandBack, State::Sending) => chunk.state = State::Ready,
                    (Step::Finish, State::Sending) => chunk.state = State::Done,
                    (Step::Cancel, State::Ready | State::Queued) => chunk.state = State::Cancelled,
                    _ => {}
                }
            }
        }
    }
}
