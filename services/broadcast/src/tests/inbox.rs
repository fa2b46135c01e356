//! Contacts' inboxes: what comes in once, and what they read.

use contracts::customers::v1::ContactBefriended;
use contracts::groups::v1::GroupJoined;
use contracts::identity::v1::TenantVerified;
use contracts::{ContactId, Envelope, Event, GroupId, MemberId};
use jiff::Timestamp;
use outbox::{Handler, HandlerError};

use super::scene::Scene;
use crate::State;
use crate::broadcast::Kind as BroadcastKind;
use crate::message::{Kind, Message};
use crate::store;

impl Scene {
    async fn hear<E: Event>(&self, event: E) -> Result<(), HandlerError>
    where
        State: Handler<E>,
    {
        self.hear_of(self.state.clock.now(), event).await
    }

    /// Hears what happened then.
    pub(super) async fn hear_of<E: Event>(&self, at: Timestamp, event: E) -> Result<(), HandlerError>
    where
        State: Handler<E>,
    {
        let envelope = Envelope::new(&event, at)?;
        let mut tx = self.state.db.begin(envelope.tenant_id).await?;
        self.state.handle(&mut tx, event, &envelope).await?;
        Ok(tx.commit().await?)
    }

    async fn inbox(&self, contact: ContactId) -> Vec<Message> {
        let mut tx = self.state.db.read(self.tenant).await.unwrap();
        store::inbox::page(&mut *tx, self.tenant, contact, None, 100)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn welcome_and_greeting_come_once() {
    let scene = Scene::new(&[]).await;
    let (contact, member, group) = (ContactId::new(), MemberId::new(), GroupId::new());
    let befriended = |welcome: &str, member: MemberId| ContactBefriended {
        tenant_id: scene.tenant.to_string(),
        contact_id: contact.to_string(),
        member_id: member.to_string(),
        welcome: welcome.to_owned(),
        ..ContactBefriended::default()
    };
    let joined = |greeting: &str| GroupJoined {
        tenant_id: scene.tenant.to_string(),
        group_id: group.to_string(),
        contact_id: contact.to_string(),
        greeting: greeting.to_owned(),
        ..GroupJoined::default()
    };
    for _ in 0..2 {
        scene.hear(befriended("你好！", member)).await.unwrap();
        scene.hear(joined("Welcome all")).await.unwrap();
    }
    scene.hear(befriended("", MemberId::new())).await.unwrap();
    scene.hear(joined("")).await.unwrap();

    let inbox = scene.inbox(contact).await;
    let told: Vec<_> = inbox
        .iter()
        .map(|m| (m.kind, m.said.text.as_str(), m.from_member))
        .collect();
    assert_eq!(
        told,
        [
            (Kind::Greeting, "Welcome all", None),
            (Kind::Welcome, "你好！", Some(member))
        ]
    );
}

#[tokio::test]
async fn a_mass_message_comes_from_the_member_and_is_read_once() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(3);
    scene.run(BroadcastKind::Enterprise).await;
    let message = scene.inbox(contacts[1]).await.remove(0);
    assert_eq!(
        (message.kind, message.said.text.as_str()),
        (Kind::Enterprise, "The serum is in.")
    );
    assert_eq!(
        (message.from_member, message.read_at),
        (Some(scene.members[1]), None)
    );

    let read = async |contact, at| {
        let mut tx = scene.state.db.begin(scene.tenant).await.unwrap();
        let read = store::inbox::read(&mut *tx, message.message_id, contact, at)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        read
    };
    let now = scene.state.clock.now();
    let (first, is_first) = read(contacts[1], now).await.unwrap();
    assert!(first.read_at.is_some() && is_first);
    let later = now + jiff::SignedDuration::from_mins(1);
    assert_eq!(read(contacts[1], later).await.unwrap(), (first, false));
    assert!(read(contacts[0], now).await.is_none(), "somebody else's message");
}

#[tokio::test]
async fn pages_lead_from_the_newest_to_the_oldest() {
    let scene = Scene::new(&[]).await;
    let contact = ContactId::new();
    for i in 0..7 {
        let mut tx = scene.state.db.begin(scene.tenant).await.unwrap();
        let id = contracts::MessageId::new();
        store::inbox::store(
            &mut *tx,
            scene.tenant,
            id,
            contact,
            Kind::Welcome,
            None,
            &i.to_string(),
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }
    let (mut seen, mut after) = (vec![], None);
    loop {
        let mut tx = scene.state.db.read(scene.tenant).await.unwrap();
        let page = store::inbox::page(&mut *tx, scene.tenant, contact, after, 3)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.at, last.message_id));
        seen.extend(page.into_iter().map(|message| message.said.text));
    }
    assert_eq!(seen, ["6", "5", "4", "3", "2", "1", "0"]);
}

#[tokio::test]
async fn a_zone_the_database_does_not_know_is_no_zone() {
    let scene = Scene::new(&[]).await;
    let verified = |zone: &str| TenantVerified {
        tenant_id: scene.tenant.to_string(),
        key: scene.tenant.to_string(),
        zone: zone.to_owned(),
        ..TenantVerified::default()
    };
    scene.hear(verified("Asia/Tokyo")).await.unwrap();
    assert_eq!(
        scene
            .count("select count(*) from tenant where zone = 'Asia/Tokyo'")
            .await,
        1
    );
    assert!(
        scene
            .hear(verified("Moon/Tranquility"))
            .await
            .unwrap_err()
            .to_string()
            .contains("Moon")
    );
}
