//! What the dispatcher and the reconciler see and move, across tenants.

use contracts::{BroadcastId, TenantId};
use sqlx::PgExecutor;

use crate::chunk::{ChunkKey, Hint};
use crate::schedule::Priority;
use crate::share::{Due, Flow};

/// Names the dispatcher's lock among the database's advisory locks.
const LEADER: i64 = 0x5348_4551_554e_0001;

/// Whether this transaction leads: one at a time does, and a dead leader's lock is free at once.
pub(crate) async fn lead(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1) as "leads!""#, LEADER)
        .fetch_one(db)
        .await
}

/// What a flow has queued or being sent.
pub(crate) struct Flying {
    pub tenant: TenantId,
    pub priority: Priority,
    /// Chunks in lanes, or queued for one.
    pub in_flight: i64,
    /// For how many seconds the oldest of them.
    pub oldest_secs: f64,
    pub aside: i64,
}

impl Flying {
    pub(crate) const fn flow(&self) -> Flow {
        Flow {
            tenant: self.tenant,
            priority: self.priority,
        }
    }
}

/// What each flow has queued or being sent.
pub(crate) async fn flows_in_flight(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Flying>> {
    sqlx::query_as!(
        Flying,
        r#"select tenant_id as "tenant: TenantId", priority as "priority: Priority",
             count(*) filter (where aside_epoch is distinct from epoch) as "in_flight!",
             count(*) filter (where aside_epoch = epoch) as "aside!",
             coalesce(extract(epoch from now() - min(queued_at) filter (where aside_epoch is distinct from epoch)), 0)::float8
               as "oldest_secs!"
           from chunk join broadcast using (tenant_id, broadcast_id)
           where chunk.state in ('queued', 'sending')
           group by tenant_id, priority"#
    )
    .fetch_all(db)
    .await
}

/// Flows that send to a receiver which workers found slow.
pub(crate) async fn slow_flows(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<Flow>> {
    sqlx::query_as!(
        Flow,
        r#"select distinct tenant_id as "tenant: TenantId", priority as "priority: Priority"
           from slow_receiver join broadcast using (tenant_id, channel)
           where slow_until > now() and broadcast.state in ('running', 'cancelling')"#
    )
    .fetch_all(db)
    .await
}

/// What may be dispatched of each flow next, its oldest mass message first: no more than a number of chunks, and nothing
/// whose time has not come or whose tokens are not due soon. Of a mass message with a rate no more wait in the queue than
/// a second's tokens are for.
pub(crate) async fn due(
    db: impl PgExecutor<'_>,
    chunks_max: i64,
    soon_secs: f64,
) -> sqlx::Result<Vec<(Flow, Due)>> {
    sqlx::query!(
        r#"with open as materialized (
             select tenant_id, broadcast_id, priority, least(broadcast.rate_per_s, account_rate.rate_per_s) as rate_per_s,
               channel
             from broadcast left join account_rate using (tenant_id, channel)
             where state in ('running', 'cancelling')
               and coalesce(paced_to <= now() + make_interval(secs => $2), true)
               and (coalesce(send_at <= now(), true) or state = 'cancelling'))
           select flow.tenant_id as "tenant!: TenantId", flow.priority as "priority!: Priority",
             next.broadcast_id as "broadcast!: BroadcastId", next.n as "n!", next.recipients as "recipients!"
           from (select distinct tenant_id, priority from open) as flow
           cross join lateral (
             select broadcast_id, ready.n, ready.recipients
             from open
             cross join lateral (
               select n, recipients, coalesce(not_before, '-infinity') as due_at from chunk
               where chunk.tenant_id = flow.tenant_id and chunk.broadcast_id = open.broadcast_id
                 and state = 'ready' and coalesce(not_before, '-infinity') <= now()
                 and not exists (
                   select from account
                   where account.tenant_id = flow.tenant_id and account.channel = open.channel
                     and account.member_id in (chunk.member_id, '00000000-0000-0000-0000-000000000000')
                     and account.paced_to > now() + make_interval(secs => $2))
               order by coalesce(not_before, '-infinity'), n
               limit case when rate_per_s is null then $1 else greatest(0, least($1, 1 + rate_per_s / 500 - (
                 select count(*) from chunk as waiting
                 where waiting.tenant_id = flow.tenant_id and waiting.broadcast_id = open.broadcast_id
                   and waiting.state = 'queued'))) end) as ready
             where open.tenant_id = flow.tenant_id and open.priority = flow.priority
             order by broadcast_id, ready.due_at, ready.n limit $1) as next"#,
        chunks_max,
        soon_secs,
    )
    .fetch_all(db)
    .await
    .map(|rows| {
        rows.into_iter()
            .map(|row| {
                let flow = Flow {
                    tenant: row.tenant,
                    priority: row.priority,
                };
                let chunk = ChunkKey {
                    tenant: row.tenant,
                    broadcast: row.broadcast,
                    n: row.n,
                };
                (
                    flow,
                    Due {
                        chunk,
                        recipients: row.recipients,
                    },
                )
            })
            .collect()
    })
}

/// Queues these chunks, for a lane or aside, each under a new epoch, but for those that somebody is just at or that were
/// paused meanwhile.
pub(crate) async fn queue(db: impl PgExecutor<'_>, chunks: &[(ChunkKey, bool)]) -> sqlx::Result<Vec<Hint>> {
    let broadcasts: Vec<_> = chunks.iter().map(|(chunk, _)| chunk.broadcast).collect();
    let ns: Vec<_> = chunks.iter().map(|(chunk, _)| chunk.n).collect();
    let asides: Vec<_> = chunks.iter().map(|(_, is_aside)| *is_aside).collect();
    sqlx::query!(
        r#"with picked as (
             select broadcast_id, chunk.n, chosen.is_aside
             from unnest($1::uuid[], $2::int4[], $3::bool[]) as chosen (broadcast_id, n, is_aside)
             join chunk using (broadcast_id, n)
             join broadcast using (tenant_id, broadcast_id)
             where chunk.state = 'ready' and broadcast.state in ('running', 'cancelling')
             order by broadcast_id, chunk.n for update of chunk skip locked)
           update chunk set state = 'queued', epoch = epoch + 1, queued_at = now(),
             aside_epoch = case when is_aside then epoch + 1 end
           from picked
           where chunk.broadcast_id = picked.broadcast_id and chunk.n = picked.n
           returning tenant_id as "tenant: TenantId", chunk.broadcast_id as "broadcast: BroadcastId", chunk.n, epoch,
             is_aside as "is_aside!""#,
        &broadcasts as &[BroadcastId],
        &ns,
        &asides,
    )
    .fetch_all(db)
    .await
    .map(|rows| {
        rows.into_iter()
            .map(|row| Hint {
                chunk: ChunkKey { tenant: row.tenant, broadcast: row.broadcast, n: row.n },
                epoch: row.epoch,
                is_aside: row.is_aside,
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
         update chunk set state = case when ends_as is null then 'ready' else 'cancelled' end,
           lease_owner = null, lease_until = null
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

/// Recipients of all tenants' confirmed chunks without a terminal state and whose time has come: what workers have before
/// them.
pub(crate) async fn remaining(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select coalesce(sum(recipients - ended), 0) as "recipients!"
           from broadcast join chunk using (tenant_id, broadcast_id)
           where broadcast.state in ('running', 'cancelling') and chunk.state in ('ready', 'queued', 'sending')
             and coalesce(greatest(send_at, not_before) <= now(), true)"#
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
