//! Rotating the secret that calls to the webhook are signed with: a new one is made and told, and for a while the one
//! before signs as well.
//!
//! There are two at most: rotating again meanwhile ends the older one. A repeated request gets the same answer for as
//! long as its secret is the newest; with its answer only the time is kept, never the secret.

use chassis::auth::Admin;
use contracts::RequestKey;
use jiff::Timestamp;
use outbox::request;

use crate::State;
use crate::error::Error;
use crate::store;
use crate::webhook::{RotateSecret, Secret, Webhook};

pub(crate) async fn rotate_secret(
    state: &State,
    admin: Admin,
    key: &RequestKey,
    command: &RotateSecret,
) -> Result<Webhook, Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(admin.tenant).await?;
    if let Some(rotated_at) = request::earlier::<Timestamp>(&mut tx, key).await? {
        let mut webhook = store::tenant::webhook(&mut *tx, admin.tenant)
            .await?
            .ok_or(Error::WebhookUnset)?;
        if webhook.secret_at == rotated_at {
            webhook.secret = store::tenant::secret(&mut *tx, admin.tenant).await?;
        }
        return Ok(webhook);
    }
    let secret = Secret::new();
    let until = command.overlap_secs.until(now);
    let mut webhook = store::tenant::rotate_secret(&mut *tx, admin.tenant, &secret, now, until)
        .await?
        .ok_or(Error::WebhookUnset)?;
    webhook.secret = Some(secret);
    tx.audit(admin, "webhook.secret_rotated", admin.tenant);
    request::keep(&mut tx, key, &now).await?;
    tx.commit().await?;
    Ok(webhook)
}
