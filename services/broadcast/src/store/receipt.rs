//! Receipts: how it ended for each recipient. Written in one place, with the counters, once.

use contracts::{BroadcastId, ContactId, MemberId, TenantId};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;

use crate::chunk::Lease;
use crate::outcome::Outcome;

/// A recipient's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub n: i32,
    pub contact: ContactId,
    pub outcome: Outcome,
}

/// Gives each recipient its terminal state and counts it in its chunk; whoever has one keeps it and is not counted
/// again. One statement, a row per recipient and an update per chunk.
pub(crate) async fn end(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
    endings: &[Ending],
) -> sqlx::Result<()> {
    if endings.is_empty() {
        return Ok(()); // as in most claims
    }
    let ns: Vec<_> = endings.iter().map(|ending| ending.n).collect();
    let contacts: Vec<_> = endings.iter().map(|ending| ending.contact).collect();
    let outcomes: Vec<_> = endings
        .iter()
        .map(|ending| ending.outcome.name().to_owned())
        .collect();
    sqlx::query!(
        "with ended as (
           insert into receipt (tenant_id, broadcast_id, contact_id, n, state)
           select $1, $2, ending.contact_id, ending.n, ending.state
           from unnest($3::int4[], $4::uuid[], $5::text[]) as ending (n, contact_id, state)
           order by ending.contact_id
           on conflict (tenant_id, broadcast_id, contact_id) do nothing
           returning n, state),
         counted as (
           select n,
             count(*) filter (where state = 'delivered') as delivered,
             count(*) filter (where state = 'capped') as capped,
             count(*) filter (where state = 'fatigued') as fatigued,
             count(*) filter (where state = 'quiet_expired') as quiet_expired,
             count(*) filter (where state = 'opted_out') as opted_out,
             count(*) filter (where state = 'not_a_friend') as not_a_friend,
             count(*) filter (where state = 'no_channel') as no_channel,
             count(*) filter (where state = 'held_out') as held_out,
             count(*) filter (where state = 'deselected') as deselected,
             count(*) filter (where state = 'unconfirmed') as unconfirmed,
             count(*) filter (where state = 'cancelled') as cancelled,
             count(*) filter (where state = 'dead') as dead
           from ended group by n)
         update chunk set
           delivered = chunk.delivered + counted.delivered,
           capped = chunk.capped + counted.capped,
           fatigued = chunk.fatigued + counted.fatigued,
           quiet_expired = chunk.quiet_expired + counted.quiet_expired,
           opted_out = chunk.opted_out + counted.opted_out,
           not_a_friend = chunk.not_a_friend + counted.not_a_friend,
           no_channel = chunk.no_channel + counted.no_channel,
           held_out = chunk.held_out + counted.held_out,
           deselected = chunk.deselected + counted.deselected,
           unconfirmed = chunk.unconfirmed + counted.unconfirmed,
           cancelled = chunk.cancelled + counted.cancelled,
           dead = chunk.dead + counted.dead
         from counted
         where chunk.broadcast_id = $2 and chunk.n = counted.n",
        tenant.0,
        broadcast.0,
        &ns,
        &contacts as &[ContactId],
        &outcomes,
    )
    .execute(db)
    .await
    .map(drop)
}

/// A sub-batch's T2: as [`end`], of one chunk, and only for whoever holds its lease, which it renews; progress makes
/// the running attempt the first one again. False, and nothing is written, when the lease is lost. One statement: a row
/// per recipient in the order of their key, and one new version of the chunk, which stays locked until the commit.
pub(crate) async fn settle(
    db: impl PgExecutor<'_>,
    lease: Lease,
    lease_secs: f64,
    endings: &[Ending],
) -> sqlx::Result<bool> {
    let contacts: Vec<_> = endings.iter().map(|ending| ending.contact).collect();
    let outcomes: Vec<_> = endings
        .iter()
        .map(|ending| ending.outcome.name().to_owned())
        .collect();
    sqlx::query!(
        "with held as materialized (
           select chunk.broadcast_id, chunk.n from chunk
           where chunk.broadcast_id = $2 and chunk.n = $3 and lease_owner = $4
           for update),
         ended as (
           insert into receipt (tenant_id, broadcast_id, contact_id, n, state)
           select $1, held.broadcast_id, ending.contact_id, held.n, ending.state
           from held cross join unnest($5::uuid[], $6::text[]) as ending (contact_id, state)
           order by ending.contact_id
           on conflict (tenant_id, broadcast_id, contact_id) do nothing
           returning state),
         counted as (
           select
             count(*) filter (where state = 'delivered') as delivered,
             count(*) filter (where state = 'capped') as capped,
             count(*) filter (where state = 'fatigued') as fatigued,
             count(*) filter (where state = 'quiet_expired') as quiet_expired,
             count(*) filter (where state = 'opted_out') as opted_out,
             count(*) filter (where state = 'not_a_friend') as not_a_friend,
             count(*) filter (where state = 'no_channel') as no_channel,
             count(*) filter (where state = 'held_out') as held_out,
             count(*) filter (where state = 'deselected') as deselected,
             count(*) filter (where state = 'unconfirmed') as unconfirmed,
             count(*) filter (where state = 'cancelled') as cancelled,
             count(*) filter (where state = 'dead') as dead
           from ended)
         update chunk set
           lease_until = now() + make_interval(secs => $7),
           attempts = 1,
           delivered = chunk.delivered + counted.delivered,
           capped = chunk.capped + counted.capped,
           fatigued = chunk.fatigued + counted.fatigued,
           quiet_expired = chunk.quiet_expired + counted.quiet_expired,
           opted_out = chunk.opted_out + counted.opted_out,
           not_a_friend = chunk.not_a_friend + counted.not_a_friend,
           no_channel = chunk.no_channel + counted.no_channel,
           held_out = chunk.held_out + counted.held_out,
           deselected = chunk.deselected + counted.deselected,
           unconfirmed = chunk.unconfirmed + counted.unconfirmed,
           cancelled = chunk.cancelled + counted.cancelled,
           dead = chunk.dead + counted.dead
         from held cross join counted
         where chunk.broadcast_id = held.broadcast_id and chunk.n = held.n",
        lease.chunk.tenant.0,
        lease.chunk.broadcast.0,
        lease.chunk.n,
        lease.owner,
        &contacts as &[ContactId],
        &outcomes,
        lease_secs,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// The first of these contacts that was not left out: deselected, or over before anybody was asked, for want of consent, of
/// an address or of a friend.
pub(crate) async fn first_not_left_out(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
    contacts: &[ContactId],
) -> sqlx::Result<Option<ContactId>> {
    sqlx::query_scalar!(
        r#"select contact_id as "contact!: ContactId"
           from unnest($3::uuid[]) as asked (contact_id)
           where not exists (
             select from receipt
             where receipt.tenant_id = $1 and receipt.broadcast_id = $2 and receipt.contact_id = asked.contact_id
               and state in ('deselected', 'opted_out', 'no_channel', 'not_a_friend'))
           order by contact_id limit 1"#,
        tenant.0,
        broadcast.0,
        contacts as &[ContactId],
    )
    .fetch_optional(db)
    .await
}

/// How it ended for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Receipt {
    /// Of a post in groups the group's id.
    pub contact_id: ContactId,
    /// Whose share the contact was in.
    pub member_id: MemberId,
    pub state: Outcome,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// By contact.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
    after: Option<ContactId>,
    rows_max: i64,
) -> sqlx::Result<Vec<Receipt>> {
    sqlx::query_as!(
        Receipt,
        r#"select contact_id as "contact_id: _", member_id as "member_id: _", receipt.state as "state: Outcome", at
           from receipt join chunk using (tenant_id, broadcast_id, n)
           where receipt.tenant_id = $1 and receipt.broadcast_id = $2
             and ($3::uuid is null or contact_id > $3)
           order by contact_id limit $4"#,
        tenant.0,
        broadcast.0,
        after.map(|contact| contact.0),
        rows_max,
    )
    .fetch_all(db)
    .await
}

/// When each terminal state came about, first and last. Reads every receipt of the mass message.
pub(crate) async fn endings(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
) -> sqlx::Result<Vec<(Outcome, i64, Timestamp, Timestamp)>> {
    sqlx::query!(
        r#"select state as "state: Outcome", count(*) as "recipients!",
             min(at) as "first_at!: jiff_sqlx::Timestamp", max(at) as "last_at!: jiff_sqlx::Timestamp"
           from receipt where tenant_id = $1 and broadcast_id = $2 group by state order by count(*) desc, state"#,
        tenant.0,
        broadcast.0,
    )
    .fetch_all(db)
    .await
    .map(|rows| {
        rows.into_iter()
            .map(|row| (row.state, row.recipients, row.first_at.into(), row.last_at.into()))
            .collect()
    })
}
