//! Reconciling: what the database knows is to be sent, and what workers and queue have forgotten, is made ready again.

use crate::State;
use crate::error::Error;
use crate::queue::Queue;
use crate::store;

/// Expired leases, then lost hints. The queue's own count tells whether hints are missing at all: while it holds one
/// for everything in flight, old ones merely wait for a worker.
pub(crate) async fn reconcile(state: &State, queue: &Queue) -> Result<(), Error> {
    let mut tx = state.db.begin_everyone().await?;
    let expired = store::dispatch::expire_leases(&mut *tx).await?;
    let in_flight = store::dispatch::in_flight(&mut *tx).await?;
    tx.commit().await?;
    metrics::gauge!("broadcast_chunks_in_flight").set(in_flight as f64);
    metrics::counter!("broadcast_leases_expired_total").increment(expired);
    if expired > 0 {
        tracing::warn!(
            chunks = expired,
            "leases expired, the chunks are dispatched again"
        );
    }

    let hints = queue.outstanding().await?;
    if in_flight.unsigned_abs() <= hints {
        return Ok(());
    }
    let mut tx = state.db.begin_everyone().await?;
    let requeued = store::dispatch::requeue(&mut *tx, state.knobs.queued_secs_max.into()).await?;
    tx.commit().await?;
    if requeued > 0 {
        metrics::counter!("broadcast_hints_lost_total").increment(requeued);
        tracing::warn!(
            chunks = requeued,
            "the work queue lost hints, the chunks are dispatched again"
        );
    }
    Ok(())
}
