//! Tasks that nobody confirmed in time: their recipients will not be sent to.

use contracts::{TaskId, TenantId};
use outbox::Actor;

use crate::State;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::store;

const TASKS_MAX: i64 = 100;

/// Expires some overdue tasks; false when there are none, or none that can be.
pub(crate) async fn expire(state: &State) -> Result<bool, Error> {
    let mut tx = state.db.begin_everyone().await?;
    let overdue = store::task::overdue(&mut *tx, state.clock.now(), TASKS_MAX).await?;
    drop(tx);
    let mut has_worked = false;
    for (tenant, task) in overdue {
        has_worked |= super::is_done("expire", expire_one(state, tenant, task).await);
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
