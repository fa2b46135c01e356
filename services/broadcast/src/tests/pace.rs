//! A mass message with a rate: it keeps to it, and holds no lane meanwhile.

use std::time::{Duration, Instant};

use contracts::BroadcastId;

use super::scene::{Scene, command};
use crate::broadcast::Kind;
use crate::ops::Answer;

async fn paced(scene: &Scene, rate_per_s: i32) -> BroadcastId {
    let mut command = command(Kind::Enterprise, "inbox");
    command["rate_per_s"] = rate_per_s.into();
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    scene.resolve().await;
    scene.confirm_all(broadcast).await;
    broadcast
}

#[tokio::test]
async fn a_slow_one_hands_its_chunk_back_between_calls() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let broadcast = paced(&scene, 2).await;
    let hint = scene.hints().await[0];
    let began = Instant::now();
    assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let delivered = scene.progress(broadcast).await.outcomes.delivered;
    assert!((2..=4).contains(&delivered), "{delivered}");
    let handed_back = "select count(*) from chunk where n = 0 and state = 'ready' and attempts = 0";
    assert_eq!(scene.count(handed_back).await, 1);

    // Whoever comes before the next tokens are due takes none of them and calls nobody.
    scene
        .force("update broadcast set paced_to = now() + interval '1 minute'")
        .await;
    assert!(scene.hints().await.is_empty(), "not worth a lane");
    scene.force("update chunk set state = 'queued' where n = 0").await;
    let began = Instant::now();
    assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(scene.count(handed_back).await, 1);
    assert_eq!(scene.progress(broadcast).await.outcomes.delivered, delivered);
    let untouched = "select count(*) from broadcast where paced_to between now() + interval '50 s' and now() + interval '1 min'";
    assert_eq!(scene.count(untouched).await, 1);

    scene.force("update broadcast set rate_per_s = 10000").await;
    scene.force("update broadcast set paced_to = now()").await;
    scene.send_all().await;
    scene.end().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.delivered, 27);
    scene.check_books().await;
}

#[tokio::test]
async fn the_queue_holds_what_a_rate_can_use() {
    let scene = Scene::new(&["--chunk-recipients-max", "5"]).await;
    scene.audience(60);
    paced(&scene, 100).await;
    assert_eq!(scene.hints().await.len(), 1);
    assert!(scene.hints().await.is_empty(), "one waits already");
    paced(&scene, 1_000).await;
    assert_eq!(scene.hints().await.len(), 3);
    let free = scene.start(Kind::Enterprise).await;
    scene.confirm_all(free).await;
    assert_eq!(scene.hints().await.len(), 12);
}
