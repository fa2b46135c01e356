//! Dispatching: whoever leads at this moment puts ready chunks into the work queue, a bounded window of them, tenants and
//! priorities in turns.
//!
//! The database remembers first, the queue is told afterwards: a hint that gets lost in between is found missing by
//! the reconciler.
//!
//! Cost of a look: 3 statements while the window is full (4 while there is room aside for a slow receiver), 5 when something
//! is dispatched; it reads the chunks in flight, and of each mass message no more chunks than there is room for.

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
    // Before it is looked for again.
    let soon_secs = (2 * state.knobs.tick()).as_secs_f64();
    let mut tx = state.db.begin_everyone().await?;
    if !store::dispatch::lead(&mut *tx).await? {
        return Ok(vec![]);
    }
    let mut backlogs = Backlogs::new();
    for flying in store::dispatch::flows_in_flight(&mut *tx).await? {
        let backlog = backlogs.entry(flying.flow()).or_default();
        (backlog.in_flight, backlog.aside) = (flying.in_flight, flying.aside);
        backlog.oldest_secs = flying.oldest_secs;
    }
    let slow = store::dispatch::slow_flows(&mut *tx).await?;
    let room = room(state, lanes, &backlogs);
    let free = turns.free(room, &backlogs, !slow.is_empty());
    if free > 0 {
        for (flow, due) in store::dispatch::due(&mut *tx, free, soon_secs).await? {
            backlogs.entry(flow).or_default().due.push_back(due);
        }
    }
    for flow in slow {
        if let Some(backlog) = backlogs.get_mut(&flow) {
            backlog.is_slow = true;
        }
    }
    let shares = turns.share(room, &backlogs, Instant::now());
    let in_lanes = shares.lanes.into_iter().map(|due| (due.chunk, false));
    let chosen: Vec<_> = in_lanes
        .chain(shares.aside.into_iter().map(|due| (due.chunk, true)))
        .collect();
    if chosen.is_empty() {
        return Ok(vec![]);
    }
    let mut hints = store::dispatch::queue(&mut *tx, &chosen).await?;
    tx.commit().await?;
    hints.sort_by_key(|hint| chosen.iter().position(|(chunk, _)| *chunk == hint.chunk));
    Ok(hints)
}

/// What there is room for. A chunk aside holds a hint like a lane does, and is none; half of the workers' places aside are
/// used, so that a hint soon finds one.
fn room(state: &State, hints_held: i64, backlogs: &Backlogs) -> Room {
    let aside: i64 = backlogs.values().map(|backlog| backlog.aside).sum();
    let lanes = (hints_held - aside).max(0);
    Room {
        lanes,
        chunks_max: state.knobs.window_chunks.into(),
        aside_max: (lanes / (2 * i64::from(state.knobs.worker_chunks_max))).max(1),
    }
}
