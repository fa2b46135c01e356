//! Copies of identity's facts: whether the tenant is verified, and who is on its staff.

use contracts::{MemberId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgExecutor, Result};

use crate::assignment::Seat;

/// Remembers that the tenant is verified; false when it was known.
pub(crate) async fn tenant_verified(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    at: Timestamp,
) -> Result<bool> {
    sqlx::query!(
        "insert into tenant (tenant_id, verified_at) values ($1, $2) on conflict do nothing",
        tenant as TenantId,
        at.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

pub(crate) async fn is_tenant_verified(db: impl PgExecutor<'_>, tenant: TenantId) -> Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from tenant where tenant_id = $1) as "is_verified!""#,
        tenant as TenantId,
    )
    .fetch_one(db)
    .await
}

/// Keeps what is known of the leaving, should that have been heard first.
pub(crate) async fn joined(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    member: MemberId,
    alias: &str,
    role: &str,
) -> Result<()> {
    sqlx::query!(
        "insert into member (tenant_id, member_id, alias, role) values ($1, $2, $3, $4)
         on conflict (tenant_id, member_id) do update set alias = excluded.alias, role = excluded.role",
        tenant as TenantId,
        member as MemberId,
        alias,
        role,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Who left stays gone: the first leaving counts.
pub(crate) async fn left(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    member: MemberId,
    at: Timestamp,
) -> Result<()> {
    sqlx::query!(
        "insert into member (tenant_id, member_id, alias, role, left_at) values ($1, $2, '', '', $3)
         on conflict (tenant_id, member_id) do update set left_at = coalesce(member.left_at, excluded.left_at)",
        tenant as TenantId,
        member as MemberId,
        at.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Those of `members` who are on the staff now.
pub(crate) async fn present(db: impl PgExecutor<'_>, members: &[MemberId]) -> Result<Vec<MemberId>> {
    sqlx::query_scalar!(
        r#"select member_id as "member_id: MemberId" from member
           where member_id = any($1) and left_at is null"#,
        members as &[MemberId],
    )
    .fetch_all(db)
    .await
}

/// The tenant's agents, all of the same weight: who looks after people whose code has nobody left.
pub(crate) async fn agents(db: impl PgExecutor<'_>, agents_max: i64) -> Result<Vec<Seat>> {
    let rows = sqlx::query!(
        r#"select member_id as "member_id: MemberId", alias from member
           where role = 'agent' and left_at is null order by member_id limit $1"#,
        agents_max,
    )
    .fetch_all(db)
    .await?;
    let seats = rows.into_iter().map(|row| Seat {
        member_id: row.member_id,
        alias: row.alias,
        weight: 1,
    });
    Ok(seats.collect())
}
