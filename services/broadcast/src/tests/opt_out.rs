//! The signed way out of marketing.

use chassis::auth::{Admin, Caller, Role};
use contracts::{ContactId, TenantId};

use super::scene::Scene;
use crate::broadcast::Kind;
use crate::error::Error;
use crate::opt_out::{LinkKey, Token};
use crate::{ops, store};

impl Scene {
    pub(super) async fn link(&self, contact: ContactId) -> Token {
        let mut tx = self.state.db.read(self.tenant).await.unwrap();
        let links = store::tenant::links(&mut *tx, &self.state.public_url, self.tenant)
            .await
            .unwrap()
            .unwrap();
        links.of(contact).rsplit('/').next().unwrap().parse().unwrap()
    }

    async fn rotate(&self, generation: i16) -> Result<LinkKey, Error> {
        let admin = Admin::try_from(&Caller::Member {
            tenant: self.tenant,
            member: self.members[0],
            role: Role::Admin,
        });
        ops::rotate_link_key(&self.state, admin.unwrap(), LinkKey { generation }).await
    }
}

#[tokio::test]
async fn one_tap_is_enough_and_is_told_once() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(30);
    let broadcast = scene.start(Kind::Enterprise).await;
    let link = scene.link(contacts[0]).await;
    for _ in 0..2 {
        ops::opt_out(&scene.state, &link).await.unwrap();
    }
    let told = "select count(*) from outbox where name like '%ContactOptedOut'";
    assert_eq!(scene.count(told).await, 1);
    let audited =
        "select count(*) from audit_entry where action = 'contact.opted_out' and actor_kind = 'contact'";
    assert_eq!(scene.count(audited).await, 1);
    scene.confirm_all(broadcast).await;
    scene.send_all().await;
    scene.end().await;
    let outcomes = scene.progress(broadcast).await.outcomes;
    assert_eq!((outcomes.delivered, outcomes.opted_out), (26, 4));
    scene.check_books().await;
}

#[tokio::test]
async fn a_link_of_another_tenant_or_of_an_old_key_is_none() {
    let mut scene = Scene::new(&[]).await;
    let contact = ContactId::new();
    let first = scene.link(contact).await;
    assert_eq!(scene.rotate(2).await.unwrap().generation, 2);
    assert_eq!(scene.rotate(2).await.unwrap().generation, 2, "once");
    ops::opt_out(&scene.state, &first).await.unwrap();
    scene.rotate(3).await.unwrap();
    assert!(matches!(scene.rotate(5).await, Err(Error::LinkGeneration(3))));
    let refused = ops::opt_out(&scene.state, &first).await;
    assert!(matches!(refused, Err(Error::LinkUnknown)));
    let current = scene.link(contact).await;
    ops::opt_out(&scene.state, &current).await.unwrap();
    let rotated = "select count(*) from audit_entry where action = 'link_key.rotated'";
    assert_eq!(scene.count(rotated).await, 2);

    scene.tenant = TenantId::new();
    scene.verify(scene.tenant, "Asia/Tokyo").await;
    let theirs = scene.link(contact).await;
    let foreign = Token {
        tenant: current.tenant,
        ..theirs.clone()
    };
    assert!(matches!(
        ops::opt_out(&scene.state, &foreign).await,
        Err(Error::LinkUnknown)
    ));
    let nobody = Token {
        tenant: TenantId::new(),
        ..theirs
    };
    assert!(matches!(
        ops::opt_out(&scene.state, &nobody).await,
        Err(Error::LinkUnknown)
    ));
}
