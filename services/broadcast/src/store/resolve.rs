//! The resolver's place in an audience, and the chunks it fills.

use std::collections::BTreeMap;

use contracts::{BroadcastId, ContactId, MemberId, TenantId};
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::audience::Audience;
use crate::broadcast::{ChannelName, Kind};
use crate::post::PostIn;
use crate::split::{Open, Pieces, Placed};
use crate::zone::Zone;

/// A mass message of any tenant that nobody is resolving: the one whose last turn is longest ago.
pub(crate) async fn next(db: impl PgExecutor<'_>) -> sqlx::Result<Option<(TenantId, BroadcastId)>> {
    sqlx::query!(
        r#"select tenant_id as "tenant: TenantId", broadcast_id as "broadcast: BroadcastId"
           from broadcast
           where state = 'resolving' and (resolve_until is null or resolve_until < now())
           order by resolve_turn_at nulls first, broadcast_id limit 1"#
    )
    .fetch_optional(db)
    .await
    .map(|row| row.map(|row| (row.tenant, row.broadcast)))
}

/// What is to be resolved, from where on.
pub(crate) struct Resolving {
    pub kind: Kind,
    pub started_by: MemberId,
    pub channel: ChannelName,
    pub tags_any: Vec<String>,
    pub tags_all: Vec<String>,
    /// What it names beyond tags, if it does; then also the tags stand there.
    pub conditions: Option<Json<Audience>>,
    /// The groups it is posted in, if it is.
    pub post_in: Option<Json<PostIn>>,
    pub cursor: String,
    pub resolved_to: Option<ContactId>,
    /// Turns in a row that failed without a page.
    pub failures: i32,
}

/// Takes the mass message for `owner`, unless another one was quicker.
pub(crate) async fn take(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    owner: Uuid,
    lease_secs: f64,
) -> sqlx::Result<Option<Resolving>> {
    sqlx::query_as!(
        Resolving,
        r#"update broadcast
           set resolve_owner = $2, resolve_until = now() + make_interval(secs => $3), resolve_turn_at = now()
           where broadcast_id = $1 and state = 'resolving' and (resolve_until is null or resolve_until < now())
           returning kind as "kind: Kind", started_by as "started_by: _", channel as "channel: ChannelName", tags_any, tags_all,
             (select conditions from audience where audience.broadcast_id = broadcast.broadcast_id)
               as "conditions?: Json<Audience>", post_in as "post_in: Json<PostIn>",
             replace(resolve_cursor, 'local:', '') as "cursor!", resolved_to as "resolved_to: ContactId",
             resolve_failures as failures"#,
        broadcast.0,
        owner,
        lease_secs,
    )
    .fetch_optional(db)
    .await
}

/// Moves the cursor, if `owner` still resolves this mass message; its row is locked from here on. With a local time the
/// cursor is one that a resolver of the version before zones can't read, so that it leaves the audience alone: whatever it
/// resolved would be sent at once, everywhere.
pub(crate) async fn advance(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    owner: Uuid,
    cursor: &str,
    resolved_to: Option<ContactId>,
    lease_secs: f64,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "update broadcast
         set resolve_cursor = case when send_at_local is null then '' else 'local:' end || $3::text,
           resolved_to = $4, resolve_until = now() + make_interval(secs => $5)
         where broadcast_id = $1 and resolve_owner = $2 and state = 'resolving'",
        broadcast.0,
        owner,
        cursor,
        resolved_to.map(|contact| contact.0),
        lease_secs,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Lets go at the end of a turn, for a while if it failed.
pub(crate) async fn rest(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    owner: Uuid,
    failures: i32,
    secs: f64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update broadcast
         set resolve_owner = null, resolve_until = now() + make_interval(secs => $4), resolve_failures = $3
         where broadcast_id = $1 and resolve_owner = $2",
        broadcast.0,
        owner,
        failures,
        secs,
    )
    .execute(db)
    .await
    .map(drop)
}

/// The last chunk of each sending member in each zone, and the number of the next new one.
pub(crate) async fn filled(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
) -> sqlx::Result<(BTreeMap<(MemberId, Option<Zone>), Open>, i32)> {
    let rows = sqlx::query!(
        r#"select distinct on (member_id, in_zone) member_id as "member: MemberId", in_zone, n, recipients
           from chunk where broadcast_id = $1 order by member_id, in_zone, n desc"#,
        broadcast.0
    )
    .fetch_all(db)
    .await?;
    // The newest chunk of all is the last one of its member and zone.
    let next_n = rows.iter().map(|row| row.n + 1).max().unwrap_or(0);
    let open = rows.into_iter().filter_map(|row| {
        let zone = row.in_zone.as_deref().map(Zone::named);
        // One that another process named and this one does not know is left as it is.
        let zone = zone.map_or(Some(None), |zone| zone.map(Some))?;
        let open = Open {
            n: row.n,
            recipients: row.recipients,
        };
        Some(((row.member, zone), open))
    });
    Ok((open.collect(), next_n))
}

/// Adds recipients to the chunks they were placed in, making those that are new. One array holds them all, chunk by
/// chunk, and each chunk takes its piece: nothing is sorted or grouped row by row.
pub(crate) async fn add(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
    placed: &[Placed],
) -> sqlx::Result<()> {
    let Pieces {
        ns,
        members,
        zones,
        firsts,
        lasts,
        contacts,
    } = Pieces::of(placed);
    sqlx::query!(
        "insert into chunk (tenant_id, broadcast_id, n, member_id, in_zone, contact_ids)
         select $1, $2, n, member_id, in_zone, ($7::uuid[])[first_at:last_at]
         from unnest($3::int4[], $4::uuid[], $5::int4[], $6::int4[], $8::text[])
           as piece (n, member_id, first_at, last_at, in_zone)
         order by n
         on conflict (broadcast_id, n) do update set contact_ids = chunk.contact_ids || excluded.contact_ids",
        tenant.0,
        broadcast.0,
        &ns,
        &members as &[MemberId],
        &firsts,
        &lasts,
        &contacts as &[ContactId],
        &zones as &[Option<&str>],
    )
    .execute(db)
    .await
    .map(drop)
}

/// Keeps what an audience names beyond tags. A resolver that knows of tags alone finds one that no contact can have, and
/// thus nobody: it must not write to everybody.
pub(crate) async fn keep(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
    audience: &Audience,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with kept as (
           insert into audience (tenant_id, broadcast_id, conditions) values ($1, $2, $3) returning broadcast_id)
         update broadcast set tags_all = tags_all || '{\"\"}' from kept where broadcast.broadcast_id = kept.broadcast_id",
        tenant.0,
        broadcast.0,
        Json(audience) as _,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Chunks in which nobody is to be sent to are done before anybody confirms.
pub(crate) async fn close_ended(db: impl PgExecutor<'_>, broadcast: BroadcastId) -> sqlx::Result<()> {
    sqlx::query!(
        "update chunk set state = 'done' where broadcast_id = $1 and state = 'waiting' and ended = recipients",
        broadcast.0
    )
    .execute(db)
    .await
    .map(drop)
}

/// What there is to confirm: sending members with the number of their recipients.
pub(crate) async fn shares(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
) -> sqlx::Result<Vec<(MemberId, i64)>> {
    sqlx::query!(
        r#"select member_id as "member: MemberId", sum(recipients - ended) as "recipients!"
           from chunk where broadcast_id = $1 and ended < recipients group by member_id order by member_id"#,
        broadcast.0
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(|row| (row.member, row.recipients)).collect())
}
