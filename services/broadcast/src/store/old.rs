//! What is forgotten when it is old: receipts, week by week, and caps that no window reaches any more.

use contracts::{BroadcastId, ContactId, MemberId, TenantId};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff_sqlx::ToSqlx as _;
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::outcome::Outcome;

/// No window is longer than 93 days; two more, since days begin elsewhere at another time.
const CAP_DAYS_MAX: i32 = 95;

/// When those who ended in one state did, as it is told after their receipts are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SummedUp {
    pub state: Outcome,
    pub recipients: i64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

/// Makes the tables of this week and some to come; how many were not there.
pub(crate) async fn add_weeks(db: impl PgExecutor<'_>, ahead: i32) -> sqlx::Result<i32> {
    sqlx::query_scalar!(r#"select add_receipt_weeks($1) as "added!""#, ahead)
        .fetch_one(db)
        .await
}

/// Drops the receipts of the first week of which everything has been over and summed up for so many weeks: its table's
/// name. Across tenants.
pub(crate) async fn drop_week(db: impl PgExecutor<'_>, weeks: i32) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("select drop_receipt_week($1)", weeks)
        .fetch_one(db)
        .await
}

/// Mass messages of all tenants that have been over for so many weeks and are not summed up, the oldest first.
pub(crate) async fn not_summed_up(
    db: impl PgExecutor<'_>,
    weeks: i32,
    rows_max: i64,
) -> sqlx::Result<Vec<(TenantId, BroadcastId)>> {
    sqlx::query!(
        r#"select tenant_id as "tenant: TenantId", broadcast_id as "broadcast: BroadcastId"
           from broadcast
           where broadcast_id < first_id(now() - make_interval(weeks => $1)) and endings is null
             and state in ('finished', 'cancelled') and finished_at <= now() - make_interval(weeks => $1)
           order by broadcast_id limit $2"#,
        weeks,
        rows_max,
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(|row| (row.tenant, row.broadcast)).collect())
}

/// Locks a mass message against whatever refers to it, as clicks do that are being counted: those that were are visible from
/// the next statement on, and those to come see what is written now.
pub(crate) async fn lock(db: impl PgExecutor<'_>, broadcast: BroadcastId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        "select broadcast_id from broadcast where broadcast_id = $1 for update",
        broadcast.0,
    )
    .fetch_optional(db)
    .await
    .map(|row| row.is_some())
}

/// Keeps when its ends came about with a mass message that is over; false when it is not. Reads every receipt of it.
pub(crate) async fn sum_up(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "update broadcast set endings = (
           select coalesce(jsonb_agg(to_jsonb(ended) order by recipients desc, state), '[]')
           from (
             select state, count(*) as recipients, min(at) as first_at, max(at) as last_at
             from receipt where tenant_id = $1 and broadcast_id = $2 group by state) as ended)
         where broadcast_id = $2 and state in ('finished', 'cancelled') and endings is null",
        tenant.0,
        broadcast.0,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Forgets who followed links of a mass message, some of it; its figures stay. How many rows that was.
pub(crate) async fn forget_clicks(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
    rows_max: i64,
) -> sqlx::Result<u64> {
    sqlx::query!(
        "delete from click using (
           select contact_id, link from click
           where tenant_id = $1 and broadcast_id = $2 order by contact_id, link limit $3 for update) as picked
         where click.tenant_id = $1 and click.broadcast_id = $2
           and click.contact_id = picked.contact_id and click.link = picked.link",
        tenant.0,
        broadcast.0,
        rows_max,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// What is left of a mass message's receipts once they are forgotten; none while they are there. Some ended, and nobody
/// has a receipt: that is so after nothing else.
pub(crate) async fn summed_up(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
) -> sqlx::Result<Option<Vec<SummedUp>>> {
    sqlx::query_scalar!(
        r#"select coalesce(endings, '[]') as "endings!: Json<Vec<SummedUp>>" from broadcast
           where broadcast_id = $2
             and exists (select from chunk where chunk.broadcast_id = $2 and ended > 0)
             and not exists (select from receipt where receipt.tenant_id = $1 and receipt.broadcast_id = $2)"#,
        tenant.0,
        broadcast.0,
    )
    .fetch_optional(db)
    .await
    .map(|endings| endings.map(|endings| endings.0))
}

/// The next tenant in their order of whom there may be caps. Across tenants.
pub(crate) async fn tenant_after(
    db: impl PgExecutor<'_>,
    last: Option<TenantId>,
) -> sqlx::Result<Option<TenantId>> {
    sqlx::query_scalar!(
        r#"select tenant_id as "tenant: TenantId" from broadcast
           where $1::uuid is null or tenant_id > $1 order by tenant_id limit 1"#,
        last.map(|tenant| tenant.0),
    )
    .fetch_optional(db)
    .await
}

/// A place among a tenant's caps, in the order of their key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CapKey {
    kind: String,
    member: MemberId,
    contact: ContactId,
    window_start: Date,
}

impl CapKey {
    /// Before all of them.
    pub(crate) fn first() -> Self {
        Self {
            kind: String::new(),
            member: MemberId(uuid::Uuid::nil()),
            contact: ContactId(uuid::Uuid::nil()),
            window_start: Date::constant(1, 1, 1),
        }
    }
}

/// Looks at so many caps behind a place, forgets those whose window is long over, and tells where it ended; nothing when
/// there are none.
pub(crate) async fn forget_caps(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    after: &CapKey,
    rows_max: i64,
) -> sqlx::Result<Option<CapKey>> {
    sqlx::query!(
        r#"with page as materialized (
             select kind, member_id, contact_id, window_start,
               coalesce(taken_on, window_start) < current_date - $7::int4 as is_over
             from cap
             where tenant_id = $1 and (kind, member_id, contact_id, window_start) > ($2, $3, $4, $5)
             order by kind, member_id, contact_id, window_start limit $6),
           forgotten as (
             delete from cap using page
             where is_over and cap.tenant_id = $1 and cap.kind = page.kind and cap.member_id = page.member_id
               and cap.contact_id = page.contact_id and cap.window_start = page.window_start)
           select kind as "kind!", member_id as "member!: MemberId", contact_id as "contact!: ContactId",
             window_start as "window_start!: jiff_sqlx::Date"
           from page order by kind desc, member_id desc, contact_id desc, window_start desc limit 1"#,
        tenant.0,
        after.kind,
        after.member.0,
        after.contact.0,
        after.window_start.to_sqlx() as _,
        rows_max,
        CAP_DAYS_MAX,
    )
    .fetch_optional(db)
    .await
    .map(|row| {
        row.map(|row| CapKey {
            kind: row.kind,
            member: row.member,
            contact: row.contact,
            window_start: row.window_start.to_jiff(),
        })
    })
}

/// The same of tallies. One that somebody takes from right now is not waited for.
pub(crate) async fn forget_tallies(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    after: &CapKey,
    rows_max: i64,
) -> sqlx::Result<Option<CapKey>> {
    sqlx::query!(
        r#"with page as materialized (
             select scope, member_id, contact_id from cap_tally
             where tenant_id = $1 and (scope, member_id, contact_id) > ($2, $3, $4)
             order by scope, member_id, contact_id limit $5),
           idle as materialized (
             select scope, member_id, contact_id from cap_tally join page using (scope, member_id, contact_id)
             where tenant_id = $1
               and not exists (select from unnest(days) as taken (day) where day >= current_date - $6::int4)
             for update of cap_tally skip locked),
           forgotten as (
             delete from cap_tally using idle
             where cap_tally.tenant_id = $1 and cap_tally.scope = idle.scope and cap_tally.member_id = idle.member_id
               and cap_tally.contact_id = idle.contact_id)
           select scope as "scope!", member_id as "member!: MemberId", contact_id as "contact!: ContactId"
           from page order by scope desc, member_id desc, contact_id desc limit 1"#,
        tenant.0,
        after.kind,
        after.member.0,
        after.contact.0,
        rows_max,
        CAP_DAYS_MAX,
    )
    .fetch_optional(db)
    .await
    .map(|row| {
        row.map(|row| CapKey {
            kind: row.scope,
            member: row.member,
            contact: row.contact,
            window_start: after.window_start,
        })
    })
}
