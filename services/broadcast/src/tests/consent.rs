//! Consent withdrawn after the audience was resolved.

use contracts::ContactId;
use contracts::customers::v1::ContactConsentChanged;
use jiff::SignedDuration;

use super::crash::LEASES_EXPIRE;
use super::scene::Scene;
use crate::broadcast::Kind;
use crate::ops::{self, Claimed};
use crate::store;

/// What the contact says, so many seconds ago.
pub(super) async fn says(scene: &Scene, contact: ContactId, marketing: bool, secs_ago: i64) {
    let event = ContactConsentChanged {
        tenant_id: scene.tenant.to_string(),
        contact_id: contact.to_string(),
        marketing,
    };
    let at = scene.state.clock.now() - SignedDuration::from_secs(secs_ago);
    scene.hear_of(at, event).await.unwrap();
}

async fn opted_out(scene: &Scene, contacts: &[ContactId]) -> Vec<ContactId> {
    let mut tx = scene.state.db.read(scene.tenant).await.unwrap();
    store::consent::opted_out(&mut *tx, scene.tenant, contacts)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_latest_word_counts_whenever_it_comes() {
    let mut scene = Scene::new(&[]).await;
    let contacts = [ContactId::new(), ContactId::new(), ContactId::new()];
    let [out, back, late] = contacts;
    says(&scene, out, false, 0).await;
    says(&scene, back, false, 20).await;
    says(&scene, back, true, 10).await;
    says(&scene, late, true, 10).await;
    says(&scene, late, false, 20).await;
    assert_eq!(opted_out(&scene, &contacts).await, [out]);
    scene.tenant = contracts::TenantId::new();
    assert_eq!(opted_out(&scene, &contacts).await, []);
}

#[tokio::test]
async fn who_withdraws_consent_is_not_sent_to() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(30);
    let broadcast = scene.start(Kind::Enterprise).await;
    says(&scene, contacts[0], false, 0).await;
    says(&scene, contacts[1], false, 0).await;
    says(&scene, contacts[1], true, 0).await;
    scene.confirm_all(broadcast).await;
    scene.send_all().await;
    scene.end().await;
    let outcomes = scene.progress(broadcast).await.outcomes;
    assert_eq!((outcomes.delivered, outcomes.opted_out), (26, 4));
    assert_eq!(scene.count("select count(*) from cap").await, 26);
    scene.check_books().await;
}

#[tokio::test]
async fn whom_a_dead_worker_may_have_sent_to_keeps_the_cap() {
    let scene = Scene::new(&["--sub-batch-recipients", "2", "--worker-chunks-max", "1"]).await;
    scene.audience(30);
    let broadcast = scene.start(Kind::Member).await;
    scene.confirm_all(broadcast).await;
    let hint = scene.hints().await[0];
    let Claimed::Chunk(dead) = ops::claim(&scene.state, hint).await.unwrap() else {
        panic!()
    };
    scene.hand_over(&dead.mailing, &dead.allowed[..2]).await;
    scene.force(LEASES_EXPIRE).await;
    says(&scene, dead.allowed[1], false, 0).await;
    says(&scene, dead.allowed[2], false, 0).await;

    scene.send_all().await;
    scene.send(hint).await.unwrap();
    let outcomes = scene.progress(broadcast).await.outcomes;
    assert_eq!((outcomes.delivered, outcomes.opted_out), (7, 3));
    let held = "select count(*) from cap";
    assert_eq!(scene.count(held).await, 8, "one of the two may have got it");
}
