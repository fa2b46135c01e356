//! Reconciling: what the database knows is to be sent, and what workers and queue have forgotten, is made ready again.

use crate::State;
use crate::error::Error;
use crate::queue::Queue;
use crate::store;

/// What the look before has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// The queue held fewer hints than it should.
    is_short: bool,
    /// The database did not answer.
    is_away: bool,
}

/// Expired leases, but not at the first look that meets a database which was away: whoever held one through that gets time
/// to write the receipts of calls that were made. Then lost hints. The queue's own count tells whether hints are missing
/// at all: while it holds one for everything in flight, old ones merely wait for a worker. It may be short for a moment,
/// as a chunk is queued before its hint is published, so it has to be found short twice in a row.
pub(crate) async fn reconcile(state: &State, queue: &Queue, seen: &mut Seen) -> Result<(), Error> {
    let before = std::mem::take(seen);
    let asked = match before.is_away {
        true => state.db.begin_everyone().await.map(drop).map_err(Error::from),
        false => expire_leases(state).await,
    };
    seen.is_away = asked.is_err();
    asked?;
    // Asked first: a chunk that ends in between is then missed in the database, not in the queue.
    let hints = queue.outstanding().await?;
    seen.is_short = requeue(state, hints, before.is_short).await?;
    Ok(())
}

async fn expire_leases(state: &State) -> Result<(), Error> {
    let mut tx = state.db.begin_everyone().await?;
    let expired = store::dispatch::expire_leases(&mut *tx).await?;
    tx.commit().await?;
    metrics::counter!("broadcast_leases_expired_total").increment(expired);
    if expired > 0 {
        tracing::warn!(
            chunks = expired,
            "leases expired, the chunks are dispatched again"
        );
    }
    Ok(())
}

/// Dispatches anew what the queue has lost, once it is known to have.
pub(crate) async fn requeue(state: &State, hints: u64, was_short: bool) -> Result<bool, Error> {
    let mut tx = state.db.begin_everyone().await?;
    let in_flight = store::dispatch::in_flight(&mut *tx).await?;
    metrics::gauge!("broadcast_chunks_in_flight").set(in_flight as f64);
    // Workers are scaled by it; the queue's length is bounded and says nothing.
    let remaining = store::dispatch::remaining(&mut *tx).await?;
    metrics::gauge!("broadcast_recipients_remaining").set(remaining as f64);
    let is_short = hints < in_flight.unsigned_abs();
    if !(is_short && was_short) {
        return Ok(is_short);
    }
    let requeued = store::dispatch::requeue(&mut *tx, state.knobs.queued_secs_max.into()).await?;
    tx.commit().await?;
    if requeued > 0 {
        metrics::counter!("broadcast_hints_lost_total").increment(requeued);
        tracing::warn!(
            chunks = requeued,
            "the work queue lost hints, the chunks are dispatched again"
        );
    }
    Ok(is_short)
}
