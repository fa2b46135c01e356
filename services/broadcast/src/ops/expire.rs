//! What was not done in time will not be sent: shares that nobody confirmed, mass messages whose time is over.

use contracts::{BroadcastId, TaskId, TenantId};
use outbox::Actor;

use crate::State;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::store;

const TASKS_MAX: i64 = 100;
const BROADCASTS_MAX: i64 = 50;

/// Expires some of what is overdue; false when nothing is, or nothing that can be.
pub(crate) async fn expire(state: &State) -> Result<bool, Error> {
    let mut tx = state.db.begin_everyone().await?;
    let overdue = store::task::overdue(&mut *tx, state.clock.now(), TASKS_MAX).await?;
    let outlasted = store::broadcast::outlasted(&mut *tx, BROADCASTS_MAX).await?;
    drop(tx);
    let mut has_worked = false;
    for (tenant, task) in overdue {
        has_worked |= super::is_done("expire", expire_one(state, tenant, task).await);
    }
    for (tenant, broadcast) in outlasted {
        has_worked |= super::is_done("expire", end_time(state, tenant, broadcast).await);
    }
    Ok(has_worked)
}

async fn expire_one(state: &State, tenant: TenantId, task: TaskId) -> Result<(), Error> {
    let mut tx = state.db.begin(tenant).await?;
    if let Some((broadcast, member)) = store::task::expire(&mut *tx, task).await? {
        store::chunk::withdraw(&mut *tx, broadcast, Some(member), Outcome::Unconfirmed).await?;
        tx.audit(Actor::System("expire"), "task.expired", task);
        tx.commit().await?;
    }
    Ok(())
}

/// Whoever is left of a confirmed share ends as `quiet_expired`, of another one as `unconfirmed`. A worker that holds a
/// chunk stops by itself and makes it ready again, so this comes again, too.
async fn end_time(state: &State, tenant: TenantId, broadcast: BroadcastId) -> Result<(), Error> {
    let mut tx = state.db.begin(tenant).await?;
    store::broadcast::lock(&mut *tx, broadcast).await?;
    for task in store::task::expire_all(&mut *tx, broadcast).await? {
        tx.audit(Actor::System("expire"), "task.expired", task);
    }
    store::chunk::withdraw_waiting(&mut *tx, broadcast).await?;
    store::chunk::withdraw(&mut *tx, broadcast, None, Outcome::QuietExpired).await?;
    tx.commit().await?;
    Ok(())
}
