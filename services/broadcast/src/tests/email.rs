//! E-mails, by a real mail server that keeps what it takes.

use std::collections::BTreeSet;

use contracts::{BroadcastId, ContactId};
use serde_json::{Value, json};
use testkit::{Email, MailEvent, MailRule, MailServer};

use super::away::rest_is_over;
use super::scene::{Scene, command};
use crate::broadcast::{AcceptBroadcast, Kind, Progress};
use crate::error::Error;
use crate::opt_out::Token;
use crate::{message, ops};

impl Scene {
    /// One that sends by this server.
    async fn with_mail(server: &MailServer, url: &str, knobs: &[&str]) -> Self {
        let url = url.replace("{p}", &server.port().to_string());
        let settings = ["--mail-from", "hi@shop.example", "--smtp-url", url.as_str()];
        Self::new(&[&settings[..], knobs].concat()).await
    }

    /// Contacts whom customers knows, with these addresses.
    fn addressed(&self, addresses: &[&str]) -> Vec<ContactId> {
        let contacts = self.audience(addresses.len());
        let people = contacts.iter().map(|&contact| (contact, Default::default()));
        *self.customers.people.lock().unwrap() = people.collect();
        let emails = addresses.iter().map(|&address| address.to_owned());
        *self.customers.emails.lock().unwrap() = contacts.iter().copied().zip(emails).collect();
        contacts
    }

    async fn start_by_mail(&self, command: Value) -> BroadcastId {
        let broadcast = self.accept(command).await.unwrap().broadcast_id;
        self.resolve().await;
        self.confirm_all(broadcast).await;
        broadcast
    }

    async fn run_by_mail(&self) -> Progress {
        let broadcast = self.start_by_mail(command(Kind::Enterprise, "email")).await;
        self.send_all().await;
        self.end().await;
        self.check_books().await;
        self.progress(broadcast).await
    }

    /// The server was away: every chunk gets its turn again.
    async fn go_on(&self, broadcast: BroadcastId) -> Progress {
        rest_is_over(self).await;
        for _ in 0..3 {
            self.send_all().await;
            self.force("update broadcast set paced_to = now()").await;
        }
        self.end().await;
        self.check_books().await;
        self.progress(broadcast).await
    }
}

const BARE: &str = "smtp://127.0.0.1:{p}?tls=none";

fn ids(emails: &[Email]) -> BTreeSet<&str> {
    emails.iter().map(|email| email.header("Message-ID")).collect()
}

#[tokio::test]
async fn each_recipient_is_one_e_mail_in_their_members_name() {
    let mut server = MailServer::start(&[]).unwrap();
    let scene = Scene::with_mail(&server, BARE, &[]).await;
    let addresses: Vec<_> = (0..60).map(|i| format!("c{i}@example.jp")).collect();
    let mut addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    for i in [5, 25, 45] {
        addresses[i] = "";
    }
    let contacts = scene.addressed(&addresses);
    let broadcast = scene
        .accept(command(Kind::Enterprise, "email"))
        .await
        .unwrap()
        .broadcast_id;
    scene.resolve().await;
    let foreseen = scene.forecast(broadcast).await.unwrap().outcomes;
    assert_eq!((foreseen.delivered, foreseen.no_channel), (51, 3));
    // Taken back after that.
    scene.customers.emails.lock().unwrap().remove(&contacts[1]);
    scene.confirm_all(broadcast).await;
    scene.send_all().await;
    scene.end().await;
    scene.check_books().await;
    let done = scene.progress(broadcast).await;
    let outcomes = done.outcomes;
    assert_eq!(
        (outcomes.delivered, outcomes.opted_out, outcomes.no_channel),
        (50, 6, 4)
    );
    let none =
        "select count(*) from cap join receipt using (broadcast_id, contact_id) where state = 'no_channel'";
    assert_eq!(scene.count(none).await, 0, "who can't be reached holds no cap");

    let emails = server.emails().unwrap();
    assert_eq!((emails.len(), ids(&emails).len()), (50, 50));
    let email = emails.iter().find(|email| email.to == ["c0@example.jp"]).unwrap();
    let key = message::mass(done.broadcast.broadcast_id, contacts[0]);
    assert_eq!(email.header("Message-ID"), format!("<{key}@shop.example>"));
    assert_eq!(email.header("From"), "小雨 <hi@shop.example>");
    assert_eq!(
        (email.header("To"), email.header("Subject")),
        ("c0@example.jp", "Spring")
    );
    assert_eq!(
        email.header("List-Unsubscribe-Post"),
        "List-Unsubscribe=One-Click"
    );
    let link = email
        .header("List-Unsubscribe")
        .trim_matches(['<', '>'])
        .to_owned();
    for part in [&email.text, &email.page] {
        assert!(
            part.contains("The serum is in.") && part.contains(&link),
            "{part}"
        );
    }
    let token: Token = link
        .strip_prefix("https://m.example.com/v1/opt-out/")
        .unwrap()
        .parse()
        .unwrap();
    ops::opt_out(&scene.state, &token).await.unwrap();
    assert_eq!((token.tenant, token.contact), (scene.tenant, contacts[0]));

    let events = server.events().unwrap();
    let connections = events
        .iter()
        .filter(|event| **event == MailEvent::Connection)
        .count();
    assert!(connections <= 5, "{connections}: a chunk's share, used again");
}

#[tokio::test]
async fn a_confirmation_that_leaves_out_who_can_not_be_reached_may_be_repeated() {
    let server = MailServer::start(&[]).unwrap();
    let scene = Scene::with_mail(&server, BARE, &[]).await;
    // Of the first member: one with an address, one without, and one whom nobody speaks to.
    let contacts = scene.addressed(&["a@example.jp", "b@example.jp", "c@example.jp", ""]);
    let stranger = ContactId::new();
    let named = [&contacts[..], &[stranger]].concat();
    let mut command = command(Kind::Enterprise, "email");
    command["audience"] = json!({ "contacts": named });
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    scene.resolve().await;
    let ends = scene.progress(broadcast).await.outcomes;
    assert_eq!((ends.no_channel, ends.not_a_friend), (1, 1));
    let tasks = scene.tasks(broadcast).await;
    let hers = tasks.iter().find(|task| task.member_id == scene.members[0]);
    for _ in 0..2 {
        let left_out = [contacts[3], stranger];
        scene.confirm(hers.unwrap(), &left_out).await.unwrap();
    }
    let other = scene.confirm(hers.unwrap(), &contacts[..1]).await;
    assert!(matches!(other, Err(Error::TaskConfirmed(contact)) if contact == contacts[0]));
}

#[tokio::test]
async fn what_is_said_of_one_is_their_own_end() {
    let mut server = MailServer::start(&[]).unwrap();
    let rule = |at, to, answer, times| MailRule {
        at,
        to,
        answer,
        times,
    };
    let rules = [
        rule("rcpt", "gone", "550 5.1.1 no such user", 0),
        rule("data", "spam", "554 5.7.1 we don't like it", 0),
        rule("rcpt", "full", "452 4.2.2 mailbox full", 0),
        rule("rcpt", "busy", "450 4.2.1 come again", 1),
        rule("data", "grey", "451 4.7.1 greylisted", 1),
        rule("data", "lost", "lost", 1),
    ];
    server.rules(&rules).unwrap();
    let scene = Scene::with_mail(&server, BARE, &["--webhook-attempts-max", "3"]).await;
    let names = ["gone", "spam", "full", "busy", "grey", "lost", "a", "b", "c"];
    let addresses = names.map(|name| format!("{name}@example.jp"));
    let contacts = scene.addressed(&addresses.each_ref().map(String::as_str));
    let done = scene.run_by_mail().await;
    assert_eq!(
        (done.outcomes.delivered, done.outcomes.dead),
        (6, 3),
        "{:?}",
        done.outcomes
    );
    let died = async |contact: ContactId, failure: &str| {
        let died =
            sqlx::query_scalar("select count(*) from dead_recipient where contact_id = $1 and failure = $2");
        let died: i64 = died
            .bind(contact.0)
            .bind(failure)
            .fetch_one(&scene.test.superuser)
            .await
            .unwrap();
        died
    };
    assert_eq!(died(contacts[0], "gone").await, 1);
    assert_eq!(died(contacts[1], "refused").await, 1);
    assert_eq!(
        died(contacts[2], "erred").await,
        1,
        "after all attempts, while others were taken"
    );
    assert_eq!(
        scene
            .count("select count(*) from receiver where failures > 0")
            .await,
        0,
        "nobody was away"
    );

    let emails = server.emails().unwrap();
    assert_eq!(
        (emails.len(), ids(&emails).len()),
        (7, 6),
        "a lost answer is asked for again under the same id"
    );
    let asked = |name: &str| {
        let address = format!("{name}@example.jp");
        let asked = MailEvent::Rcpt { address };
        server
            .events()
            .unwrap()
            .iter()
            .filter(|event| **event == asked)
            .count()
    };
    assert_eq!(
        ["gone", "spam", "full", "busy", "grey", "lost", "a"].map(asked),
        [1, 1, 3, 2, 2, 2, 1]
    );
}

#[tokio::test]
async fn a_mail_server_that_is_away_kills_nobody() {
    let mut server = MailServer::start(&[]).unwrap();
    let scene = Scene::with_mail(&server, BARE, &["--chunk-recipients-max", "2"]).await;
    let addresses: Vec<_> = (0..9).map(|i| format!("c{i}@example.jp")).collect();
    scene.addressed(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
    server.stop().unwrap();
    let broadcast = scene.start_by_mail(command(Kind::Enterprise, "email")).await;
    scene.send_all().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.total(), 0);
    assert!(scene.hints().await.is_empty(), "nothing is dispatched meanwhile");

    server.restart().unwrap();
    assert_eq!(scene.go_on(broadcast).await.outcomes.delivered, 9);
    let emails = server.emails().unwrap();
    assert_eq!((emails.len(), ids(&emails).len()), (9, 9));
}

#[tokio::test]
async fn a_mail_server_that_does_not_let_us_send_kills_nobody() {
    let mut server = MailServer::start(&["shop", "right"]).unwrap();
    // A wrong password; and no TLS, so that not even the right one is told.
    for (url, logins) in [
        ("smtp://shop:wrong@127.0.0.1:{p}?tls=none", true),
        ("smtp://shop:right@127.0.0.1:{p}", false),
    ] {
        server.restart().unwrap();
        let scene = Scene::with_mail(&server, url, &[]).await;
        scene.addressed(&["a@example.jp", "b@example.jp"]);
        let broadcast = scene.start_by_mail(command(Kind::Enterprise, "email")).await;
        scene.send_all().await;
        assert_eq!(scene.progress(broadcast).await.outcomes.total(), 0);
        let events = server.events().unwrap();
        assert_eq!(
            events
                .iter()
                .any(|event| matches!(event, MailEvent::Login { .. })),
            logins
        );
        assert!(!events.iter().any(|event| matches!(event, MailEvent::Mail { .. })));
    }

    // The right one, but the sender is not welcome, for a while.
    let scene = Scene::with_mail(&server, "smtp://shop:right@127.0.0.1:{p}?tls=none", &[]).await;
    let (at, to, answer) = ("mail", "hi@shop.example", "550 5.1.8 who are you");
    server
        .rules(&[MailRule {
            at,
            to,
            answer,
            times: 0,
        }])
        .unwrap();
    scene.addressed(&["a@example.jp", "b@example.jp"]);
    let broadcast = scene.start_by_mail(command(Kind::Enterprise, "email")).await;
    scene.send_all().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.total(), 0);
    server.rules(&[]).unwrap();
    assert_eq!(scene.go_on(broadcast).await.outcomes.delivered, 2);
}

#[tokio::test]
async fn nobodys_words_add_a_header_or_a_recipient() {
    let mut server = MailServer::start(&[]).unwrap();
    let scene = Scene::with_mail(&server, BARE, &[]).await;
    let evil = "\r\nBcc: evil@example.com\r\n\r\nx";
    let addresses = [
        "a@example.jp".to_owned(),
        format!("b@example.jp{evil}"),
        "c@example.jp>\r\nRCPT TO:<evil@example.com".to_owned(),
        "d@example.jp, evil@example.com".to_owned(),
    ];
    let contacts = scene.addressed(&addresses.each_ref().map(String::as_str));
    // The last one is erased meanwhile.
    scene.customers.people.lock().unwrap().remove(&contacts[3]);
    let named = (format!("王芳{evil}"), "zh".to_owned());
    scene.customers.people.lock().unwrap().insert(contacts[0], named);
    *scene.customers.alias.lock().unwrap() = Some(format!("小雨{evil}"));
    let content = json!({"language": "zh", "variants": {"zh": {"text": "{{contact.name|亲}}<b>"}}});
    let mut command = command(Kind::Enterprise, "email");
    command.as_object_mut().unwrap().remove("text");
    command["content"] = content;
    let broadcast = scene.start_by_mail(command.clone()).await;
    scene.send_all().await;
    scene.end().await;
    scene.check_books().await;
    let outcomes = scene.progress(broadcast).await.outcomes;
    assert_eq!(
        (outcomes.delivered, outcomes.no_channel, outcomes.not_a_friend),
        (1, 2, 1)
    );

    let email = server.emails().unwrap().remove(0);
    assert_eq!(
        (email.sender.as_str(), &email.to),
        ("hi@shop.example", &vec!["a@example.jp".to_owned()])
    );
    assert_eq!(email.header("Bcc"), "");
    assert!(email.header("From").ends_with("<hi@shop.example>") && email.header("From").contains("小雨"));
    assert!(
        email.text.starts_with("王芳")
            && email.page.contains("&lt;b&gt;")
            && email.page.contains("lang=\"zh\"")
    );
    let events = server.events().unwrap();
    let asked = |event: &&MailEvent| matches!(event, MailEvent::Rcpt { .. });
    assert_eq!(
        events.iter().filter(asked).count(),
        1,
        "only one address was ever named"
    );

    command["title"] = json!(format!("Spring{evil}"));
    assert!(serde_json::from_value::<AcceptBroadcast>(command).is_err());
}

#[tokio::test]
async fn without_a_mail_server_there_is_no_such_channel() {
    let scene = Scene::new(&[]).await;
    scene.audience(3);
    let refused = scene.accept(command(Kind::Enterprise, "email")).await;
    assert!(matches!(refused, Err(Error::MailUnset)));
    assert!(scene.accept(command(Kind::Enterprise, "inbox")).await.is_ok());
}
