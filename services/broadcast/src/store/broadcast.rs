//! Mass messages.

use contracts::{BroadcastId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::broadcast::{Broadcast, ChannelName, Kind, State};
use crate::content::Content;
use crate::content::card::Card;
use crate::post::{PostIn, To};
use crate::schedule::{Priority, Schedule};
use crate::zone::LocalTime;

pub(crate) async fn insert(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: &Broadcast,
) -> sqlx::Result<()> {
    // A resolver that knows nothing of posts must not write to contacts, and none that knows nothing of local times may
    // read on: see also store::resolve::keep and advance.
    let guard = broadcast.post_in.iter().map(|_| String::new());
    let tags_all: Vec<_> = broadcast.tags_all.iter().cloned().chain(guard).collect();
    sqlx::query!(
        "insert into broadcast
           (tenant_id, broadcast_id, kind, title, text, tags_any, tags_all, channel, rate_per_s, started_by,
            state, accepted_at, priority, send_at, send_until, held_out_ppm, attachments, content, send_at_local,
            post_in, resolve_cursor)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'resolving', $11, $12, $13, $14, $15, $16, $17, $18, $19,
           case when $18::timestamp is null then '' else 'local:' end)",
        tenant.0,
        broadcast.broadcast_id.0,
        broadcast.kind.name(),
        broadcast.title,
        broadcast.text,
        &broadcast.tags_any,
        &tags_all,
        broadcast.channel.name(),
        broadcast.rate_per_s,
        broadcast.started_by.0,
        broadcast.accepted_at.to_sqlx() as _,
        broadcast.priority.name(),
        broadcast.send_at.map(|at| at.to_sqlx()) as _,
        broadcast.send_until.map(|until| until.to_sqlx()) as _,
        broadcast.held_out_ppm,
        Json(&broadcast.attachments) as _,
        broadcast.content.as_ref().map(Json) as _,
        broadcast.send_at_local.map(|local| local.0.to_sqlx()) as _,
        broadcast.post_in.as_ref().map(Json) as _,
    )
    .execute(db)
    .await
    .map(drop)
}

struct Row {
    broadcast_id: BroadcastId,
    kind: Kind,
    title: String,
    text: String,
    attachments: Json<Vec<Card>>,
    content: Option<Json<Content>>,
    tags_any: Vec<String>,
    tags_all: Vec<String>,
    to: To,
    post_in: Option<Json<PostIn>>,
    channel: ChannelName,
    rate_per_s: Option<i32>,
    priority: Priority,
    send_at: Option<jiff_sqlx::Timestamp>,
    send_at_local: Option<jiff_sqlx::DateTime>,
    send_until: Option<jiff_sqlx::Timestamp>,
    held_out_ppm: i32,
    started_by: contracts::MemberId,
    state: State,
    note: Option<String>,
    accepted_at: Timestamp,
    finished_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Broadcast {
    fn from(mut row: Row) -> Self {
        row.tags_all.retain(|tag| !tag.is_empty()); // the guards of `insert` and store::resolve::keep
        Self {
            broadcast_id: row.broadcast_id,
            kind: row.kind,
            title: row.title,
            text: row.text,
            attachments: row.attachments.0,
            content: row.content.map(|content| content.0),
            tags_any: row.tags_any,
            tags_all: row.tags_all,
            to: row.to,
            post_in: row.post_in.map(|post_in| post_in.0),
            channel: row.channel,
            rate_per_s: row.rate_per_s,
            priority: row.priority,
            send_at: row.send_at.map(Into::into),
            send_at_local: row.send_at_local.map(|local| LocalTime(local.to_jiff())),
            send_until: row.send_until.map(Into::into),
            held_out_ppm: row.held_out_ppm,
            started_by: row.started_by,
            state: row.state,
            note: row.note,
            accepted_at: row.accepted_at,
            finished_at: row.finished_at.map(Into::into),
        }
    }
}

pub(crate) async fn find(db: impl PgExecutor<'_>, id: BroadcastId) -> sqlx::Result<Option<Broadcast>> {
    sqlx::query_as!(
        Row,
        r#"select broadcast_id as "broadcast_id: _", kind as "kind: Kind", title, text,
             attachments as "attachments: Json<Vec<Card>>", content as "content: Json<Content>", tags_any, tags_all,
             case when post_in is null then 'contacts' else 'groups' end as "to!: To",
             post_in as "post_in: Json<PostIn>",
             channel as "channel: ChannelName", rate_per_s, priority as "priority: Priority",
             send_at as "send_at?: jiff_sqlx::Timestamp", send_until as "send_until?: jiff_sqlx::Timestamp",
             send_at_local as "send_at_local?: jiff_sqlx::DateTime",
             started_by as "started_by: _", state as "state: State",
             note, accepted_at, held_out_ppm, finished_at as "finished_at?: jiff_sqlx::Timestamp"
           from broadcast where broadcast_id = $1"#,
        id.0
    )
    .fetch_optional(db)
    .await
    .map(|row| row.map(Into::into))
}

/// What it is and how it stands.
pub(crate) async fn standing(
    db: impl PgExecutor<'_>,
    id: BroadcastId,
) -> sqlx::Result<Option<(Kind, State)>> {
    sqlx::query!(
        r#"select kind as "kind: Kind", state as "state: State" from broadcast where broadcast_id = $1"#,
        id.0
    )
    .fetch_optional(db)
    .await
    .map(|row| row.map(|row| (row.kind, row.state)))
}

/// Whether its audience may still grow: it is being resolved, or will be once somebody resumes it.
pub(crate) async fn is_audience_open(db: impl PgExecutor<'_>, id: BroadcastId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select coalesce(case when state = 'paused' then paused_from else state end = 'resolving', false) as "is_open!"
           from broadcast where broadcast_id = $1"#,
        id.0
    )
    .fetch_one(db)
    .await
}

/// Keeps the resolver, a cancellation and the end from passing each other. What merely refers to it, such as a message in
/// an inbox, neither waits nor is waited for.
pub(crate) async fn lock(db: impl PgExecutor<'_>, id: BroadcastId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        "select broadcast_id from broadcast where broadcast_id = $1 for no key update",
        id.0
    )
    .fetch_optional(db)
    .await
    .map(|row| row.is_some())
}

/// Newest first, without the groups that posts name: 82 kB of ids each.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    after: Option<BroadcastId>,
    rows_max: i64,
) -> sqlx::Result<Vec<Broadcast>> {
    sqlx::query_as!(
        Row,
        r#"select broadcast_id as "broadcast_id: _", kind as "kind: Kind", title, text,
             attachments as "attachments: Json<Vec<Card>>", content as "content: Json<Content>", tags_any, tags_all,
             case when post_in is null then 'contacts' else 'groups' end as "to!: To",
             null::jsonb as "post_in?: Json<PostIn>",
             channel as "channel: ChannelName", rate_per_s, priority as "priority: Priority",
             send_at as "send_at?: jiff_sqlx::Timestamp", send_until as "send_until?: jiff_sqlx::Timestamp",
             send_at_local as "send_at_local?: jiff_sqlx::DateTime",
             started_by as "started_by: _", state as "state: State",
             note, accepted_at, held_out_ppm, finished_at as "finished_at?: jiff_sqlx::Timestamp"
           from broadcast
           where tenant_id = $1 and ($2::uuid is null or broadcast_id < $2)
           order by broadcast_id desc limit $3"#,
        tenant.0,
        after.map(|id| id.0),
        rows_max
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(Into::into).collect())
}

pub(crate) async fn set_state(db: impl PgExecutor<'_>, id: BroadcastId, state: State) -> sqlx::Result<()> {
    sqlx::query!(
        "update broadcast set state = $2 where broadcast_id = $1",
        id.0,
        state.name()
    )
    .execute(db)
    .await
    .map(drop)
}

/// Holds it where it is; whoever resolves it finds out with the next page.
pub(crate) async fn pause(db: impl PgExecutor<'_>, id: BroadcastId) -> sqlx::Result<()> {
    sqlx::query!(
        "update broadcast set state = 'paused', paused_from = state where broadcast_id = $1",
        id.0
    )
    .execute(db)
    .await
    .map(drop)
}

/// Lets a paused one go on from where it was held. Its resolver's lease is of no use to anybody any more.
pub(crate) async fn resume(db: impl PgExecutor<'_>, id: BroadcastId) -> sqlx::Result<()> {
    sqlx::query!(
        "update broadcast set state = paused_from, paused_from = null, resolve_owner = null, resolve_until = null
         where broadcast_id = $1 and state = 'paused'",
        id.0
    )
    .execute(db)
    .await
    .map(drop)
}

pub(crate) async fn end(
    db: impl PgExecutor<'_>,
    id: BroadcastId,
    state: State,
    note: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update broadcast set state = $2, note = $3, finished_at = $4 where broadcast_id = $1",
        id.0,
        state.name(),
        note,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Another schedule. Whoever resolves the audience loses it when that has a local time now, as that one may know of
/// none: the next one goes on.
pub(crate) async fn reschedule(
    db: impl PgExecutor<'_>,
    id: BroadcastId,
    schedule: &Schedule,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update broadcast set send_at = $2, send_until = $3, send_at_local = $4,
           resolve_owner = case when $4::timestamp is null then resolve_owner end,
           resolve_cursor = case when $4::timestamp is null then '' else 'local:' end
             || replace(resolve_cursor, 'local:', '')
         where broadcast_id = $1",
        id.0,
        schedule.send_at.map(|at| at.to_sqlx()) as _,
        schedule.send_until.map(|until| until.to_sqlx()) as _,
        schedule.send_at_local.map(|local| local.0.to_sqlx()) as _,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Mass messages of all tenants whose time is over, and of which something is left that nobody is sending.
pub(crate) async fn outlasted(
    db: impl PgExecutor<'_>,
    rows_max: i64,
) -> sqlx::Result<Vec<(TenantId, BroadcastId)>> {
    sqlx::query!(
        r#"select tenant_id as "tenant: TenantId", broadcast_id as "broadcast: BroadcastId"
           from broadcast
           where state in ('running', 'paused') and send_until <= now()
             and exists (
               select from chunk where chunk.broadcast_id = broadcast.broadcast_id and ended < recipients
                 and chunk.state in ('waiting', 'ready', 'queued'))
           order by broadcast_id limit $1"#,
        rows_max
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(|row| (row.tenant, row.broadcast)).collect())
}

/// Mass messages of all tenants whose recipients all have a terminal state.
pub(crate) async fn all_ended(
    db: impl PgExecutor<'_>,
    rows_max: i64,
) -> sqlx::Result<Vec<(TenantId, BroadcastId)>> {
    sqlx::query!(
        r#"select tenant_id as "tenant: TenantId", broadcast_id as "broadcast: BroadcastId"
           from broadcast
           where state in ('running', 'cancelling')
             and not exists (
               select from chunk where chunk.broadcast_id = broadcast.broadcast_id and ended < recipients)
           order by broadcast_id limit $1"#,
        rows_max
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(|row| (row.tenant, row.broadcast)).collect())
}
