//! Tenants' quiet hours, and the database's clock, by which they are.

use contracts::{MemberId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::quiet::Hours;

/// Notes the hours; false when they were these before.
pub(crate) async fn set(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    hours: Hours,
    member: MemberId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "insert into quiet_hours (tenant_id, starts, ends, set_by, set_at) values ($1, $2::text::time, $3::text::time, $4, $5)
         on conflict (tenant_id) do update
         set starts = excluded.starts, ends = excluded.ends, set_by = excluded.set_by, set_at = excluded.set_at
         where (quiet_hours.starts, quiet_hours.ends) <> (excluded.starts, excluded.ends)",
        tenant.0,
        hours.starts.to_string(),
        hours.ends.to_string(),
        member.0,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// None any more; false when there were none.
pub(crate) async fn lift(db: impl PgExecutor<'_>, tenant: TenantId) -> sqlx::Result<bool> {
    sqlx::query!("delete from quiet_hours where tenant_id = $1", tenant.0)
        .execute(db)
        .await
        .map(|done| done.rows_affected() == 1)
}

/// As text, start and end.
pub(crate) async fn find(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
) -> sqlx::Result<Option<(String, String)>> {
    sqlx::query!(
        r#"select starts::text as "starts!", ends::text as "ends!" from quiet_hours where tenant_id = $1"#,
        tenant.0
    )
    .fetch_optional(db)
    .await
    .map(|row| row.map(|row| (row.starts, row.ends)))
}

/// The tenant's quiet hours, with the time there is on the database's clock.
pub(crate) async fn now(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
) -> sqlx::Result<Option<(Timestamp, Hours)>> {
    let row = sqlx::query!(
        r#"select clock_timestamp() as "at!: jiff_sqlx::Timestamp", starts as "starts: jiff_sqlx::Time",
             ends as "ends: jiff_sqlx::Time"
           from quiet_hours where tenant_id = $1"#,
        tenant.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| {
        let (starts, ends) = (row.starts.to_jiff(), row.ends.to_jiff());
        (row.at.to_jiff(), Hours { starts, ends })
    }))
}
