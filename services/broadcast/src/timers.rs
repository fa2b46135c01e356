//! What happens without anybody asking: each loop runs one operation whenever its time has come.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::State;
use crate::error::Error;
use crate::ops;
use crate::ops::old::Walk;
use crate::ops::reconcile::Seen;
use crate::queue::Queue;
use crate::share::Turns;

const AFTER_FAILURE: Duration = Duration::from_secs(1);
const KEEP_EVERY: Duration = Duration::from_mins(10);

pub(crate) async fn resolve(state: State, stopping: CancellationToken) -> anyhow::Result<()> {
    while !stopping.is_cancelled() {
        pause(
            "resolve",
            ops::resolve(&state).await,
            state.knobs.tick(),
            &stopping,
        )
        .await;
    }
    Ok(())
}

pub(crate) async fn dispatch(state: State, queue: Queue, stopping: CancellationToken) -> anyhow::Result<()> {
    let mut turns = Turns::default();
    while !stopping.is_cancelled() {
        let dispatched = ops::dispatch(&state, &queue, &mut turns).await;
        // Lanes are never without work for long.
        let period = match turns.is_idle() {
            true => state.knobs.tick(),
            false => state.knobs.tick() / 4,
        };
        pause("dispatch", dispatched, period, &stopping).await;
    }
    Ok(())
}

pub(crate) async fn reconcile(state: State, queue: Queue, stopping: CancellationToken) -> anyhow::Result<()> {
    let period = Duration::from_secs(state.knobs.reconcile_secs);
    let mut seen = Seen::default();
    while !stopping.is_cancelled() {
        let reconciled = ops::reconcile(&state, &queue, &mut seen).await;
        pause("reconcile", reconciled.map(|()| false), period, &stopping).await;
    }
    Ok(())
}

/// Whatever brings mass messages to their end: reminders, expiry, withdrawal, finish.
pub(crate) async fn end(state: State, stopping: CancellationToken) -> anyhow::Result<()> {
    while !stopping.is_cancelled() {
        pause("end", end_some(&state).await, state.knobs.tick(), &stopping).await;
    }
    Ok(())
}

async fn end_some(state: &State) -> Result<bool, Error> {
    let reminded = ops::remind(state).await?;
    let expired = ops::expire(state).await?;
    let closed = ops::close(state).await?;
    let finished = ops::finish(state).await?;
    Ok(reminded || expired || closed || finished)
}

/// Counts clicks soon after they happened, and what is left at the end.
pub(crate) async fn count_clicks(state: State, stopping: CancellationToken) -> anyhow::Result<()> {
    while !stopping.is_cancelled() {
        pause(
            "count clicks",
            ops::count_clicks(&state).await,
            state.knobs.tick(),
            &stopping,
        )
        .await;
    }
    while let Ok(true) = ops::count_clicks(&state).await {}
    Ok(())
}

/// Receipts of the weeks to come have their tables in time, and those of old weeks go with theirs.
pub(crate) async fn keep_receipts(state: State, stopping: CancellationToken) -> anyhow::Result<()> {
    while !stopping.is_cancelled() {
        let kept = ops::old::keep_receipts(&state).await;
        pause("keep receipts", kept, KEEP_EVERY, &stopping).await;
    }
    Ok(())
}

/// Walks all caps once a day, in pages; not while the process has just begun.
pub(crate) async fn forget_caps(state: State, stopping: CancellationToken) -> anyhow::Result<()> {
    let mut walk = Walk::later(state.clock.now());
    while !stopping.is_cancelled() {
        let walked = ops::old::forget_caps(&state, &mut walk).await;
        pause("forget caps", walked, KEEP_EVERY, &stopping).await;
    }
    Ok(())
}

/// Waits `period`, or not at all while there is something to do. A failure is logged and tried again: the loops outlive
/// whatever they depend on.
async fn pause(
    name: &'static str,
    has_worked: Result<bool, Error>,
    period: Duration,
    stopping: &CancellationToken,
) {
    let pause = match has_worked {
        Ok(true) => return,
        Ok(false) => period,
        Err(error) => {
            tracing::warn!(error = error.chain(), name, "loop tries again");
            AFTER_FAILURE
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
