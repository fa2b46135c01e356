//! Chunks as a whole: progress, confirmation, withdrawal. Claims and leases are in `lease`.

use contracts::{BroadcastId, ContactId, MemberId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::chunk::ChunkKey;
use crate::outcome::{Outcome, Outcomes};
use crate::post::To;
use crate::report::MemberShare;
use crate::zone::Zone;

pub(crate) struct Tally {
    pub audience: i64,
    pub outcomes: Outcomes,
}

/// Audience and outcomes of a mass message: the sum of its chunks' counters, never a row of its own.
pub(crate) async fn tally(db: impl PgExecutor<'_>, broadcast: BroadcastId) -> sqlx::Result<Tally> {
    sqlx::query!(
        r#"select coalesce(sum(recipients), 0) as "audience!", coalesce(sum(delivered), 0) as "delivered!",
             coalesce(sum(capped), 0) as "capped!", coalesce(sum(fatigued), 0) as "fatigued!",
             coalesce(sum(quiet_expired), 0) as "quiet_expired!", coalesce(sum(opted_out), 0) as "opted_out!",
             coalesce(sum(not_a_friend), 0) as "not_a_friend!", coalesce(sum(no_channel), 0) as "no_channel!",
             coalesce(sum(held_out), 0) as "held_out!", coalesce(sum(deselected), 0) as "deselected!",
             coalesce(sum(unconfirmed), 0) as "unconfirmed!", coalesce(sum(cancelled), 0) as "cancelled!",
             coalesce(sum(dead), 0) as "dead!"
           from chunk where broadcast_id = $1"#,
        broadcast.0
    )
    .fetch_one(db)
    .await
    .map(|row| Tally {
        audience: row.audience,
        outcomes: Outcomes {
            delivered: row.delivered,
            capped: row.capped,
            fatigued: row.fatigued,
            quiet_expired: row.quiet_expired,
            opted_out: row.opted_out,
            not_a_friend: row.not_a_friend,
            no_channel: row.no_channel,
            held_out: row.held_out,
            deselected: row.deselected,
            unconfirmed: row.unconfirmed,
            cancelled: row.cancelled,
            dead: row.dead,
        },
    })
}

/// Each member's part of the tally: the largest shares first.
pub(crate) async fn shares(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    rows_max: i64,
) -> sqlx::Result<(Vec<MemberShare>, i64)> {
    let rows = sqlx::query!(
        r#"select member_id as "member: MemberId", count(*) over () as "members!",
             sum(recipients) as "audience!", sum(delivered) as "delivered!",
             sum(capped) as "capped!", sum(fatigued) as "fatigued!",
             sum(quiet_expired) as "quiet_expired!", sum(opted_out) as "opted_out!",
             sum(not_a_friend) as "not_a_friend!", sum(no_channel) as "no_channel!",
             sum(held_out) as "held_out!", sum(deselected) as "deselected!",
             sum(unconfirmed) as "unconfirmed!", sum(cancelled) as "cancelled!", sum(dead) as "dead!"
           from chunk where broadcast_id = $1
           group by member_id order by sum(recipients) desc, member_id limit $2"#,
        broadcast.0,
        rows_max,
    )
    .fetch_all(db)
    .await?;
    let members = rows.first().map_or(0, |row| row.members);
    Ok((
        rows.into_iter()
            .map(|row| MemberShare {
                member_id: row.member,
                audience: row.audience,
                outcomes: Outcomes {
                    delivered: row.delivered,
                    capped: row.capped,
                    fatigued: row.fatigued,
                    quiet_expired: row.quiet_expired,
                    opted_out: row.opted_out,
                    not_a_friend: row.not_a_friend,
                    no_channel: row.no_channel,
                    held_out: row.held_out,
                    deselected: row.deselected,
                    unconfirmed: row.unconfirmed,
                    cancelled: row.cancelled,
                    dead: row.dead,
                },
            })
            .collect(),
        members,
    ))
}

/// In which chunks of the member these contacts are; contacts that are in none are left out.
pub(crate) async fn locate(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    member: MemberId,
    contacts: &[ContactId],
) -> sqlx::Result<Vec<(i32, ContactId)>> {
    sqlx::query!(
        r#"select n, contact_id as "contact!: ContactId"
           from chunk cross join unnest(contact_ids) as recipient (contact_id)
           where broadcast_id = $1 and member_id = $2 and contact_id = any($3::uuid[])
           order by contact_id"#,
        broadcast.0,
        member.0,
        contacts as &[ContactId],
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(|row| (row.n, row.contact)).collect())
}

/// Makes the member's share eligible; chunks without anybody left to send to are done.
pub(crate) async fn confirm(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    member: MemberId,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"with confirmed as (
             update chunk set state = case when ended = recipients then 'done' else 'ready' end
             where broadcast_id = $1 and member_id = $2 and state = 'waiting'
             returning recipients - ended as left_over)
           select coalesce(sum(left_over), 0) as "left_over!" from confirmed"#,
        broadcast.0,
        member.0,
    )
    .fetch_one(db)
    .await
}

/// Takes chunks that no worker holds out of the way, of one member, or of all, and tells how many. A worker that holds
/// one learns of the cancellation by its pulse.
pub(crate) async fn withdraw(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    member: Option<MemberId>,
    ends_as: Outcome,
) -> sqlx::Result<u64> {
    sqlx::query!(
        "with picked as (
           select n from chunk
           where broadcast_id = $1 and ($2::uuid is null or member_id = $2)
             and state in ('waiting', 'ready', 'queued')
           order by n for update)
         update chunk set state = 'cancelled', ends_as = $3
         from picked where broadcast_id = $1 and chunk.n = picked.n",
        broadcast.0,
        member.map(|member| member.0),
        ends_as.name(),
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// Marks what workers hold of a member's share: nothing more of it is sent, and it is withdrawn once they let go.
pub(crate) async fn recall(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    member: MemberId,
    ends_as: Outcome,
) -> sqlx::Result<u64> {
    sqlx::query!(
        "with picked as (
           select n from chunk
           where broadcast_id = $1 and member_id = $2 and state = 'sending' order by n for update)
         update chunk set ends_as = $3 from picked where broadcast_id = $1 and chunk.n = picked.n",
        broadcast.0,
        member.0,
        ends_as.name(),
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// Takes what nobody confirmed out of the way for good.
pub(crate) async fn withdraw_waiting(db: impl PgExecutor<'_>, broadcast: BroadcastId) -> sqlx::Result<()> {
    sqlx::query!(
        "with picked as (
           select n from chunk where broadcast_id = $1 and state = 'waiting' order by n for update)
         update chunk set state = 'cancelled', ends_as = 'unconfirmed'
         from picked where broadcast_id = $1 and chunk.n = picked.n",
        broadcast.0,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Takes chunks back from the queue: hints of them are stale. A worker that holds one learns of the pause by its pulse.
pub(crate) async fn take_back(db: impl PgExecutor<'_>, broadcast: BroadcastId) -> sqlx::Result<()> {
    sqlx::query!(
        "with picked as (
           select n from chunk where broadcast_id = $1 and state = 'queued' order by n for update)
         update chunk set state = 'ready'
         from picked where broadcast_id = $1 and chunk.n = picked.n",
        broadcast.0,
    )
    .execute(db)
    .await
    .map(drop)
}

/// The zones of its chunks; those not known here as the tenant's.
pub(crate) async fn zones(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
) -> sqlx::Result<Vec<Option<Zone>>> {
    let names = sqlx::query_scalar!(
        "select distinct in_zone from chunk where broadcast_id = $1",
        broadcast.0
    )
    .fetch_all(db)
    .await?;
    let mut zones: Vec<_> = names
        .iter()
        .map(|name| name.as_deref().and_then(Zone::named))
        .collect();
    zones.sort_unstable();
    zones.dedup();
    Ok(zones)
}

/// Gives the chunks of each zone the time before which they are not dispatched, other chunks that of the tenant's zone, if
/// there is one.
pub(crate) async fn set_times(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    times: &[(Option<Zone>, Timestamp)],
) -> sqlx::Result<()> {
    let zones: Vec<_> = times.iter().map(|(zone, _)| zone.map(Zone::name)).collect();
    let ats: Vec<_> = times.iter().map(|(_, at)| at.to_sqlx()).collect();
    sqlx::query!(
        "with picked as (
           select n from chunk where broadcast_id = $1 and ended < recipients order by n for update)
         update chunk set not_before = (
           select at from unnest($2::text[], $3::timestamptz[]) as timed (zone, at)
           where zone = in_zone or zone is null order by zone nulls last limit 1)
         from picked where broadcast_id = $1 and chunk.n = picked.n",
        broadcast.0,
        &zones as &[Option<&str>],
        &ats as &[jiff_sqlx::Timestamp],
    )
    .execute(db)
    .await
    .map(drop)
}

/// Lets the tenant's chunks be dispatched again that wait for the quiet hours alone: all that wait, unless by local time. One
/// that is being claimed just now waits as it was told.
pub(crate) async fn wake(db: impl PgExecutor<'_>, tenant: TenantId) -> sqlx::Result<()> {
    sqlx::query!(
        "with picked as (
           select broadcast_id, chunk.n from broadcast join chunk using (tenant_id, broadcast_id)
           where tenant_id = $1 and broadcast.state in ('running', 'paused') and send_at_local is null
             and chunk.state = 'ready' and not_before > now()
           order by broadcast_id, chunk.n for update of chunk)
         update chunk set not_before = null
         from picked where chunk.broadcast_id = picked.broadcast_id and chunk.n = picked.n",
        tenant.0,
    )
    .execute(db)
    .await
    .map(drop)
}

/// The tenant's mass messages by local time of which a chunk waits, for that or for the quiet hours.
pub(crate) async fn waiting_timed(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
) -> sqlx::Result<Vec<BroadcastId>> {
    sqlx::query_scalar!(
        r#"select broadcast_id as "broadcast: BroadcastId" from broadcast
           where tenant_id = $1 and state in ('running', 'paused') and send_at_local is not null
             and exists (
               select from chunk
               where chunk.tenant_id = $1 and chunk.broadcast_id = broadcast.broadcast_id
                 and chunk.state = 'ready' and not_before > now())
           order by broadcast_id"#,
        tenant.0,
    )
    .fetch_all(db)
    .await
}

/// Withdrawn chunks of all tenants whose recipients have not all got their terminal state.
pub(crate) async fn withdrawn(db: impl PgExecutor<'_>, rows_max: i64) -> sqlx::Result<Vec<ChunkKey>> {
    sqlx::query!(
        r#"select tenant_id as "tenant: TenantId", broadcast_id as "broadcast: BroadcastId", n
           from chunk where state = 'cancelled' and ended < recipients
           order by broadcast_id, n limit $1"#,
        rows_max
    )
    .fetch_all(db)
    .await
    .map(|rows| {
        rows.into_iter()
            .map(|row| ChunkKey {
                tenant: row.tenant,
                broadcast: row.broadcast,
                n: row.n,
            })
            .collect()
    })
}

pub(crate) struct Withdrawn {
    pub member: MemberId,
    pub kind: crate::broadcast::Kind,
    pub to: To,
    pub ends_as: Outcome,
    pub attempts: i32,
}

/// A withdrawn chunk, locked.
pub(crate) async fn lock_withdrawn(
    db: impl PgExecutor<'_>,
    chunk: ChunkKey,
) -> sqlx::Result<Option<Withdrawn>> {
    sqlx::query_as!(
        Withdrawn,
        r#"select member_id as "member: MemberId", kind as "kind: crate::broadcast::Kind",
             case when post_in is null then 'contacts' else 'groups' end as "to!: To",
             ends_as as "ends_as!: Outcome", attempts
           from chunk join broadcast using (tenant_id, broadcast_id)
           where broadcast_id = $1 and n = $2 and chunk.state = 'cancelled'
           for update of chunk"#,
        chunk.broadcast.0,
        chunk.n,
    )
    .fetch_optional(db)
    .await
}

/// The chunk's recipients without a terminal state, sorted. Their receipts are looked up by key, and not at all while the
/// chunk has counted none: joined, all receipts of the mass message were read for every chunk of it.
pub(crate) async fn unended(db: impl PgExecutor<'_>, chunk: ChunkKey) -> sqlx::Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"with told as materialized (
             select tenant_id, contact_ids, ended from chunk where broadcast_id = $1 and n = $2),
           over_for as materialized (
             select receipt.contact_id from receipt
             where receipt.tenant_id = (select tenant_id from told) and receipt.broadcast_id = $1
               and receipt.contact_id = any (
                 (select case when ended > 0 then contact_ids else '{}' end from told)::uuid[]))
           select contact_id as "contact!: ContactId"
           from told cross join unnest(contact_ids) as recipient (contact_id)
           where contact_id not in (select contact_id from over_for)
           order by contact_id"#,
        chunk.broadcast.0,
        chunk.n,
    )
    .fetch_all(db)
    .await
}
