//! Workers that die, sleep or meet: nothing lost, nothing twice in effect.

use crate::broadcast::Kind;
use crate::channel::{Delivered, Delivery};
use crate::chunk::Hint;
use crate::error::Error;
use crate::grip::{Grip, Released};
use crate::ops::settle::settle;
use crate::ops::{self, Answer, Claim, Claimed};
use crate::outcome::Outcome;

use super::scene::Scene;

async fn claimed(scene: &Scene, hint: Hint) -> Box<Claim> {
    match ops::claim(&scene.state, hint).await.unwrap() {
        Claimed::Chunk(claim) => claim,
        Claimed::Stale => panic!("stale"),
        Claimed::Later(_) => panic!("later"),
    }
}

fn delivered(claim: &Claim, recipients: usize) -> Delivered {
    let delivery = |&contact| Delivery {
        contact,
        outcome: Outcome::Delivered,
        is_handed: true,
        failure: None,
    };
    Delivered {
        deliveries: claim.allowed[..recipients].iter().map(delivery).collect(),
        ..Delivered::default()
    }
}

async fn one_chunk(scene: &Scene) -> Hint {
    let broadcast = scene.start(Kind::Member).await;
    scene.confirm_all(broadcast).await;
    scene.hints().await[0]
}

pub(super) const LEASES_EXPIRE: &str =
    "update chunk set lease_until = now() - interval '1 second' where state = 'sending'";

#[tokio::test]
async fn a_dead_worker_costs_nothing() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let hint = one_chunk(&scene).await;
    let dead = claimed(&scene, hint).await;
    assert_eq!(dead.allowed.len(), 90);
    settle(&scene.state, &dead, &delivered(&dead, 50)).await.unwrap();
    // It died here, its second sub-batch handed over without receipts.
    assert!(
        matches!(scene.send(hint).await.unwrap(), Answer::Again(_)),
        "the lease still stands"
    );
    scene.force(LEASES_EXPIRE).await;

    assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    assert_eq!(
        scene.send(hint).await.unwrap(),
        Answer::Forget,
        "a hint that comes twice"
    );
    scene.end().await;
    assert_eq!(scene.progress(hint.chunk.broadcast).await.outcomes.delivered, 90);
    assert_eq!(
        scene.count("select count(*) from inbox_message").await,
        40,
        "sent once each"
    );
    scene.check_books().await;
}

#[tokio::test]
async fn a_worker_that_slept_changes_nothing() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let hint = one_chunk(&scene).await;
    let asleep = claimed(&scene, hint).await;
    scene.force(LEASES_EXPIRE).await;
    let awake = claimed(&scene, hint).await;
    assert_eq!(
        asleep.allowed, awake.allowed,
        "the caps are the mass message's own"
    );

    let late = settle(&scene.state, &asleep, &delivered(&asleep, 50)).await;
    assert!(matches!(late, Err(Error::LeaseLost)));
    assert_eq!(
        scene
            .count("select count(*) from receipt where state = 'delivered'")
            .await,
        0
    );
    settle(&scene.state, &awake, &delivered(&awake, 50))
        .await
        .unwrap();
    assert_eq!(
        scene
            .count("select count(*) from receipt where state = 'delivered'")
            .await,
        50
    );
}

#[tokio::test]
async fn a_lease_that_ran_out_and_nobody_took_is_given_back() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let hint = one_chunk(&scene).await;
    let claim = claimed(&scene, hint).await;
    scene.force(LEASES_EXPIRE).await;
    scene.work_off(&claim, &Grip::released_as(Released::Lost)).await;
    let again = scene.hints().await[0];
    assert_eq!((again.chunk, again.epoch), (hint.chunk, hint.epoch + 1));
    assert_eq!(scene.send(again).await.unwrap(), Answer::Forget);
    assert_eq!(scene.progress(hint.chunk.broadcast).await.outcomes.delivered, 90);
    scene.check_books().await;
}

#[tokio::test]
async fn an_expired_lease_is_dispatched_anew_and_the_old_hint_is_stale() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let hint = one_chunk(&scene).await;
    claimed(&scene, hint).await;
    scene.force(LEASES_EXPIRE).await;
    let mut tx = scene.state.db.begin_everyone().await.unwrap();
    assert_eq!(crate::store::dispatch::expire_leases(&mut *tx).await.unwrap(), 1);
    tx.commit().await.unwrap();

    let again = scene.hints().await[0];
    assert_eq!((again.chunk, again.epoch), (hint.chunk, hint.epoch + 1));
    assert!(matches!(
        ops::claim(&scene.state, hint).await.unwrap(),
        Claimed::Stale
    ));
    assert_eq!(scene.send(again).await.unwrap(), Answer::Forget);
    assert_eq!(scene.progress(hint.chunk.broadcast).await.outcomes.delivered, 90);
}

#[tokio::test]
async fn the_reconciler_waits_for_nobody() {
    let scene = Scene::new(&["--chunk-recipients-max", "10"]).await;
    scene.audience(60);
    let broadcast = scene.start(Kind::Member).await;
    scene.confirm_all(broadcast).await;
    let hints = scene.hints().await;
    assert_eq!(hints.len(), 2);
    for hint in &hints {
        claimed(&scene, *hint).await;
    }
    scene.force(LEASES_EXPIRE).await;
    let mut busy = scene.state.db.begin(scene.tenant).await.unwrap();
    crate::store::lease::lock(&mut *busy, hints[0].chunk, 3_600.0)
        .await
        .unwrap();
    let mut tx = scene.state.db.begin_everyone().await.unwrap();
    assert_eq!(crate::store::dispatch::expire_leases(&mut *tx).await.unwrap(), 1);
}

#[tokio::test]
async fn a_lost_hint_is_dispatched_anew() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let hint = one_chunk(&scene).await;
    let requeue = async |hints, was_short| {
        ops::reconcile::requeue(&scene.state, hints, was_short)
            .await
            .unwrap()
    };
    assert!(requeue(0, true).await);
    assert!(
        scene.hints().await.is_empty(),
        "it is not missing for long enough"
    );
    scene
        .force("update chunk set queued_at = queued_at - interval '61 seconds'")
        .await;
    assert!(!requeue(1, true).await);
    assert!(requeue(0, false).await);
    assert!(scene.hints().await.is_empty(), "it may be about to be published");
    assert!(requeue(0, true).await);
    assert_eq!(scene.hints().await[0].epoch, hint.epoch + 1);
}

#[tokio::test]
async fn what_kills_its_workers_is_dead_after_five_attempts() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let hint = one_chunk(&scene).await;
    for _ in 0..5 {
        assert_eq!(claimed(&scene, hint).await.allowed.len(), 90);
        scene.force(LEASES_EXPIRE).await;
    }
    assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    scene.end().await;
    let outcomes = scene.progress(hint.chunk.broadcast).await.outcomes;
    assert_eq!(
        (outcomes.dead, outcomes.opted_out, outcomes.total()),
        (90, 10, 100)
    );
    // The first sub-batch may have been handed over; the others were not, and may be sent to today.
    let doubtful = scene.state.knobs.sub_batch_recipients();
    assert_eq!(scene.count("select count(*) from cap").await, doubtful as i64);
    scene.check_books().await;
}

#[tokio::test]
async fn what_a_dead_worker_may_have_sent_keeps_its_cap() {
    for why in [Released::Cancelled, Released::Draining] {
        let scene = Scene::new(&[]).await;
        scene.audience(300);
        let hint = one_chunk(&scene).await;
        let dead = claimed(&scene, hint).await;
        let doubtful = scene.state.knobs.sub_batch_recipients();
        scene.hand_over(&dead.mailing, &dead.allowed[..doubtful]).await;
        scene.force(LEASES_EXPIRE).await;

        // The next worker is told to stop before its first call, and then the mass message is cancelled.
        let next = claimed(&scene, hint).await;
        if why == Released::Draining {
            scene.work_off(&next, &Grip::released_as(why)).await;
        }
        ops::cancel(&scene.state, scene.operator(), hint.chunk.broadcast)
            .await
            .unwrap();
        if why == Released::Cancelled {
            scene.work_off(&next, &Grip::released_as(why)).await;
        }
        scene.end().await;
        assert_eq!(
            scene.progress(hint.chunk.broadcast).await.outcomes.cancelled,
            90,
            "{why:?}"
        );
        assert_eq!(
            scene.count("select count(*) from cap").await,
            doubtful as i64,
            "{why:?}"
        );
    }
}

#[tokio::test]
async fn a_settled_sub_batch_ends_the_doubt() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let hint = one_chunk(&scene).await;
    claimed(&scene, hint).await;
    scene.force(LEASES_EXPIRE).await;
    assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    assert_eq!(
        scene
            .count("select count(*) from chunk where state = 'done' and attempts = 0")
            .await,
        1
    );
}

#[tokio::test]
async fn progress_makes_an_attempt_the_first_again() {
    let scene = Scene::new(&["--chunk-attempts-max", "2"]).await;
    scene.audience(300);
    let hint = one_chunk(&scene).await;
    for round in 0..3 {
        let claim = claimed(&scene, hint).await;
        assert_eq!(claim.allowed.len(), 90 - 20 * round);
        settle(&scene.state, &claim, &delivered(&claim, 20))
            .await
            .unwrap();
        scene.force(LEASES_EXPIRE).await;
    }
    assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    assert_eq!(scene.progress(hint.chunk.broadcast).await.outcomes.delivered, 90);
}

#[tokio::test]
async fn the_window_is_shared_by_the_tenants() {
    let mut scene = Scene::new(&["--chunk-recipients-max", "10", "--window-chunks", "8"]).await;
    scene.audience(300);
    let big = one_chunk_of_many(&scene).await;
    assert_eq!(scene.hints().await.len(), 6, "a quarter is left for others");
    assert!(scene.hints().await.is_empty(), "the window is full");
    let first = scene.tenant;
    scene.tenant = contracts::TenantId::new();
    scene.verify(scene.tenant, "Asia/Shanghai").await;
    let small = one_chunk_of_many(&scene).await;
    scene
        .force("update chunk set state = 'ready' where state = 'queued' and n < 3")
        .await;
    let next = scene.hints().await;
    let of = |tenant| next.iter().filter(|hint| hint.chunk.tenant == tenant).count();
    assert_eq!(
        (next.len(), of(first) <= 1),
        (3, true),
        "the newcomer gets its part first"
    );
    assert_ne!(big, small);
}

async fn one_chunk_of_many(scene: &Scene) -> contracts::BroadcastId {
    let broadcast = scene.start(Kind::Enterprise).await;
    scene.confirm_all(broadcast).await;
    broadcast
}
