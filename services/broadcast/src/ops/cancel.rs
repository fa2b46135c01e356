//! Cancelling a mass message: nothing of it is sent that was not on its way.
//!
//! Chunks that no worker holds are withdrawn here; a worker learns of it by its next pulse. Who was not sent to is
//! noted by `close` and the workers, so this answers at once however large the audience.

use chassis::auth::Agent;
use contracts::BroadcastId;

use crate::State;
use crate::broadcast::Progress;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::store;

pub(crate) async fn cancel(state: &State, agent: Agent, broadcast: BroadcastId) -> Result<Progress, Error> {
    let mut tx = state.db.begin(agent.tenant).await?;
    if !store::broadcast::lock(&mut *tx, broadcast).await? {
        return Err(Error::BroadcastUnknown);
    }
    let progress = super::progress(&mut tx, broadcast).await?;
    let Some(cancelling) = progress.broadcast.cancel(agent.member, agent.role)? else {
        return Ok(progress);
    };
    store::broadcast::set_state(&mut *tx, broadcast, cancelling).await?;
    store::task::cancel_waiting(&mut *tx, broadcast).await?;
    store::chunk::withdraw(&mut *tx, broadcast, None, Outcome::Cancelled).await?;
    let progress = super::progress(&mut tx, broadcast).await?;
    tx.audit(agent, "broadcast.cancelled", broadcast);
    tx.commit().await?;
    Ok(progress)
}
