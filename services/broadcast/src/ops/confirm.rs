//! A member confirms her share: whom she left out is done with, the rest may be sent (D77).

use chassis::auth::Agent;
use contracts::TaskId;
use contracts::broadcast::v1::BroadcastConfirmed;
use outbox::crash_point;

use crate::State;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::store;
use crate::store::receipt::Ending;
use crate::task::{Confirmation, Deselected, State as TaskState, Task};

pub(crate) async fn confirm(
    state: &State,
    agent: Agent,
    task: TaskId,
    deselected: &Deselected,
) -> Result<Task, Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(agent.tenant).await?;
    let mut task = store::task::lock(&mut *tx, task, agent.member)
        .await?
        .ok_or(Error::TaskUnknown)?;
    let (broadcast, left_out) = (task.broadcast_id, deselected.contacts());
    if task.confirm(now)? == Confirmation::Repeated {
        let first = store::receipt::first_not_left_out(&mut *tx, agent.tenant, broadcast, left_out).await?;
        return first.map_or(Ok(task), |contact| Err(Error::TaskConfirmed(contact)));
    }

    let located = store::chunk::locate(&mut *tx, broadcast, agent.member, left_out).await?;
    if let Some(stranger) = left_out
        .iter()
        .find(|contact| located.binary_search_by_key(contact, |(_, c)| c).is_err())
    {
        return Err(Error::NotARecipient(*stranger));
    }
    let endings: Vec<_> = located
        .iter()
        .map(|&(n, contact)| Ending {
            n,
            contact,
            outcome: Outcome::Deselected,
        })
        .collect();
    store::receipt::end(&mut *tx, agent.tenant, broadcast, &endings).await?;
    let recipients = store::chunk::confirm(&mut *tx, broadcast, agent.member).await?;
    store::task::confirm(&mut *tx, task.task_id, now).await?;
    let event = BroadcastConfirmed {
        tenant_id: agent.tenant.to_string(),
        broadcast_id: broadcast.to_string(),
        member_id: agent.member.to_string(),
        recipients: recipients.unsigned_abs(),
    };
    tx.audit(agent, "task.confirmed", task.task_id);
    outbox::record(&mut tx, &event, now).await?;
    crash_point("broadcast-confirming");
    tx.commit().await?;
    crash_point("broadcast-confirmed");
    super::count(&endings);
    task.state = TaskState::Confirmed;
    task.confirmed_at = Some(now);
    Ok(task)
}
