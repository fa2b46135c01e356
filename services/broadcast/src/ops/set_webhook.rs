//! Setting where the tenant's own system takes mass messages.

use chassis::auth::Admin;

use crate::State;
use crate::error::Error;
use crate::store;
use crate::webhook::{Target, Webhook};

pub(crate) async fn set_webhook(state: &State, admin: Admin, url: &str) -> Result<Webhook, Error> {
    let now = state.clock.now();
    let target = Target::parse(url, state.dev)?;
    let mut tx = state.db.begin(admin.tenant).await?;
    if store::tenant::set_webhook(&mut *tx, admin.tenant, target.url(), now).await? {
        // Without its address, which may hold a secret.
        tx.audit(admin, "webhook.set", admin.tenant);
    }
    tx.commit().await?;
    Ok(Webhook {
        url: target.url().to_string(),
        set_at: now,
    })
}
