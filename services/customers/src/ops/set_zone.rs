//! Saying in which time zone a contact lives: they themselves, or the staff. Whoever said it last is right.

use chassis::auth::{Agent, ContactSelf, Role};
use contracts::ContactId;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::contact::Zone;
use crate::error::Error;
use crate::{State, store};

/// Where the contact lives, as far as clocks go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"zone": "Asia/Tokyo"}))]
pub(crate) struct ZoneChange {
    /// Null: it is not known, so the tenant's zone counts.
    pub(crate) zone: Option<Zone>,
}

/// An agent says it of those they follow, an operator of anybody. The same again changes nothing.
#[tracing::instrument(name = "customers.set_zone", skip_all)]
pub(crate) async fn set_zone(
    state: &State,
    agent: Agent,
    contact_id: ContactId,
    change: &ZoneChange,
) -> Result<(), Error> {
    let follower = (agent.role == Role::Agent).then_some(agent.member);
    let zone = change.zone.as_ref().map(Zone::as_str);
    let mut tx = state.database.begin(agent.tenant).await?;
    let is_new = store::contact::set_zone(&mut *tx, contact_id, follower, zone).await?;
    if is_new.ok_or(Error::ContactUnknown)? {
        tx.audit(agent, "contact.zone_set", contact_id);
    }
    tx.commit().await?;
    Ok(())
}

/// The same again changes nothing.
#[tracing::instrument(name = "customers.set_own_zone", skip_all)]
pub(crate) async fn set_own_zone(state: &State, me: ContactSelf, change: &ZoneChange) -> Result<(), Error> {
    let zone = change.zone.as_ref().map(Zone::as_str);
    let mut tx = state.database.begin(me.tenant).await?;
    let is_new = store::contact::set_zone(&mut *tx, me.contact, None, zone).await?;
    if is_new.ok_or(Error::ContactUnknown)? {
        tx.audit(me, "contact.zone_set", me.contact);
    }
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Scene;

    #[tokio::test]
    async fn a_contact_or_whoever_follows_them_says_where_they_live() {
        let scene = Scene::new().await;
        let (member, stranger) = (scene.member("a").await, scene.member("b").await);
        let code = scene.code(&[member], &[]).await;
        let contact = scene.scan(&code, "wx-1").await.contact_id;
        let me = ContactSelf {
            tenant: scene.tenant,
            contact,
        };
        let told = async || {
            let mut tx = scene.state.database.read(scene.tenant).await.unwrap();
            let found = store::contact::find(&mut *tx, contact, None).await.unwrap();
            found.unwrap().zone
        };
        let change = |zone: &str| ZoneChange {
            zone: Some(zone.to_owned().try_into().unwrap()),
        };
        assert_eq!(told().await, None);
        for _ in 0..2 {
            let seoul = change("asia/seoul");
            set_own_zone(&scene.state, me, &seoul).await.unwrap();
        }
        assert_eq!(
            told().await.as_deref(),
            Some("Asia/Seoul"),
            "as the database spells it"
        );
        let tokyo = change("Asia/Tokyo");
        let refused = set_zone(&scene.state, scene.agent(stranger), contact, &tokyo).await;
        assert!(matches!(refused, Err(Error::ContactUnknown)));
        set_zone(&scene.state, scene.agent(member), contact, &tokyo)
            .await
            .unwrap();
        assert_eq!(told().await.as_deref(), Some("Asia/Tokyo"));
        set_own_zone(&scene.state, me, &ZoneChange { zone: None })
            .await
            .unwrap();
        assert_eq!(told().await, None);
        let audited = "audit_entry where action = 'contact.zone_set'";
        assert_eq!(scene.rows(audited).await, 3, "what changes nothing is no change");
    }
}
