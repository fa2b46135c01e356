//! What contacts said of marketing after their audience was resolved.

use contracts::{ContactId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

/// Notes what the contact said; an older word that comes late changes nothing, and is false.
pub(crate) async fn put(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    contact: ContactId,
    marketing: bool,
    at: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "insert into consent (tenant_id, contact_id, marketing, at) values ($1, $2, $3, $4)
         on conflict (tenant_id, contact_id) do update set marketing = excluded.marketing, at = excluded.at
         where consent.at <= excluded.at",
        tenant.0,
        contact.0,
        marketing,
        at.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Notes that the contact wants no marketing any more; false when that is known.
pub(crate) async fn withdraw(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    contact: ContactId,
    at: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "insert into consent (tenant_id, contact_id, marketing, at) values ($1, $2, false, $3)
         on conflict (tenant_id, contact_id) do update set marketing = false, at = excluded.at
         where consent.marketing and consent.at <= excluded.at",
        tenant.0,
        contact.0,
        at.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Which of these contacts do not want marketing any more, sorted.
pub(crate) async fn opted_out(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    contacts: &[ContactId],
) -> sqlx::Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"select contact_id as "contact: ContactId" from consent
           where tenant_id = $1 and contact_id = any($2) and not marketing order by contact_id"#,
        tenant.0,
        contacts as &[ContactId],
    )
    .fetch_all(db)
    .await
}
