//! Dispatching: whoever leads at this moment puts ready chunks into the work queue, a bounded window of them, the
//! tenants in turns.
//!
//! The database remembers first, the queue is told afterwards: a hint that gets lost in between is found missing by
//! the reconciler.

use crate::State;
use crate::chunk::{Hint, in_turns};
use crate::error::Error;
use crate::queue::Queue;
use crate::share::share;
use crate::store;

/// Fills the window once; false when there was nothing to dispatch.
pub(crate) async fn dispatch(state: &State, queue: &Queue) -> Result<bool, Error> {
    let hints = queue_up(state).await?;
    queue.publish(&hints).await?;
    metrics::counter!("broadcast_chunks_dispatched_total").increment(hints.len() as u64);
    Ok(!hints.is_empty())
}

/// Marks chunks as queued, as many as the window has room for.
pub(crate) async fn queue_up(state: &State) -> Result<Vec<Hint>, Error> {
    let window = state.knobs.window_chunks.into();
    // Before it is looked for again.
    let soon_secs = (2 * state.knobs.tick()).as_secs_f64();
    let mut tx = state.db.begin_everyone().await?;
    if !store::dispatch::lead(&mut *tx).await? {
        return Ok(vec![]);
    }
    let backlogs = store::dispatch::backlogs(&mut *tx, window, soon_secs).await?;
    let shares = share(window, &backlogs);
    if shares.is_empty() {
        return Ok(vec![]);
    }
    let hints = in_turns(store::dispatch::queue(&mut *tx, &shares, soon_secs).await?);
    tx.commit().await?;
    Ok(hints)
}
