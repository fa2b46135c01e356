//! Pausing and resuming: who was not called stays so, nobody is lost, and cancelling works from anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chassis::auth::Role;
use contracts::{BroadcastId, MemberId};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::scene::{Scene, command};
use crate::broadcast::{Kind, Progress, State};
use crate::error::Error;
use crate::ops::{self, Answer};

/// Until when no call starts any more after a pause or a cancellation has answered (V6).
const CALLS_END: Duration = Duration::from_secs(1);
const CHANGES: usize = 50;
const WORKERS: usize = 3;

async fn pause(scene: &Scene, broadcast: BroadcastId) -> Result<Progress, Error> {
    ops::pause(&scene.state, scene.operator(), broadcast).await
}

async fn resume(scene: &Scene, broadcast: BroadcastId) -> Result<Progress, Error> {
    ops::resume(&scene.state, scene.operator(), broadcast).await
}

async fn paced(scene: &Scene, rate_per_s: i32) -> BroadcastId {
    let mut command = command(Kind::Enterprise, "inbox");
    command["rate_per_s"] = rate_per_s.into();
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    scene.resolve().await;
    scene.confirm_all(broadcast).await;
    broadcast
}

#[tokio::test]
async fn a_worker_hands_back_what_is_paused_and_its_caps() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let broadcast = paced(&scene, 20).await;
    let hints = scene.hints().await;
    let (sent, ()) = tokio::join!(scene.send(hints[0]), async {
        testkit::eventually(
            async || match scene.count("select count(*) from inbox_message").await {
                0 => Err("nothing sent"),
                _ => Ok(()),
            },
        )
        .await
        .unwrap();
        let paused = pause(&scene, broadcast).await.unwrap();
        assert_eq!(paused.broadcast.state, State::Paused);
    });
    assert_eq!(sent.unwrap(), Answer::Forget);
    let delivered = scene.progress(broadcast).await.outcomes.delivered;
    assert!((1..90).contains(&delivered), "{delivered}");
    assert_eq!(
        scene.count("select count(*) from cap").await,
        delivered,
        "whom it did not call belongs to others meanwhile"
    );
    assert_eq!(
        scene
            .count("select count(*) from chunk where state = 'ready'")
            .await,
        3
    );
    assert!(scene.hints().await.is_empty(), "nothing of it is dispatched");
    assert_eq!(scene.remaining().await, 0, "workers have nothing before them");
    scene.end().await;
    assert_eq!(scene.progress(broadcast).await.broadcast.state, State::Paused);

    assert_eq!(
        resume(&scene, broadcast).await.unwrap().broadcast.state,
        State::Running
    );
    scene
        .force("update broadcast set rate_per_s = null, paced_to = null")
        .await;
    scene.send_all().await;
    scene.end().await;
    let done = scene.progress(broadcast).await;
    assert_eq!(
        (
            done.broadcast.state,
            done.outcomes.delivered,
            done.outcomes.opted_out
        ),
        (State::Finished, 270, 30)
    );
    scene.check_books().await;
}

#[tokio::test]
async fn a_hint_that_crossed_with_the_pause_goes_back() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let broadcast = scene.start(Kind::Enterprise).await;
    scene.confirm_all(broadcast).await;
    let hint = scene.hints().await[0];
    pause(&scene, broadcast).await.unwrap();
    // As if the dispatcher had been at it just then.
    scene.force("update chunk set state = 'queued' where n = 0").await;
    assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    assert_eq!(
        scene
            .count("select count(*) from chunk where state = 'ready' and attempts = 0")
            .await,
        3
    );
    assert_eq!(scene.count("select count(*) from cap").await, 0);
}

#[tokio::test]
async fn a_paused_audience_goes_on_after_the_last_page_written() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    *scene.customers.breaks.lock().unwrap() = vec![1];
    let command = command(Kind::Enterprise, "inbox");
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    ops::resolve(&scene.state).await.unwrap();
    pause(&scene, broadcast).await.unwrap();
    scene.resolve().await;
    assert_eq!(scene.progress(broadcast).await.audience, 100, "it is held");

    assert_eq!(
        resume(&scene, broadcast).await.unwrap().broadcast.state,
        State::Resolving
    );
    scene.resolve().await;
    let resolved = scene.progress(broadcast).await;
    assert_eq!(
        (resolved.broadcast.state, resolved.audience),
        (State::Running, 300)
    );
}

#[tokio::test]
async fn pausing_twice_is_pausing_once_and_is_for_whom_it_belongs_to() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let broadcast = scene.start(Kind::Enterprise).await;
    let stranger = scene.agent(MemberId::new(), Role::Agent);
    assert!(matches!(
        ops::pause(&scene.state, stranger, broadcast).await,
        Err(Error::OperatorNeeded)
    ));
    assert!(matches!(
        ops::resume(&scene.state, stranger, broadcast).await,
        Err(Error::OperatorNeeded)
    ));
    for _ in 0..2 {
        assert_eq!(
            pause(&scene, broadcast).await.unwrap().broadcast.state,
            State::Paused
        );
    }
    // Members confirm meanwhile, and nothing comes of it before it is resumed.
    scene.confirm_all(broadcast).await;
    assert!(scene.hints().await.is_empty());
    for _ in 0..2 {
        assert_eq!(
            resume(&scene, broadcast).await.unwrap().broadcast.state,
            State::Running
        );
    }
    let changes = "select count(*) from audit_entry where action in ('broadcast.paused', 'broadcast.resumed')
        and actor_kind = 'member'";
    assert_eq!(scene.count(changes).await, 2);
    scene.send_all().await;
    scene.end().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.delivered, 27);
    let late = (pause(&scene, broadcast).await, resume(&scene, broadcast).await);
    assert!(matches!(
        late,
        (Err(Error::BroadcastFinished), Err(Error::BroadcastFinished))
    ));
}

#[tokio::test]
async fn a_paused_one_is_cancelled() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let broadcast = scene.start(Kind::Enterprise).await;
    scene.confirm_all(broadcast).await;
    pause(&scene, broadcast).await.unwrap();
    ops::cancel(&scene.state, scene.operator(), broadcast)
        .await
        .unwrap();
    assert!(matches!(
        resume(&scene, broadcast).await,
        Err(Error::BroadcastCancelled)
    ));
    scene.end().await;
    let done = scene.progress(broadcast).await;
    assert_eq!(
        (done.broadcast.state, done.outcomes.cancelled),
        (State::Cancelled, 27)
    );
    scene.check_books().await;
}

/// What workers do with whatever is dispatched, until told to end.
struct Crew {
    is_over: AtomicBool,
    at_work: AtomicUsize,
}

impl Crew {
    async fn work(&self, scene: &Scene) {
        while !self.is_over.load(Ordering::Acquire) {
            for hint in scene.hints().await {
                self.at_work.fetch_add(1, Ordering::AcqRel);
                scene.send(hint).await.unwrap();
                self.at_work.fetch_sub(1, Ordering::AcqRel);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// V1 and V6, fault 26: whatever the order, nobody is called later than a second after the answer, and in the end
/// everybody has one end.
#[tokio::test]
async fn paused_resumed_and_cancelled_fifty_times_nobody_is_lost_or_called_late() {
    let knobs = ["--chunk-recipients-max", "20", "--sub-batch-recipients", "6"];
    let scene = Scene::new(&knobs).await;
    scene.audience(600);
    let plan = prop::collection::vec((0u64..40, 0usize..3), CHANGES)
        .new_tree(&mut TestRunner::default())
        .unwrap()
        .current();
    println!("{plan:?}");
    let mut broadcasts = vec![];
    for kind in [Kind::Enterprise, Kind::Member, Kind::Member] {
        let mut command = command(kind, "inbox");
        command["rate_per_s"] = 60.into();
        broadcasts.push(scene.accept(command).await.unwrap().broadcast_id);
    }
    scene.resolve().await;
    for broadcast in &broadcasts {
        scene.confirm_all(*broadcast).await;
    }
    let crew = Arc::new(Crew {
        is_over: AtomicBool::new(false),
        at_work: AtomicUsize::new(0),
    });
    let control = async {
        for (n, (wait_millis, which)) in plan.into_iter().enumerate() {
            tokio::time::sleep(Duration::from_millis(wait_millis)).await;
            let broadcast = broadcasts[which];
            // The last change but a few cancels one of them for good.
            let answered = match n {
                45 => ops::cancel(&scene.state, scene.operator(), broadcast).await,
                _ => pause(&scene, broadcast).await,
            };
            if answered.is_ok() {
                stands_still(&scene, broadcast).await;
            }
            let _ = resume(&scene, broadcast).await;
        }
        scene
            .force("update broadcast set rate_per_s = null, paced_to = null")
            .await;
        for broadcast in &broadcasts {
            testkit::eventually(async || {
                scene.end().await;
                let progress = scene.progress(*broadcast).await;
                let is_over = matches!(progress.broadcast.state, State::Finished | State::Cancelled);
                is_over.then_some(()).ok_or(format!("{progress:?}"))
            })
            .await
            .unwrap();
        }
        crew.is_over.store(true, Ordering::Release);
    };
    let workers = futures::future::join_all((0..WORKERS).map(|_| crew.work(&scene)));
    tokio::join!(control, workers);
    for broadcast in broadcasts {
        let done = scene.progress(broadcast).await;
        assert_eq!(done.outcomes.total(), done.audience, "one end each: {done:?}");
    }
    scene.check_books().await;
}

/// No worker holds anything of it soon, and what has been delivered by then stays all.
async fn stands_still(scene: &Scene, broadcast: BroadcastId) {
    let delivered = async || scene.progress(broadcast).await.outcomes.delivered;
    let held = async || {
        sqlx::query_scalar::<_, i64>(
            "select count(*) from chunk where broadcast_id = $1 and state = 'sending'",
        )
        .bind(broadcast.0)
        .fetch_one(&scene.test.superuser)
        .await
        .unwrap()
    };
    testkit::eventually_within(CALLS_END, async || match held().await {
        0 => Ok(()),
        held => Err(format!("a worker goes on with {held} chunks")),
    })
    .await
    .unwrap();
    let so_far = delivered().await;
    tokio::task::yield_now().await;
    assert_eq!(delivered().await, so_far);
}
