//! Mass messages with a time of their own: not before, not after, and at another time when there is time to change it.

use chassis::auth::Role;
use contracts::{BroadcastId, MemberId};
use jiff::{SignedDuration, Timestamp};

use super::scene::{Scene, command};
use crate::broadcast::{Kind, Progress, State};
use crate::error::Error;
use crate::ops::{self, Answer};
use crate::schedule::Schedule;

fn hours(scene: &Scene, hours: i64) -> Timestamp {
    scene.state.clock.now() + SignedDuration::from_hours(hours)
}

async fn plan(scene: &Scene, schedule: Schedule) -> Result<BroadcastId, Error> {
    let mut command = command(Kind::Enterprise, "inbox");
    command["send_at"] = serde_json::to_value(schedule.send_at).unwrap();
    command["send_until"] = serde_json::to_value(schedule.send_until).unwrap();
    let broadcast = scene.accept(command).await?.broadcast_id;
    scene.resolve().await;
    scene.confirm_all(broadcast).await;
    Ok(broadcast)
}

async fn reschedule(scene: &Scene, broadcast: BroadcastId, schedule: Schedule) -> Result<Progress, Error> {
    ops::reschedule(&scene.state, scene.operator(), broadcast, &schedule).await
}

#[tokio::test]
async fn nothing_is_sent_before_its_time() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let past = Schedule {
        send_at: Some(hours(&scene, -1)),
        ..Schedule::default()
    };
    assert!(matches!(
        plan(&scene, past).await,
        Err(Error::SchedulePast("send_at"))
    ));
    let tomorrow = Schedule {
        send_at: Some(hours(&scene, 24)),
        ..Schedule::default()
    };
    let broadcast = plan(&scene, tomorrow).await.unwrap();
    assert!(scene.hints().await.is_empty());
    assert_eq!(scene.remaining().await, 0, "workers have nothing before them");
    // Everybody has as long to confirm as they would have from then on.
    let task = scene.tasks(broadcast).await.remove(0);
    assert_eq!(task.expires_at, hours_after(tomorrow.send_at, 24));

    scene.force("update broadcast set send_at = now()").await;
    scene.send_all().await;
    scene.end().await;
    let done = scene.progress(broadcast).await;
    assert_eq!(
        (done.broadcast.state, done.outcomes.delivered),
        (State::Finished, 27)
    );
}

fn hours_after(at: Option<Timestamp>, hours: i64) -> Timestamp {
    at.unwrap() + SignedDuration::from_hours(hours)
}

#[tokio::test]
async fn a_chunk_has_a_time_of_its_own() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let broadcast = scene.start(Kind::Enterprise).await;
    scene.confirm_all(broadcast).await;
    scene
        .force("update chunk set not_before = now() + interval '1 hour' where n = 1")
        .await;
    scene.send_all().await;
    scene.end().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.delivered, 18);
    assert_eq!(scene.remaining().await, 0);
    scene
        .force("update chunk set not_before = now() - interval '1 second' where n = 1")
        .await;
    scene.send_all().await;
    scene.end().await;
    assert_eq!(scene.progress(broadcast).await.broadcast.state, State::Finished);
}

#[tokio::test]
async fn what_has_not_begun_is_rescheduled_or_cancelled() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let at = |hours_ahead| Schedule {
        send_at: Some(hours(&scene, hours_ahead)),
        ..Schedule::default()
    };
    let broadcast = scene
        .accept({
            let mut command = command(Kind::Enterprise, "inbox");
            command["send_at"] = serde_json::to_value(at(48).send_at).unwrap();
            command
        })
        .await
        .unwrap()
        .broadcast_id;
    scene.resolve().await;
    let sooner = at(1);
    for _ in 0..2 {
        let moved = reschedule(&scene, broadcast, sooner).await.unwrap();
        assert_eq!(moved.broadcast.schedule(), sooner);
        assert_eq!(moved.tasks[0].expires_at, hours_after(sooner.send_at, 24));
    }
    let moves = "select count(*) from audit_entry where action = 'broadcast.rescheduled'";
    assert_eq!(scene.count(moves).await, 1);
    assert!(matches!(
        reschedule(&scene, broadcast, at(-1)).await,
        Err(Error::SchedulePast("send_at"))
    ));
    let stranger = scene.agent(MemberId::new(), Role::Agent);
    assert!(matches!(
        ops::reschedule(&scene.state, stranger, broadcast, &at(2)).await,
        Err(Error::OperatorNeeded)
    ));
    ops::cancel(&scene.state, scene.operator(), broadcast)
        .await
        .unwrap();
    assert!(matches!(
        reschedule(&scene, broadcast, at(2)).await,
        Err(Error::BroadcastCancelled)
    ));
    scene.end().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.cancelled, 27);

    let begun = scene.start(Kind::Enterprise).await;
    assert!(matches!(
        reschedule(&scene, begun, at(2)).await,
        Err(Error::ScheduleOver)
    ));
}

#[tokio::test]
async fn whoever_is_not_reached_in_time_is_told_apart_by_why() {
    let scene = Scene::new(&["--chunk-recipients-max", "20"]).await;
    scene.audience(300);
    let mut command = command(Kind::Enterprise, "inbox");
    command["send_until"] = serde_json::to_value(hours(&scene, 1)).unwrap();
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    scene.resolve().await;
    let tasks = scene.tasks(broadcast).await;
    scene.confirm(&tasks[0], &[]).await.unwrap();
    scene.confirm(&tasks[1], &[]).await.unwrap();
    let hints = scene.hints().await;
    scene.send(hints[0]).await.unwrap();
    let ops::Claimed::Chunk(held) = ops::claim(&scene.state, hints[1]).await.unwrap() else {
        panic!()
    };
    assert!(held.send_for <= std::time::Duration::from_secs(3600));

    scene.force("update broadcast set send_until = now()").await;
    scene.end().await;
    // A hint that crossed with the end, and a worker that held a chunk then.
    scene
        .force("update chunk set state = 'queued' where n = (select max(n) from chunk where state = 'ready')")
        .await;
    for hint in &hints[2..] {
        assert_eq!(scene.send(*hint).await.unwrap(), Answer::Forget);
    }
    let grip = crate::grip::Grip::released_as(crate::grip::Released::WindowOver);
    scene.work_off(&held, &grip).await;
    scene.end().await;
    let done = scene.progress(broadcast).await;
    assert_eq!(done.broadcast.state, State::Finished);
    assert_eq!((done.outcomes.delivered, done.outcomes.unconfirmed), (18, 90));
    assert_eq!(done.outcomes.quiet_expired, 270 - 90 - 18);
    assert_eq!(
        scene
            .count("select count(*) from audit_entry where action = 'task.expired'")
            .await,
        1
    );
    scene.check_books().await;
}
