//! Sending a chunk: claim (T1), then sub-batch by sub-batch to the channel and into receipts (T2), then done (T3).
//!
//! A crash between the channel's acceptance and T2 leaves at most one sub-batch without receipts; it is sent again
//! under the same keys, which makes it one effect wherever the channel dedupes.

use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, Instant};

use outbox::{crash_point, crash_point_of};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::address::address;
use super::away::{is_back, leave_alone, tell_slow};
use super::settle::{cancel_rest, pause_rest, release, settle};
use super::{Claim, Claimed, claim};
use crate::State;
use crate::channel::{Channels, Delivered};
use crate::chunk::{Hint, State as ChunkState, rest_after};
use crate::error::Error;
use crate::grip::{Grip, Released};
use crate::pace::Limiter;
use crate::store;

const PUT_OFF_AGAIN: Duration = Duration::from_secs(1);
const SETTLE_TOLD_EVERY: Duration = Duration::from_secs(30);
const SETTLE_AGAIN: Duration = Duration::from_millis(200);
/// Longer than a database is away while somebody mends it; until then nobody else can take the chunk, either.
const SETTLE_WITHIN: Duration = Duration::from_mins(10);
/// After this time a chunk gives its lane to whoever waits, between two sub-batches.
const LANE_MAX: Duration = Duration::from_secs(5);

/// What becomes of the hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Everything it stood for is in the database.
    Forget,
    /// Bring it again after this time.
    Again(Duration),
    /// The chunk is somebody else's, who may have been brought the very same hint: it is theirs.
    Leave,
}

pub(crate) async fn send(
    state: &State,
    channels: &Channels,
    hint: Hint,
    draining: &CancellationToken,
) -> Result<Answer, Error> {
    crash_point("broadcast-before-t1");
    let claim = match claim(state, hint).await? {
        Claimed::Chunk(claim) => claim,
        Claimed::Stale => return Ok(Answer::Forget),
        Claimed::Later(wait) => return Ok(Answer::Again(wait)),
    };
    crash_point("broadcast-after-t1");
    if claim.allowed.is_empty() {
        return Ok(Answer::Forget); // done by the claim itself
    }
    crash_point_of("broadcast-poison-chunk", hint.chunk.n);
    let grip = Grip::hold(state, &claim, draining.clone());
    match work_off(state, channels, &claim, &grip).await {
        Ok(()) => Ok(Answer::Forget),
        Err(Error::LeaseLost) => {
            tracing::warn!(broadcast_id = %hint.chunk.broadcast, chunk = hint.chunk.n, "lease lost");
            Ok(Answer::Leave)
        }
        Err(error) => {
            drop(grip); // no pulse: the rest is the lease's last renewal
            put_off(state, &claim, &error, draining).await;
            Err(error)
        }
    }
}

pub(crate) async fn work_off(
    state: &State,
    channels: &Channels,
    claim: &Claim,
    grip: &Grip,
) -> Result<(), Error> {
    let mailing = address(state, claim).await?;
    let channel = channels.choose(state, claim);
    let mut limiter = Limiter::new(claim.lease.chunk, claim.rates, claim.since);
    let sub_batch_recipients = limiter.sub_batch(channel.sub_batch_recipients(&state.knobs, claim.is_aside));
    // Whom an earlier claim may have handed over, at the front of what is left.
    let mut doubtful = match claim.earlier_attempts {
        0 => 0,
        _ => state.knobs.sub_batch_recipients(),
    };
    let (mut is_in_doubt, mut is_complete) = (doubtful > 0, true);
    let (mut left, mut away, mut has_progress) = (claim.allowed.as_slice(), None, false);
    while !left.is_empty() {
        // A receiver that was away is tried with one.
        let is_trial = claim.is_trial() && !has_progress;
        let size = if is_trial { 1 } else { sub_batch_recipients };
        let (contacts, later) = left.split_at(size.min(left.len()));
        // Aside there is no time for a second's worth of tokens.
        let wanted_soon = if claim.is_aside {
            contacts.len()
        } else {
            left.len()
        };
        let Some(pace) = limiter.take(state, contacts.len(), wanted_soon).await? else {
            is_complete = false;
            break;
        };
        let slow_from = channel.slow_from(contacts.len(), &pace);
        let delivered = tokio::select! {
            delivered = channel.deliver(&mailing, contacts, pace, grip) => delivered,
            never = tell_when_slow(state, claim, slow_from) => match never {},
        };
        crash_point("broadcast-after-send");
        if !delivered.deliveries.is_empty() {
            settle_in_time(state, claim, &delivered, grip).await?;
        }
        if delivered.is_answered() && !has_progress {
            has_progress = true;
            is_back(state, claim).await?;
        }
        crash_point("broadcast-after-t2");
        is_complete = delivered.deliveries.len() == contacts.len();
        if is_complete {
            // An earlier claim's sub-batch may have been a larger one.
            doubtful = doubtful.saturating_sub(contacts.len());
        }
        is_in_doubt = delivered.is_in_doubt || doubtful > 0;
        if !is_complete {
            away = delivered.away;
            break;
        }
        left = later;
        // Not while in doubt, or a claim as short as this one would be in doubt again.
        if !left.is_empty() && doubtful == 0 && claim.since.elapsed() >= LANE_MAX {
            is_complete = false;
            break;
        }
    }
    if let (Some(away), None) = (away, grip.released()) {
        leave_alone(state, claim, away, has_progress).await?;
    }
    match grip.released() {
        _ if is_complete => release(state, claim, ChunkState::Done, false).await,
        Some(Released::Cancelled) => cancel_rest(state, claim, is_in_doubt).await,
        Some(Released::Paused) => pause_rest(state, claim, is_in_doubt).await,
        // For another worker, another window, another turn, when its tokens are due, or its receiver is back; or the database
        // was away for longer than the lease, and nobody has taken it since.
        Some(Released::Draining | Released::WindowOver | Released::Lost) | None => {
            release(state, claim, ChunkState::Ready, is_in_doubt).await
        }
    }
}

/// Tells of a slow receiver while it is: dropped when it has answered.
async fn tell_when_slow(state: &State, claim: &Claim, slow_from: Instant) -> Infallible {
    sleep_until(slow_from.into()).await;
    if let Err(error) = tell_slow(state, claim).await {
        tracing::debug!(error = error.chain(), "slow receiver not told of");
    }
    pending().await
}

/// T2 of calls that were made: whoever was called and has no receipt is called again, so it is tried until the database is
/// back. It is fenced: however late it comes, it changes nothing that is somebody else's by then.
async fn settle_in_time(
    state: &State,
    claim: &Claim,
    delivered: &Delivered,
    grip: &Grip,
) -> Result<(), Error> {
    let (called, mut told) = (Instant::now(), None::<Instant>);
    loop {
        let is_last = called.elapsed() > SETTLE_WITHIN || grip.released() == Some(Released::Draining);
        match settle(state, claim, delivered).await {
            Err(error) if error.is_passing() && !is_last => {
                if told.is_none_or(|told| told.elapsed() > SETTLE_TOLD_EVERY) {
                    told = Some(Instant::now());
                    tracing::warn!(error = error.chain(), "receipts not written yet");
                }
                tokio::time::sleep(SETTLE_AGAIN).await;
            }
            settled => return settled,
        }
    }
}

/// A failed attempt: the chunk rests, then it is dispatched again. With the database away this is tried as long as the
/// lease lasts, so that the chunk goes on soon after its return and not only when the lease is over.
async fn put_off(state: &State, claim: &Claim, error: &Error, draining: &CancellationToken) {
    let failed = Instant::now();
    while let Err(error) = rest(state, claim, error).await {
        if failed.elapsed() > state.knobs.lease() || draining.is_cancelled() {
            tracing::warn!(error = error.chain(), "chunk not put off; its lease expires");
            return;
        }
        // Ends sooner when the process is to end.
        let _ = timeout(PUT_OFF_AGAIN, draining.cancelled()).await;
    }
}

async fn rest(state: &State, claim: &Claim, error: &Error) -> Result<(), Error> {
    let rest_secs = rest_after(claim.earlier_attempts + 1).as_secs_f64();
    let mut tx = state.db.begin(claim.lease.chunk.tenant).await?;
    match error {
        Error::Unaddressed(_) => store::lease::step_back(&mut *tx, claim.lease, rest_secs).await?,
        _ => store::lease::rest(&mut *tx, claim.lease, rest_secs, !error.is_passing()).await?,
    }
    tx.commit().await?;
    Ok(())
}
