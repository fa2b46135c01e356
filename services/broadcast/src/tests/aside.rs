//! Chunks of a slow receiver: workers tell of it, and they are dispatched aside and sent a few recipients at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use testkit::eventually;
use tokio::net::TcpListener;

use super::scene::{Scene, command};
use super::webhooks::Receiver;
use crate::broadcast::{ChannelName, Kind};
use crate::chunk::Hint;
use crate::ops::{self, Answer, Claimed};
use crate::share::Turns;
use crate::store;

const LANES: i64 = 4;
/// Of four lanes a quarter is kept from whoever is unknown, or slow.
const LANES_FOR_ALL: usize = 3;

async fn queue_up(scene: &Scene, turns: &mut Turns, hints_held: i64) -> Vec<Hint> {
    ops::dispatch::queue_up(&scene.state, turns, hints_held)
        .await
        .unwrap()
}

async fn is_slow(scene: &Scene, channel: ChannelName) {
    let mut tx = scene.state.db.begin(scene.tenant).await.unwrap();
    store::receiver::is_slow(&mut *tx, scene.tenant, channel)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// The hints of a mass message by webhook, to so many.
async fn by_webhook(scene: &Scene, url: &str, contacts: usize) -> Vec<Hint> {
    scene.audience(contacts);
    scene.set_webhook(url).await;
    let accepted = scene.accept(command(Kind::Enterprise, "webhook")).await;
    scene.resolve().await;
    scene.confirm_all(accepted.unwrap().broadcast_id).await;
    scene.hints().await
}

#[tokio::test]
async fn what_is_slow_goes_aside_once_its_lanes_are_taken() {
    let scene = Scene::new(&["--chunk-recipients-max", "5"]).await;
    scene.audience(90);
    let broadcast = scene.start(Kind::Enterprise).await;
    scene.confirm_all(broadcast).await;
    let mut turns = Turns::default();
    let hints = queue_up(&scene, &mut turns, LANES).await;
    assert_eq!(hints.len(), LANES_FOR_ALL);
    assert!(hints.iter().all(|hint| !hint.is_aside), "nobody knows yet");
    assert!(queue_up(&scene, &mut turns, LANES).await.is_empty());

    is_slow(&scene, ChannelName::Webhook).await;
    assert!(
        queue_up(&scene, &mut turns, LANES).await.is_empty(),
        "of another channel"
    );
    is_slow(&scene, ChannelName::Inbox).await;
    let aside = queue_up(&scene, &mut turns, LANES).await;
    let aside = match aside.as_slice() {
        [hint] if hint.is_aside => *hint,
        other => panic!("{other:?}"),
    };
    // It holds a hint as a lane does, and is none.
    assert!(queue_up(&scene, &mut turns, LANES + 1).await.is_empty());

    let Claimed::Chunk(claim) = ops::claim(&scene.state, aside).await.unwrap() else {
        panic!()
    };
    assert!(claim.is_aside);
}

#[tokio::test]
async fn whoever_dispatches_without_knowing_takes_a_lane() {
    let scene = Scene::new(&["--chunk-recipients-max", "5"]).await;
    scene.audience(90);
    let broadcast = scene.start(Kind::Enterprise).await;
    scene.confirm_all(broadcast).await;
    let mut turns = Turns::default();
    is_slow(&scene, ChannelName::Inbox).await;
    let hints = queue_up(&scene, &mut turns, LANES).await;
    assert_eq!(hints.iter().filter(|hint| hint.is_aside).count(), 1);
    scene
        .force("update chunk set epoch = epoch + 1 where aside_epoch is not null")
        .await;
    let again = queue_up(&scene, &mut turns, LANES).await;
    assert!(matches!(again.as_slice(), [hint] if hint.is_aside), "{again:?}");
}

/// What a crash repeats is what is under way: together with the lanes' no more than 50.
#[tokio::test]
async fn a_slow_receiver_is_told_of_while_it_is_and_aside_has_few_calls_at_once() {
    for (is_aside, calls_at_once) in [(false, 22), (true, 5)] {
        let scene = Scene::new(&[]).await;
        let calls = Arc::new(AtomicUsize::new(0));
        let called = Arc::clone(&calls);
        let router = axum::Router::new().fallback(move || {
            called.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<StatusCode>()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let serving = tokio::spawn(axum::serve(listener, router).into_future());
        let hint = Hint {
            is_aside,
            ..by_webhook(&scene, &url, 200).await[0]
        };
        let told = eventually(async || {
            let slow = scene
                .count("select count(*) from slow_receiver where channel = 'webhook'")
                .await;
            anyhow::ensure!(slow == 1, "nobody tells");
            anyhow::Ok(())
        });
        tokio::select! {
            sent = scene.send(hint) => panic!("{sent:?} without an answer"),
            told = told => told.unwrap(),
        }
        assert_eq!(calls.load(Ordering::Relaxed), calls_at_once);
        serving.abort();
    }
}

#[tokio::test]
async fn nobody_tells_of_a_quick_receiver() {
    let scene = Scene::new(&[]).await;
    let (_receiver, url) = Receiver::taking().await;
    for hint in by_webhook(&scene, &url, 30).await {
        assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    }
    assert_eq!(scene.count("select count(*) from slow_receiver").await, 0);
}

#[tokio::test]
async fn who_relapses_is_slow_for_longer() {
    let scene = Scene::new(&[]).await;
    let expires = "update slow_receiver set slow_until = now() - interval '1 minute'";
    for secs in [10, 20, 40, 80, 160, 300, 300] {
        for _ in 0..2 {
            is_slow(&scene, ChannelName::Email).await;
            assert_eq!(
                scene.count("select slow_secs::int8 from slow_receiver").await,
                secs
            );
        }
        scene.force(expires).await;
    }
    scene
        .force("update slow_receiver set slow_until = now() - interval '6 minutes'")
        .await;
    is_slow(&scene, ChannelName::Email).await;
    assert_eq!(scene.count("select slow_secs::int8 from slow_receiver").await, 10);
}
