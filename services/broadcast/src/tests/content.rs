//! Words for each recipient, from accepted to the inbox, the receiver and the preview.

use std::sync::atomic::Ordering;

use chassis::auth::{Role, Seals};
use contracts::{BroadcastId, ContactId};
use serde_json::{Value, json};
use testkit::Stack;
use uuid::Uuid;

use super::scene::Scene;
use super::webhooks::Receiver;
use crate::broadcast::{Kind, Progress};
use crate::content::letter::SHOP_LINK;
use crate::error::Error;
use crate::message::Message;
use crate::ops::{self, Answer};
use crate::preview::PreviewBroadcast;
use crate::store;

impl Scene {
    /// Tells customers' names and languages, in the order of the contacts.
    fn name(&self, contacts: &[ContactId], people: &[(&str, &str)]) {
        let people = people
            .iter()
            .map(|(name, language)| ((*name).to_owned(), (*language).to_owned()));
        let named = contacts.iter().copied().zip(people);
        *self.customers.people.lock().unwrap() = named.collect();
    }

    async fn start_content(&self, channel: &str, content: &Value) -> Result<BroadcastId, Error> {
        let command = json!({
            "kind": "enterprise", "title": "Spring", "content": content, "audience": {}, "channel": channel
        });
        let broadcast = self.accept(command).await?.broadcast_id;
        self.resolve().await;
        self.confirm_all(broadcast).await;
        Ok(broadcast)
    }

    async fn run_content(&self, channel: &str, content: &Value) -> Progress {
        let broadcast = self.start_content(channel, content).await.unwrap();
        self.send_all().await;
        self.end().await;
        self.check_books().await;
        self.progress(broadcast).await
    }

    async fn only_message(&self, contact: ContactId) -> Message {
        let mut tx = self.state.db.read(self.tenant).await.unwrap();
        let mut page = store::inbox::page(&mut *tx, self.tenant, contact, None, 2)
            .await
            .unwrap();
        assert_eq!(page.len(), 1);
        page.remove(0)
    }

    fn names_asked(&self) -> usize {
        self.customers.named.load(Ordering::Relaxed)
    }
}

fn content() -> Value {
    json!({
        "language": "zh",
        "variants": {
            "zh": {
                "text": "{{contact.name|亲}}，{{brand.season}}到了。{{member.alias}}",
                "attachments": [{"link": {"title": "{{contact.name|你}}", "url": "{{shop.link}}"}}]
            },
            "ja": {"text": "{{contact.name|お客}}様"}
        },
        "constants": [{"name": "season", "text": "春"}],
        "shop_url": "https://shop.example/serum"
    })
}

/// The ids in a shop link of this service's.
fn sealed_in(url: &str) -> [Uuid; 4] {
    let stack = Stack::shared().unwrap();
    let peer_keys = &stack.process("broadcast").env["SHEQUN_PEER_KEYS"];
    let seals = Seals::load("broadcast", peer_keys.as_ref()).unwrap();
    let url: url::Url = url.parse().unwrap();
    let (name, seal) = url.query_pairs().next().unwrap();
    assert_eq!((url.path(), &*name), ("/serum", "st"));
    seals.open(SHOP_LINK, &seal).unwrap()
}

#[tokio::test]
async fn each_gets_their_own_words_once() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(6);
    // The last one is erased meanwhile; the one before has a name that no title can hold.
    let long = "漢".repeat(60);
    scene.name(
        &contacts,
        &[
            ("王芳", "zh-Hans"),
            ("花子", "ja"),
            ("", "fr"),
            ("<b>", ""),
            (&long, "zh"),
        ],
    );
    let done = scene.run_content("inbox", &content()).await;
    assert_eq!(
        (
            done.outcomes.delivered,
            done.outcomes.dead,
            done.outcomes.not_a_friend
        ),
        (4, 1, 1),
        "{:?}",
        done.outcomes
    );
    assert_eq!(scene.names_asked(), 3, "once per chunk");
    for (contact, text) in contacts.iter().zip([
        "王芳，春到了。小雨",
        "花子様",
        "亲，春到了。小雨",
        "<b>，春到了。小雨",
    ]) {
        assert_eq!(scene.only_message(*contact).await.said.text, text);
    }
    let shown = serde_json::to_value(scene.only_message(contacts[0]).await).unwrap();
    assert_eq!(
        (&shown["language"], &shown["attachments"][0]["link"]["title"]),
        (&json!("zh"), &json!("王芳"))
    );
    let url = shown["attachments"][0]["link"]["url"].as_str().unwrap();
    let sender = scene.members[0];
    let expected = [
        scene.tenant.0,
        done.broadcast.broadcast_id.0,
        sender.0,
        contacts[0].0,
    ];
    assert_eq!(sealed_in(url), expected);
    assert_eq!(
        done.broadcast.text, "亲，春到了。…",
        "what it says to nobody in particular"
    );
}

#[tokio::test]
async fn words_for_all_cost_nothing_more() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(3);
    let content = json!({
        "language": "en",
        "variants": {"en": {"text": "{{brand.season}}!", "attachments": [{"image": {"media_id": "M-1"}}]}},
        "constants": [{"name": "season", "text": "Spring"}]
    });
    let done = scene.run_content("inbox", &content).await;
    assert_eq!((done.outcomes.delivered, scene.names_asked()), (3, 0));
    let shown = serde_json::to_value(scene.only_message(contacts[0]).await).unwrap();
    assert_eq!(
        (&shown["text"], &shown["language"]),
        (&json!("Spring!"), &json!("en"))
    );
    assert_eq!(shown["attachments"], json!([{"image": {"media_id": "M-1"}}]));
    assert_eq!(
        scene
            .count("select count(*) from inbox_message where said is not null")
            .await,
        0
    );
}

#[tokio::test]
async fn receivers_get_words_and_cards() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(1);
    scene.name(&contacts, &[("\"王\"", "zh")]);
    let (receiver, url) = Receiver::taking().await;
    scene.set_webhook(&url).await;
    assert_eq!(
        scene.run_content("webhook", &content()).await.outcomes.delivered,
        1
    );
    let body = receiver.only();
    assert_eq!(
        (&body["text"], &body["language"]),
        (&json!("\"王\"，春到了。小雨"), &json!("zh"))
    );
    let url = body["attachments"][0]["link"]["url"].as_str().unwrap();
    assert_eq!(sealed_in(url)[3], contacts[0].0);
}

#[tokio::test]
async fn with_customers_away_a_chunk_rests_and_nothing_is_lost() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(1);
    scene.name(&contacts, &[("王芳", "zh")]);
    let broadcast = scene.start_content("inbox", &content()).await.unwrap();
    scene.customers.silent.store(1, Ordering::Relaxed);
    let hint = scene.hints().await.remove(0);
    assert!(matches!(scene.send(hint).await, Err(Error::Unaddressed(_))));
    assert_eq!(
        scene.count("select attempts::int8 from chunk").await,
        0,
        "no call was started"
    );
    scene
        .force("update chunk set lease_until = now() - interval '1 second'")
        .await;
    assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    scene.end().await;
    scene.check_books().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.delivered, 1);
}

#[tokio::test]
async fn what_says_nothing_or_two_things_is_refused() {
    let scene = Scene::new(&[]).await;
    let command = |text: Value, content: Value| json!({"kind": "enterprise", "title": "t", "text": text, "content": content, "audience": {}, "channel": "inbox"});
    let nothing = scene.accept(command(Value::Null, Value::Null)).await;
    assert!(matches!(nothing, Err(Error::SaysNothing)));
    let twice = scene.accept(command(json!("t"), content())).await;
    assert!(matches!(twice, Err(Error::SaysTwice)));
}

#[tokio::test]
async fn a_preview_shows_what_real_recipients_would_get() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(30);
    let long = "漢".repeat(60);
    scene.name(&contacts, &[("王芳", "zh"), ("花子", "ja"), (&long, "zh")]);
    let preview = async |role, kind, contact_ids: &[ContactId]| {
        let command = json!({"kind": kind, "content": content(), "contact_ids": contact_ids});
        let command: PreviewBroadcast = serde_json::from_value(command).unwrap();
        ops::preview(&scene.state, scene.agent(scene.members[0], role), &command).await
    };
    let shown = preview(Role::Operator, Kind::Enterprise, &contacts[..3])
        .await
        .unwrap();
    let told: Vec<_> = shown
        .iter()
        .map(|it| it.said.as_ref().map(|said| said.text.as_str()))
        .collect();
    assert_eq!(told, [Some("王芳，春到了。小雨"), Some("花子様"), None]);
    assert_eq!(
        shown[1].member_id,
        Some(scene.members[1]),
        "from whom it would come"
    );
    assert_eq!(shown[1].html.as_deref(), Some("<p>花子様</p>"));
    let problem = shown[2].problem.as_deref();
    assert_eq!(
        problem,
        Some("filled in it is longer than 128 bytes"),
        "and stops nobody else"
    );

    // A member sees her own contacts alone, and an agent no preview for the whole tenant.
    assert_eq!(
        preview(Role::Agent, Kind::Member, &contacts[..1])
            .await
            .unwrap()
            .len(),
        1
    );
    let others = preview(Role::Agent, Kind::Member, &contacts[1..2]).await;
    assert!(matches!(others, Err(Error::ContactUnknown(contact)) if contact == contacts[1]));
    let unknown = preview(Role::Operator, Kind::Enterprise, &[ContactId::new()]).await;
    assert!(matches!(unknown, Err(Error::ContactUnknown(_))));
    let agents = preview(Role::Agent, Kind::Enterprise, &contacts[..1]).await;
    assert!(matches!(agents, Err(Error::OperatorNeeded)));

    // Nobody named: some of the audience.
    scene.name(&contacts, &[("王芳", "zh"); 30]);
    assert_eq!(
        preview(Role::Operator, Kind::Enterprise, &[])
            .await
            .unwrap()
            .len(),
        10
    );
    let rows =
        scene.count("select count(*) from broadcast").await + scene.count("select count(*) from cap").await;
    assert_eq!(rows, 0, "a look changes nothing");
}

#[tokio::test]
async fn a_member_looks_at_her_share_before_she_confirms() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(30);
    scene.name(&contacts, &[("王芳", "zh"); 30]);
    let command = json!({
        "kind": "enterprise", "title": "t", "content": content(), "audience": {}, "channel": "inbox"
    });
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    scene.resolve().await;
    let task = scene.tasks(broadcast).await.remove(0);
    assert_eq!(task.text, "亲，春到了。…");
    let agent = |member| scene.agent(member, Role::Agent);
    let shown = ops::preview_task(&scene.state, agent(task.member_id), task.task_id)
        .await
        .unwrap();
    assert_eq!(shown.len(), 10);
    assert!(
        shown
            .iter()
            .all(|it| it.said.as_ref().unwrap().text == "王芳，春到了。小雨")
    );
    let other = scene
        .members
        .iter()
        .find(|member| **member != task.member_id)
        .unwrap();
    let others = ops::preview_task(&scene.state, agent(*other), task.task_id).await;
    assert!(matches!(others, Err(Error::TaskUnknown)));
}

#[tokio::test]
async fn the_way_out_in_the_words_is_the_contacts_own() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(3);
    let content = json!({
        "language": "en",
        "variants": {"en": {
            "text": "No more: {{optout.link}}",
            "attachments": [{"link": {"title": "No more", "url": "{{optout.link}}"}}]
        }}
    });
    let done = scene.run_content("inbox", &content).await;
    assert_eq!(
        (done.outcomes.delivered, scene.names_asked()),
        (3, 0),
        "nobody is asked who they are"
    );
    assert_eq!(done.broadcast.text, "No more: …");
    let said = scene.only_message(contacts[1]).await.said;
    let token = said
        .text
        .strip_prefix("No more: https://m.example.com/v1/opt-out/")
        .unwrap();
    assert_eq!(
        serde_json::to_value(&said.attachments).unwrap()[0]["link"]["url"],
        json!(format!("https://m.example.com/v1/opt-out/{token}"))
    );
    let token: crate::opt_out::Token = token.parse().unwrap();
    assert_eq!(token.contact, contacts[1]);
    ops::opt_out(&scene.state, &token).await.unwrap();

    // Whoever may look at it before may not say it for them.
    let command = json!({"kind": "enterprise", "content": content, "contact_ids": [contacts[0]]});
    let command: PreviewBroadcast = serde_json::from_value(command).unwrap();
    scene.name(&contacts, &[("王芳", "zh"); 3]);
    let shown = ops::preview(&scene.state, scene.operator(), &command)
        .await
        .unwrap();
    assert_eq!(shown[0].said.as_ref().unwrap().text, "No more: …");
}
