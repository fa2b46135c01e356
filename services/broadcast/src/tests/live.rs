//! Streams of a contact's messages.

use std::time::Duration;

use chassis::auth::ContactSelf;
use chassis::http::{Page, cursor};
use contracts::{ContactId, MessageId};

use super::scene::Scene;
use crate::error::Error;
use crate::live::{Cursor, Reader};
use crate::message::Kind;
use crate::store;

const LONG: Duration = Duration::from_secs(600);

impl Scene {
    async fn write_to(&self, contact: ContactId, text: &str) {
        let mut tx = self.state.db.begin(self.tenant).await.unwrap();
        let id = MessageId::new();
        store::inbox::store(&mut *tx, self.tenant, id, contact, Kind::Welcome, None, text)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    fn stream(&self, contact: ContactId, after: Option<Cursor>, wait: Duration) -> Result<Reader, Error> {
        let tenant = self.tenant;
        Reader::open(&self.state, ContactSelf { tenant, contact }, after, wait)
    }
}

async fn texts(reader: &mut Reader) -> (Vec<String>, Option<Cursor>) {
    let mut read = reader.next().await.unwrap();
    let last = read.last_mut().map(|(place, _)| place.clone());
    (
        read.into_iter().map(|(_, message)| message.said.text).collect(),
        last,
    )
}

#[tokio::test]
async fn messages_come_while_the_contact_waits_and_go_on_after_a_break() {
    let scene = Scene::new(&["--inbox-poll-millis", "50"]).await;
    let contact = ContactId::new();
    for text in ["1", "2"] {
        scene.write_to(contact, text).await;
    }
    scene.write_to(ContactId::new(), "another's").await;
    let mut reader = scene.stream(contact, None, LONG).unwrap();
    assert_eq!(texts(&mut reader).await.0, ["1", "2"], "what there was");

    let ((text, place), ()) = tokio::join!(texts(&mut reader), scene.write_to(contact, "3"));
    assert_eq!(text, ["3"]);
    drop(reader);
    scene.write_to(contact, "4").await;
    // The place goes to the client and comes back as an opaque text.
    let place: Page<Cursor> = Page::new(None, Some(&cursor(&place.unwrap()))).unwrap();
    let mut reader = scene.stream(contact, place.after, Duration::ZERO).unwrap();
    let (text, place) = texts(&mut reader).await;
    assert_eq!(text, ["4"], "what came meanwhile, and nothing twice");
    assert_eq!(
        texts(&mut scene.stream(contact, place, Duration::ZERO).unwrap())
            .await
            .0,
        [""; 0]
    );
}

#[tokio::test]
async fn a_message_that_is_committed_late_is_not_passed_over() {
    let scene = Scene::new(&["--inbox-poll-millis", "50"]).await;
    let contact = ContactId::new();
    let mut slow = scene.state.db.begin(scene.tenant).await.unwrap();
    let late = MessageId::new();
    store::inbox::store(
        &mut *slow,
        scene.tenant,
        late,
        contact,
        Kind::Welcome,
        None,
        "late",
    )
    .await
    .unwrap();
    scene.write_to(contact, "quick").await;
    let mut reader = scene.stream(contact, None, LONG).unwrap();
    assert_eq!(texts(&mut reader).await.0, ["quick"]);
    slow.commit().await.unwrap();
    assert_eq!(texts(&mut reader).await.0, ["late"]);
}

#[tokio::test]
async fn streams_are_bounded_and_end_with_the_process() {
    let scene = Scene::new(&[]).await;
    let contact = ContactId::new();
    let mut one = scene.stream(contact, None, LONG).unwrap();
    let two = scene.stream(contact, None, LONG).unwrap();
    assert!(matches!(
        scene.stream(contact, None, LONG),
        Err(Error::StreamsFull)
    ));
    drop(two);
    let three = scene.stream(contact, None, LONG);
    assert!(three.is_ok(), "whoever leaves makes room");
    scene.stopping.cancel();
    assert_eq!(texts(&mut one).await.0, [""; 0]);
}
