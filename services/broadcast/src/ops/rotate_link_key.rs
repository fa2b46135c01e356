//! Another key for the links out of marketing; those of the key before stay good.

use chassis::auth::Admin;

use crate::State;
use crate::error::Error;
use crate::opt_out::{LinkKey, Rotation};
use crate::store;

pub(crate) async fn rotate_link_key(state: &State, admin: Admin, asked: LinkKey) -> Result<LinkKey, Error> {
    let mut tx = state.db.begin(admin.tenant).await?;
    let keys = store::tenant::lock_link_keys(&mut *tx, admin.tenant).await?;
    let keys = keys.ok_or(Error::TenantUnverified)?;
    if keys.rotation(asked.generation)? == Rotation::New {
        store::tenant::rotate_link_key(&mut *tx, admin.tenant).await?;
        tx.audit(admin, "link_key.rotated", asked.generation);
        tx.commit().await?;
    }
    Ok(asked)
}
