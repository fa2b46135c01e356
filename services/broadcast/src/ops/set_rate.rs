//! Setting how much may be sent over a channel in a second; what is on its way keeps to it with its next chunk.

use chassis::auth::Admin;

use crate::State;
use crate::error::Error;
use crate::pace::AccountRate;
use crate::store;

pub(crate) async fn set_rate(state: &State, admin: Admin, rate: &AccountRate) -> Result<AccountRate, Error> {
    let mut tx = state.db.begin(admin.tenant).await?;
    if store::account::set_rate(&mut *tx, admin.tenant, rate, state.clock.now()).await? {
        tx.audit(admin, "rate.set", rate.channel.name());
    }
    tx.commit().await?;
    Ok(*rate)
}
