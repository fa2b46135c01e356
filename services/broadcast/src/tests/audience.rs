//! From an audience to confirmed shares.

use chassis::auth::Role;
use contracts::{BroadcastId, ContactId, RequestKey, TenantId};

use super::scene::{Scene, command};
use crate::broadcast::{Kind, State};
use crate::error::Error;
use crate::ops;
use crate::task;

#[tokio::test]
async fn everybody_gets_one_outcome_and_one_message() {
    let scene = Scene::new(&["--chunk-recipients-max", "60"]).await;
    let contacts = scene.audience(700);
    let broadcast = scene.start(Kind::Enterprise).await;

    let tasks = scene.tasks(broadcast).await;
    assert_eq!(tasks.len(), 3);
    assert_eq!(tasks.iter().map(|task| task.recipients).sum::<i64>(), 630);
    assert!(
        scene.hints().await.is_empty(),
        "nothing is sent before somebody confirms"
    );

    let mine: Vec<_> = contacts.iter().step_by(3).copied().take(2).collect();
    let first = tasks
        .iter()
        .find(|task| task.member_id == scene.members[0])
        .unwrap();
    scene.confirm(first, &mine).await.unwrap();
    assert_eq!(scene.remaining().await, first.recipients - 2);
    scene.send_all().await;
    assert_eq!(scene.remaining().await, 0);
    let half = scene.progress(broadcast).await;
    assert_eq!(
        (half.broadcast.state, half.outcomes.deselected),
        (State::Running, 2)
    );
    assert_eq!(half.outcomes.delivered, first.recipients - 2);

    scene.confirm(&tasks[1], &[]).await.unwrap();
    scene.confirm(&tasks[2], &[]).await.unwrap();
    scene.send_all().await;
    scene.end().await;
    let done = scene.progress(broadcast).await;
    assert_eq!(done.broadcast.state, State::Finished);
    assert_eq!((done.audience, done.outcomes.total()), (700, 700));
    assert_eq!(
        (
            done.outcomes.opted_out,
            done.outcomes.deselected,
            done.outcomes.delivered
        ),
        (70, 2, 628)
    );
    assert_eq!(scene.count("select count(*) from inbox_message").await, 628);
    assert_eq!(
        scene
            .count("select count(*) from outbox where name like '%BroadcastFinished'")
            .await,
        1
    );
    assert_eq!(
        scene
            .count("select count(*) from chunk where state <> 'done'")
            .await,
        0
    );
    scene.check_books().await;
}

#[tokio::test]
async fn a_broken_stream_goes_on_after_the_last_page_written() {
    let scene = Scene::new(&["--chunk-recipients-max", "70"]).await;
    scene.audience(950);
    *scene.customers.breaks.lock().unwrap() = vec![3, 0, 4];
    let broadcast = scene
        .accept(command(Kind::Enterprise, "inbox"))
        .await
        .unwrap()
        .broadcast_id;
    for failures in [1, 2, 1] {
        assert!(ops::resolve(&scene.state).await.unwrap());
        assert_eq!(
            scene.count("select resolve_failures::int8 from broadcast").await,
            failures,
            "a page in between starts the count anew"
        );
        assert!(
            !ops::resolve(&scene.state).await.unwrap(),
            "it rests after a failure"
        );
        scene
            .force("update broadcast set resolve_until = now() - interval '1 second'")
            .await;
    }
    scene.resolve().await;
    assert_eq!(scene.progress(broadcast).await.audience, 950);
    assert_eq!(
        scene
            .count("select count(distinct id) from chunk, unnest(contact_ids) as id")
            .await,
        950,
        "nobody twice"
    );
    let cursors: Vec<_> = scene
        .customers
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|asked| asked.cursor.clone())
        .collect();
    assert!(cursors[0].is_empty() && cursors[1] == cursors[2] && cursors[2] < cursors[3]);
    let half_full = "select count(*) from chunk where recipients < 70";
    assert!(
        scene.count(half_full).await <= 3,
        "a resumed audience fills the chunks it left open"
    );
}

#[tokio::test]
async fn whoever_fails_waits_for_the_others() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    *scene.customers.breaks.lock().unwrap() = vec![0, 0];
    let (failing, other) = two(&scene).await;
    for failures in [1, 2] {
        scene
            .force("update broadcast set resolve_turn_at = null, resolve_until = null where resolve_failures = 1")
            .await;
        ops::resolve(&scene.state).await.unwrap();
        let failed = "select resolve_failures::int8 from broadcast order by broadcast_id limit 1";
        assert_eq!(scene.count(failed).await, failures);
    }
    // Its rest is over, and still the other one is first.
    scene
        .force("update broadcast set resolve_until = now() - interval '1 second'")
        .await;
    ops::resolve(&scene.state).await.unwrap();
    assert_eq!(scene.progress(failing).await.broadcast.state, State::Resolving);
    assert_eq!(scene.progress(other).await.broadcast.state, State::Running);
    ops::resolve(&scene.state).await.unwrap();
    assert_eq!(scene.progress(failing).await.broadcast.state, State::Running);
}

#[tokio::test]
async fn large_audiences_take_turns() {
    let scene = Scene::new(&[]).await;
    scene.audience(2_600);
    let (one, other) = two(&scene).await;
    for (audiences, state) in [
        ([2_500, 0], State::Resolving),
        ([2_500, 2_500], State::Resolving),
        ([2_600, 2_500], State::Running),
        ([2_600, 2_600], State::Running),
    ] {
        ops::resolve(&scene.state).await.unwrap();
        let (one, other) = (scene.progress(one).await, scene.progress(other).await);
        assert_eq!([one.audience, other.audience], audiences);
        assert_eq!(one.broadcast.state, state);
    }
    assert!(!ops::resolve(&scene.state).await.unwrap());
}

/// Two mass messages to be resolved, the older one first.
async fn two(scene: &Scene) -> (BroadcastId, BroadcastId) {
    let accept = async || scene.accept(command(Kind::Enterprise, "inbox")).await.unwrap();
    (accept().await.broadcast_id, accept().await.broadcast_id)
}

#[tokio::test]
async fn two_resolvers_at_once_are_one() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let broadcast = scene
        .accept(command(Kind::Enterprise, "inbox"))
        .await
        .unwrap()
        .broadcast_id;
    // Two that start at once: one of them finds it taken, or its turn lost at its first page.
    let (one, other) = tokio::join!(ops::resolve(&scene.state), ops::resolve(&scene.state));
    one.unwrap();
    other.unwrap();
    scene.resolve().await;
    assert_eq!(scene.progress(broadcast).await.audience, 300);
}

#[tokio::test]
async fn nobody_is_an_audience_too() {
    let scene = Scene::new(&[]).await;
    let done = scene.run(Kind::Enterprise).await;
    assert_eq!((done.broadcast.state, done.audience), (State::Finished, 0));
    assert!(done.broadcast.note.unwrap().contains("nobody matches"));
    assert!(done.tasks.is_empty());
}

#[tokio::test]
async fn a_member_writes_to_her_own() {
    let scene = Scene::new(&[]).await;
    scene.audience(300);
    let done = scene.run(Kind::Member).await;
    assert_eq!((done.audience, done.outcomes.delivered), (100, 90));
    assert_eq!(done.tasks.len(), 1);
    assert_eq!(done.tasks[0].member_id, scene.members[0]);
    let asked = scene.customers.asked.lock().unwrap()[0].clone();
    assert_eq!(
        (asked.member_id, asked.tags_any),
        (scene.members[0].to_string(), vec!["vip".to_owned()])
    );
}

#[tokio::test]
async fn a_confirmation_is_hers_and_final() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(30);
    let broadcast = scene.start(Kind::Enterprise).await;
    let tasks = scene.tasks(broadcast).await;
    let task = tasks
        .iter()
        .find(|task| task.member_id == scene.members[0])
        .unwrap();

    let stranger = scene.agent(scene.members[1], Role::Owner);
    let nobody = task::Deselected::default();
    let refused = ops::confirm(&scene.state, stranger, task.task_id, &nobody).await;
    assert!(matches!(refused, Err(Error::TaskUnknown)));
    let not_hers = scene.confirm(task, &[contacts[1]]).await;
    assert!(matches!(not_hers, Err(Error::NotARecipient(contact)) if contact == contacts[1]));
    assert_eq!(
        scene.progress(broadcast).await.outcomes.deselected,
        0,
        "a refusal leaves nothing behind"
    );

    // One of them has opted out and ends so.
    let left_out = [contacts[0], contacts[9]];
    let confirmed = scene.confirm(task, &left_out).await.unwrap();
    assert_eq!(confirmed.state, task::State::Confirmed);
    assert_eq!(
        scene.confirm(task, &left_out).await.unwrap().confirmed_at,
        confirmed.confirmed_at
    );
    let changed = scene.confirm(task, &[contacts[3]]).await;
    assert!(matches!(changed, Err(Error::TaskConfirmed(contact)) if contact == contacts[3]));
    assert_eq!(
        scene
            .count("select count(*) from outbox where name like '%BroadcastConfirmed'")
            .await,
        1
    );
}

#[tokio::test]
async fn the_same_request_is_the_same_mass_message() {
    let scene = Scene::new(&[]).await;
    let command = serde_json::from_value(command(Kind::Member, "inbox")).unwrap();
    let key = |fingerprint| RequestKey {
        key: "monday".to_owned(),
        fingerprint: [fingerprint; 32],
    };
    let (key, other_body) = (key(1), key(2));
    let (first, again) = tokio::join!(
        ops::accept(&scene.state, scene.operator(), &key, &command),
        ops::accept(&scene.state, scene.operator(), &key, &command),
    );
    assert_eq!(first.unwrap(), again.unwrap());
    let reused = ops::accept(&scene.state, scene.operator(), &other_body, &command).await;
    assert!(matches!(reused, Err(Error::KeyReused)));
    assert_eq!(scene.count("select count(*) from broadcast").await, 1);
}

#[tokio::test]
async fn what_may_not_be_started_is_refused() {
    let mut scene = Scene::new(&[]).await;
    assert!(matches!(
        scene.accept(command(Kind::Member, "webhook")).await,
        Err(Error::WebhookUnknown)
    ));
    scene.tenant = TenantId::new();
    assert!(matches!(
        scene.accept(command(Kind::Member, "inbox")).await,
        Err(Error::TenantUnverified)
    ));
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let mut scene = Scene::new(&[]).await;
    scene.audience(30);
    let broadcast = scene.start(Kind::Enterprise).await;
    let task = scene.tasks(broadcast).await.remove(0);
    scene.tenant = TenantId::new();
    scene.verify(scene.tenant, "Asia/Tokyo").await;
    let found = ops::look_up(&scene.state, scene.tenant, broadcast).await;
    assert!(matches!(found, Err(Error::BroadcastUnknown)));
    assert!(matches!(scene.confirm(&task, &[]).await, Err(Error::TaskUnknown)));
    let cancelled = ops::cancel(&scene.state, scene.operator(), broadcast).await;
    assert!(matches!(cancelled, Err(Error::BroadcastUnknown)));
}

#[tokio::test]
async fn a_share_is_listed_in_pages() {
    let scene = Scene::new(&["--chunk-recipients-max", "7"]).await;
    let contacts = scene.audience(60);
    let broadcast = scene.start(Kind::Enterprise).await;
    let task = scene
        .tasks(broadcast)
        .await
        .into_iter()
        .find(|t| t.member_id == scene.members[0])
        .unwrap();
    let (mut seen, mut after) = (vec![], None::<ContactId>);
    loop {
        let mut tx = scene.state.db.read(scene.tenant).await.unwrap();
        let (id, member) = (task.task_id, task.member_id);
        let page = crate::store::task::recipients(&mut *tx, id, member, broadcast, after, 6)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.contact_id);
        seen.extend(page);
    }
    let hers: Vec<_> = contacts.iter().step_by(3).copied().collect();
    assert_eq!(
        seen.iter()
            .map(|recipient| recipient.contact_id)
            .collect::<Vec<_>>(),
        hers
    );
    assert_eq!(
        seen.iter().filter(|recipient| recipient.state.is_none()).count() as i64,
        task.recipients
    );
}
