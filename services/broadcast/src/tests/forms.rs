//! Audiences in every form: who gets a message, and how those end whom nobody can speak to.

use std::sync::atomic::Ordering;

use contracts::{ContactId, GroupId};
use serde_json::{Value, json};

use super::scene::{Scene, command};
use crate::broadcast::{Kind, Progress, State};
use crate::error::Error;
use crate::ops;

/// A mass message to an audience, resolved.
async fn resolved(scene: &Scene, kind: Kind, audience: Value) -> Progress {
    let mut command = command(kind, "inbox");
    command["audience"] = audience;
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    scene.resolve().await;
    scene.progress(broadcast).await
}

async fn recipients(scene: &Scene, done: &Progress) -> Vec<ContactId> {
    sqlx::query_scalar(
        "select contact_id from chunk, unnest(contact_ids) as contact_id where broadcast_id = $1 order by contact_id",
    )
    .bind(done.broadcast.broadcast_id)
    .fetch_all(&scene.test.superuser)
    .await
    .unwrap()
}

#[tokio::test]
async fn groups_members_and_contacts_are_a_union_without_the_exceptions() {
    let scene = Scene::new(&["--chunk-recipients-max", "50"]).await;
    let all = scene.audience(900); // three members in turns
    let (one, two) = (
        scene.groups.seat(all[..300].iter().copied()),
        scene.groups.seat(all[200..400].iter().copied()),
    );
    let of = |keep: &dyn Fn(usize) -> bool| (0..900).filter(|i| keep(*i)).map(|i| all[i]).collect::<Vec<_>>();
    let cases: [(Value, Vec<ContactId>); 7] = [
        (json!({"groups": [one, two]}), of(&|i| i < 400)),
        (json!({"groups": [GroupId::new()]}), vec![]),
        (json!({"followed_by": [scene.members[1]]}), of(&|i| i % 3 == 1)),
        (
            json!({"contacts": [all[7], all[3], all[7]]}),
            of(&|i| i == 3 || i == 7),
        ),
        (
            json!({"groups": [two], "followed_by": [scene.members[0]], "contacts": [all[898]]}),
            of(&|i| (200..400).contains(&i) || i % 3 == 0 || i == 898),
        ),
        (
            json!({"except": {"groups": [one], "contacts": [all[899]]}}),
            of(&|i| (300..899).contains(&i)),
        ),
        (
            json!({"groups": [one], "except": {"groups": [two]}}),
            of(&|i| i < 200),
        ),
    ];
    for (audience, expected) in cases {
        let done = resolved(&scene, Kind::Enterprise, audience.clone()).await;
        assert_eq!(recipients(&scene, &done).await, expected, "{audience}");
        assert_eq!(done.broadcast.state, State::Running);
    }
    scene.check_books().await;
}

#[tokio::test]
async fn contacts_whom_nobody_can_speak_to_end_as_no_friends_and_stop_nothing() {
    let scene = Scene::new(&[]).await;
    let all = scene.audience(30);
    let strangers = [ContactId::new(), ContactId::new()];
    // A seat says nothing about friends: who merely sits there is no recipient.
    let group = scene.groups.seat([ContactId::new()]);
    let named: Vec<_> = all[..8].iter().chain(&strangers).collect();
    let audience = json!({"contacts": named, "groups": [group]});
    let done = resolved(&scene, Kind::Enterprise, audience).await;
    assert_eq!((done.audience, done.outcomes.not_a_friend), (10, 2));
    scene.confirm_all(done.broadcast.broadcast_id).await;
    scene.send_all().await;
    scene.end().await;
    let done = scene.progress(done.broadcast.broadcast_id).await;
    assert_eq!(done.broadcast.state, State::Finished);
    assert_eq!((done.outcomes.delivered, done.outcomes.total()), (8, 10));
    scene.check_books().await;

    // A member's own message: friends of others are none of hers.
    let done = resolved(&scene, Kind::Member, json!({"contacts": all[..6]})).await;
    assert_eq!((done.audience, done.outcomes.not_a_friend), (6, 4));

    // Nobody but strangers: it ends with the proof of it.
    let done = resolved(&scene, Kind::Enterprise, json!({"contacts": strangers})).await;
    scene.end().await;
    let done = scene.progress(done.broadcast.broadcast_id).await;
    assert_eq!(done.broadcast.state, State::Finished);
    assert_eq!((done.audience, done.outcomes.not_a_friend), (2, 2));
    assert!(done.tasks.is_empty());
}

#[tokio::test]
async fn a_contact_erased_between_two_pages_is_missing_and_breaks_nothing() {
    let scene = Scene::new(&[]).await;
    let all = scene.audience(400);
    *scene.customers.breaks.lock().unwrap() = vec![2];
    let audience = json!({"contacts": all});
    let mut command = command(Kind::Enterprise, "inbox");
    command["audience"] = audience;
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    assert!(ops::resolve(&scene.state).await.unwrap());
    assert_eq!(scene.progress(broadcast).await.audience, 200);
    // One of those before the cursor, one behind it.
    let erased = [all[50], all[350]];
    scene
        .customers
        .entries
        .lock()
        .unwrap()
        .retain(|entry| !erased.contains(&entry.contact));
    scene
        .force("update broadcast set resolve_until = now() - interval '1 second'")
        .await;
    scene.resolve().await;
    let done = scene.progress(broadcast).await;
    assert_eq!((done.audience, done.outcomes.not_a_friend), (400, 1));
    assert_eq!(done.broadcast.state, State::Running);
}

#[tokio::test]
async fn ids_beyond_one_call_go_in_windows() {
    let scene = Scene::new(&[]).await;
    let all = scene.audience(2_000);
    let crowd = scene
        .groups
        .seat((0..9_500).map(|_| ContactId::new()).chain(all.iter().copied()));
    let others: Vec<_> = (0..3_000).map(|_| ContactId::new()).collect();
    let done = resolved(
        &scene,
        Kind::Enterprise,
        json!({"groups": [crowd], "contacts": others}),
    )
    .await;
    assert_eq!((done.audience, done.outcomes.not_a_friend), (5_000, 3_000));
    assert_eq!(recipients(&scene, &done).await.len(), 5_000);
    let asked = scene.customers.asked.lock().unwrap();
    assert!(
        asked.len() > 1
            && asked
                .iter()
                .all(|asked| asked.contact_ids.len() <= 160_000 && asked.named_only)
    );
}

#[tokio::test]
async fn a_resolver_that_knows_tags_alone_finds_nobody() {
    let scene = Scene::new(&[]).await;
    let group = scene.groups.seat(scene.audience(3));
    let done = resolved(
        &scene,
        Kind::Enterprise,
        json!({"groups": [group], "tags_all": ["vip"]}),
    )
    .await;
    assert_eq!(done.broadcast.tags_all, ["vip"], "it is not shown");
    let guarded = "select count(*) from broadcast where tags_all = '{vip,\"\"}'";
    assert_eq!(scene.count(guarded).await, 1);
    let tags = resolved(&scene, Kind::Enterprise, json!({"tags_all": ["vip"]})).await;
    assert_eq!(tags.audience, 3);
    assert_eq!(scene.count("select count(*) from audience").await, 1);
}

#[tokio::test]
async fn a_file_of_contacts_is_an_audience_and_an_exception() {
    let scene = Scene::new(&[]).await;
    let all = scene.audience(12_100);
    let make = async |key: &str, file: String| {
        let operator = chassis::auth::Operator {
            tenant: scene.tenant,
            member: scene.members[0],
            role: chassis::auth::Role::Operator,
        };
        ops::make_list(&scene.state, operator, key.to_owned(), file.into()).await
    };
    let file = |contacts: &[ContactId]| {
        let lines: Vec<_> = contacts.iter().map(|id| format!("{id}\n")).collect();
        format!("contact_id\n{}", lines.concat())
    };
    let stranger = ContactId::new();
    let mut named = all[..12_050].to_vec();
    named.push(stranger);
    named.reverse();
    let list = make("monday", file(&named)).await.unwrap();
    assert_eq!(list.contacts, 12_051);
    assert_eq!(
        make("monday", file(&named)).await.unwrap(),
        list,
        "the same request"
    );
    assert!(matches!(make("monday", file(&all)).await, Err(Error::KeyReused)));
    let few = make("tuesday", file(&all[10..12_000])).await.unwrap();
    let refused = make("wednesday", format!("{stranger}\nwx-1\n")).await;
    assert_eq!(refused.unwrap_err().to_string(), "line 2 is no contact's id");
    assert_eq!(scene.count("select count(*) from contact_list").await, 2);
    assert_eq!(scene.count("select count(*) from contact_list_part").await, 4);

    let audience = json!({"list": list.list_id, "except": {"list": few.list_id}});
    let done = resolved(&scene, Kind::Enterprise, audience).await;
    assert_eq!((done.audience, done.outcomes.not_a_friend), (61, 1));
    let whole = resolved(&scene, Kind::Enterprise, json!({"list": list.list_id})).await;
    assert_eq!((whole.audience, whole.outcomes.not_a_friend), (12_051, 1));
    let mut command = command(Kind::Enterprise, "inbox");
    command["audience"] = json!({"list": contracts::ContactListId::new()});
    assert!(matches!(scene.accept(command).await, Err(Error::ListUnknown)));
}

/// A rollout begins with broadcast: what its peer knows is resolved, the rest waits for the peer.
#[tokio::test]
async fn a_customers_of_before_is_asked_as_before() {
    let scene = Scene::new(&[]).await;
    let all = scene.audience(250);
    scene.customers.is_of_before.store(true, Ordering::Relaxed);
    let done = resolved(&scene, Kind::Enterprise, json!({"tags_any": ["vip"]})).await;
    assert_eq!((done.audience, done.outcomes.opted_out), (250, 25));
    assert_eq!(recipients(&scene, &done).await, all);

    let done = resolved(&scene, Kind::Enterprise, json!({"contacts": all[..5]})).await;
    assert_eq!((done.broadcast.state, done.audience), (State::Resolving, 0));
    scene.customers.is_of_before.store(false, Ordering::Relaxed);
    scene
        .force("update broadcast set resolve_until = now() - interval '1 second'")
        .await;
    scene.resolve().await;
    assert_eq!(scene.progress(done.broadcast.broadcast_id).await.audience, 5);
}
