//! Finishing a mass message once every recipient has a terminal state.

use contracts::broadcast::v1::BroadcastFinished;
use contracts::{BroadcastId, TenantId};
use outbox::Actor;

use crate::State;
use crate::error::Error;
use crate::store;

const BROADCASTS_MAX: i64 = 50;

/// Finishes what has come to its end; false when nothing has, or nothing that can be finished.
pub(crate) async fn finish(state: &State) -> Result<bool, Error> {
    let mut tx = state.db.begin_everyone().await?;
    let ended = store::broadcast::all_ended(&mut *tx, BROADCASTS_MAX).await?;
    drop(tx);
    let mut has_worked = false;
    for (tenant, broadcast) in ended {
        has_worked |= super::is_done("finish", finish_one(state, tenant, broadcast).await);
    }
    Ok(has_worked)
}

async fn finish_one(state: &State, tenant: TenantId, id: BroadcastId) -> Result<(), Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(tenant).await?;
    store::broadcast::lock(&mut *tx, id).await?;
    let progress = super::progress(&mut tx, id).await?;
    let Some(end) = progress.end() else { return Ok(()) };
    let note = progress.note_at_end();
    store::broadcast::end(&mut *tx, id, end, note, now).await?;
    let event = BroadcastFinished {
        tenant_id: tenant.to_string(),
        broadcast_id: id.to_string(),
        audience: progress.audience.unsigned_abs(),
        outcomes: progress.outcomes.by_name(),
    };
    tx.audit(Actor::System("finish"), "broadcast.finished", id);
    outbox::record(&mut tx, &event, now).await?;
    tx.commit().await?;
    tracing::info!(broadcast_id = %id, audience = progress.audience, "mass message finished");
    Ok(())
}
