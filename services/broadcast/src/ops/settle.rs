//! Settling a sub-batch (T2): its receipts, its counters, the messages of the own inbox, and the caps of those the
//! channel never saw.
//!
//! Cost: 1 statement, another when there are messages to store, when a cap goes back and when somebody is dead, and a
//! commit; a receipt for each of its recipients, in the order of their key. Locks the chunk. Writes nothing when the lease
//! is lost: whoever holds it now sends again under the same keys.

use super::Claim;
use crate::State;
use crate::channel::{Delivered, Delivery};
use crate::chunk::{State as ChunkState, never_handed};
use crate::error::Error;
use crate::outcome::Outcome;
use crate::store;
use crate::store::receipt::Ending;

pub(crate) async fn settle(state: &State, claim: &Claim, delivered: &Delivered) -> Result<(), Error> {
    let (chunk, lease_secs) = (claim.lease.chunk, state.knobs.lease().as_secs_f64());
    if outbox::is_mutant("mutant-skip-t2") {
        return Ok(());
    }
    let endings: Vec<_> = delivered
        .deliveries
        .iter()
        .map(|delivery| Ending {
            n: chunk.n,
            contact: delivery.contact,
            outcome: delivery.outcome,
        })
        .collect();
    let mut never_handed: Vec<_> = delivered
        .deliveries
        .iter()
        .filter(|delivery| !delivery.is_handed)
        .map(|delivery| delivery.contact)
        .collect();
    never_handed.sort_unstable();

    let mut tx = state.db.begin(chunk.tenant).await?;
    let (messages, said) = (&delivered.messages, &delivered.said);
    let (kind, member) = (claim.mailing.kind.into(), claim.mailing.member);
    match (messages.is_empty(), said.is_empty()) {
        (true, _) => {}
        (false, true) => {
            store::inbox::store_mass(&mut *tx, chunk.tenant, chunk.broadcast, kind, member, messages).await?;
        }
        (false, false) => {
            let (tenant, broadcast) = (chunk.tenant, chunk.broadcast);
            store::inbox::store_personal(&mut *tx, tenant, broadcast, kind, member, messages, said).await?;
        }
    }
    if !store::receipt::settle(&mut *tx, claim.lease, lease_secs, &endings).await? {
        return Err(Error::LeaseLost);
    }
    let dead: Vec<_> = delivered.deliveries.iter().filter_map(Delivery::dead).collect();
    if !dead.is_empty() {
        store::dead::note(&mut *tx, chunk, &dead).await?;
    }
    if !never_handed.is_empty() {
        store::cap::give_back(
            &mut *tx,
            chunk.tenant,
            claim.policy,
            chunk.broadcast,
            &never_handed,
            None,
        )
        .await?;
    }
    tx.commit().await?;
    super::count(&endings);
    Ok(())
}

/// The rest of a chunk whose mass message was cancelled: whoever is left gives the cap back, but for those in doubt.
pub(crate) async fn cancel_rest(state: &State, claim: &Claim, is_in_doubt: bool) -> Result<(), Error> {
    let chunk = claim.lease.chunk;
    let mut tx = state.db.begin(chunk.tenant).await?;
    let lease_secs = state.knobs.lease().as_secs_f64();
    if store::lease::renew(&mut *tx, claim.lease, lease_secs)
        .await?
        .is_none()
    {
        return Err(Error::LeaseLost);
    }
    let unended = store::chunk::unended(&mut *tx, chunk).await?;
    let endings: Vec<_> = unended
        .iter()
        .map(|&contact| Ending {
            n: chunk.n,
            contact,
            outcome: Outcome::Cancelled,
        })
        .collect();
    store::receipt::end(&mut *tx, chunk.tenant, chunk.broadcast, &endings).await?;
    let sub_batch = state.knobs.sub_batch_recipients();
    let unsent = never_handed(&unended, is_in_doubt.into(), sub_batch);
    store::cap::give_back(
        &mut *tx,
        chunk.tenant,
        claim.policy,
        chunk.broadcast,
        unsent,
        None,
    )
    .await?;
    store::lease::release(&mut *tx, claim.lease, ChunkState::Done, false).await?;
    tx.commit().await?;
    super::count(&endings);
    Ok(())
}

/// The rest of a chunk whose mass message is paused: it may be dispatched again. A pause can last, so whoever was not
/// called meanwhile belongs to other mass messages: caps go back, but for those in doubt.
pub(crate) async fn pause_rest(state: &State, claim: &Claim, is_in_doubt: bool) -> Result<(), Error> {
    let (chunk, lease_secs) = (claim.lease.chunk, state.knobs.lease().as_secs_f64());
    let mut tx = state.db.begin(chunk.tenant).await?;
    if store::lease::renew(&mut *tx, claim.lease, lease_secs)
        .await?
        .is_none()
    {
        return Err(Error::LeaseLost);
    }
    let unended = store::chunk::unended(&mut *tx, chunk).await?;
    let unsent = never_handed(&unended, is_in_doubt.into(), state.knobs.sub_batch_recipients());
    store::cap::give_back(
        &mut *tx,
        chunk.tenant,
        claim.policy,
        chunk.broadcast,
        unsent,
        None,
    )
    .await?;
    store::lease::release(&mut *tx, claim.lease, ChunkState::Ready, is_in_doubt).await?;
    tx.commit().await?;
    Ok(())
}

/// Ends the lease (T3): one statement, fenced like the others.
pub(crate) async fn release(
    state: &State,
    claim: &Claim,
    to: ChunkState,
    is_in_doubt: bool,
) -> Result<(), Error> {
    let mut tx = state.db.begin(claim.lease.chunk.tenant).await?;
    if !store::lease::release(&mut *tx, claim.lease, to, is_in_doubt).await? {
        return Err(Error::LeaseLost);
    }
    tx.commit().await?;
    Ok(())
}
