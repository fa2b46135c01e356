//! Short links: they lead where the content says, and who followed them is counted once, apart from what is no person.

use chassis::auth::{ContactSelf, Seals};
use contracts::{BroadcastId, ContactId, MessageId, TenantId};
use serde_json::{Value, json};
use testkit::Stack;

use super::consent::says;
use super::old::{age, keep, with_old_weeks};
use super::scene::Scene;
use crate::click::{Click, ClickFigures, Token};
use crate::content::letter::{SEAL_CHARS, SHOP_LINK};
use crate::content::short::LinkNo;
use crate::error::Error;
use crate::ops;
use crate::store;

fn content() -> Value {
    json!({
        "language": "en",
        "short_links": true,
        "variants": {"en": {
            "text": "{{shop.link}}",
            "attachments": [
                {"link": {"title": "Care", "url": "https://brand.example/care?from={{brand.from}}"}},
                {"link": {"title": "Yours", "url": "https://brand.example/?for={{contact.name|you}}"}}
            ]
        }},
        "constants": [{"name": "from", "text": "spring & co"}],
        "shop_url": "https://shop.example/serum"
    })
}

/// Where the second link leads.
const CARE: &str = "https://brand.example/care?from=spring%20%26%20co";

impl Scene {
    async fn sent(&self, content: &Value) -> BroadcastId {
        // Customers knows of nobody's name.
        let known: Vec<_> = self
            .customers
            .entries
            .lock()
            .unwrap()
            .iter()
            .map(|it| it.contact)
            .collect();
        let named = known
            .into_iter()
            .map(|contact| (contact, (String::new(), "en".to_owned())));
        *self.customers.people.lock().unwrap() = named.collect();
        let command = json!({
            "kind": "enterprise", "title": "Spring", "content": content, "audience": {}, "channel": "inbox"
        });
        let id = self.accept(command).await.unwrap().broadcast_id;
        self.resolve().await;
        self.confirm_all(id).await;
        self.send_all().await;
        self.end().await;
        id
    }

    /// The short links of a contact's message: in the words, and on its first card.
    async fn short_links(&self, contact: ContactId) -> [Token; 2] {
        let mut tx = self.state.db.read(self.tenant).await.unwrap();
        let page = store::inbox::page(&mut *tx, self.tenant, contact, None, 1)
            .await
            .unwrap();
        let said = serde_json::to_value(&page[0].said).unwrap();
        let card = &said["attachments"];
        assert_eq!(
            card[1]["link"]["url"], "https://brand.example/?for=you",
            "each has their own, so it stays"
        );
        [&said["text"], &card[0]["link"]["url"]].map(|url| {
            let token = url
                .as_str()
                .unwrap()
                .strip_prefix("https://m.example.com/l/")
                .unwrap();
            token.parse().unwrap()
        })
    }

    async fn count_clicks(&self) {
        while ops::count_clicks(&self.state).await.unwrap() {}
    }

    /// As if what was sent had been sent some time ago.
    async fn wait(&self) {
        self.force("update receipt set at = now() - interval '3 seconds'")
            .await;
    }

    /// As if it had been just now, however long it takes to look.
    async fn arrive(&self) {
        self.force("update receipt set at = now() + interval '1 minute'")
            .await;
    }

    async fn figures(&self, broadcast: BroadcastId) -> ClickFigures {
        let figures = self.progress(broadcast).await.clicks.unwrap();
        let report = ops::report::report(&self.state, self.tenant, broadcast)
            .await
            .unwrap();
        assert_eq!(report.clicks, Some(figures));
        figures
    }
}

#[tokio::test]
async fn a_short_link_leads_where_the_content_says_and_tells_who_came() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(3);
    let broadcast = scene.sent(&content()).await;
    scene.arrive().await;
    let [shop, care] = scene.short_links(contacts[1]).await;
    assert_eq!(ops::follow(&scene.state, &care, false).await.unwrap(), CARE);
    let url: url::Url = ops::follow(&scene.state, &shop, false)
        .await
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(url.host_str(), Some("shop.example"));
    let peer_keys = &Stack::shared().unwrap().process("broadcast").env["SHEQUN_PEER_KEYS"].clone();
    let seals = Seals::load("broadcast", peer_keys.as_ref()).unwrap();
    let seal = url
        .query_pairs()
        .find(|(name, _)| name == "st")
        .unwrap()
        .1
        .into_owned();
    let expected = [scene.tenant.0, broadcast.0, scene.members[1].0, contacts[1].0];
    assert_eq!(seals.open(SHOP_LINK, &seal), Some(expected));
    assert_eq!(seal.len(), SEAL_CHARS);

    // Nothing in the address says where to, and nothing of it can be changed.
    let elsewhere = [
        Token {
            link: LinkNo(0),
            ..care.clone()
        },
        Token {
            link: LinkNo(23),
            ..care.clone()
        },
        Token {
            contact: contacts[0],
            ..care.clone()
        },
        Token {
            tenant: TenantId::new(),
            ..care.clone()
        },
        Token {
            broadcast: BroadcastId::new(),
            ..care.clone()
        },
        Token {
            generation: 2,
            ..care.clone()
        },
    ];
    for token in elsewhere {
        let told = ops::follow(&scene.state, &token, false).await;
        assert!(matches!(told, Err(Error::LinkUnknown)), "{token:?}");
    }
    scene.count_clicks().await;
    let two = "select count(*) from click_count where link > 0 and early = 1";
    assert_eq!(scene.count(two).await, 2, "a moment after delivery");
}

#[tokio::test]
async fn who_follows_a_link_is_counted_once_and_programs_apart() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(4);
    let broadcast = scene.sent(&content()).await;
    let none = scene.figures(broadcast).await;
    assert_eq!(none, ClickFigures::default());
    let [shop, care] = scene.short_links(contacts[0]).await;
    let follow = async |token: &Token, is_bot| {
        ops::follow(&scene.state, token, is_bot).await.unwrap();
    };
    scene.arrive().await;
    follow(&shop, false).await;
    scene.count_clicks().await;
    assert_eq!(scene.figures(broadcast).await, ClickFigures { early: 1, ..none });

    scene.wait().await;
    for is_bot in [false, true, false] {
        follow(&shop, is_bot).await;
    }
    follow(&care, false).await;
    follow(&scene.short_links(contacts[1]).await[1], false).await;
    scene.count_clicks().await;
    // Whoever comes again is no more people, also another day and over another process.
    follow(&care, false).await;
    scene.count_clicks().await;
    let figures = ClickFigures {
        clicks: 5,
        clickers: 2,
        early: 1,
        bots: 1,
    };
    assert_eq!(scene.figures(broadcast).await, figures);
    let report = ops::report::report(&scene.state, scene.tenant, broadcast)
        .await
        .unwrap();
    let links: Vec<_> = report
        .links
        .iter()
        .map(|it| (it.link.as_str(), it.figures.clicks, it.figures.clickers))
        .collect();
    assert_eq!(
        links,
        [("shop.link", 2, 1), ("variants.en.attachments[0].link.url", 3, 2)]
    );

    // Of who wants no marketing any more it is counted, and not known.
    let mut tx = scene.state.db.begin(scene.tenant).await.unwrap();
    store::consent::withdraw(&mut *tx, scene.tenant, contacts[2], scene.state.clock.now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    follow(&scene.short_links(contacts[2]).await[0], false).await;
    scene.count_clicks().await;
    assert_eq!(
        scene.figures(broadcast).await,
        ClickFigures { clicks: 6, ..figures }
    );
    assert_eq!(
        scene.count("select count(distinct contact_id) from click").await,
        2
    );
}

#[tokio::test]
async fn who_withdraws_consent_is_no_longer_known_to_have_clicked() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(3);
    let broadcast = scene.sent(&content()).await;
    scene.wait().await;
    for contact in &contacts {
        let [shop, _] = scene.short_links(*contact).await;
        ops::follow(&scene.state, &shop, false).await.unwrap();
    }
    scene.count_clicks().await;
    let before = scene.figures(broadcast).await;
    let known = "select count(distinct contact_id) from click";
    assert_eq!((before.clickers, scene.count(known).await), (3, 3));

    let link = scene.link(contacts[0]).await;
    ops::opt_out(&scene.state, &link).await.unwrap();
    assert_eq!(scene.count(known).await, 2);
    says(&scene, contacts[1], false, 0).await;
    says(&scene, contacts[2], true, 0).await;
    assert_eq!(scene.count(known).await, 1);
    assert_eq!(scene.figures(broadcast).await, before);
}

#[tokio::test]
async fn counting_the_same_clicks_at_once_knows_each_contact_once() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(30);
    let broadcast = scene.sent(&content()).await;
    scene.wait().await;
    let mut clicks: Vec<_> = contacts
        .iter()
        .flat_map(|&contact| [1, 22].map(|link| (contact, LinkNo(link))))
        .map(|(contact, link)| Click {
            tenant: scene.tenant,
            broadcast,
            contact,
            link,
            at: scene.state.clock.now(),
            is_bot: false,
        })
        .collect();
    let count = async |clicks: Vec<Click>| {
        let mut tx = scene.state.db.begin(scene.tenant).await.unwrap();
        store::click::count(&mut *tx, scene.tenant, broadcast, &clicks, 2.0)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    };
    let (first, second) = (clicks.clone(), {
        clicks.reverse();
        clicks
    });
    futures::join!(count(first.clone()), count(second), count(first));
    let figures = scene.figures(broadcast).await;
    assert_eq!((figures.clicks, figures.clickers), (180, 30));
}

#[tokio::test]
async fn the_report_tells_reads_and_clicks_where_they_are_known() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(5);
    let plain = json!({"language": "en", "variants": {"en": {"text": "hi"}}});
    let broadcast = scene.sent(&plain).await;
    let report = async || {
        ops::report::report(&scene.state, scene.tenant, broadcast)
            .await
            .unwrap()
    };
    assert_eq!((report().await.reads, report().await.clicks), (Some(0), None));
    let contact = ContactSelf {
        tenant: scene.tenant,
        contact: contacts[0],
    };
    let message: MessageId = crate::message::mass(broadcast, contacts[0]);
    for _ in 0..2 {
        ops::read_message(&scene.state, contact, message).await.unwrap();
    }
    assert_eq!(report().await.reads, Some(1));
    scene.force("update broadcast set channel = 'webhook'").await;
    assert_eq!(report().await.reads, None, "a receiver does not tell who read it");
}

#[tokio::test]
async fn who_clicked_is_forgotten_with_the_receipts_and_figures_stay() {
    let scene = with_old_weeks().await;
    let contacts = scene.audience(2);
    let (old, young) = (scene.sent(&content()).await, scene.sent(&content()).await);
    scene.wait().await;
    let follow = async |broadcast| {
        scene.state.clicks.note(Click {
            tenant: scene.tenant,
            broadcast,
            contact: contacts[0],
            link: LinkNo::SHOP,
            at: scene.state.clock.now(),
            is_bot: false,
        });
        scene.count_clicks().await;
    };
    follow(old).await;
    follow(young).await;
    let rows = "select count(*) from click";
    assert_eq!(scene.count(rows).await, 4, "of each the shop's and any");

    let old = age(&scene, old, 30).await;
    let before = scene.figures(old).await;
    assert_eq!((before.clicks, before.clickers), (1, 1));
    keep(&scene).await;
    assert_eq!(scene.count(rows).await, 2, "the young one's");
    assert_eq!(scene.figures(old).await, before);

    // Whoever comes late is counted, and neither known nor counted as another one.
    follow(old).await;
    assert_eq!(scene.count(rows).await, 2);
    let clicks = before.clicks + 1;
    assert_eq!(scene.figures(old).await, ClickFigures { clicks, ..before });
}
