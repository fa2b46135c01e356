//! Forgetting what is old: receipts by the week, but for what the report tells of them, and caps that no window reaches.
//!
//! Cost: of a week that is forgotten every receipt is read once, a mass message at a time, and a table is dropped: for some
//! milliseconds nobody writes a receipt. Of caps every one is looked at once a day, 5,000 in a transaction.

use contracts::{BroadcastId, TenantId};
use jiff::{SignedDuration, Timestamp};
use outbox::Actor;

use crate::State;
use crate::error::Error;
use crate::store;
use crate::store::old::CapKey;

/// As many weeks `serve` may be away before receipts go to the safety net.
const WEEKS_AHEAD: i32 = 4;
const BROADCASTS_MAX: i64 = 50;
const CAPS_MAX: i64 = 5_000;
const CLICKS_MAX: i64 = 10_000;
const BETWEEN_WALKS: SignedDuration = SignedDuration::from_hours(24);
const BEFORE_FIRST_WALK: SignedDuration = SignedDuration::from_mins(10);

/// Adds the weeks to come, sums up some mass messages that are over for long, and once all of a week are forgets its
/// receipts; false when there is nothing of it to do, or somebody is in the way.
pub(crate) async fn keep_receipts(state: &State) -> Result<bool, Error> {
    let weeks = state.knobs.receipt_weeks;
    let mut tx = state.db.begin_everyone().await?;
    let Some(added) = unless_busy(store::old::add_weeks(&mut *tx, WEEKS_AHEAD).await)? else {
        return Ok(false);
    };
    tx.commit().await?;
    if added > 0 {
        tracing::info!(added, "weeks of receipts added");
    }
    let mut tx = state.db.begin_everyone().await?;
    let over = store::old::not_summed_up(&mut *tx, weeks, BROADCASTS_MAX).await?;
    drop(tx);
    let mut has_worked = false;
    for (tenant, broadcast) in over {
        has_worked |= super::is_done("sum up", sum_up(state, tenant, broadcast).await);
    }
    if has_worked {
        return Ok(true);
    }
    let mut tx = state.db.begin_everyone().await?;
    let dropped = unless_busy(store::old::drop_week(&mut *tx, weeks).await)?.flatten();
    let Some(week) = dropped else { return Ok(false) };
    tx.commit().await?;
    tracing::info!(week, "a week of receipts forgotten");
    Ok(true)
}

/// Who clicked goes in the same transaction, in pieces that each end in time: nobody is counted again in between, and
/// nothing is lost of a mass message that was replayed meanwhile. Only clicks on this one wait for it.
async fn sum_up(state: &State, tenant: TenantId, broadcast: BroadcastId) -> Result<(), Error> {
    let mut tx = state.db.begin(tenant).await?;
    store::old::lock(&mut *tx, broadcast).await?;
    while store::old::forget_clicks(&mut *tx, tenant, broadcast, CLICKS_MAX).await? > 0 {}
    if store::old::sum_up(&mut *tx, tenant, broadcast).await? {
        tx.audit(Actor::System("keep"), "broadcast.summed_up", broadcast);
        tx.commit().await?;
    }
    Ok(())
}

/// Nothing where a lock could not be had in a moment: whoever holds it does not wait for us, and there is time.
fn unless_busy<T>(done: sqlx::Result<T>) -> sqlx::Result<Option<T>> {
    match done {
        Err(sqlx::Error::Database(error)) if error.code().is_some_and(|state| state == "55P03") => Ok(None),
        done => done.map(Some),
    }
}

/// Where a walk over the caps of all tenants is.
pub(crate) struct Walk {
    begins: Timestamp,
    /// The last one that was begun.
    tenant: Option<TenantId>,
    stage: Stage,
}

/// In a tenant: behind which of them.
enum Stage {
    Caps(CapKey),
    Tallies(CapKey),
    Over,
}

impl Walk {
    /// Begins in a while.
    pub(crate) fn later(now: Timestamp) -> Self {
        Self::at(now + BEFORE_FIRST_WALK)
    }

    pub(crate) const fn at(begins: Timestamp) -> Self {
        Self {
            begins,
            tenant: None,
            stage: Stage::Over,
        }
    }
}

/// A page of the walk; false between two walks. What is long over takes part in no decision any more, so it does not
/// matter when it goes, nor that every `serve` walks.
pub(crate) async fn forget_caps(state: &State, walk: &mut Walk) -> Result<bool, Error> {
    let now = state.clock.now();
    if now < walk.begins {
        return Ok(false);
    }
    let (Stage::Caps(_) | Stage::Tallies(_), Some(tenant)) = (&walk.stage, walk.tenant) else {
        let mut tx = state.db.begin_everyone().await?;
        let next = store::old::tenant_after(&mut *tx, walk.tenant).await?;
        *walk = match next {
            Some(_) => Walk {
                begins: walk.begins,
                tenant: next,
                stage: Stage::Caps(CapKey::first()),
            },
            None => Walk::at(now + BETWEEN_WALKS),
        };
        return Ok(next.is_some());
    };
    let mut tx = state.db.begin(tenant).await?;
    let stage = match &walk.stage {
        Stage::Caps(after) => match store::old::forget_caps(&mut *tx, tenant, after, CAPS_MAX).await? {
            Some(last) => Stage::Caps(last),
            None => Stage::Tallies(CapKey::first()),
        },
        Stage::Tallies(after) => {
            let last = store::old::forget_tallies(&mut *tx, tenant, after, CAPS_MAX).await?;
            last.map_or(Stage::Over, Stage::Tallies)
        }
        Stage::Over => Stage::Over,
    };
    tx.commit().await?;
    walk.stage = stage;
    Ok(true)
}
