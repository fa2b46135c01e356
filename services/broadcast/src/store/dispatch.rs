//! What the dispatcher and the reconciler see and move, across tenants.

use contracts::{BroadcastId, TenantId};
use sqlx::PgExecutor;

use crate::chunk::{ChunkKey, Hint};
use crate::share::Backlog;

/// Names the dispatcher's lock among the database's advisory locks.
const LEADER: i64 = 0x5348_4551_554e_0001;

/// Whether this transaction leads: one at a time does, and a dead leader's lock is free at once.
pub(crate) async fn lead(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "leads!""#, LEADER)
        .fetch_one(db)
        .await
}

/// Every tenant with something in flight or ready; of what is ready, no more than a window is counted, and nothing whose
/// tokens are not due soon.
pub(crate) async fn backlogs(
    db: impl PgExecutor<'_>,
    window_chunks: i64,
    soon_secs: f64,
) -> sqlx::Result<Vec<Backlog>> {
    sqlx::query_as!(
        Backlog,
        r#"select tenant_id as "tenant: TenantId",
             (select count(*) from chunk
              where chunk.tenant_id = busy.tenant_id and state in ('queued', 'sending')) as "in_flight!",
             (select count(*) from (
                select from chunk where chunk.tenant_id = busy.tenant_id and state = 'ready' and not exists (
                  select from broadcast where broadcast.broadcast_id = chunk.broadcast_id
                    and paced_to > now() + make_interval(secs => $2))
                limit $1) as ready) as "ready!"
           from (select distinct tenant_id from broadcast where state in ('running', 'cancelling')) as busy
           order by tenant_id"#,
        window_chunks,
        soon_secs,
    )
    .fetch_all(db)
    .await
}

/// Queues each tenant's share, its oldest mass message first, each chunk under a new epoch. Of one with a rate no more
/// wait in the queue than a second's tokens are for, and only when the next are due soon.
pub(crate) async fn queue(
    db: impl PgExecutor<'_>,
    shares: &[(TenantId, i64)],
    soon_secs: f64,
) -> sqlx::Result<Vec<Hint>> {
    let tenants: Vec<_> = shares.iter().map(|(tenant, _)| *tenant).collect();
    let chunks: Vec<_> = shares.iter().map(|(_, chunks)| *chunks).collect();
    sqlx::query!(
        r#"with next as (
             select of_tenant.broadcast_id, of_tenant.n
             from unnest($1::uuid[], $2::int8[]) as share (tenant_id, chunks)
             cross join lateral (
               select broadcast_id, ready.n
               from broadcast
               cross join lateral (
                 select n from chunk
                 where chunk.tenant_id = share.tenant_id and chunk.broadcast_id = broadcast.broadcast_id
                   and state = 'ready'
                 order by n
                 limit case when rate_per_s is null then share.chunks else greatest(0, 1 + rate_per_s / 500 - (
                   select count(*) from chunk as waiting
                   where waiting.tenant_id = share.tenant_id and waiting.broadcast_id = broadcast.broadcast_id
                     and waiting.state = 'queued')) end) as ready
               where broadcast.tenant_id = share.tenant_id and state in ('running', 'cancelling')
                 and coalesce(paced_to <= now() + make_interval(secs => $3), true)
               order by broadcast_id, ready.n limit share.chunks) as of_tenant),
           picked as (
             select broadcast_id, n from chunk join next using (broadcast_id, n)
             where state = 'ready' order by broadcast_id, n for update of chunk skip locked)
           update chunk set state = 'queued', epoch = epoch + 1, queued_at = now()
           from picked
           where chunk.broadcast_id = picked.broadcast_id and chunk.n = picked.n
           returning tenant_id as "tenant: TenantId", chunk.broadcast_id as "broadcast: BroadcastId", chunk.n, epoch"#,
        &tenants as &[TenantId],
        &chunks,
        soon_secs,
    )
    .fetch_all(db)
    .await
    .map(|rows| {
        rows.into_iter()
            .map(|row| Hint {
                chunk: ChunkKey { tenant: row.tenant, broadcast: row.broadcast, n: row.n },
                epoch: row.epoch,
            })
            .collect()
    })
}

/// Chunks whose worker fell silent, or that rest after a failure, are ready again; what somebody is just at comes next
/// time. Returns how many.
pub(crate) async fn expire_leases(db: impl PgExecutor<'_>) -> sqlx::Result<u64> {
    sqlx::query!(
        "with picked as (
           select broadcast_id, n from chunk where state = 'sending' and lease_until < now()
           order by broadcast_id, n for update skip locked)
         update chunk set state = 'ready', lease_owner = null, lease_until = null
         from picked where chunk.broadcast_id = picked.broadcast_id and chunk.n = picked.n"
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// Chunks whose hint should be, or is being worked on, in the queue.
pub(crate) async fn in_flight(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from chunk where state in ('queued', 'sending')"#)
        .fetch_one(db)
        .await
}

/// Recipients of all tenants' confirmed chunks without a terminal state: what workers have before them.
pub(crate) async fn remaining(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select coalesce(sum(recipients - ended), 0) as "recipients!"
           from broadcast join chunk using (tenant_id, broadcast_id)
           where broadcast.state in ('running', 'cancelling') and chunk.state in ('ready', 'queued', 'sending')"#
    )
    .fetch_one(db)
    .await
}

/// Makes chunks ready again that were queued too long ago; hints of them that turn up later are stale.
pub(crate) async fn requeue(db: impl PgExecutor<'_>, queued_secs_max: f64) -> sqlx::Result<u64> {
    sqlx::query!(
        "with picked as (
           select broadcast_id, n from chunk
           where state = 'queued' and queued_at < now() - make_interval(secs => $1)
           order by broadcast_id, n for update skip locked)
         update chunk set state = 'ready'
         from picked where chunk.broadcast_id = picked.broadcast_id and chunk.n = picked.n",
        queued_secs_max
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}
