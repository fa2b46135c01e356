//! The dead: who they are, of what, and their replay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use chassis::auth::{Operator, Role};
use contracts::{BroadcastId, ContactId, RequestKey};
use tokio::net::TcpListener;

use super::away::{rest_is_over, start};
use super::crash::LEASES_EXPIRE;
use super::scene::Scene;
use super::webhooks::{Receiver, run};
use crate::broadcast::{Kind, State};
use crate::dead::{ContactIds, DeadRecipient, ReplayDead, Replayed};
use crate::error::Error;
use crate::failure::Failure;
use crate::ops::{Answer, Claimed};
use crate::{ops, store};

async fn replay(
    scene: &Scene,
    id: BroadcastId,
    key: &str,
    whom: Option<&[ContactId]>,
) -> Result<Replayed, Error> {
    let operator = Operator {
        tenant: scene.tenant,
        member: scene.members[0],
        role: Role::Operator,
    };
    let key = RequestKey {
        key: key.to_owned(),
        fingerprint: [0; 32],
    };
    let command = ReplayDead {
        contact_ids: whom.map(|whom| ContactIds(whom.to_vec())),
    };
    ops::replay_dead(&scene.state, operator, &key, id, &command).await
}

async fn dead(scene: &Scene, broadcast: Option<BroadcastId>, failure: Option<Failure>) -> Vec<DeadRecipient> {
    let mut tx = scene.state.db.read(scene.tenant).await.unwrap();
    store::dead::page(&mut *tx, scene.tenant, broadcast, failure, None, 100)
        .await
        .unwrap()
}

#[tokio::test]
async fn only_the_poison_recipient_is_dead_after_five_attempts() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(9);
    let poison = contacts[4].to_string();
    let (receiver, url) = Receiver::start(move |body, _| match body["contact_id"] == poison {
        true => (StatusCode::INTERNAL_SERVER_ERROR, [("retry-after", "0")]).into_response(),
        false => StatusCode::OK.into_response(),
    })
    .await;
    let done = run(&scene, &url).await;
    assert_eq!((done.outcomes.delivered, done.outcomes.dead), (8, 1));
    assert_eq!(receiver.calls(), 8 + 5);
    let listed = dead(&scene, Some(done.broadcast.broadcast_id), Some(Failure::Erred)).await;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].contact_id, listed[0].is_handed), (contacts[4], true));
}

#[tokio::test]
async fn the_dead_are_listed_and_replayed_once() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(18);
    let (poison, is_mended) = (contacts[..2].to_vec(), Arc::new(AtomicBool::new(false)));
    let mended = is_mended.clone();
    let (receiver, url) = Receiver::start(move |body, _| {
        let is_poison = poison
            .iter()
            .any(|contact| body["contact_id"] == contact.to_string());
        match is_poison && !mended.load(Ordering::SeqCst) {
            true => StatusCode::NOT_FOUND.into_response(),
            false => StatusCode::OK.into_response(),
        }
    })
    .await;
    let done = run(&scene, &url).await;
    let id = done.broadcast.broadcast_id;
    assert_eq!(
        (
            done.outcomes.delivered,
            done.outcomes.dead,
            done.outcomes.opted_out
        ),
        (15, 2, 1)
    );
    assert_eq!(dead(&scene, None, Some(Failure::Refused)).await.len(), 2);
    assert_eq!(dead(&scene, None, Some(Failure::Busy)).await, []);
    assert_eq!(dead(&scene, Some(BroadcastId::new()), None).await, []);

    // One of them, asked for twice; whoever is not dead stays as it is.
    let one = replay(&scene, id, "one", Some(&[contacts[0], contacts[5]]))
        .await
        .unwrap();
    assert_eq!(one, Replayed { replayed: 1, left: 1 });
    assert_eq!(
        replay(&scene, id, "one", Some(&[contacts[0], contacts[5]]))
            .await
            .unwrap(),
        one
    );
    let running = scene.progress(id).await;
    assert_eq!(
        (running.broadcast.state, running.outcomes.dead),
        (State::Running, 1)
    );
    is_mended.store(true, Ordering::SeqCst);
    scene.send_all().await;
    scene.end().await;
    let done = scene.progress(id).await;
    assert_eq!(
        (done.broadcast.state, done.outcomes.delivered, done.outcomes.dead),
        (State::Finished, 16, 1)
    );
    scene.check_books().await;

    let all = replay(&scene, id, "all", None).await.unwrap();
    assert_eq!(all, Replayed { replayed: 1, left: 0 });
    assert_eq!(
        replay(&scene, id, "all of none", None).await.unwrap(),
        Replayed { replayed: 0, left: 0 }
    );
    scene.send_all().await;
    scene.end().await;
    let done = scene.progress(id).await;
    assert_eq!((done.outcomes.delivered, done.outcomes.total()), (17, 18));
    {
        let calls = receiver.calls.lock().unwrap();
        let twice = calls.values().filter(|calls| calls.len() == 2);
        assert_eq!((calls.len(), twice.count()), (17, 2), "under the same keys");
    }
    scene.check_books().await;
    let traced = dead(&scene, Some(id), None).await;
    assert!(
        traced
            .iter()
            .all(|dead| dead.replayed_at.is_some() && dead.replayed_by == Some(scene.members[0]))
    );
    assert_eq!(
        replay(&scene, BroadcastId::new(), "x", None)
            .await
            .unwrap_err()
            .to_string(),
        "there is no such mass message"
    );
}

#[tokio::test]
async fn a_replay_takes_its_caps_anew() {
    let scene = Scene::new(&[]).await;
    scene.audience(9);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let id = start(&scene, &url).await;
    scene.send_all().await;
    rest_is_over(&scene).await;
    scene
        .force("update broadcast set away_since = now() - interval '25 hours'")
        .await;
    scene.send_all().await;
    scene.end().await;
    assert_eq!(scene.progress(id).await.outcomes.dead, 9);

    let other = scene.run(Kind::Enterprise).await;
    assert_eq!(
        other.outcomes.delivered, 9,
        "the dead were never called, so they hold no cap"
    );
    assert_eq!(replay(&scene, id, "all", None).await.unwrap().replayed, 9);
    rest_is_over(&scene).await;
    scene.send_all().await;
    scene.end().await;
    let done = scene.progress(id).await;
    assert_eq!(
        (done.outcomes.capped, done.outcomes.dead, done.broadcast.state),
        (9, 0, State::Finished)
    );
    scene.check_books().await;
}

#[tokio::test]
async fn what_was_cancelled_is_not_replayed() {
    let scene = Scene::new(&[]).await;
    scene.audience(9);
    let broadcast = scene.start(Kind::Enterprise).await;
    ops::cancel(&scene.state, scene.operator(), broadcast)
        .await
        .unwrap();
    assert!(matches!(
        replay(&scene, broadcast, "all", None).await,
        Err(Error::BroadcastCancelled)
    ));
}

#[tokio::test]
async fn a_chunk_that_killed_its_workers_is_replayed_and_ends_once() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let id = scene.start(Kind::Member).await;
    scene.confirm_all(id).await;
    let hint = scene.hints().await[0];
    for attempt in 0..5 {
        let Claimed::Chunk(claim) = ops::claim(&scene.state, hint).await.unwrap() else {
            panic!("it is dead after {attempt} attempts");
        };
        // Each time some of them have got it already.
        scene
            .hand_over(&claim.mailing, &claim.allowed[..5 * attempt])
            .await;
        scene.force(LEASES_EXPIRE).await;
    }
    assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    scene.end().await;
    let stuck = dead(&scene, Some(id), Some(Failure::Stuck)).await;
    assert_eq!((scene.progress(id).await.outcomes.dead, stuck.len()), (90, 90));
    let doubtful = scene.state.knobs.sub_batch_recipients();
    assert_eq!(stuck.iter().filter(|dead| dead.is_handed).count(), doubtful);

    assert_eq!(replay(&scene, id, "all", None).await.unwrap().replayed, 90);
    assert!(matches!(
        ops::claim(&scene.state, hint).await.unwrap(),
        Claimed::Stale
    ));
    scene.send_all().await;
    scene.end().await;
    let done = scene.progress(id).await;
    assert_eq!((done.outcomes.delivered, done.outcomes.dead), (90, 0));
    assert_eq!(
        (done.outcomes.total(), done.broadcast.state),
        (done.audience, State::Finished)
    );
    assert_eq!(scene.count("select count(*) from inbox_message").await, 90);
    scene.check_books().await;
}
