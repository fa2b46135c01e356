//! Chunks of a slow receiver: they are noticed, dispatched aside, and sent a few recipients at a time.

use super::scene::Scene;
use super::webhooks::Receiver;
use crate::broadcast::Kind;
use crate::chunk::Hint;
use crate::ops::{self, Answer, Claimed};
use crate::share::Turns;

const LANES: i64 = 4;
/// Of four lanes a quarter is kept from whoever is unknown, or slow.
const LANES_FOR_ALL: usize = 3;

async fn queue_up(scene: &Scene, turns: &mut Turns, hints_held: i64) -> Vec<Hint> {
    ops::dispatch::queue_up(&scene.state, turns, hints_held)
        .await
        .unwrap()
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

    // One is being sent, and its worker tells of slow calls.
    ops::claim(&scene.state, hints[0]).await.unwrap();
    assert!(queue_up(&scene, &mut turns, LANES).await.is_empty());
    scene
        .force("update chunk set call_secs = 1.5 where state = 'sending'")
        .await;
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
async fn calls_that_nothing_is_heard_of_are_slow() {
    let scene = Scene::new(&["--chunk-recipients-max", "5"]).await;
    scene.audience(90);
    let broadcast = scene.start(Kind::Enterprise).await;
    scene.confirm_all(broadcast).await;
    let mut turns = Turns::default();
    let hints = queue_up(&scene, &mut turns, LANES).await;
    let silent = "update chunk set busy_since = busy_since - interval '4 seconds'
        where n = (select min(n) from chunk where state = 'sending')";
    for hint in &hints {
        ops::claim(&scene.state, *hint).await.unwrap();
    }
    scene
        .force("update chunk set call_secs = 0.01 where state = 'sending'")
        .await;
    scene.force(silent).await;
    assert!(
        queue_up(&scene, &mut turns, LANES).await.is_empty(),
        "one dead worker says nothing of the receiver"
    );
    scene
        .force("update chunk set busy_since = now() - interval '4 seconds' where state = 'sending'")
        .await;
    let aside = queue_up(&scene, &mut turns, LANES).await;
    assert!(aside.len() == 1 && aside[0].is_aside, "{aside:?}");
}

#[tokio::test]
async fn a_worker_tells_how_long_calls_take() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let (_receiver, url) = Receiver::taking().await;
    scene.set_webhook(&url).await;
    let command = super::scene::command(Kind::Enterprise, "webhook");
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    scene.resolve().await;
    scene.confirm_all(broadcast).await;
    for hint in scene.hints().await {
        assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    }
    let told = "select count(*) from chunk where call_secs between 0.000001 and 1 and busy_since <= now()";
    assert_eq!(
        scene.count(told).await,
        scene.count("select count(*) from chunk").await
    );
}
