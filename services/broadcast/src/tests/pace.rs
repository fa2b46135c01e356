//! A mass message with a rate: it keeps to it, and holds no lane meanwhile.

use std::time::{Duration, Instant};

use contracts::BroadcastId;

use super::scene::{Scene, command};
use crate::broadcast::{ChannelName, Kind, RatePerS};
use crate::chunk::ChunkKey;
use crate::ops::{self, Answer};
use crate::pace::{AccountRate, Limiter, Rates};

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

/// S13: three processes, each with a limiter of its own, never pass what one account may send.
#[tokio::test]
async fn three_replicas_keep_to_one_accounts_rate() {
    const RATE_PER_S: i32 = 200;
    let scene = Scene::new(&[]).await;
    let rates = |of_tenant, of_member, member| Rates {
        channel: ChannelName::Webhook,
        member,
        of_broadcast: None,
        of_tenant,
        of_member,
    };
    for rates in [
        rates(Some(RATE_PER_S), None, scene.members[0]),
        rates(None, Some(RATE_PER_S), scene.members[1]),
    ] {
        let until = Instant::now() + Duration::from_millis(2_500);
        let calls = futures::future::join_all((0..3).map(|_| calls(&scene, rates, until))).await;
        let mut calls = calls.concat();
        calls.sort();
        let allowed = usize::try_from(RATE_PER_S).unwrap() * 105 / 100;
        for (i, first) in calls.iter().enumerate() {
            let within = calls[i..]
                .iter()
                .take_while(|at| **at - *first < Duration::from_secs(1));
            assert!(within.count() <= allowed);
        }
        let lasted = (calls[calls.len() - 1] - calls[0]).as_secs_f64();
        let used = calls.len() as f64 / (lasted * f64::from(RATE_PER_S));
        assert!(used >= 0.8, "{used} of the rate is used");
    }
}

/// When the calls start of one replica that sends chunk after chunk.
async fn calls(scene: &Scene, rates: Rates, until: Instant) -> Vec<Instant> {
    let mut calls = vec![];
    while Instant::now() < until {
        let chunk = ChunkKey {
            tenant: scene.tenant,
            broadcast: BroadcastId::new(),
            n: 0,
        };
        let mut limiter = Limiter::new(chunk, rates, Instant::now());
        for left in (25..=500).rev().step_by(25) {
            let Some(pace) = limiter.take(&scene.state, 25, left).await.unwrap() else {
                break;
            };
            calls.extend((0..25).map(|i| pace.at(i)));
            tokio::time::sleep_until(pace.at(24).into()).await;
        }
        tokio::task::yield_now().await;
    }
    calls
}

#[tokio::test]
async fn an_account_without_tokens_is_not_worth_a_lane() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let admin = chassis::auth::Admin {
        tenant: scene.tenant,
        member: scene.members[0],
        role: chassis::auth::Role::Admin,
    };
    let rate = |of_member: Option<i32>| AccountRate {
        channel: ChannelName::Inbox,
        rate_per_s: None,
        member_rate_per_s: of_member.map(RatePerS),
    };
    for _ in 0..2 {
        ops::set_rate(&scene.state, admin, &rate(Some(2))).await.unwrap();
    }
    let changes = "select count(*) from audit_entry where action = 'rate.set'";
    assert_eq!(scene.count(changes).await, 1);
    let broadcast = scene.start(Kind::Enterprise).await;
    scene.confirm_all(broadcast).await;
    let hints = scene.hints().await;
    assert_eq!(hints.len(), 3);
    assert_eq!(scene.send(hints[0]).await.unwrap(), Answer::Forget);
    let delivered = scene.progress(broadcast).await.outcomes.delivered;
    assert!((2..=4).contains(&delivered), "{delivered}");
    scene
        .force("update account set paced_to = now() + interval '1 minute'")
        .await;
    scene
        .force("update chunk set state = 'ready' where state = 'queued'")
        .await;
    let colleagues = scene.hints().await;
    assert_eq!(colleagues.len(), 2, "they have tokens of their own");

    ops::set_rate(&scene.state, admin, &rate(None)).await.unwrap();
    scene.force("update account set paced_to = now()").await;
    scene
        .force("update chunk set state = 'ready' where state = 'queued'")
        .await;
    scene.send_all().await;
    scene.end().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.delivered, 27);
}
