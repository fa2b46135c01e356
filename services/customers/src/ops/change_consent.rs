//! A contact says whether marketing messages are welcome.

use chassis::auth::ContactSelf;
use contracts::customers::v1::ContactConsentChanged;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::contact::Consent;
use crate::error::Error;
use crate::{State, store};

/// What the contact says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"marketing": false}))]
pub(crate) struct ConsentChange {
    /// Whether marketing messages are welcome.
    pub(crate) marketing: bool,
}

/// The same answer again changes nothing and is not told.
#[tracing::instrument(name = "customers.change_consent", skip_all)]
pub(crate) async fn change_consent(
    state: &State,
    contact: ContactSelf,
    change: ConsentChange,
) -> Result<Consent, Error> {
    let now = state.clock.now();
    let mut tx = state.database.begin(contact.tenant).await?;
    if store::contact::set_consent(&mut *tx, contact.contact, change.marketing, now).await? {
        let event = ContactConsentChanged {
            tenant_id: contact.tenant.to_string(),
            contact_id: contact.contact.to_string(),
            marketing: change.marketing,
        };
        let action = match change.marketing {
            true => "contact.consented",
            false => "contact.opted_out",
        };
        tx.audit(contact, action, contact.contact);
        outbox::record(&mut tx, &event, now).await?;
    }
    let consent = store::contact::consent(&mut *tx, contact.contact)
        .await?
        .ok_or(Error::ContactUnknown)?;
    tx.commit().await?;
    Ok(consent)
}

#[cfg(test)]
mod tests {
    use contracts::broadcast::v1::ContactOptedOut;
    use contracts::{ContactId, Envelope};
    use jiff::{SignedDuration, Timestamp};
    use outbox::Handler as _;

    use super::*;
    use crate::scene::Scene;

    /// The contact taps the way out in a message at this time.
    async fn opts_out(scene: &Scene, contact: ContactId, at: Timestamp) {
        let event = ContactOptedOut {
            tenant_id: scene.tenant.to_string(),
            contact_id: contact.to_string(),
        };
        let envelope = Envelope::new(&event, at).unwrap();
        let mut tx = scene.state.database.begin(scene.tenant).await.unwrap();
        scene.state.handle(&mut tx, event, &envelope).await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn who_taps_the_way_out_has_opted_out_unless_they_say_otherwise_later() {
        let scene = Scene::new().await;
        let member = scene.member("a").await;
        let code = scene.code(&[member], &[]).await;
        let contact = scene.scan(&code, "wx-1").await.contact_id;
        let me = ContactSelf {
            tenant: scene.tenant,
            contact,
        };
        let says = async |marketing| {
            change_consent(&scene.state, me, ConsentChange { marketing })
                .await
                .unwrap()
        };
        let early = scene.state.clock.now() + SignedDuration::from_secs(1);
        opts_out(&scene, contact, early).await;
        opts_out(&scene, contact, early).await;
        opts_out(&scene, ContactId::new(), early).await;
        let told = async || {
            let mut tx = scene.state.database.read(scene.tenant).await.unwrap();
            store::contact::consent(&mut *tx, contact).await.unwrap().unwrap()
        };
        assert!(!told().await.marketing);
        assert_eq!(told().await.at, early);

        says(true).await;
        opts_out(&scene, contact, early - SignedDuration::from_secs(60)).await;
        assert!(told().await.marketing, "said later");
    }
}
