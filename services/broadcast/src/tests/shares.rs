//! Members' shares: they are reminded to confirm, and take back what is not sent.

use chassis::auth::Role;

use super::scene::Scene;
use crate::broadcast::{Kind, State};
use crate::error::Error;
use crate::grip::{Grip, Released};
use crate::ops::{self, Claimed};
use crate::task::{self, Task};

async fn take_back(scene: &Scene, task: &Task) -> Result<Task, Error> {
    let agent = scene.agent(task.member_id, Role::Agent);
    ops::cancel_task(&scene.state, agent, task.task_id).await
}

#[tokio::test]
async fn who_has_not_confirmed_is_reminded_every_eight_hours() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let broadcast = scene.start(Kind::Enterprise).await;
    let tasks = scene.tasks(broadcast).await;
    scene.confirm(&tasks[0], &[]).await.unwrap();
    assert!(!ops::remind(&scene.state).await.unwrap(), "she was just asked");
    for reminder in 1..=2 {
        scene
            .force(
                "update task set opened_at = opened_at - interval '8 h', expires_at = expires_at - interval '8 h',
                   reminded_at = reminded_at - interval '8 h'",
            )
            .await;
        assert!(ops::remind(&scene.state).await.unwrap());
        assert!(!ops::remind(&scene.state).await.unwrap(), "once each time");
        let counts: Vec<_> = scene
            .tasks(broadcast)
            .await
            .iter()
            .map(|task| task.reminders)
            .collect();
        assert_eq!(counts, [0, reminder, reminder]);
    }
    let told = "select count(*) from outbox where name = 'shequn.broadcast.v1.TaskReminded'";
    assert_eq!(scene.count(told).await, 4);
    let audited = "select count(*) from audit_entry where action = 'task.reminded' and actor_kind = 'system'";
    assert_eq!(scene.count(audited).await, 4);
    scene
        .force(
            "update task set opened_at = opened_at - interval '8 h', expires_at = now(), reminded_at = null",
        )
        .await;
    assert!(!ops::remind(&scene.state).await.unwrap(), "her time is over");
}

#[tokio::test]
async fn a_member_takes_back_what_is_not_sent_of_her_share() {
    let scene = Scene::new(&["--chunk-recipients-max", "20"]).await;
    scene.audience(300);
    let broadcast = scene.start(Kind::Enterprise).await;
    scene.confirm_all(broadcast).await;
    let tasks = scene.tasks(broadcast).await;
    let hints = scene.hints().await;
    let mut claims = vec![];
    for hint in &hints {
        if claims.len() == 3 {
            break;
        }
        let Claimed::Chunk(claim) = ops::claim(&scene.state, *hint).await.unwrap() else {
            panic!()
        };
        if claim.mailing.member == tasks[0].member_id {
            claims.push(claim);
        } else {
            scene
                .work_off(&claim, &Grip::released_as(Released::Draining))
                .await;
        }
    }
    let colleague = scene.agent(tasks[1].member_id, Role::Agent);
    assert!(matches!(
        ops::cancel_task(&scene.state, colleague, tasks[0].task_id).await,
        Err(Error::TaskUnknown)
    ));
    for _ in 0..2 {
        let taken = take_back(&scene, &tasks[0]).await.unwrap();
        assert_eq!(taken.state, task::State::Cancelled);
    }
    let audited = "select count(*) from audit_entry where action = 'task.cancelled'";
    assert_eq!(scene.count(audited).await, 1);
    assert!(matches!(
        scene.confirm(&tasks[0], &[]).await,
        Err(Error::TaskCancelled)
    ));
    // One worker is told by its pulse, one is to end, one dies.
    scene
        .work_off(&claims[0], &Grip::released_as(Released::Cancelled))
        .await;
    scene
        .work_off(&claims[1], &Grip::released_as(Released::Draining))
        .await;
    scene.force(super::crash::LEASES_EXPIRE).await;
    let mut tx = scene.state.db.begin_everyone().await.unwrap();
    crate::store::dispatch::expire_leases(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    scene
        .force("update chunk set state = 'ready' where state = 'queued'")
        .await;
    scene.send_all().await;
    scene.end().await;
    let done = scene.progress(broadcast).await;
    assert_eq!(done.broadcast.state, State::Finished);
    assert_eq!(
        (
            done.outcomes.delivered,
            done.outcomes.cancelled,
            done.outcomes.opted_out
        ),
        (180, 90, 30)
    );
    assert!(matches!(take_back(&scene, &tasks[1]).await, Err(Error::TaskSent)));
}

#[tokio::test]
async fn a_share_is_taken_back_unconfirmed() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let broadcast = scene.start(Kind::Enterprise).await;
    let tasks = scene.tasks(broadcast).await;
    take_back(&scene, &tasks[0]).await.unwrap();
    scene.confirm(&tasks[1], &[]).await.unwrap();
    scene.confirm(&tasks[2], &[]).await.unwrap();
    scene.send_all().await;
    scene.end().await;
    let done = scene.progress(broadcast).await;
    assert_eq!(
        (
            done.broadcast.state,
            done.outcomes.delivered,
            done.outcomes.cancelled
        ),
        (State::Finished, 18, 9)
    );
    scene.check_books().await;
}
