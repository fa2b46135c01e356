//! Tasks that nobody confirmed in time: their recipients will not be sent to.

use contracts::{TaskId, TenantId};

use crate::State;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::store;

const TASKS_MAX: i64 = 100;

/// Expires some overdue tasks; false when there are none.
pub(crate) async fn expire(state: &State) -> Result<bool, Error> {
    let mut tx = state.db.begin_everyone().await?;
    let overdue = store::task::overdue(&mut *tx, state.clock.now(), TASKS_MAX).await?;
    drop(tx);
    for (tenant, task) in &overdue {
        expire_one(state, *tenant, *task).await?;
    }
    Ok(!overdue.is_empty())
}

async fn expire_one(state: &State, tenant: TenantId, task: TaskId) -> Result<(), Error> {
    let mut tx = state.db.begin(tenant).await?;
    if let Some((broadcast, member)) = store::task::expire(&mut *tx, task).await? {
        store::chunk::withdraw(&mut *tx, broadcast, Some(member), Outcome::Unconfirmed).await?;
        tx.commit().await?;
    }
    Ok(())
}
