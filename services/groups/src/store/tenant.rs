//! Tenants that may act outside, and the terms they open groups under.

use contracts::TenantId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::group::{GroupKind, Terms};

/// Remembers that the tenant is verified; the first time counts, and is told.
pub(crate) async fn verify(
    db: impl PgExecutor<'_>,
    tenant_id: TenantId,
    verified_at: Timestamp,
) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "insert into tenant (tenant_id, verified_at) values ($1, $2) on conflict do nothing",
        tenant_id.0,
        verified_at.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// What holds for a group of this kind that opens `now`.
pub(crate) async fn terms(
    db: impl PgExecutor<'_>,
    kind: GroupKind,
    now: Timestamp,
) -> Result<Terms, sqlx::Error> {
    sqlx::query_as!(
        Terms,
        r#"select
             exists (select from tenant) as "is_verified!",
             (select seats_max from capacity_profile
              where kind = $1 and effective_from <= $2
              order by effective_from desc limit 1) as seats_max"#,
        kind as _,
        now.to_sqlx() as _,
    )
    .fetch_one(db)
    .await
}
