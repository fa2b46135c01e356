//! The tenant's tags, and which contact has which.

use std::collections::HashMap;

use contracts::{ContactId, TenantId};
use sqlx::{PgConnection, PgExecutor, Result};
use uuid::Uuid;

/// The ids of `names`, which are distinct and sorted; those that don't exist yet are made.
pub(crate) async fn ensure(
    db: &mut PgConnection,
    tenant: TenantId,
    names: &[&str],
) -> Result<HashMap<String, Uuid>> {
    let mut known = find(&mut *db, names).await?;
    let new: Vec<_> = names
        .iter()
        .copied()
        .filter(|name| !known.contains_key(*name))
        .collect();
    if !new.is_empty() {
        known.extend(make(db, tenant, &new).await?);
    }
    Ok(known)
}

async fn find(db: impl PgExecutor<'_>, names: &[&str]) -> Result<HashMap<String, Uuid>> {
    let rows = sqlx::query!(
        "select name, tag_id from tag where name = any($1)",
        names as &[&str]
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.tag_id)).collect())
}

/// Whoever makes a tag at the same time: both get the id of the one that is written first.
async fn make(db: impl PgExecutor<'_>, tenant: TenantId, names: &[&str]) -> Result<HashMap<String, Uuid>> {
    let ids: Vec<_> = names.iter().map(|_| Uuid::now_v7()).collect();
    let rows = sqlx::query!(
        "insert into tag (tenant_id, tag_id, name)
         select $1, tag_id, name from unnest($2::uuid[], $3::text[]) as t (tag_id, name) order by name
         on conflict (tenant_id, name) do update set name = excluded.name
         returning name, tag_id",
        tenant as TenantId,
        &ids,
        names as &[&str],
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.tag_id)).collect())
}

/// Gives a contact tags; answers which it did not have.
pub(crate) async fn add(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    contact_id: ContactId,
    tag_ids: &[Uuid],
) -> Result<Vec<String>> {
    sqlx::query_scalar!(
        "with added as (
             insert into contact_tag (tenant_id, contact_id, tag_id)
             select $1, $2, tag_id from unnest($3::uuid[]) as t (tag_id)
             on conflict do nothing returning tag_id
         )
         select tag.name from added join tag using (tag_id) order by tag.name",
        tenant as TenantId,
        contact_id as ContactId,
        tag_ids,
    )
    .fetch_all(db)
    .await
}

/// Takes tags from a contact; answers which it had.
pub(crate) async fn remove(
    db: impl PgExecutor<'_>,
    contact_id: ContactId,
    names: &[&str],
) -> Result<Vec<String>> {
    sqlx::query_scalar!(
        "delete from contact_tag using tag
         where contact_tag.contact_id = $1 and tag.tag_id = contact_tag.tag_id and tag.name = any($2)
         returning tag.name",
        contact_id as ContactId,
        names as &[&str],
    )
    .fetch_all(db)
    .await
}

/// The tags a contact has.
pub(crate) async fn of_contact(db: impl PgExecutor<'_>, contact_id: ContactId) -> Result<Vec<String>> {
    sqlx::query_scalar!(
        "select tag.name from contact_tag join tag using (tag_id)
         where contact_tag.contact_id = $1 order by tag.name",
        contact_id as ContactId,
    )
    .fetch_all(db)
    .await
}
