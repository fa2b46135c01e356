//! Tenants' quiet hours.

use contracts::{MemberId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::quiet::{Hours, Quiet};

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

/// How this moment, by the database's clock, or one so many seconds ahead, lies to the tenant's quiet hours.
pub(crate) async fn at(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    zone: &str,
    ahead_secs: f64,
) -> sqlx::Result<Quiet> {
    let quiet = sqlx::query_as!(
        Quiet,
        r#"select case when is_quiet then extract(epoch from until at time zone $2 - at)::float8 end as rest_secs,
             (is_quiet and until::date > local::date) as "is_over_night!",
             case when not is_quiet then extract(epoch from begin at time zone $2 - at)::float8 end as begin_secs
           from quiet_hours
           cross join lateral (select clock_timestamp() + make_interval(secs => $3) as at) as moment
           cross join lateral (select at at time zone $2 as local) as clock
           cross join lateral (
             select case when starts < ends then local::time >= starts and local::time < ends
                 else local::time >= starts or local::time < ends end as is_quiet,
               local::date + ends + make_interval(days => (local::time >= ends)::integer) as until,
               local::date + starts + make_interval(days => (local::time >= starts)::integer) as begin) as hours
           where tenant_id = $1"#,
        tenant.0,
        zone,
        ahead_secs,
    )
    .fetch_optional(db)
    .await?;
    Ok(quiet.unwrap_or_default())
}
