//! Claiming a chunk (T1): the lease, consent, the caps, and who is left to send to.
//!
//! Cost, whatever the chunk's size: 8 statements and a commit on one connection; at most 500 rows of caps, in the order
//! of their key, and as many receipts as there are suppressed contacts. Locks the chunk for its duration. Every retry
//! enters here again and finds the caps of its own mass message.

use std::time::{Duration, Instant};

use contracts::ContactId;
use jiff::civil::Date;
use uuid::Uuid;

use crate::State;
use crate::broadcast::{ChannelName, State as BroadcastState};
use crate::cap::{Policy, not_among, time_to_send};
use crate::channel::Mailing;
use crate::chunk::{Hint, Lease, State as ChunkState, Verdict, is_poison, never_handed};
use crate::error::Error;
use crate::outcome::Outcome;
use crate::pace::Rates;
use crate::store;
use crate::store::lease::Found;
use crate::store::receipt::Ending;

/// How a claim went.
pub(crate) enum Claimed {
    /// There may be something to send.
    Chunk(Box<Claim>),
    /// The hint is of no use any more.
    Stale,
    /// Not now: look again after this time.
    Later(Duration),
}

/// A claimed chunk.
pub(crate) struct Claim {
    pub lease: Lease,
    /// Taken before the claim was asked for, so the lease lasts at least its seconds from here.
    pub since: Instant,
    /// How long calls may be started under the caps taken.
    pub send_for: Duration,
    pub policy: Policy,
    pub channel: ChannelName,
    pub webhook: Option<String>,
    pub mailing: Mailing,
    pub rates: Rates,
    /// Claims before this one that ended without a word: whom they handed over stands in the first sub-batch.
    pub earlier_attempts: i32,
    /// Sorted; each holds its cap and has no receipt.
    pub allowed: Vec<ContactId>,
}

pub(crate) async fn claim(state: &State, hint: Hint) -> Result<Claimed, Error> {
    let since = Instant::now();
    let mut tx = state.db.begin(hint.chunk.tenant).await?;
    let Some(found) = store::lease::lock(&mut *tx, hint.chunk).await? else {
        return Ok(Claimed::Stale);
    };
    match found.standing().heed(hint.epoch) {
        Verdict::Take => {}
        Verdict::Stale => return Ok(Claimed::Stale),
        Verdict::Busy => return Ok(Claimed::Later(state.knobs.lease() / 3)),
    }
    if found.is_held() {
        // Dispatched while that came about.
        store::lease::put_back(&mut *tx, hint.chunk).await?;
        tx.commit().await?;
        return Ok(Claimed::Stale);
    }
    let policy = Policy::of(found.kind, found.member);
    let window = store::lease::window(&mut *tx, policy.window, &found.zone).await?;
    let left = Duration::try_from_secs_f64(window.left_secs).unwrap_or_default();
    let Some(send_for) = time_to_send(left, state.knobs.window_guard()) else {
        return Ok(Claimed::Later(left + Duration::from_millis(100)));
    };
    let send_for = send_for.min(found.left());

    let lease = Lease {
        chunk: hint.chunk,
        owner: Uuid::now_v7(),
    };
    store::lease::take(&mut *tx, lease, state.knobs.lease().as_secs_f64()).await?;
    let unended = store::chunk::unended(&mut *tx, hint.chunk).await?;
    let (allowed, endings) = decide(state, &mut tx, hint, &found, policy, window.start, &unended).await?;
    let endings: Vec<_> = endings
        .into_iter()
        .map(|(contact, outcome)| Ending {
            n: hint.chunk.n,
            contact,
            outcome,
        })
        .collect();
    store::receipt::end(&mut *tx, hint.chunk.tenant, hint.chunk.broadcast, &endings).await?;
    if allowed.is_empty() {
        store::lease::release(&mut *tx, lease, ChunkState::Done, false).await?;
    }
    tx.commit().await?;
    super::count(&endings);
    let rates = found.rates();
    Ok(Claimed::Chunk(Box::new(Claim {
        lease,
        since,
        send_for,
        policy,
        channel: found.channel,
        webhook: found.webhook,
        mailing: Mailing {
            tenant: hint.chunk.tenant,
            broadcast: hint.chunk.broadcast,
            kind: found.kind,
            member: found.member,
            text: found.text,
        },
        rates,
        earlier_attempts: found.attempts,
        allowed,
    })))
}

/// Who is sent to, and who ends here.
async fn decide(
    state: &State,
    db: &mut sqlx::PgConnection,
    hint: Hint,
    found: &Found,
    policy: Policy,
    window_start: Date,
    unended: &[ContactId],
) -> Result<(Vec<ContactId>, Vec<(ContactId, Outcome)>), Error> {
    let (tenant, broadcast) = (hint.chunk.tenant, hint.chunk.broadcast);
    let end_as = |outcome| unended.iter().map(|&contact| (contact, outcome)).collect();
    let is_cancelled = found.broadcast_state != BroadcastState::Running;
    if is_cancelled || is_poison(found.attempts, state.knobs.chunk_attempts_max.into()) {
        let unsent = never_handed(unended, found.attempts, state.knobs.sub_batch_recipients());
        store::cap::give_back(&mut *db, tenant, policy, broadcast, unsent, None).await?;
        let outcome = if is_cancelled {
            Outcome::Cancelled
        } else {
            Outcome::Dead
        };
        return Ok((vec![], end_as(outcome)));
    }
    if found.epoch > 1 || found.attempts > 0 {
        // An earlier claim may have been in an earlier window, whose caps are of no use in this one.
        store::cap::give_back(&mut *db, tenant, policy, broadcast, unended, Some(window_start)).await?;
    }
    let opted_out = store::consent::opted_out(&mut *db, tenant, unended).await?;
    if !opted_out.is_empty() {
        // Of an earlier claim they may hold caps.
        let unsent = never_handed(unended, found.attempts, state.knobs.sub_batch_recipients());
        let unsent = not_among(&opted_out, &not_among(&opted_out, unsent));
        store::cap::give_back(&mut *db, tenant, policy, broadcast, &unsent, None).await?;
    }
    let willing = not_among(unended, &opted_out);
    let allowed = store::cap::take(&mut *db, tenant, policy, window_start, broadcast, &willing).await?;
    let capped = not_among(&willing, &allowed);
    let opted_out = opted_out.into_iter().map(|contact| (contact, Outcome::OptedOut));
    let capped = capped.into_iter().map(|contact| (contact, Outcome::Capped));
    Ok((allowed, opted_out.chain(capped).collect()))
}
