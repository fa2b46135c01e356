//! Resuming a paused mass message: it goes on where it was held, resolving or sending.

use chassis::auth::Agent;
use contracts::BroadcastId;

use crate::State;
use crate::broadcast::Progress;
use crate::error::Error;
use crate::store;

pub(crate) async fn resume(state: &State, agent: Agent, broadcast: BroadcastId) -> Result<Progress, Error> {
    let mut tx = state.db.begin(agent.tenant).await?;
    if !store::broadcast::lock(&mut *tx, broadcast).await? {
        return Err(Error::BroadcastUnknown);
    }
    let progress = super::progress(&mut tx, broadcast).await?;
    if !progress.broadcast.resume(agent.member, agent.role)? {
        return Ok(progress);
    }
    store::broadcast::resume(&mut *tx, broadcast).await?;
    let progress = super::progress(&mut tx, broadcast).await?;
    tx.audit(agent, "broadcast.resumed", broadcast);
    tx.commit().await?;
    Ok(progress)
}
