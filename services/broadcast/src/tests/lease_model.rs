//! The lease protocol, every order of events: two workers, a queue that doubles and loses hints, leases that end under a
//! worker that is merely slow, crashes anywhere. No two owners write, nobody is lost, and repetitions are bounded.

use stateright::{Checker as _, Model, Property};

use crate::chunk::{Standing, State, Verdict};

const WORKERS: usize = 2;
const SUB_BATCHES: usize = 2;

/// How much may go wrong, and whether writes are fenced by the owner at all.
struct Leases {
    crashes_max: u8,
    slow_max: u8,
    losses_max: u8,
    copies_max: u8,
    is_fenced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    chunk: State,
    epoch: i32,
    owner: Option<u8>,
    is_lease_expired: bool,
    /// Receipts written, and calls made, per sub-batch.
    written: [u8; SUB_BATCHES],
    calls: [u8; SUB_BATCHES],
    /// Epochs; a hint stays until it is acknowledged, and comes to whoever asks.
    hints: Vec<i32>,
    workers: [Option<Work>; WORKERS],
    owners: u8,
    crashes: u8,
    slow: u8,
    losses: u8,
    copies: u8,
}

/// What a worker believes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Work {
    owner: u8,
    epoch: i32,
    left: Vec<usize>,
    /// Its first one is with the channel, or was.
    is_called: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Dispatch,
    Take(usize, usize),
    Call(usize),
    Settle(usize),
    Finish(usize),
    Crash(usize),
    Expire,
    Reconcile,
    Lose(usize),
    Copy(usize),
    Requeue,
}

impl World {
    fn standing(&self) -> Standing {
        Standing {
            state: self.chunk,
            epoch: self.epoch,
            is_lease_expired: self.is_lease_expired,
        }
    }

    fn is_owner_alive(&self) -> bool {
        self.workers
            .iter()
            .flatten()
            .any(|work| Some(work.owner) == self.owner)
    }

    /// The worker has no more to do with it; its hint is acknowledged.
    fn let_go(&mut self, worker: usize) {
        let Some(work) = self.workers[worker].take() else {
            return;
        };
        if let Some(hint) = self.hints.iter().position(|epoch| *epoch == work.epoch) {
            self.hints.remove(hint);
        }
    }

    fn hint(&mut self, epoch: i32) {
        self.hints.push(epoch);
        self.hints.sort_unstable();
    }

    fn take(&mut self, worker: usize, hint: usize) -> bool {
        match self.standing().heed(self.hints[hint]) {
            Verdict::Busy => return false,
            Verdict::Stale => {
                self.hints.remove(hint);
            }
            Verdict::Take => {
                self.owners += 1;
                (self.chunk, self.is_lease_expired, self.owner) = (State::Sending, false, Some(self.owners));
                self.workers[worker] = Some(Work {
                    owner: self.owners,
                    epoch: self.hints[hint],
                    left: (0..SUB_BATCHES).filter(|i| self.written[*i] == 0).collect(),
                    is_called: false,
                });
            }
        }
        true
    }

    fn settle(&mut self, worker: usize, is_fenced: bool) {
        let Some(work) = self.workers[worker].as_mut() else {
            return;
        };
        if is_fenced && self.owner != Some(work.owner) {
            return self.let_go(worker);
        }
        self.written[work.left.remove(0)] += 1;
        work.is_called = false;
        // Settling renews the lease.
        self.is_lease_expired &= self.owner != Some(work.owner);
    }

    fn finish(&mut self, worker: usize) {
        if self.owner == self.workers[worker].as_ref().map(|work| work.owner) {
            (self.chunk, self.owner, self.is_lease_expired) = (State::Done, None, false);
        }
        self.let_go(worker);
    }
}

impl Model for Leases {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            chunk: State::Ready,
            epoch: 0,
            owner: None,
            is_lease_expired: false,
            written: [0; SUB_BATCHES],
            calls: [0; SUB_BATCHES],
            hints: vec![],
            workers: [const { None }; WORKERS],
            owners: 0,
            crashes: 0,
            slow: 0,
            losses: 0,
            copies: 0,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let is_queued_without_hint = world.chunk == State::Queued && !world.hints.contains(&world.epoch);
        let may_expire = !world.is_owner_alive() || world.slow < self.slow_max;
        let of_chunk = [
            (world.chunk == State::Ready, Step::Dispatch),
            (is_queued_without_hint, Step::Requeue),
            (
                world.chunk == State::Sending && !world.is_lease_expired && may_expire,
                Step::Expire,
            ),
            (
                world.chunk == State::Sending && world.is_lease_expired,
                Step::Reconcile,
            ),
        ];
        steps.extend(of_chunk.into_iter().filter(|(may, _)| *may).map(|(_, step)| step));
        for hint in 0..world.hints.len() {
            if world.losses < self.losses_max {
                steps.push(Step::Lose(hint));
            }
            if world.copies < self.copies_max {
                steps.push(Step::Copy(hint));
            }
        }
        for (worker, work) in world.workers.iter().enumerate() {
            match work {
                None => steps.extend((0..world.hints.len()).map(|hint| Step::Take(worker, hint))),
                Some(work) => {
                    steps.push(match (work.left.is_empty(), work.is_called) {
                        (true, _) => Step::Finish(worker),
                        (false, false) => Step::Call(worker),
                        (false, true) => Step::Settle(worker),
                    });
                    if world.crashes < self.crashes_max {
                        steps.push(Step::Crash(worker));
                    }
                }
            }
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        match step {
            Step::Dispatch => {
                (world.chunk, world.epoch) = (State::Queued, world.epoch + 1);
                world.hint(world.epoch);
            }
            Step::Take(worker, hint) => return world.take(worker, hint).then_some(world),
            Step::Call(worker) => {
                let work = world.workers[worker].as_mut()?;
                world.calls[work.left[0]] += 1;
                work.is_called = true;
            }
            Step::Settle(worker) => world.settle(worker, self.is_fenced),
            Step::Finish(worker) => world.finish(worker),
            Step::Crash(worker) => {
                world.workers[worker] = None;
                world.crashes += 1;
            }
            Step::Expire => {
                world.slow += u8::from(world.is_owner_alive());
                world.is_lease_expired = true;
            }
            Step::Reconcile | Step::Requeue => {
                (world.chunk, world.owner, world.is_lease_expired) = (State::Ready, None, false);
            }
            Step::Lose(hint) => {
                world.hints.remove(hint);
                world.losses += 1;
            }
            Step::Copy(hint) => {
                world.hint(world.hints[hint]);
                world.copies += 1;
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("each receipt is written once", |_, world: &World| {
                world.written.iter().all(|writes| *writes <= 1)
            }),
            Property::always("repetitions are bounded", |_, world: &World| {
                world
                    .calls
                    .iter()
                    .all(|calls| *calls <= 1 + world.crashes + world.slow)
            }),
            Property::always("done is done", |_, world: &World| {
                world.chunk != State::Done || world.written == [1; SUB_BATCHES]
            }),
            Property::eventually("nobody is lost", |_, world: &World| world.chunk == State::Done),
            Property::sometimes("something is called twice", |_, world: &World| {
                world.calls.iter().any(|calls| *calls > 1)
            }),
        ]
    }
}

const FAULTS: Leases = Leases {
    crashes_max: 1,
    slow_max: 2,
    losses_max: 1,
    copies_max: 1,
    is_fenced: true,
};

#[test]
fn no_two_owners_write_and_nobody_is_lost() {
    let checker = FAULTS.checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn without_the_fence_the_model_finds_a_double_write() {
    let unfenced = Leases {
        is_fenced: false,
        ..FAULTS
    };
    let checker = unfenced.checker().threads(2).spawn_bfs().join();
    checker.assert_any_discovery("each receipt is written once");
}
