//! Pausing a mass message: nothing of it is sent that was not on its way, until somebody resumes it.
//!
//! What is queued goes back to ready; a worker learns of it by its next pulse and hands its chunk back, the caps of whom
//! it did not call as well. Confirmations and their expiry go on.

use chassis::auth::Agent;
use contracts::BroadcastId;

use crate::State;
use crate::broadcast::Progress;
use crate::error::Error;
use crate::store;

pub(crate) async fn pause(state: &State, agent: Agent, broadcast: BroadcastId) -> Result<Progress, Error> {
    let mut tx = state.db.begin(agent.tenant).await?;
    if !store::broadcast::lock(&mut *tx, broadcast).await? {
        return Err(Error::BroadcastUnknown);
    }
    let progress = super::progress(&mut tx, broadcast).await?;
    if !progress.broadcast.pause(agent.member, agent.role)? {
        return Ok(progress);
    }
    store::broadcast::pause(&mut *tx, broadcast).await?;
    store::chunk::take_back(&mut *tx, broadcast).await?;
    let progress = super::progress(&mut tx, broadcast).await?;
    tx.audit(agent, "broadcast.paused", broadcast);
    tx.commit().await?;
    Ok(progress)
}
