//! Dispatching: whoever leads at this moment puts ready chunks into the work queue, a bounded window of them, tenants and
//! priorities in turns.
//!
//! The database remembers first, the queue is told afterwards: a hint that gets lost in between is found missing by
//! the reconciler.
//!
//! Cost of a look: 2 statements while the window is full, 4 when something is dispatched; it reads the chunks in flight,
//! and of each mass message no more chunks than there is room for.

use std::time::Instant;

use crate::State;
use crate::chunk::Hint;
use crate::error::Error;
use crate::queue::Queue;
use crate::share::{Backlogs, Room, Turns};
use crate::store;

/// Fills the window once; false when there was nothing to dispatch.
pub(crate) async fn dispatch(state: &State, queue: &Queue, turns: &mut Turns) -> Result<bool, Error> {
    let hints = queue_up(state, turns, queue.lanes()).await?;
    queue.publish(&hints).await?;
    metrics::counter!("broadcast_chunks_dispatched_total").increment(hints.len() as u64);
    Ok(!hints.is_empty())
}

/// Marks chunks as queued, as many as the window has room for.
pub(crate) async fn queue_up(state: &State, turns: &mut Turns, lanes: i64) -> Result<Vec<Hint>, Error> {
    let room = Room {
        lanes,
        chunks_max: state.knobs.window_chunks.into(),
    };
    // Before it is looked for again.
    let soon_secs = (2 * state.knobs.tick()).as_secs_f64();
    let mut tx = state.db.begin_everyone().await?;
    if !store::dispatch::lead(&mut *tx).await? {
        return Ok(vec![]);
    }
    let mut backlogs = Backlogs::new();
    for (flow, in_flight, oldest_secs) in store::dispatch::flows_in_flight(&mut *tx).await? {
        let backlog = backlogs.entry(flow).or_default();
        (backlog.in_flight, backlog.oldest_secs) = (in_flight, oldest_secs);
    }
    let in_flight: i64 = backlogs.values().map(|backlog| backlog.in_flight).sum();
    let free = turns.free(room, in_flight);
    if free > 0 {
        for (flow, due) in store::dispatch::due(&mut *tx, free, soon_secs).await? {
            backlogs.entry(flow).or_default().due.push_back(due);
        }
    }
    let chosen = turns.share(room, &backlogs, Instant::now());
    if chosen.is_empty() {
        return Ok(vec![]);
    }
    let chosen: Vec<_> = chosen.into_iter().map(|due| due.chunk).collect();
    let mut hints = store::dispatch::queue(&mut *tx, &chosen).await?;
    tx.commit().await?;
    hints.sort_by_key(|hint| chosen.iter().position(|chunk| *chunk == hint.chunk));
    Ok(hints)
}
