//! Receivers that are away: nobody dies of it for hours, and no lane is burnt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use contracts::BroadcastId;
use tokio::net::TcpListener;

use super::scene::{Scene, command};
use super::webhooks::{Receiver, admin};
use crate::broadcast::Kind;
use crate::ops;

/// The receiver, and the switch that brings it back.
async fn receiver() -> (Receiver, String, Arc<AtomicBool>) {
    let is_up = Arc::new(AtomicBool::new(false));
    let looked_at = is_up.clone();
    let (receiver, url) = Receiver::start(move |_, _| match looked_at.load(Ordering::SeqCst) {
        true => StatusCode::OK.into_response(),
        false => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    })
    .await;
    (receiver, url, is_up)
}

pub(super) async fn start(scene: &Scene, url: &str) -> BroadcastId {
    ops::set_webhook(&scene.state, admin(scene), url).await.unwrap();
    let broadcast = scene
        .accept(command(Kind::Enterprise, "webhook"))
        .await
        .unwrap()
        .broadcast_id;
    scene.resolve().await;
    scene.confirm_all(broadcast).await;
    broadcast
}

/// The time for which it is left alone is over.
pub(super) async fn rest_is_over(scene: &Scene) {
    scene.force("update broadcast set paced_to = now()").await;
    scene.force("update receiver set away_until = now()").await;
}

#[tokio::test]
async fn a_receiver_that_is_away_for_a_while_kills_nobody() {
    let scene = Scene::new(&["--chunk-recipients-max", "5"]).await;
    scene.audience(30);
    let (receiver, url, is_up) = receiver().await;
    let broadcast = start(&scene, &url).await;
    scene.send_all().await;
    let untouched = scene.progress(broadcast).await.outcomes;
    assert_eq!((untouched.delivered, untouched.dead), (0, 0));
    assert!(scene.hints().await.is_empty(), "nothing is dispatched meanwhile");
    let first_calls = receiver.calls();
    assert!(
        first_calls <= 5 * 3,
        "{first_calls}: one chunk's, three attempts each"
    );
    assert_eq!(
        scene.count("select count(*) from chunk where attempts > 1").await,
        0,
        "no attempts"
    );

    // Still away: one call finds out, whatever waits.
    rest_is_over(&scene).await;
    let hints = scene.hints().await;
    assert!(!hints.is_empty());
    for hint in hints {
        scene.send(hint).await.unwrap();
    }
    assert_eq!(receiver.calls(), first_calls + 1);
    assert_eq!(scene.count("select failures::int8 from receiver").await, 2);

    is_up.store(true, Ordering::SeqCst);
    rest_is_over(&scene).await;
    for _ in 0..3 {
        // Whoever came while one claim found out waits for a second.
        scene.send_all().await;
        scene.force("update broadcast set paced_to = now()").await;
    }
    scene.end().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.delivered, 27);
    assert_eq!(
        receiver.calls.lock().unwrap().len(),
        27,
        "the same keys in every attempt"
    );
    assert_eq!(scene.count("select failures::int8 from receiver").await, 0);
    assert_eq!(
        scene
            .count("select count(*) from broadcast where away_since is not null")
            .await,
        0
    );
    scene.check_books().await;
}

#[tokio::test]
async fn a_long_retry_after_is_honoured_without_a_lane() {
    let scene = Scene::new(&[]).await;
    scene.audience(9);
    let later =
        |_: &serde_json::Value, _| (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "120")]).into_response();
    let (receiver, url) = Receiver::start(later).await;
    let broadcast = start(&scene, &url).await;
    scene.send_all().await;
    assert!(receiver.calls() <= 9, "nobody is asked twice");
    let waiting = "select count(*) from broadcast where paced_to between now() + interval '100 s' and now() + interval '120 s'";
    assert_eq!(scene.count(waiting).await, 1);
    assert_eq!(scene.progress(broadcast).await.outcomes.total(), 0);
}

#[tokio::test]
async fn who_takes_nothing_for_hours_has_no_living_recipients() {
    let scene = Scene::new(&[]).await;
    scene.audience(9);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    start(&scene, &url).await;
    scene.send_all().await;
    assert_eq!(scene.count("select count(*) from receipt").await, 0);
    rest_is_over(&scene).await;
    scene
        .force("update broadcast set away_since = now() - interval '25 hours'")
        .await;
    scene.send_all().await;
    scene.end().await;
    assert_eq!(
        scene
            .count("select count(*) from receipt where state = 'dead'")
            .await,
        9
    );
    assert_eq!(
        scene
            .count("select count(*) from dead_recipient where failure = 'away' and not is_handed")
            .await,
        9
    );
    assert_eq!(
        scene.count("select count(*) from cap").await,
        0,
        "nobody was called"
    );
    assert_eq!(
        scene
            .count("select count(*) from broadcast where state = 'finished'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_receiver_that_takes_others_is_not_away() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(9);
    let busy = contacts[4].to_string();
    let (receiver, url) = Receiver::start(move |body, _| match body["contact_id"] == busy {
        true => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response(),
        false => StatusCode::OK.into_response(),
    })
    .await;
    let broadcast = start(&scene, &url).await;
    scene.send_all().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.delivered, 8);
    assert!(receiver.calls() >= 8 + 3);
    assert_eq!(
        scene.count("select count(*) from receiver").await,
        0,
        "the others' mass messages go on"
    );
    let waiting = "select count(*) from chunk where state = 'ready' and ended = recipients - 1";
    assert_eq!(scene.count(waiting).await, 1, "and the busy one waits");
}
