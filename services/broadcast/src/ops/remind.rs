//! Reminding members of shares that wait for their word (D77): at most three times in 24 hours.

use contracts::broadcast::v1::TaskReminded;
use contracts::{MemberId, TaskId, TenantId};
use outbox::Actor;

use crate::State;
use crate::error::Error;
use crate::events::proto_time;
use crate::store;

const TASKS_MAX: i64 = 100;

/// Reminds some members; false when nobody is to be, or can be.
pub(crate) async fn remind(state: &State) -> Result<bool, Error> {
    let (now, every) = (state.clock.now(), state.knobs.task_reminder());
    let mut tx = state.db.begin_everyone().await?;
    let waiting = store::task::to_remind(&mut *tx, now, every.as_secs_f64(), TASKS_MAX).await?;
    drop(tx);
    let mut has_worked = false;
    for (tenant, task, member) in waiting {
        has_worked |= super::is_done("remind", remind_one(state, tenant, task, member).await);
    }
    Ok(has_worked)
}

async fn remind_one(state: &State, tenant: TenantId, id: TaskId, member: MemberId) -> Result<(), Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(tenant).await?;
    let task = store::task::lock(&mut *tx, id, member).await?;
    let Some(task) = task.filter(|task| task.is_to_be_reminded(now, state.knobs.task_reminder())) else {
        return Ok(()); // somebody was quicker
    };
    store::task::remind(&mut *tx, id, now).await?;
    let event = TaskReminded {
        tenant_id: tenant.to_string(),
        task_id: id.to_string(),
        member_id: member.to_string(),
        broadcast_id: task.broadcast_id.to_string(),
        reminder: task.reminders.unsigned_abs() + 1,
        expires_at: Some(proto_time(task.expires_at)),
    };
    tx.audit(Actor::System("remind"), "task.reminded", id);
    outbox::record(&mut tx, &event, now).await?;
    tx.commit().await?;
    Ok(())
}
