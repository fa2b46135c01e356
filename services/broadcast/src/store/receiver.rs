//! Receivers that are left alone for a while, and what waits for them.

use contracts::TenantId;
use sqlx::PgExecutor;

use crate::broadcast::ChannelName;
use crate::chunk::ChunkKey;

/// While one claim tries the receiver again, no other does; false for any other.
pub(crate) async fn try_alone(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    channel: ChannelName,
    trial_secs: f64,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "update receiver set away_until = now() + make_interval(secs => $3)
         where tenant_id = $1 and channel = $2 and coalesce(away_until <= now(), true)",
        tenant.0,
        channel.name(),
        trial_secs,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Nobody was called: the next claim may try.
pub(crate) async fn try_later(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    channel: ChannelName,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update receiver set away_until = now() where tenant_id = $1 and channel = $2",
        tenant.0,
        channel.name(),
    )
    .execute(db)
    .await
    .map(drop)
}

/// After so many failures in a row it is left alone for so long.
pub(crate) async fn leave_alone(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    channel: ChannelName,
    failures: i32,
    rest_secs: f64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into receiver (tenant_id, channel, failures, away_until)
         values ($1, $2, $3, now() + make_interval(secs => $4))
         on conflict (tenant_id, channel) do update
           set failures = greatest(receiver.failures, excluded.failures), away_until = excluded.away_until",
        tenant.0,
        channel.name(),
        failures,
        rest_secs,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Everything of the tenant's that is to go to its receiver waits.
pub(crate) async fn wait_all(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    channel: ChannelName,
    rest_secs: f64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with waiting as (
           select broadcast_id from broadcast
           where tenant_id = $1 and channel = $2 and state in ('running', 'paused') order by broadcast_id for no key update)
         update broadcast set paced_to = greatest(paced_to, now() + make_interval(secs => $3)),
           away_since = coalesce(away_since, now())
         from waiting where broadcast.broadcast_id = waiting.broadcast_id",
        tenant.0,
        channel.name(),
        rest_secs,
    )
    .execute(db)
    .await
    .map(drop)
}

/// One mass message waits: its receiver takes others, or somebody tries it just now.
pub(crate) async fn wait(
    db: impl PgExecutor<'_>,
    chunk: ChunkKey,
    rest_secs: f64,
    is_away: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update broadcast set paced_to = greatest(paced_to, now() + make_interval(secs => $2)),
           away_since = case when $3 then coalesce(away_since, now()) else away_since end
         where broadcast_id = $1",
        chunk.broadcast.0,
        rest_secs,
        is_away,
    )
    .execute(db)
    .await
    .map(drop)
}

/// The receiver takes calls again.
pub(crate) async fn is_back(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    channel: ChannelName,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update receiver set failures = 0, away_until = null where tenant_id = $1 and channel = $2 and failures > 0",
        tenant.0,
        channel.name(),
    )
    .execute(db)
    .await
    .map(drop)
}

/// It takes this mass message's, too.
pub(crate) async fn wait_no_more(db: impl PgExecutor<'_>, chunk: ChunkKey) -> sqlx::Result<()> {
    sqlx::query!(
        "update broadcast set away_since = null where broadcast_id = $1 and away_since is not null",
        chunk.broadcast.0,
    )
    .execute(db)
    .await
    .map(drop)
}

/// It is slow, and stays so for ten seconds after the last slow call; who relapses within five minutes stays so twice as
/// long as the last time, up to those five. Written once a second, however many say it.
pub(crate) async fn is_slow(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    channel: ChannelName,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into slow_receiver as known (tenant_id, channel, slow_until, slow_secs)
         values ($1, $2, now() + interval '10 seconds', 10)
         on conflict (tenant_id, channel) do update
           set (slow_until, slow_secs) = (
             select now() + make_interval(secs => secs), secs
             from (select case
               when known.slow_until > now() then known.slow_secs
               when known.slow_until > now() - interval '5 minutes' then least(2 * known.slow_secs, 300)
               else 10 end) as next (secs))
           where known.slow_until < now() + make_interval(secs => known.slow_secs - 1)",
        tenant.0,
        channel.name(),
    )
    .execute(db)
    .await
    .map(drop)
}
