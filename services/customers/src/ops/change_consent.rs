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
