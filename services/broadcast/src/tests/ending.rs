//! Ends other than delivery: cancelled, unconfirmed.

use contracts::BroadcastId;

use crate::broadcast::{Kind, State};
use crate::error::Error;
use crate::ops;
use crate::task;

use super::scene::Scene;

async fn cancel(scene: &Scene, broadcast: BroadcastId) -> Result<crate::broadcast::Progress, Error> {
    ops::cancel(&scene.state, scene.operator(), broadcast).await
}

#[tokio::test]
async fn who_was_not_sent_to_is_cancelled_and_keeps_the_cap() {
    let scene = Scene::new(&["--chunk-recipients-max", "20"]).await;
    scene.audience(300);
    let broadcast = scene.start(Kind::Enterprise).await;
    let tasks = scene.tasks(broadcast).await;
    scene.confirm(&tasks[0], &[]).await.unwrap();
    let hints = scene.hints().await;
    scene.send(hints[0]).await.unwrap();
    let ops::Claimed::Chunk(held) = ops::claim(&scene.state, hints[1]).await.unwrap() else {
        panic!()
    };

    let answer = cancel(&scene, broadcast).await.unwrap();
    assert_eq!(answer.broadcast.state, State::Cancelling);
    assert_eq!(answer.tasks[1].state, task::State::Cancelled);
    assert!(matches!(
        scene.confirm(&tasks[1], &[]).await,
        Err(Error::TaskCancelled)
    ));
    scene.end().await;
    assert_eq!(
        scene.progress(broadcast).await.broadcast.state,
        State::Cancelling,
        "a worker holds a chunk"
    );

    // The worker that held it is told by its pulse; it had sent nothing.
    ops::settle::cancel_rest(&scene.state, &held, false)
        .await
        .unwrap();
    assert_eq!(
        scene.send(hints[2]).await.unwrap(),
        ops::Answer::Forget,
        "withdrawn from the queue"
    );
    scene.end().await;
    let done = cancel(&scene, broadcast).await.unwrap();
    assert_eq!(done.broadcast.state, State::Cancelled);
    assert_eq!(
        done.outcomes.delivered,
        scene.count("select count(*) from inbox_message").await
    );
    assert_eq!(
        done.outcomes.delivered + done.outcomes.cancelled + done.outcomes.opted_out,
        300
    );
    assert!(done.outcomes.delivered > 0 && done.outcomes.cancelled > 200);
    scene.check_books().await;
}

#[tokio::test]
async fn a_chunk_whose_worker_died_is_cancelled_too() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let broadcast = scene.start(Kind::Member).await;
    scene.confirm_all(broadcast).await;
    let hint = scene.hints().await[0];
    ops::claim(&scene.state, hint).await.unwrap();
    cancel(&scene, broadcast).await.unwrap();
    scene
        .force("update chunk set lease_until = now() - interval '1 second'")
        .await;
    assert_eq!(scene.send(hint).await.unwrap(), ops::Answer::Forget);
    scene.end().await;
    let done = scene.progress(broadcast).await;
    assert_eq!(
        (done.broadcast.state, done.outcomes.cancelled),
        (State::Cancelled, 90)
    );
    assert_eq!(
        scene.count("select count(*) from cap").await,
        scene.state.knobs.sub_batch_recipients() as i64,
        "it may have sent its first sub-batch"
    );
}

#[tokio::test]
async fn cancelled_before_its_audience_was_known() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    *scene.customers.breaks.lock().unwrap() = vec![1];
    let command = super::scene::command(Kind::Enterprise, "inbox");
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    ops::resolve(&scene.state).await.unwrap();
    cancel(&scene, broadcast).await.unwrap();
    scene.resolve().await;
    scene.end().await;
    let done = scene.progress(broadcast).await;
    assert_eq!((done.broadcast.state, done.audience), (State::Cancelled, 100));
    assert_eq!((done.outcomes.cancelled, done.outcomes.opted_out), (90, 10));
}

#[tokio::test]
async fn a_finished_one_is_not_cancelled() {
    let scene = Scene::new(&[]).await;
    scene.audience(3);
    let done = scene.run(Kind::Enterprise).await;
    let refused = cancel(&scene, done.broadcast.broadcast_id).await;
    assert!(matches!(refused, Err(Error::BroadcastFinished)));
}

#[tokio::test]
async fn an_unconfirmed_share_expires() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let broadcast = scene.start(Kind::Enterprise).await;
    let tasks = scene.tasks(broadcast).await;
    scene.confirm(&tasks[0], &[]).await.unwrap();
    scene
        .force("update task set expires_at = now() - interval '1 second'")
        .await;
    scene.send_all().await;
    assert!(matches!(
        scene.confirm(&tasks[1], &[]).await,
        Err(Error::TaskExpired)
    ));
    scene.end().await;
    let done = scene.progress(broadcast).await;
    assert_eq!(done.broadcast.state, State::Finished);
    assert_eq!(
        (
            done.outcomes.delivered,
            done.outcomes.unconfirmed,
            done.outcomes.opted_out
        ),
        (90, 180, 30)
    );
    assert!(matches!(
        scene.confirm(&tasks[1], &[]).await,
        Err(Error::TaskExpired)
    ));
    let expired = "select count(*) from audit_entry where action = 'task.expired' and actor_kind = 'system'";
    assert_eq!(scene.count(expired).await, 2);
    scene.check_books().await;
}

#[tokio::test]
async fn one_that_fails_keeps_nobody_else_waiting() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let (stuck, other) = (
        scene.start(Kind::Enterprise).await,
        scene.start(Kind::Enterprise).await,
    );
    for broadcast in [stuck, other] {
        cancel(&scene, broadcast).await.unwrap();
    }
    // Of the older one neither chunks nor the end can be written.
    for table in ["chunk", "broadcast"] {
        let trigger = format!(
            "create function refuse_{table}() returns trigger language plpgsql as $$
             begin raise exception 'refused'; end $$;
             create trigger refuse before update on {table} for each row
               when (old.broadcast_id = '{stuck}') execute function refuse_{table}()"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(trigger))
            .execute(&scene.test.superuser)
            .await
            .unwrap();
    }
    scene.end().await;
    assert_eq!(scene.progress(stuck).await.broadcast.state, State::Cancelling);
    assert_eq!(scene.progress(other).await.broadcast.state, State::Cancelled);

    // And once the rest of it can, its end still can't.
    scene.force("drop trigger refuse on chunk").await;
    let third = scene.start(Kind::Enterprise).await;
    cancel(&scene, third).await.unwrap();
    scene.end().await;
    assert_eq!(scene.progress(stuck).await.outcomes.total(), 30);
    assert_eq!(scene.progress(stuck).await.broadcast.state, State::Cancelling);
    assert_eq!(scene.progress(third).await.broadcast.state, State::Cancelled);
}

#[tokio::test]
async fn a_draining_worker_hands_its_chunk_back() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let mut command = super::scene::command(Kind::Member, "inbox");
    command["rate_per_s"] = 1.into();
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    scene.resolve().await;
    scene.confirm_all(broadcast).await;
    let hint = scene.hints().await[0];
    let draining = tokio_util::sync::CancellationToken::new();
    let channels = crate::channel::Channels::open(&scene.state).unwrap();
    let (sent, ()) = tokio::join!(ops::send(&scene.state, &channels, hint, &draining), async {
        // One recipient is let through at once, the next only after a second.
        testkit::eventually(
            async || match scene.count("select count(*) from inbox_message").await {
                0 => Err("nothing sent"),
                _ => Ok(()),
            },
        )
        .await
        .unwrap();
        draining.cancel();
    });
    assert_eq!(sent.unwrap(), ops::Answer::Forget);
    assert_eq!(
        scene
            .count("select count(*) from chunk where state = 'ready' and attempts = 0")
            .await,
        1
    );
    let outcomes = scene.progress(broadcast).await.outcomes;
    assert_eq!(
        outcomes.delivered,
        scene.count("select count(*) from inbox_message").await
    );
    assert!(outcomes.delivered < 90);
}
