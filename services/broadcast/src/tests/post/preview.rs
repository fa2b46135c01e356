//! What is shown of a post before it goes into groups.

use chassis::auth::Role;
use contracts::GroupId;
use serde_json::{Value, json};

use super::super::scene::Scene;
use super::super::webhooks::Receiver;
use crate::broadcast::Kind;
use crate::error::Error;
use crate::ops;
use crate::preview::PreviewBroadcast;

#[tokio::test]
async fn a_preview_shows_the_groups_and_who_speaks() {
    let scene = Scene::new(&[]).await;
    let (one, two) = (scene.members[0], scene.members[1]);
    let groups = scene.open_groups(&[two; 40]);
    let preview = async |command: Value| {
        let command: PreviewBroadcast = serde_json::from_value(command).unwrap();
        ops::preview(&scene.state, scene.agent(one, Role::Operator), &command).await
    };
    let some = preview(json!({"kind": "enterprise", "text": "x", "post_in": {}}))
        .await
        .unwrap();
    assert_eq!(some.len(), 10);
    assert!(
        some.iter()
            .all(|it| it.member_id == Some(two) && it.problem.is_none())
    );
    let stranger = GroupId::new();
    let named = json!({
        "kind": "enterprise", "text": "x", "post_in": {}, "contact_ids": [groups[39], stranger]
    });
    let named = preview(named).await.unwrap();
    let shown: Vec<_> = named
        .iter()
        .map(|it| (it.contact_id.0, it.said.is_some()))
        .collect();
    assert_eq!(shown, [(groups[39].0, true), (stranger.0, false)]);
    assert_eq!(
        named[1].problem.as_deref(),
        Some("it is no group one may post in")
    );
    let content = json!({"language": "zh", "variants": {"zh": {"text": "{{contact.name|亲}}"}}});
    let personal = preview(json!({"kind": "enterprise", "content": content, "post_in": {}})).await;
    assert!(matches!(personal, Err(Error::PostPersonal)));
    let both = json!({"kind": "enterprise", "text": "x", "post_in": {}, "audience": {}});
    assert!(matches!(preview(both).await, Err(Error::ToBoth)));
}

#[tokio::test]
async fn with_neither_groups_nor_an_audience_everybody_is_meant() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(3);
    let names = contacts
        .iter()
        .map(|&contact| (contact, ("王芳".to_owned(), "zh".to_owned())));
    *scene.customers.people.lock().unwrap() = names.collect();
    let preview = async |command: Value| {
        let command: PreviewBroadcast = serde_json::from_value(command).unwrap();
        let shown = ops::preview(&scene.state, scene.operator(), &command).await;
        let mut shown: Vec<_> = shown.unwrap().iter().map(|it| it.contact_id).collect();
        shown.sort();
        shown
    };
    let everybody = preview(json!({"kind": "enterprise", "text": "x"})).await;
    assert_eq!(everybody, contacts);
    let said = json!({"kind": "enterprise", "text": "x", "audience": {}, "post_in": null});
    assert_eq!(preview(said).await, contacts);
}

#[tokio::test]
async fn a_tasks_preview_says_which_of_its_groups_get_nothing() {
    let scene = Scene::new(&[]).await;
    let (_receiver, url) = Receiver::taking().await;
    scene.set_webhook(&url).await;
    let owner = scene.members[0];
    let group = scene.open_groups(&[owner])[0];
    let stranger = GroupId::new();
    let started = scene
        .post(Kind::Enterprise, json!({"groups": [group, stranger]}))
        .await;
    assert_eq!((started.audience, started.outcomes.not_a_friend), (2, 1));
    let agent = scene.agent(owner, Role::Agent);
    let shown = ops::preview_task(&scene.state, agent, started.tasks[0].task_id).await;
    let shown = shown.unwrap();
    let of = |group: GroupId| shown.iter().find(|it| it.contact_id.0 == group.0).unwrap();
    assert!(of(group).said.is_some() && of(group).problem.is_none());
    assert!(of(stranger).said.is_none() && of(stranger).html.is_none());
    let problem = of(stranger).problem.as_deref();
    assert_eq!(problem, Some("it is no group one may post in"));
}
