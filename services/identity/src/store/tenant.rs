//! The table `tenant`.

use contracts::TenantId;
use jiff_sqlx::ToSqlx;
use sqlx::PgExecutor;

use super::violates;
use crate::error::Error;
use crate::tenant::{Slug, Tenant, TenantName, TenantState, Zone};

pub(crate) async fn insert(
    db: impl PgExecutor<'_>,
    tenant: &Tenant,
    sealed_licence: Option<&[u8]>,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into tenant (tenant_id, slug, name, zone, state, sealed_licence, registered_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        tenant.tenant_id.0,
        tenant.slug.as_str(),
        &*tenant.name,
        tenant.zone.as_str(),
        tenant.state as TenantState,
        sealed_licence,
        tenant.registered_at.to_sqlx() as _
    )
    .execute(db)
    .await
    .map(drop)
    .map_err(|error| {
        if violates(&error, "tenant_slug_taken") {
            Error::SlugTaken
        } else {
            error.into()
        }
    })
}

pub(crate) async fn by_id(db: impl PgExecutor<'_>, tenant: TenantId) -> sqlx::Result<Option<Tenant>> {
    sqlx::query_as!(
        Tenant,
        r#"select tenant_id as "tenant_id: TenantId", slug as "slug: Slug", name as "name: TenantName",
                  state as "state: TenantState", zone as "zone: Zone", registered_at
           from tenant where tenant_id = $1"#,
        tenant.0
    )
    .fetch_optional(db)
    .await
}

/// The tenant, held until the transaction ends, so that its state is decided by one at a time.
pub(crate) async fn hold(db: impl PgExecutor<'_>, tenant: TenantId) -> sqlx::Result<Option<Tenant>> {
    sqlx::query_as!(
        Tenant,
        r#"select tenant_id as "tenant_id: TenantId", slug as "slug: Slug", name as "name: TenantName",
                  state as "state: TenantState", zone as "zone: Zone", registered_at
           from tenant where tenant_id = $1 for update"#,
        tenant.0
    )
    .fetch_optional(db)
    .await
}

/// Needs a transaction for everyone.
pub(crate) async fn id_of(db: impl PgExecutor<'_>, slug: &Slug) -> sqlx::Result<Option<TenantId>> {
    sqlx::query_scalar!(
        r#"select tenant_id as "tenant_id: TenantId" from tenant where slug = $1"#,
        slug.as_str()
    )
    .fetch_optional(db)
    .await
}

/// A tenant as reviewers see it.
pub(crate) struct Applicant {
    pub(crate) tenant: Tenant,
    pub(crate) sealed_licence: Option<Vec<u8>>,
}

/// The oldest first, up to `limit` after `after`. Needs a transaction for everyone.
pub(crate) async fn list(
    db: impl PgExecutor<'_>,
    state: Option<TenantState>,
    after: Option<TenantId>,
    limit: i64,
) -> sqlx::Result<Vec<Applicant>> {
    sqlx::query!(
        r#"select tenant_id as "tenant_id: TenantId", slug as "slug: Slug", name as "name: TenantName",
                  state as "state: TenantState", zone as "zone: Zone", registered_at, sealed_licence
           from tenant
           where ($1::text is null or state = $1) and ($2::uuid is null or tenant_id > $2)
           order by tenant_id
           limit $3"#,
        state as Option<TenantState>,
        after as Option<TenantId>,
        limit
    )
    .map(|row| Applicant {
        tenant: Tenant {
            tenant_id: row.tenant_id,
            slug: row.slug,
            name: row.name,
            state: row.state,
            zone: row.zone,
            registered_at: row.registered_at.into(),
        },
        sealed_licence: row.sealed_licence,
    })
    .fetch_all(db)
    .await
}

pub(crate) async fn set_state(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    state: TenantState,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update tenant set state = $2 where tenant_id = $1",
        tenant.0,
        state as TenantState
    )
    .execute(db)
    .await
    .map(drop)
}

pub(crate) async fn resubmit(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    state: TenantState,
    sealed_licence: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "update tenant set state = $2, sealed_licence = $3 where tenant_id = $1",
        tenant.0,
        state as TenantState,
        sealed_licence
    )
    .execute(db)
    .await
    .map(drop)
}
