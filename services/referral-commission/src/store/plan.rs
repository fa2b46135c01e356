//! Plans as they were published.

use contracts::{MemberId, TenantId};
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::engine::PlanDraft;
use crate::publication::Publication;

pub(crate) async fn insert(
    db: impl PgExecutor<'_>,
    tenant_id: TenantId,
    publication: &Publication,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into plan (tenant_id, plan_id, revision, draft, published_by, published_at)
         values ($1, $2, $3, $4, $5, $6)",
        tenant_id.0,
        publication.plan_id,
        publication.revision,
        &publication.plan as _,
        publication.published_by.0,
        publication.published_at.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(drop)
}

/// The plan in force, if the tenant has published one.
pub(crate) async fn current(db: impl PgExecutor<'_>) -> Result<Option<Publication>, sqlx::Error> {
    Ok(page(db, None, 1).await?.pop())
}

/// At most `limit` publications, newest first, older than a given revision.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    before: Option<i32>,
    limit: i64,
) -> Result<Vec<Publication>, sqlx::Error> {
    sqlx::query_as!(
        Publication,
        r#"select plan_id, revision, draft as "plan: Json<PlanDraft>", published_by as "published_by: MemberId",
                  published_at
           from plan where $1::integer is null or revision < $1 order by revision desc limit $2"#,
        before,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Publications that orders were taken in under.
pub(crate) async fn drafts(
    db: impl PgExecutor<'_>,
    plan_ids: &[Uuid],
) -> Result<Vec<(Uuid, Json<PlanDraft>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select plan_id, draft as "draft: Json<PlanDraft>" from plan where plan_id = any($1)"#,
        plan_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.plan_id, row.draft)).collect())
}
