//! Recipients that ended `dead`: why, and whether they were replayed.

use contracts::{BroadcastId, ContactId, MemberId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::chunk::ChunkKey;
use crate::dead::{Dead, DeadRecipient};
use crate::failure::Failure;

/// Notes why these recipients of a chunk are dead; whoever is noted already stays as noted.
pub(crate) async fn note(db: impl PgExecutor<'_>, chunk: ChunkKey, dead: &[Dead]) -> sqlx::Result<()> {
    let ids: Vec<_> = dead.iter().map(|_| Uuid::now_v7()).collect();
    let contacts: Vec<_> = dead.iter().map(|dead| dead.contact).collect();
    let failures: Vec<_> = dead.iter().map(|dead| dead.failure.name().to_owned()).collect();
    let handed: Vec<_> = dead.iter().map(|dead| dead.is_handed).collect();
    sqlx::query!(
        "insert into dead_recipient
           (tenant_id, dead_recipient_id, broadcast_id, contact_id, n, failure, is_handed)
         select $1, dead.id, $2, dead.contact_id, $3, dead.failure, dead.is_handed
         from unnest($4::uuid[], $5::uuid[], $6::text[], $7::bool[]) as dead (id, contact_id, failure, is_handed)
         order by dead.contact_id
         on conflict (broadcast_id, contact_id) where replayed_at is null do nothing",
        chunk.tenant.0,
        chunk.broadcast.0,
        chunk.n,
        &ids,
        &contacts as &[ContactId],
        &failures,
        &handed,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Newest first.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: Option<BroadcastId>,
    failure: Option<Failure>,
    after: Option<Uuid>,
    rows_max: i64,
) -> sqlx::Result<Vec<DeadRecipient>> {
    sqlx::query!(
        r#"select dead_recipient_id, broadcast_id as "broadcast_id: BroadcastId", contact_id as "contact_id: ContactId",
             failure as "failure: Failure", is_handed, at as "at: jiff_sqlx::Timestamp",
             replayed_at as "replayed_at?: jiff_sqlx::Timestamp", replayed_by as "replayed_by?: MemberId"
           from dead_recipient
           where tenant_id = $1 and ($2::uuid is null or broadcast_id = $2) and ($3::text is null or failure = $3)
             and ($4::uuid is null or dead_recipient_id < $4)
           order by dead_recipient_id desc limit $5"#,
        tenant.0,
        broadcast.map(|id| id.0),
        failure.map(Failure::name),
        after,
        rows_max,
    )
    .fetch_all(db)
    .await
    .map(|rows| {
        let dead = rows.into_iter().map(|row| DeadRecipient {
            dead_recipient_id: row.dead_recipient_id,
            broadcast_id: row.broadcast_id,
            contact_id: row.contact_id,
            failure: row.failure,
            is_handed: row.is_handed,
            at: row.at.into(),
            replayed_at: row.replayed_at.map(Into::into),
            replayed_by: row.replayed_by,
        });
        dead.collect()
    })
}

/// Makes dead recipients of a mass message recipients without an end again: these contacts, or some of all. Their
/// receipts go, their chunks are ready, the trace stays. Chunks that are still being sent are left alone. Tells how many;
/// the mass message is locked by the caller.
pub(crate) async fn replay(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
    contacts: Option<&[ContactId]>,
    by: MemberId,
    now: Timestamp,
    rows_max: i64,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"with picked as (
             select dead_recipient_id, contact_id, n
             from dead_recipient join chunk using (tenant_id, broadcast_id, n)
             where tenant_id = $1 and broadcast_id = $2 and replayed_at is null and chunk.state = 'done'
               and ($3::uuid[] is null or contact_id = any($3))
             order by n, contact_id limit $6 for update of chunk),
           taken_back as (
             delete from receipt using picked
             where receipt.tenant_id = $1 and receipt.broadcast_id = $2 and receipt.contact_id = picked.contact_id
               and receipt.state = 'dead'
             returning receipt.contact_id),
           traced as (
             update dead_recipient set replayed_at = $5, replayed_by = $4
             from picked join taken_back using (contact_id)
             where dead_recipient.dead_recipient_id = picked.dead_recipient_id
             returning picked.n, dead_recipient.is_handed),
           alive as (
             select n, count(*) as recipients, bool_or(is_handed) as is_handed from traced group by n),
           reopened as (
             update chunk set state = 'ready', dead = dead - alive.recipients, attempts = alive.is_handed::int
             from alive where chunk.broadcast_id = $2 and chunk.n = alive.n
             returning alive.recipients)
           select coalesce(sum(recipients), 0)::int8 as "replayed!" from reopened"#,
        tenant.0,
        broadcast.0,
        contacts as Option<&[ContactId]>,
        by.0,
        now.to_sqlx() as _,
        rows_max,
    )
    .fetch_one(db)
    .await
}

/// Those of a mass message that nobody has replayed.
pub(crate) async fn left(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "left!" from dead_recipient
           where tenant_id = $1 and broadcast_id = $2 and replayed_at is null"#,
        tenant.0,
        broadcast.0,
    )
    .fetch_one(db)
    .await
}

/// The mass message goes on, and all it waited for, and was summed up as, is over.
pub(crate) async fn reopen(db: impl PgExecutor<'_>, broadcast: BroadcastId) -> sqlx::Result<()> {
    sqlx::query!(
        "update broadcast set state = 'running', finished_at = null, note = null, away_since = null, endings = null
         where broadcast_id = $1",
        broadcast.0
    )
    .execute(db)
    .await
    .map(drop)
}
