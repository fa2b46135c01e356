//! Rescheduling a mass message that has not begun to be sent: another time, and members have as long to confirm as before.

use chassis::auth::Agent;
use contracts::BroadcastId;

use crate::State;
use crate::broadcast::Progress;
use crate::error::Error;
use crate::schedule::Schedule;
use crate::store;

pub(crate) async fn reschedule(
    state: &State,
    agent: Agent,
    broadcast: BroadcastId,
    schedule: &Schedule,
) -> Result<Progress, Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(agent.tenant).await?;
    if !store::broadcast::lock(&mut *tx, broadcast).await? {
        return Err(Error::BroadcastUnknown);
    }
    let progress = super::progress(&mut tx, broadcast).await?;
    if progress.broadcast.schedule() == *schedule {
        return Ok(progress);
    }
    progress
        .broadcast
        .reschedule(schedule, agent.member, agent.role, now)?;
    store::broadcast::reschedule(&mut *tx, broadcast, schedule).await?;
    let expires_at = schedule.confirm_by(now, state.knobs.task_expiry());
    store::task::put_off(&mut *tx, broadcast, expires_at).await?;
    let progress = super::progress(&mut tx, broadcast).await?;
    tx.audit(agent, "broadcast.rescheduled", broadcast);
    tx.commit().await?;
    Ok(progress)
}
