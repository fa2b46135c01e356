//! No interleaving of confirmations, retries, crashes, cancellations and changes of the limits gives a contact more than the
//! limits allow, or a recipient two ends, or none (D74–D77, D102).

use contracts::BroadcastId;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::crash::LEASES_EXPIRE;
use super::policy;
use super::scene::Scene;
use crate::broadcast::{Kind, State};
use crate::cap::{Limit, Scope, Window};
use crate::channel::{Delivered, Delivery};
use crate::chunk::Hint;
use crate::grip::{Grip, Released};
use crate::ops::settle::settle;
use crate::ops::{self, Claimed};
use crate::outcome::Outcome;

const HISTORIES: usize = 12;

#[derive(Clone, Debug)]
enum Step {
    Start(Kind),
    Confirm(Index, Index),
    Dispatch,
    /// A hint, perhaps an old one, is worked off.
    Send(Index),
    /// A worker hands over some sub-batches, settles all but the last, and dies.
    Crash(Index, usize),
    /// The next worker on a chunk, perhaps after a dead one, is told to stop before it has handed over anything.
    Interrupt(Index, Why),
    LeasesExpire,
    HintsGetLost,
    Cancel(Index),
    Pause(Index),
    Resume(Index),
    TaskExpires(Index),
    /// Another limit, from tomorrow on.
    Limit(Scope, Option<Limit>),
    AWeekPasses,
    End,
}

/// What interrupts a worker.
#[derive(Clone, Copy, Debug)]
enum Why {
    Cancelled,
    Paused,
    Draining,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        2 => Just(Step::Start(Kind::Enterprise)),
        2 => Just(Step::Start(Kind::Member)),
        6 => (index(), index()).prop_map(|(which, task)| Step::Confirm(which, task)),
        6 => Just(Step::Dispatch),
        8 => index().prop_map(Step::Send),
        5 => (index(), 0usize..3).prop_map(|(which, settled)| Step::Crash(which, settled)),
        4 => (index(), prop::sample::select(vec![Why::Cancelled, Why::Paused, Why::Draining]))
            .prop_map(|(which, why)| Step::Interrupt(which, why)),
        2 => Just(Step::LeasesExpire),
        1 => Just(Step::HintsGetLost),
        1 => index().prop_map(Step::Cancel),
        2 => index().prop_map(Step::Pause),
        3 => index().prop_map(Step::Resume),
        1 => index().prop_map(Step::TaskExpires),
        2 => (scope(), prop::option::of(limit())).prop_map(|(scope, limit)| Step::Limit(scope, limit)),
        2 => Just(Step::AWeekPasses),
        2 => Just(Step::End),
    ]
}

fn scope() -> impl Strategy<Value = Scope> {
    prop::sample::select(Scope::ALL.to_vec())
}

/// Days and weeks stay what they are when a week passes; of a month that can't be said.
fn limit() -> impl Strategy<Value = Limit> {
    (0..4, 1..3).prop_map(|(window, sends_max)| match window {
        0 => policy::limit(Window::Day, sends_max, None),
        1 => policy::limit(Window::IsoWeek, sends_max, None),
        2 => policy::limit(Window::RollingDays, sends_max, Some(2)),
        _ => policy::limit(Window::RollingDays, sends_max, Some(10)),
    })
}

/// What has been started and published so far.
struct History {
    scene: Scene,
    broadcasts: Vec<BroadcastId>,
    hints: Vec<Hint>,
}

impl History {
    async fn take(&mut self, step: Step) {
        let scene = &self.scene;
        match step {
            Step::Start(kind) => self.broadcasts.push(scene.start(kind).await),
            Step::Confirm(which, task) if !self.broadcasts.is_empty() => {
                let tasks = scene
                    .tasks(self.broadcasts[which.index(self.broadcasts.len())])
                    .await;
                if !tasks.is_empty() {
                    // Refused when it comes too late, which is right.
                    let _ = scene.confirm(&tasks[task.index(tasks.len())], &[]).await;
                }
            }
            Step::Dispatch => self.hints.extend(scene.hints().await),
            Step::Send(which) if !self.hints.is_empty() => {
                scene
                    .send(self.hints[which.index(self.hints.len())])
                    .await
                    .unwrap();
            }
            Step::Crash(which, settled) if !self.hints.is_empty() => {
                self.crash(self.hints[which.index(self.hints.len())], settled)
                    .await;
            }
            Step::Interrupt(which, why) if !self.hints.is_empty() => {
                self.interrupt(self.hints[which.index(self.hints.len())], why)
                    .await;
            }
            Step::LeasesExpire => scene.force(LEASES_EXPIRE).await,
            Step::HintsGetLost => {
                scene
                    .force("update chunk set state = 'ready' where state = 'queued'")
                    .await
            }
            Step::Cancel(which) if !self.broadcasts.is_empty() => {
                let broadcast = self.broadcasts[which.index(self.broadcasts.len())];
                let _ = ops::cancel(&scene.state, scene.operator(), broadcast).await;
            }
            Step::Pause(which) if !self.broadcasts.is_empty() => {
                let broadcast = self.broadcasts[which.index(self.broadcasts.len())];
                let _ = ops::pause(&scene.state, scene.operator(), broadcast).await;
            }
            Step::Resume(which) if !self.broadcasts.is_empty() => {
                let broadcast = self.broadcasts[which.index(self.broadcasts.len())];
                let _ = ops::resume(&scene.state, scene.operator(), broadcast).await;
            }
            Step::TaskExpires(which) if !self.broadcasts.is_empty() => {
                let broadcast = self.broadcasts[which.index(self.broadcasts.len())];
                sqlx::query(
                    "update task set expires_at = now() - interval '1 second' where broadcast_id = $1",
                )
                .bind(broadcast.0)
                .execute(&scene.test.superuser)
                .await
                .unwrap();
            }
            Step::Limit(scope, limit) => scene.limit(scope, 1, limit).await,
            Step::AWeekPasses => scene.a_week_passes().await,
            Step::End => scene.end().await,
            _ => {}
        }
    }

    /// Sub-batches of three: `settled` of them with receipts, one more handed over without.
    async fn crash(&self, hint: Hint, settled: usize) {
        let Claimed::Chunk(claim) = ops::claim(&self.scene.state, hint).await.unwrap() else {
            return;
        };
        for (i, contacts) in claim.allowed.chunks(3).take(settled + 1).enumerate() {
            self.scene.hand_over(&claim.mailing, contacts).await;
            if i < settled {
                let delivery = |&contact| Delivery {
                    contact,
                    outcome: Outcome::Delivered,
                    is_handed: true,
                    failure: None,
                };
                let delivered = Delivered {
                    deliveries: contacts.iter().map(delivery).collect(),
                    ..Delivered::default()
                };
                settle(&self.scene.state, &claim, &delivered).await.unwrap();
            }
        }
    }

    /// The worker itself, and its pulse has brought bad news between claim and first call.
    async fn interrupt(&self, hint: Hint, why: Why) {
        self.scene.force(LEASES_EXPIRE).await;
        let Claimed::Chunk(claim) = ops::claim(&self.scene.state, hint).await.unwrap() else {
            return;
        };
        if claim.allowed.is_empty() {
            return;
        }
        let (state, operator, broadcast) = (&self.scene.state, self.scene.operator(), hint.chunk.broadcast);
        let told = match why {
            Why::Cancelled => {
                let _ = ops::cancel(state, operator, broadcast).await;
                Released::Cancelled
            }
            Why::Paused => {
                let _ = ops::pause(state, operator, broadcast).await;
                Released::Paused
            }
            Why::Draining => Released::Draining,
        };
        self.scene.work_off(&claim, &Grip::released_as(told)).await;
    }

    /// Everything recovers and comes to its end.
    async fn finish(&mut self) {
        for broadcast in &self.broadcasts {
            let _ = ops::resume(&self.scene.state, self.scene.operator(), *broadcast).await;
            for task in self.scene.tasks(*broadcast).await {
                let _ = self.scene.confirm(&task, &[]).await;
            }
        }
        self.scene
            .force(
                "update chunk set state = 'ready', lease_owner = null, lease_until = null
                 where state in ('queued', 'sending')",
            )
            .await;
        self.scene.send_all().await;
        self.scene.end().await;
    }

    async fn check(&self) {
        for broadcast in &self.broadcasts {
            let progress = self.scene.progress(*broadcast).await;
            assert!(
                matches!(progress.broadcast.state, State::Finished | State::Cancelled),
                "{progress:?}"
            );
            assert_eq!(
                progress.outcomes.total(),
                progress.audience,
                "one end each: {progress:?}"
            );
        }
        self.scene.check_limits().await;
        let unreceived = "select count(*) from receipt r where state = 'delivered' and not exists (
            select from inbox_message m where m.broadcast_id = r.broadcast_id and m.contact_id = r.contact_id)";
        assert_eq!(self.scene.count(unreceived).await, 0, "delivered, but not there");
        let uncapped = "select count(*) from inbox_message m where broadcast_id is not null and not exists (
            select from cap c where c.broadcast_id = m.broadcast_id and c.contact_id = m.contact_id)
            and not exists (select from cap_tally t
              where m.broadcast_id = any(t.broadcast_ids) and t.contact_id = m.contact_id)";
        assert_eq!(
            self.scene.count(uncapped).await,
            0,
            "handed over without holding the cap"
        );
    }
}

#[tokio::test]
async fn no_history_breaks_a_cap_or_loses_anybody() {
    let mut runner = TestRunner::default();
    for _ in 0..HISTORIES {
        let steps = prop::collection::vec(step(), 20..60)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        println!("{steps:?}");
        let scene = Scene::new(&[
            "--chunk-recipients-max",
            "10",
            "--sub-batch-recipients",
            "3",
            "--worker-chunks-max",
            "1",
            "--window-chunks",
            "5",
        ])
        .await;
        scene.audience(60);
        let mut history = History {
            scene,
            broadcasts: vec![],
            hints: vec![],
        };
        for step in steps {
            history.take(step).await;
        }
        history.finish().await;
        history.check().await;
    }
}
