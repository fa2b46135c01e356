//! Closing withdrawn chunks: whoever is left in them gets the terminal state they were withdrawn with.

use crate::State;
use crate::chunk::{ChunkKey, never_handed};
use crate::error::Error;
use crate::store;
use crate::store::receipt::Ending;

const CHUNKS_MAX: i64 = 50;

/// Closes some withdrawn chunks; false when there are none, or none that can be.
pub(crate) async fn close(state: &State) -> Result<bool, Error> {
    let mut tx = state.db.begin_everyone().await?;
    let withdrawn = store::chunk::withdrawn(&mut *tx, CHUNKS_MAX).await?;
    drop(tx);
    let mut has_worked = false;
    for chunk in withdrawn {
        has_worked |= super::is_done("close", close_one(state, chunk).await);
    }
    Ok(has_worked)
}

async fn close_one(state: &State, chunk: ChunkKey) -> Result<(), Error> {
    let mut tx = state.db.begin(chunk.tenant).await?;
    let Some(withdrawn) = store::chunk::lock_withdrawn(&mut *tx, chunk).await? else {
        return Ok(());
    };
    let unended = store::chunk::unended(&mut *tx, chunk).await?;
    let endings: Vec<_> = unended
        .iter()
        .map(|&contact| Ending {
            n: chunk.n,
            contact,
            outcome: withdrawn.ends_as,
        })
        .collect();
    store::receipt::end(&mut *tx, chunk.tenant, chunk.broadcast, &endings).await?;
    // Claimed once, it may hold caps.
    let unsent = never_handed(&unended, withdrawn.attempts, state.knobs.sub_batch_recipients());
    let policy = withdrawn.to.policy(withdrawn.kind, withdrawn.member);
    store::cap::give_back(&mut *tx, chunk.tenant, policy, chunk.broadcast, unsent, None).await?;
    tx.commit().await?;
    super::count(&endings);
    Ok(())
}
