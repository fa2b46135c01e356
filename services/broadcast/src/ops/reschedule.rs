//! Rescheduling a mass message that has not begun to be sent: another time, and members have as long to confirm as before.

use chassis::auth::Agent;
use contracts::BroadcastId;

use crate::State;
use crate::broadcast::Progress;
use crate::error::Error;
use crate::schedule::Schedule;
use crate::store;
use crate::zone;

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
    let zone = store::tenant::zone(&mut *tx, agent.tenant).await?;
    let tenants = zone::tenants(&zone.ok_or(Error::TenantUnverified)?)?;
    let zones = store::chunk::zones(&mut *tx, broadcast).await?;
    let mut zones: Vec<_> = zones
        .into_iter()
        .map(|zone| zone::of_chunk(zone, &tenants))
        .collect();
    if zones.is_empty() {
        zones.push(tenants.clone());
    }
    let before = progress.broadcast;
    before.reschedule(agent.member, agent.role, now, &zones)?;
    schedule.check(now, before.accepted_at, &tenants)?;
    store::broadcast::reschedule(&mut *tx, broadcast, schedule).await?;
    // While the audience is being resolved this is done at its end.
    if before.send_at_local.is_some() || schedule.send_at_local.is_some() {
        super::set_times(&mut tx, broadcast, schedule, &tenants).await?;
    }
    let expires_at = schedule.confirm_by(now, state.knobs.task_expiry(), &tenants);
    store::task::put_off(&mut *tx, broadcast, expires_at).await?;
    let progress = super::progress(&mut tx, broadcast).await?;
    tx.audit(agent, "broadcast.rescheduled", broadcast);
    tx.commit().await?;
    Ok(progress)
}
