//! Posts in groups: one delivery for a group, from its owner, beside whatever its contacts get (D85).

mod ending;
mod preview;

use chassis::auth::Role;
use contracts::{BroadcastId, ContactId, GroupId, MemberId};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::policy::limit;
use super::scene::Scene;
use super::webhooks::Receiver;
use crate::broadcast::{Kind, Progress, State};
use crate::cap::{Scope, Window};
use crate::error::Error;
use crate::forecast::Way;
use crate::message;
use crate::ops;
use crate::post::To;
use crate::report::Format;
use crate::store;

/// Who starts what, and in which groups it is posted by whom.
type Case = (Kind, Value, Vec<(GroupId, MemberId)>);

const NOBODY: MemberId = MemberId(Uuid::nil());

fn post(kind: Kind, post_in: &Value) -> Value {
    json!({
        "kind": kind, "title": "Spring", "text": "The serum is in.", "channel": "webhook", "post_in": post_in
    })
}

impl Scene {
    /// Groups of these owners, sorted.
    fn open_groups(&self, owners: &[MemberId]) -> Vec<GroupId> {
        let mut groups: Vec<_> = owners.iter().map(|_| GroupId::new()).collect();
        groups.sort();
        let mut known = self.groups.owners.lock().unwrap();
        known.extend(groups.iter().copied().zip(owners.iter().copied()));
        known.sort();
        groups
    }

    async fn post(&self, kind: Kind, post_in: Value) -> Progress {
        let broadcast = self.accept(post(kind, &post_in)).await.unwrap().broadcast_id;
        self.resolve().await;
        self.progress(broadcast).await
    }

    async fn carry_out(&self, broadcast: BroadcastId) -> Progress {
        self.confirm_all(broadcast).await;
        self.carry_out_confirmed(broadcast).await
    }

    async fn carry_out_confirmed(&self, broadcast: BroadcastId) -> Progress {
        self.send_all().await;
        self.end().await;
        self.check_books().await;
        self.progress(broadcast).await
    }

    async fn posted_in(&self, broadcast: BroadcastId) -> Vec<(GroupId, MemberId)> {
        let recipients =
            "select id, member_id from chunk, unnest(contact_ids) as id where broadcast_id = $1 order by id";
        sqlx::query_as(recipients)
            .bind(broadcast)
            .fetch_all(&self.test.superuser)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_group_gets_a_post_once_from_its_owner() {
    let scene = Scene::new(&[]).await;
    let (receiver, url) = Receiver::taking().await;
    scene.set_webhook(&url).await;
    let (one, two) = (scene.members[0], scene.members[1]);
    let groups = scene.open_groups(&[one, two, two, NOBODY]);
    let started = scene.post(Kind::Enterprise, json!({})).await;
    let id = started.broadcast.broadcast_id;
    assert_eq!((started.audience, started.broadcast.to), (4, To::Groups));
    assert!(started.broadcast.tags_all.is_empty(), "the guard is not shown");
    let mut shares: Vec<_> = started
        .tasks
        .iter()
        .map(|it| (it.member_id, it.recipients, it.to))
        .collect();
    shares.sort_by_key(|share| share.0);
    // Where nobody owns a group, whoever starts it speaks.
    assert_eq!(shares, [(one, 2, To::Groups), (two, 2, To::Groups)]);
    assert!(scene.hints().await.is_empty(), "before somebody confirms");

    let hers = started.tasks.iter().find(|task| task.member_id == two).unwrap();
    let shown = ops::preview_task(&scene.state, scene.agent(two, Role::Agent), hers.task_id);
    let shown = shown.await.unwrap();
    assert_eq!(shown.len(), 2);
    assert!(
        shown
            .iter()
            .all(|it| it.said.as_ref().unwrap().text == "The serum is in.")
    );
    scene.confirm(hers, &[ContactId(groups[2].0)]).await.unwrap();
    let others = started.tasks.iter().find(|task| task.member_id == one).unwrap();
    scene.confirm(others, &[]).await.unwrap();
    scene.send_all().await;
    scene.end().await;
    let done = scene.progress(id).await;
    assert_eq!(done.broadcast.state, State::Finished);
    assert_eq!((done.outcomes.delivered, done.outcomes.deselected), (3, 1));
    scene.check_books().await;

    let calls = receiver.calls.lock().unwrap().clone();
    assert_eq!((calls.len(), receiver.calls()), (3, 3));
    for (group, speaker) in [(groups[0], one), (groups[1], two), (groups[3], one)] {
        let key = message::mass(id, ContactId(group.0)).to_string();
        let body = &calls[&key][0];
        assert_eq!(body["group_id"], group.to_string());
        assert_eq!(body["member_id"], speaker.to_string());
        assert_eq!(body["kind"], "enterprise");
        assert!(body.get("contact_id").is_none() && body.get("opt_out_url").is_none());
    }
    let rows = ops::report::export(&scene.state, scene.tenant, id, Format::Csv, None).await;
    let rows: Vec<_> = rows.unwrap().try_collect().await.unwrap();
    let rows = String::from_utf8(rows.concat()).unwrap();
    let row = format!("{},{two},deselected,", groups[2]);
    assert_eq!((rows.lines().count(), rows.contains(&row)), (5, true), "{rows}");
    let report = ops::report::report(&scene.state, scene.tenant, id).await.unwrap();
    assert_eq!((report.members_total, report.outcomes), (2, done.outcomes));
}

#[tokio::test]
async fn a_groups_limit_is_its_own_and_its_contacts_lose_nothing() {
    let scene = Scene::new(&["--chunk-recipients-max", "3"]).await;
    scene
        .limit(Scope::Fatigue, -40, Some(limit(Window::Day, 1, None)))
        .await;
    let (receiver, url) = Receiver::taking().await;
    scene.set_webhook(&url).await;
    let groups = scene.open_groups(&[scene.members[0]; 10]);
    scene.audience(9);
    let first = scene.post(Kind::Enterprise, json!({"groups": groups[..4]})).await;
    let first = scene.carry_out(first.broadcast.broadcast_id).await;
    assert_eq!(first.outcomes.delivered, 4);
    assert_eq!(
        scene
            .count("select count(*) from cap where kind <> 'group'")
            .await,
        0
    );

    // Also of the other kind it is the second of the day.
    let second = scene.post(Kind::Member, json!({})).await;
    let id = second.broadcast.broadcast_id;
    scene.confirm_all(id).await;
    let forecast = scene.forecast(id).await.unwrap();
    assert_eq!((forecast.outcomes.capped, forecast.outcomes.delivered), (4, 6));
    assert_eq!(forecast.holders[0].broadcast_id, first.broadcast.broadcast_id);
    let ways: Vec<_> = forecast.alternatives.iter().map(|other| other.way).collect();
    assert_eq!(ways, [Way::Tomorrow], "the other kind has no other cap");
    let second = scene.carry_out_confirmed(id).await;
    assert_eq!(second.outcomes, forecast.outcomes);
    assert_eq!(receiver.calls(), 10);

    let contacts = scene.run(Kind::Enterprise).await;
    assert_eq!(contacts.outcomes.delivered, 9, "no contact is tired of posts");
    let third = scene.post(Kind::Enterprise, json!({})).await;
    let third = scene.carry_out(third.broadcast.broadcast_id).await;
    assert_eq!((third.outcomes.capped, third.outcomes.fatigued), (10, 0));
    let twice = limit(Window::Day, 2, None);
    scene.limit(Scope::Group, -40, Some(twice)).await;
    let fourth = scene.post(Kind::Enterprise, json!({})).await;
    let fourth = scene.carry_out(fourth.broadcast.broadcast_id).await;
    assert_eq!(fourth.outcomes.delivered, 10, "as many as the policy allows");
}

#[tokio::test]
async fn groups_are_named_by_id_or_owner_without_the_exceptions() {
    let scene = Scene::new(&[]).await;
    let (_receiver, url) = Receiver::taking().await;
    scene.set_webhook(&url).await;
    let (one, two, three) = (scene.members[0], scene.members[1], scene.members[2]);
    let groups = scene.open_groups(&[one, two, three, NOBODY]);
    let of = |places: &[(usize, MemberId)]| {
        places
            .iter()
            .map(|&(i, who)| (groups[i], who))
            .collect::<Vec<_>>()
    };
    let (enterprise, member) = (Kind::Enterprise, Kind::Member);
    let cases: [Case; 7] = [
        (
            enterprise,
            json!({}),
            of(&[(0, one), (1, two), (2, three), (3, one)]),
        ),
        (
            enterprise,
            json!({"groups": [groups[2]], "owned_by": [two]}),
            of(&[(1, two), (2, three)]),
        ),
        (
            enterprise,
            json!({"owned_by": [two, three], "except": [groups[1]]}),
            of(&[(2, three)]),
        ),
        (
            enterprise,
            json!({"groups": [groups[1]], "except": [groups[1]]}),
            vec![],
        ),
        (enterprise, json!({"owned_by": [MemberId::new()]}), vec![]),
        (member, json!({}), of(&[(0, one)])),
        (member, json!({"owned_by": [two]}), vec![]),
    ];
    for (kind, post_in, expected) in cases {
        let started = scene.post(kind, post_in.clone()).await;
        let id = started.broadcast.broadcast_id;
        assert_eq!(scene.posted_in(id).await, expected, "{post_in}");
    }

    // What is named is accounted for: here another member's group, and none at all.
    let stranger = GroupId::new();
    let started = scene
        .post(member, json!({"groups": [groups[0], groups[1], stranger]}))
        .await;
    assert_eq!((started.audience, started.outcomes.not_a_friend), (3, 2));
    let done = scene.carry_out(started.broadcast.broadcast_id).await;
    assert_eq!(
        (done.outcomes.delivered, done.broadcast.state),
        (1, State::Finished)
    );
}

#[tokio::test]
async fn many_groups_come_in_pages_and_a_broken_stream_goes_on() {
    let scene = Scene::new(&["--chunk-recipients-max", "70"]).await;
    let (receiver, url) = Receiver::taking().await;
    scene.set_webhook(&url).await;
    let owners: Vec<_> = (0..450).map(|i| scene.members[i % 3]).collect();
    let groups = scene.open_groups(&owners);
    *scene.groups.breaks.lock().unwrap() = vec![2, 0];
    let id = scene
        .accept(post(Kind::Enterprise, &json!({})))
        .await
        .unwrap()
        .broadcast_id;
    for failures in [1, 1] {
        assert!(ops::resolve(&scene.state).await.unwrap());
        let counted = scene.count("select resolve_failures::int8 from broadcast").await;
        assert_eq!(counted, failures, "a page in between starts the count anew");
        scene
            .force("update broadcast set resolve_until = now() - interval '1 second'")
            .await;
    }
    assert_eq!(scene.progress(id).await.audience, 200);
    scene.resolve().await;
    let posted: Vec<_> = groups.into_iter().zip(owners).collect();
    assert_eq!(scene.posted_in(id).await, posted);
    assert_eq!(scene.carry_out(id).await.outcomes.delivered, 450);
    assert_eq!(receiver.calls(), 450);
}

#[tokio::test]
async fn what_makes_no_sense_in_a_group_is_refused() {
    let scene = Scene::new(&[]).await;
    let refused = async |change: Value| {
        let mut command = post(Kind::Enterprise, &json!({}));
        for (name, value) in change.as_object().unwrap() {
            command[name] = value.clone();
        }
        let refused = scene.accept(command).await.unwrap_err();
        let problem = chassis::Problem::from(refused);
        (problem.code, problem.field.unwrap())
    };
    for (change, code, field) in [
        (json!({"channel": "inbox"}), "post_channel", "channel"),
        (json!({"held_out_ppm": 1_000}), "post_held_out", "held_out_ppm"),
        (json!({"audience": {}}), "audience_and_post_in", "post_in"),
        (json!({"post_in": null}), "missing_field", "audience"),
    ] {
        assert_eq!(refused(change).await, (code, field.to_owned()));
    }
    assert!(matches!(
        scene.accept(post(Kind::Enterprise, &json!({}))).await,
        Err(Error::WebhookUnknown)
    ));
    assert_eq!(scene.count("select count(*) from broadcast").await, 0);
}

#[tokio::test]
async fn lists_tell_posts_apart_without_the_groups_they_name() {
    let scene = Scene::new(&[]).await;
    let (_receiver, url) = Receiver::taking().await;
    scene.set_webhook(&url).await;
    let groups = scene.open_groups(&[scene.members[0]; 2]);
    scene.audience(1);
    let to_contacts = scene.start(Kind::Enterprise).await;
    let posted = scene.post(Kind::Enterprise, json!({"groups": groups})).await;
    let named = posted.broadcast.post_in.map(|post_in| post_in.groups);
    assert_eq!(named, Some(groups), "on its own it tells which");

    let mut tx = scene.state.db.read(scene.tenant).await.unwrap();
    let listed = store::broadcast::page(&mut *tx, scene.tenant, None, 10)
        .await
        .unwrap();
    let listed: Vec<_> = listed
        .into_iter()
        .map(|it| (it.broadcast_id, it.to, it.post_in))
        .collect();
    let newest_first = [
        (posted.broadcast.broadcast_id, To::Groups, None),
        (to_contacts, To::Contacts, None),
    ];
    assert_eq!(listed, newest_first);
}

#[tokio::test]
async fn a_resolver_that_knows_no_posts_writes_to_nobody() {
    let scene = Scene::new(&[]).await;
    scene.audience(9);
    let groups = scene.open_groups(&[scene.members[0]; 2]);
    let (_receiver, url) = Receiver::taking().await;
    scene.set_webhook(&url).await;
    let post_in = json!({ "groups": groups });
    let id = scene
        .accept(post(Kind::Enterprise, &post_in))
        .await
        .unwrap()
        .broadcast_id;
    // What it reads: tags alone, among them one that is no tag.
    scene.force("update broadcast set post_in = null").await;
    assert_eq!(scene.count("select count(*) from audience").await, 0);
    assert!(ops::resolve(&scene.state).await.unwrap());
    assert!(scene.customers.asked.lock().unwrap().is_empty());
    let failures = scene.count("select resolve_failures::int8 from broadcast").await;
    assert_eq!(
        (failures, scene.progress(id).await.broadcast.state),
        (1, State::Resolving)
    );
    // It rests, and is there for those who can read it.
    scene
        .force("update broadcast set resolve_until = null, post_in = '{}'")
        .await;
    scene.resolve().await;
    assert_eq!(scene.progress(id).await.audience, 2);
}
