//! Posts that are cancelled before their groups have them.

use serde_json::json;

use super::super::scene::Scene;
use super::super::webhooks::Receiver;
use crate::broadcast::{Kind, State};
use crate::{ops, store};

#[tokio::test]
async fn a_cancelled_post_leaves_its_groups_to_others() {
    let scene = Scene::new(&[]).await;
    let (receiver, url) = Receiver::taking().await;
    scene.set_webhook(&url).await;
    scene.open_groups(&[scene.members[0]; 5]);
    let id = scene
        .post(Kind::Enterprise, json!({}))
        .await
        .broadcast
        .broadcast_id;
    scene.confirm_all(id).await;
    ops::pause(&scene.state, scene.operator(), id).await.unwrap();
    assert!(scene.hints().await.is_empty());
    ops::resume(&scene.state, scene.operator(), id).await.unwrap();
    // Claimed by a worker that dies before its first call: five are in doubt, and keep their cap.
    let hint = scene.hints().await[0];
    ops::claim(&scene.state, hint).await.unwrap();
    assert_eq!(
        scene.count("select count(*) from cap where kind = 'group'").await,
        5
    );
    scene
        .force("update chunk set lease_until = now() - interval '1 second', attempts = 0")
        .await; // as if it were known
    ops::cancel(&scene.state, scene.operator(), id).await.unwrap();
    scene.send(hint).await.unwrap();
    scene.end().await;
    let done = scene.progress(id).await;
    assert_eq!(
        (done.outcomes.cancelled, done.broadcast.state),
        (5, State::Cancelled)
    );
    assert_eq!(scene.count("select count(*) from cap").await, 0);
    let next = scene.post(Kind::Enterprise, json!({})).await;
    assert_eq!(
        scene
            .carry_out(next.broadcast.broadcast_id)
            .await
            .outcomes
            .delivered,
        5
    );
    assert_eq!(receiver.calls(), 5);
}

#[tokio::test]
async fn closing_what_was_claimed_once_gives_its_groups_back_to_others() {
    let scene = Scene::new(&[]).await;
    let (_receiver, url) = Receiver::taking().await;
    scene.set_webhook(&url).await;
    scene.open_groups(&[scene.members[0]; 5]);
    let started = scene.post(Kind::Enterprise, json!({})).await;
    let id = started.broadcast.broadcast_id;
    scene.confirm_all(id).await;
    let hint = scene.hints().await[0];
    ops::claim(&scene.state, hint).await.unwrap();
    // Its worker dies, and it is known that nothing was handed over: nobody but `close` looks at the chunk again.
    scene
        .force("update chunk set lease_until = now() - interval '1 second', attempts = 0")
        .await;
    let mut tx = scene.state.db.begin_everyone().await.unwrap();
    assert_eq!(store::dispatch::expire_leases(&mut *tx).await.unwrap(), 1);
    tx.commit().await.unwrap();
    ops::cancel(&scene.state, scene.operator(), id).await.unwrap();
    let withdrawn = "select count(*) from chunk where state = 'cancelled' and attempts = 0 and ended = 0";
    let held = "select count(*) from cap where kind = 'group'";
    assert_eq!((scene.count(withdrawn).await, scene.count(held).await), (1, 5));

    scene.end().await;
    let done = scene.progress(id).await;
    assert_eq!(
        (done.outcomes.cancelled, done.broadcast.state),
        (5, State::Cancelled)
    );
    assert_eq!(scene.count(held).await, 0);
    scene.check_books().await;
}
