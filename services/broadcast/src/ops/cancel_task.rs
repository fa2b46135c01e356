//! A member takes her share back: whoever of it was not sent to will not be (D77).
//!
//! Chunks that no worker holds are withdrawn here; a worker that holds one learns of it by its next pulse.

use chassis::auth::Agent;
use contracts::TaskId;

use crate::State;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::store;
use crate::task::{State as TaskState, Task};

pub(crate) async fn cancel_task(state: &State, agent: Agent, task: TaskId) -> Result<Task, Error> {
    let mut tx = state.db.begin(agent.tenant).await?;
    let mut task = store::task::lock(&mut *tx, task, agent.member)
        .await?
        .ok_or(Error::TaskUnknown)?;
    if !task.cancel()? {
        return Ok(task);
    }
    let (broadcast, member) = (task.broadcast_id, agent.member);
    let held = store::chunk::recall(&mut *tx, broadcast, member, Outcome::Cancelled).await?;
    let free = store::chunk::withdraw(&mut *tx, broadcast, Some(member), Outcome::Cancelled).await?;
    if held + free == 0 {
        return Err(Error::TaskSent);
    }
    store::task::cancel(&mut *tx, task.task_id).await?;
    tx.audit(agent, "task.cancelled", task.task_id);
    tx.commit().await?;
    task.state = TaskState::Cancelled;
    Ok(task)
}
