//! A worker's hold on a chunk: claiming it, keeping it, letting it go. Every statement after the claim is fenced by
//! the claim's own owner id, so a worker that slept through its lease changes nothing.

use std::time::Duration;

use contracts::MemberId;
use jiff::tz::TimeZone;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::broadcast::{ChannelName, Kind, State as BroadcastState};
use crate::chunk::{ChunkKey, Lease, Standing, State};
use crate::content::Content;
use crate::content::card::Card;
use crate::error::Error;
use crate::pace::Rates;
use crate::post::To;
use crate::webhook::{Receiver, Secret};
use crate::zone::{self, Zone};

/// A chunk as the claim finds it, with what is to be sent.
pub(crate) struct Found {
    pub state: State,
    pub epoch: i32,
    pub is_lease_expired: bool,
    pub attempts: i32,
    pub member: MemberId,
    pub kind: Kind,
    pub title: String,
    pub to: To,
    pub text: String,
    pub attachments: Json<Vec<Card>>,
    pub content: Option<Json<Content>>,
    pub channel: ChannelName,
    pub rate_per_s: Option<i32>,
    pub tenant_rate_per_s: Option<i32>,
    pub member_rate_per_s: Option<i32>,
    /// What is left of the time in which it may be sent, if that ends.
    pub left_secs: Option<f64>,
    pub held_out_ppm: i32,
    pub broadcast_state: BroadcastState,
    /// Of the tenant, by which caps go.
    pub zone: String,
    /// Of the chunk's recipients, if it is another one.
    pub in_zone: Option<String>,
    pub webhook: Option<String>,
    pub link_generation: i16,
    pub link_key: Vec<u8>,
    pub secret: Option<Secret>,
    pub old_secret: Option<Secret>,
    /// Its receiver is left alone for now.
    pub is_away: bool,
    /// Its receiver has taken nothing of it for too long.
    pub is_given_up: bool,
    /// Some of it has waited for the receiver.
    pub has_waited: bool,
    /// Claims in a row that found the receiver away.
    pub failures: i32,
}

impl Found {
    pub(crate) fn rates(&self) -> Rates {
        Rates {
            channel: self.channel,
            member: self.member,
            of_broadcast: self.rate_per_s,
            of_tenant: self.tenant_rate_per_s,
            of_member: self.member_rate_per_s,
        }
    }

    /// Whether it must not be sent now: somebody paused it, or its time is over and the rest is being noted.
    pub(crate) fn is_held(&self) -> bool {
        let is_over = self.left_secs.is_some_and(|secs| secs <= 0.0);
        self.broadcast_state == BroadcastState::Paused
            || is_over && self.broadcast_state == BroadcastState::Running
    }

    /// By whose clocks its recipients live.
    pub(crate) fn clocks(&self) -> Result<TimeZone, Error> {
        let tenants = zone::tenants(&self.zone)?;
        Ok(zone::of_chunk(
            self.in_zone.as_deref().and_then(Zone::named),
            &tenants,
        ))
    }

    /// What is left of the time in which it may be sent.
    pub(crate) fn left(&self) -> Duration {
        self.left_secs.map_or(Duration::MAX, |secs| {
            Duration::try_from_secs_f64(secs).unwrap_or_default()
        })
    }

    /// The tenant's own system, if it has set one.
    pub(crate) fn receiver(&self) -> Option<Receiver> {
        Some(Receiver {
            url: self.webhook.clone()?,
            secrets: self.secret.iter().chain(&self.old_secret).cloned().collect(),
        })
    }

    /// Whether its recipients are not sent to in any case, so that nothing is worth waiting for.
    pub(crate) fn ends_anyway(&self) -> bool {
        self.is_given_up || self.broadcast_state != BroadcastState::Running
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing {
            state: self.state,
            epoch: self.epoch,
            is_lease_expired: self.is_lease_expired,
        }
    }
}

/// Locks the chunk.
pub(crate) async fn lock(
    db: impl PgExecutor<'_>,
    chunk: ChunkKey,
    away_secs_max: f64,
) -> sqlx::Result<Option<Found>> {
    sqlx::query_as!(
        Found,
        r#"select chunk.state as "state: State", epoch, coalesce(lease_until < now(), false) as "is_lease_expired!",
             attempts, member_id as "member: MemberId", kind as "kind: Kind", title, text,
             attachments as "attachments: Json<Vec<Card>>", content as "content: Json<Content>",
             channel as "channel: ChannelName", case when post_in is null then 'contacts' else 'groups' end as "to!: To",
             broadcast.rate_per_s, account_rate.rate_per_s as "tenant_rate_per_s?",
             member_rate_per_s as "member_rate_per_s?", held_out_ppm,
             extract(epoch from send_until - clock_timestamp())::float8 as left_secs,
             case when ends_as is null then broadcast.state else 'cancelling' end as "broadcast_state!: BroadcastState",
             zone, in_zone, url as "webhook?", link_generation, link_key,
             secret as "secret?: Secret",
             case when old_secret_until > now() then old_secret end as "old_secret?: Secret",
             coalesce(away_until > now(), false) as "is_away!", coalesce(failures, 0) as "failures!",
             coalesce(failures > 0, false) or away_since is not null as "has_waited!",
             coalesce(away_since < now() - make_interval(secs => $3), false) as "is_given_up!"
           from chunk
           join broadcast using (tenant_id, broadcast_id)
           join tenant using (tenant_id)
           left join webhook using (tenant_id)
           left join account_rate using (tenant_id, channel)
           left join receiver using (tenant_id, channel)
           where broadcast_id = $1 and n = $2
           for update of chunk"#,
        chunk.broadcast.0,
        chunk.n,
        away_secs_max,
    )
    .fetch_optional(db)
    .await
}

/// Makes the locked chunk this lease's own.
pub(crate) async fn take(db: impl PgExecutor<'_>, lease: Lease, lease_secs: f64) -> sqlx::Result<()> {
    sqlx::query!(
        "update chunk set state = 'sending', lease_owner = $3, lease_until = now() + make_interval(secs => $4),
           attempts = attempts + 1
         where broadcast_id = $1 and n = $2",
        lease.chunk.broadcast.0,
        lease.chunk.n,
        lease.owner,
        lease_secs,
    )
    .execute(db)
    .await
    .map(drop)
}

/// The locked chunk is nobody's: it may be dispatched again when its mass message goes on.
pub(crate) async fn put_back(db: impl PgExecutor<'_>, chunk: ChunkKey) -> sqlx::Result<()> {
    sqlx::query!(
        "update chunk set state = 'ready', lease_owner = null, lease_until = null
         where broadcast_id = $1 and n = $2",
        chunk.broadcast.0,
        chunk.n,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Renews the lease and tells how the mass message stands, or the share that was taken back; nothing when the lease is
/// lost. Locks the chunk until the transaction ends.
pub(crate) async fn renew(
    db: impl PgExecutor<'_>,
    lease: Lease,
    lease_secs: f64,
) -> sqlx::Result<Option<BroadcastState>> {
    sqlx::query_scalar!(
        r#"update chunk set lease_until = now() + make_interval(secs => $4)
           from broadcast
           where chunk.broadcast_id = $1 and n = $2 and lease_owner = $3
             and broadcast.broadcast_id = chunk.broadcast_id
           returning case when ends_as is null then broadcast.state else 'cancelling' end as "state!: BroadcastState""#,
        lease.chunk.broadcast.0,
        lease.chunk.n,
        lease.owner,
        lease_secs,
    )
    .fetch_optional(db)
    .await
}

/// Ends the lease: `done` when every recipient has a terminal state, `ready` for somebody else to go on, or to be closed
/// when it was taken back meanwhile. In doubt is
/// who was handed to the channel without its answer being known, by this claim or an earlier one; handing back is no
/// attempt of its own. False when the lease was lost before.
pub(crate) async fn release(
    db: impl PgExecutor<'_>,
    lease: Lease,
    to: State,
    is_in_doubt: bool,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "update chunk set state = case when $4 = 'ready' and ends_as is not null then 'cancelled' else $4 end,
           lease_owner = null, lease_until = null,
           attempts = case when $5 then greatest(attempts - 1, 1) else 0 end
         where broadcast_id = $1 and n = $2 and lease_owner = $3",
        lease.chunk.broadcast.0,
        lease.chunk.n,
        lease.owner,
        to.name(),
        is_in_doubt,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// The locked chunk is nobody's until so many seconds from now.
pub(crate) async fn wait(db: impl PgExecutor<'_>, chunk: ChunkKey, rest_secs: f64) -> sqlx::Result<()> {
    sqlx::query!(
        "update chunk set state = 'ready', lease_owner = null, lease_until = null,
           not_before = clock_timestamp() + make_interval(secs => $3)
         where broadcast_id = $1 and n = $2",
        chunk.broadcast.0,
        chunk.n,
        rest_secs,
    )
    .execute(db)
    .await
    .map(drop)
}

/// After a failure the chunk keeps its lease, without anybody at it and no place aside, for a rest; then the reconciler
/// makes it ready.
/// A passing fault is no attempt.
pub(crate) async fn rest(
    db: impl PgExecutor<'_>,
    lease: Lease,
    rest_secs: f64,
    is_attempt: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update chunk set lease_until = now() + make_interval(secs => $4), aside_epoch = null,
           attempts = case when $5 then attempts else greatest(attempts - 1, 1) end
         where broadcast_id = $1 and n = $2 and lease_owner = $3",
        lease.chunk.broadcast.0,
        lease.chunk.n,
        lease.owner,
        rest_secs,
        is_attempt,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Undoes a claim that started no call: what was known before it is known again, and the chunk rests.
pub(crate) async fn step_back(db: impl PgExecutor<'_>, lease: Lease, rest_secs: f64) -> sqlx::Result<()> {
    sqlx::query!(
        "update chunk set lease_until = now() + make_interval(secs => $4), attempts = attempts - 1, aside_epoch = null
         where broadcast_id = $1 and n = $2 and lease_owner = $3",
        lease.chunk.broadcast.0,
        lease.chunk.n,
        lease.owner,
        rest_secs,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Takes tokens of the mass message's rate for one worker: how long until the first of them is due. Workers get
/// consecutive stretches of time, so together they never pass the rate. None are taken when they are due later than
/// `wait_secs_max` from now.
pub(crate) async fn take_tokens(
    db: impl PgExecutor<'_>,
    chunk: ChunkKey,
    tokens: i32,
    rate_per_s: i32,
    wait_secs_max: f64,
) -> sqlx::Result<Option<f64>> {
    let stretch_secs = f64::from(tokens) / f64::from(rate_per_s);
    sqlx::query_scalar!(
        r#"update broadcast set paced_to = greatest(paced_to, clock_timestamp()) + make_interval(secs => $2)
           where broadcast_id = $1 and coalesce(paced_to <= clock_timestamp() + make_interval(secs => $3), true)
           returning greatest(extract(epoch from paced_to - clock_timestamp())::float8 - $2, 0) as "wait_secs!""#,
        chunk.broadcast.0,
        stretch_secs,
        wait_secs_max,
    )
    .fetch_optional(db)
    .await
}
