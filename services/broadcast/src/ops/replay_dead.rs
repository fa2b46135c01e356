//! Replaying the dead of a mass message: they are recipients without an end again, and are sent to like the others, under
//! the same keys, caps and consent looked at anew. See decisions/0005.

use chassis::auth::Operator;
use contracts::{BroadcastId, RequestKey};
use outbox::{crash_point, request};

use crate::State;
use crate::broadcast::State as BroadcastState;
use crate::dead::{ReplayDead, Replayed, check_replay};
use crate::error::Error;
use crate::store;

/// Of one request, so that its transaction stays short.
const RECIPIENTS_MAX: i64 = 10_000;

pub(crate) async fn replay_dead(
    state: &State,
    operator: Operator,
    key: &RequestKey,
    id: BroadcastId,
    command: &ReplayDead,
) -> Result<Replayed, Error> {
    let now = state.clock.now();
    let (tenant, member) = (operator.tenant, operator.member);
    let mut tx = state.db.begin(tenant).await?;
    if let Some(answer) = request::earlier(&mut tx, key).await? {
        return Ok(answer);
    }
    store::broadcast::lock(&mut *tx, id).await?;
    let broadcast = store::broadcast::find(&mut *tx, id)
        .await?
        .ok_or(Error::BroadcastUnknown)?;
    check_replay(broadcast.state)?;
    super::check_receipts(&mut tx, tenant, id).await?;
    let contacts = command.contact_ids.as_ref().map(|contacts| contacts.0.as_slice());
    let replayed = store::dead::replay(&mut *tx, tenant, id, contacts, member, now, RECIPIENTS_MAX).await?;
    if replayed > 0 && broadcast.state == BroadcastState::Finished {
        store::dead::reopen(&mut *tx, id).await?;
    }
    let answer = Replayed {
        replayed,
        left: store::dead::left(&mut *tx, tenant, id).await?,
    };
    tx.audit(operator, "broadcast.replayed", id);
    request::keep(&mut tx, key, &answer).await?;
    crash_point("broadcast-replaying");
    tx.commit().await?;
    crash_point("broadcast-replayed");
    Ok(answer)
}
