//! Caps: one mass message of a kind per contact and window, whatever happens at once.

use futures::future::join_all;
use jiff::{ToSpan as _, Zoned};

use super::scene::{Scene, command};
use crate::broadcast::Kind;
use crate::cap::{Keeping, Scope};
use crate::ops::Answer;
use crate::store;

#[tokio::test]
async fn the_second_of_a_week_is_capped_and_the_kinds_are_apart() {
    let scene = Scene::new(&[]).await;
    scene.audience(90);
    let first = scene.run(Kind::Enterprise).await.outcomes;
    assert_eq!((first.delivered, first.capped, first.opted_out), (81, 0, 9));
    let second = scene.run(Kind::Enterprise).await.outcomes;
    assert_eq!((second.delivered, second.capped, second.opted_out), (0, 81, 9));
    let own = scene.run(Kind::Member).await.outcomes;
    assert_eq!(
        (own.delivered, own.capped),
        (27, 0),
        "the member's own cap is another one"
    );
    scene.check_books().await;
}

#[tokio::test]
async fn many_at_once_share_out_the_caps_exactly() {
    let scene = Scene::new(&["--chunk-recipients-max", "40"]).await;
    scene.audience(400);
    let mut broadcasts = vec![];
    for _ in 0..6 {
        let broadcast = scene.start(Kind::Enterprise).await;
        scene.confirm_all(broadcast).await;
        broadcasts.push(broadcast);
    }
    loop {
        let hints = scene.hints().await;
        if hints.is_empty() {
            break;
        }
        // Six at a time, each on its own connection: they meet on the same contacts.
        for some in hints.chunks(6) {
            for answer in join_all(some.iter().map(|hint| scene.send(*hint))).await {
                assert_eq!(answer.unwrap(), Answer::Forget);
            }
        }
    }
    scene.end().await;
    let mut delivered = 0;
    for broadcast in broadcasts {
        let progress = scene.progress(broadcast).await;
        assert_eq!(progress.outcomes.total(), 400);
        delivered += progress.outcomes.delivered;
    }
    assert_eq!(delivered, 360);
    assert_eq!(
        scene
            .count("select count(distinct contact_id) from inbox_message")
            .await,
        360
    );
    scene.check_books().await;
}

#[tokio::test]
async fn a_cap_of_an_earlier_window_is_no_hindrance() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    scene.run(Kind::Enterprise).await;
    scene
        .force("update cap set window_start = window_start - 7")
        .await;
    assert_eq!(scene.run(Kind::Enterprise).await.outcomes.delivered, 27);
}

#[tokio::test]
async fn windows_are_calendar_days_and_iso_weeks_of_the_zone() {
    let scene = Scene::new(&[]).await;
    for zone in [
        "Asia/Shanghai",
        "Asia/Tokyo",
        "America/New_York",
        "Pacific/Kiritimati",
        "Australia/Lord_Howe",
    ] {
        let mut tx = scene.state.db.read(scene.tenant).await.unwrap();
        let today = store::policy::today(&mut *tx, scene.tenant, Scope::Enterprise, zone)
            .await
            .unwrap();
        let now: Zoned = scene.state.clock.now().in_tz(zone).unwrap();
        let midnight = now.start_of_day().unwrap();
        let monday = midnight.date() - i64::from(midnight.weekday().to_monday_zero_offset()).days();
        assert_eq!(today.day, midnight.date(), "{zone}");
        let end = (midnight.date() + 1.day()).in_tz(zone).unwrap();
        let left = end.timestamp().duration_since(now.timestamp()).as_secs_f64();
        assert!((today.left_secs - left).abs() < 5.0, "{zone}");
        let week = today.own.unwrap().keeping(today.day);
        assert_eq!(week, Keeping::One { window_start: monday }, "{zone}");
    }
}

#[tokio::test]
async fn nothing_starts_in_the_last_moments_of_a_window() {
    // The guard is longer than any day.
    let scene = Scene::new(&["--window-guard-secs", "700000"]).await;
    scene.audience(3);
    let broadcast = scene
        .accept(command(Kind::Enterprise, "inbox"))
        .await
        .unwrap()
        .broadcast_id;
    scene.resolve().await;
    scene.confirm_all(broadcast).await;
    for hint in scene.hints().await {
        assert!(matches!(scene.send(hint).await.unwrap(), Answer::Again(_)));
    }
    assert_eq!(scene.count("select count(*) from cap").await, 0);
    assert_eq!(
        scene
            .count("select count(*) from chunk where state = 'queued'")
            .await,
        3
    );
}
