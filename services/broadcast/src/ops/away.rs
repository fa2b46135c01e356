//! Receivers that are away: their chunks are handed back, which is no attempt, until they take calls again; after hours of
//! that the recipients are dead.
//!
//! Chunk, receiver and mass messages are written in transactions of their own: a claim locks chunk and receiver, whoever
//! cancels mass message and chunk, so that one who held all three could wait in a circle. A crash in between costs no more
//! than a look that was not worth it.

use contracts::ContactId;
use sqlx::PgConnection;

use super::Claim;
use crate::State;
use crate::channel::Away;
use crate::channel::account::rest;
use crate::chunk::{ChunkKey, never_handed};
use crate::dead::Dead;
use crate::error::Error;
use crate::failure::Failure;
use crate::outcome::Outcome;
use crate::store;
use crate::store::lease::Found;
use crate::store::receipt::Ending;

/// While another claim tries the receiver, its mass messages are not dispatched again for this long.
const TRIAL_WAIT_SECS: f64 = 1.0;

/// Somebody else tries, or nobody may yet.
pub(crate) async fn wait_for_trial(state: &State, chunk: ChunkKey) -> Result<(), Error> {
    let mut tx = state.db.begin(chunk.tenant).await?;
    store::receiver::wait(&mut *tx, chunk, TRIAL_WAIT_SECS, false).await?;
    tx.commit().await?;
    Ok(())
}

/// The receiver took nobody of this claim: it is left alone, longer each time. One that answers others is not; then only
/// this mass message waits.
pub(crate) async fn leave_alone(
    state: &State,
    claim: &Claim,
    away: Away,
    has_progress: bool,
) -> Result<(), Error> {
    let chunk = claim.lease.chunk;
    metrics::counter!("broadcast_chunks_away_total").increment(1);
    if has_progress || away.is_answering {
        let rest_secs = rest(1, away.asked).as_secs_f64();
        let mut tx = state.db.begin(chunk.tenant).await?;
        store::receiver::wait(&mut *tx, chunk, rest_secs, true).await?;
        tx.commit().await?;
        return Ok(());
    }
    let failures = claim.failures + 1;
    let rest_secs = rest(failures.unsigned_abs(), away.asked).as_secs_f64();
    let mut tx = state.db.begin(chunk.tenant).await?;
    store::receiver::leave_alone(&mut *tx, chunk.tenant, claim.channel, failures, rest_secs).await?;
    tx.commit().await?;
    let mut tx = state.db.begin(chunk.tenant).await?;
    store::receiver::wait_all(&mut *tx, chunk.tenant, claim.channel, rest_secs).await?;
    tx.commit().await?;
    tracing::info!(broadcast_id = %chunk.broadcast, rest_secs, "receiver is away, its chunks wait");
    Ok(())
}

/// Tells the dispatcher that the receiver is slow. It may be wrong, or lost: then lanes are held for longer.
pub(crate) async fn tell_slow(state: &State, claim: &Claim) -> Result<(), Error> {
    let tenant = claim.lease.chunk.tenant;
    let mut tx = state.db.begin(tenant).await?;
    store::receiver::is_slow(&mut *tx, tenant, claim.channel).await?;
    tx.commit().await?;
    Ok(())
}

/// The receiver answered somebody: it is back, if it was away.
pub(crate) async fn is_back(state: &State, claim: &Claim) -> Result<(), Error> {
    if !claim.has_waited {
        return Ok(());
    }
    let chunk = claim.lease.chunk;
    let mut tx = state.db.begin(chunk.tenant).await?;
    store::receiver::is_back(&mut *tx, chunk.tenant, claim.channel).await?;
    tx.commit().await?;
    let mut tx = state.db.begin(chunk.tenant).await?;
    store::receiver::wait_no_more(&mut *tx, chunk).await?;
    tx.commit().await?;
    Ok(())
}

/// Why those are dead whom the claim itself ended so.
pub(crate) async fn note_dead(
    db: &mut PgConnection,
    chunk: ChunkKey,
    found: &Found,
    endings: &[Ending],
    sub_batch_recipients: usize,
) -> Result<(), Error> {
    let is_dead = |ending: &&Ending| ending.outcome == Outcome::Dead;
    let contacts: Vec<ContactId> = endings
        .iter()
        .filter(is_dead)
        .map(|ending| ending.contact)
        .collect();
    if contacts.is_empty() {
        return Ok(());
    }
    let unsent = never_handed(&contacts, found.attempts, sub_batch_recipients);
    let failure = match found.is_given_up {
        true => Failure::Away,
        false => Failure::Stuck,
    };
    let dead: Vec<_> = contacts
        .iter()
        .map(|&contact| Dead {
            contact,
            failure,
            is_handed: unsent.binary_search(&contact).is_err(),
        })
        .collect();
    store::dead::note(&mut *db, chunk, &dead).await?;
    Ok(())
}
