//! Setting where the tenant's own system takes mass messages. The first time makes the secret calls are signed with, and
//! this answer alone tells it; another address keeps the secret.

use chassis::auth::Admin;

use crate::State;
use crate::error::Error;
use crate::store;
use crate::webhook::{Secret, Target, Webhook};

pub(crate) async fn set_webhook(state: &State, admin: Admin, url: &str) -> Result<Webhook, Error> {
    let now = state.clock.now();
    let target = Target::parse(url, state.dev)?;
    let secret = Secret::new();
    let mut tx = state.db.begin(admin.tenant).await?;
    let (mut webhook, before) =
        store::tenant::set_webhook(&mut *tx, admin.tenant, target.url(), &secret, now).await?;
    if before.as_ref() != Some(&webhook.url) {
        // Without its address, which may hold a secret.
        tx.audit(admin, "webhook.set", admin.tenant);
    }
    tx.commit().await?;
    webhook.secret = before.is_none().then_some(secret);
    Ok(webhook)
}
