//! Groups as they are stored.

use contracts::{GroupId, MemberId, SeriesId, TenantId};
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::group::{Group, GroupKind};

pub(crate) async fn insert(
    db: impl PgExecutor<'_>,
    tenant_id: TenantId,
    group: &Group,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into groups (tenant_id, group_id, series_id, number, kind, name, theme, benefit, greeting, capacity,
                             seats_taken, opened_at, owner_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        tenant_id.0,
        group.group_id.0,
        group.series_id.map(|id| id.0),
        group.number,
        group.kind as _,
        group.name,
        group.theme,
        group.benefit,
        group.greeting,
        group.capacity,
        group.seats_taken,
        group.opened_at.to_sqlx() as _,
        group.owner_id.map(|id| id.0),
    )
    .execute(db)
    .await
    .map(drop)
}

pub(crate) async fn find(db: impl PgExecutor<'_>, group_id: GroupId) -> Result<Option<Group>, sqlx::Error> {
    sqlx::query_as!(
        Group,
        r#"select group_id as "group_id: GroupId", series_id as "series_id: SeriesId", number,
                  kind as "kind: GroupKind", name, theme, benefit, greeting, capacity, seats_taken,
                  owner_id as "owner_id: MemberId", opened_at
           from groups where group_id = $1"#,
        group_id.0,
    )
    .fetch_optional(db)
    .await
}

/// At most `limit` groups after a given one, in the order of their ids; of one series, or of all.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    series_id: Option<SeriesId>,
    after: GroupId,
    limit: i64,
) -> Result<Vec<Group>, sqlx::Error> {
    match series_id {
        Some(series_id) => page_of_series(db, series_id, after, limit).await,
        None => page_of_all(db, after, limit).await,
    }
}

async fn page_of_all(db: impl PgExecutor<'_>, after: GroupId, limit: i64) -> Result<Vec<Group>, sqlx::Error> {
    sqlx::query_as!(
        Group,
        r#"select group_id as "group_id: GroupId", series_id as "series_id: SeriesId", number,
                  kind as "kind: GroupKind", name, theme, benefit, greeting, capacity, seats_taken,
                  owner_id as "owner_id: MemberId", opened_at
           from groups where group_id > $1 order by group_id limit $2"#,
        after.0,
        limit,
    )
    .fetch_all(db)
    .await
}

async fn page_of_series(
    db: impl PgExecutor<'_>,
    series_id: SeriesId,
    after: GroupId,
    limit: i64,
) -> Result<Vec<Group>, sqlx::Error> {
    sqlx::query_as!(
        Group,
        r#"select group_id as "group_id: GroupId", series_id as "series_id: SeriesId", number,
                  kind as "kind: GroupKind", name, theme, benefit, greeting, capacity, seats_taken,
                  owner_id as "owner_id: MemberId", opened_at
           from groups where series_id = $1 and group_id > $2 order by group_id limit $3"#,
        series_id.0,
        after.0,
        limit,
    )
    .fetch_all(db)
    .await
}

/// At most `limit` groups for contacts after a given one with who owns each, in the order of their ids: those named or
/// owned by one of these members, or all when nothing is named. One that a version before opened in a series has no owner
/// of its own: its series' owner owns it.
pub(crate) async fn owners(
    db: impl PgExecutor<'_>,
    groups: &[GroupId],
    owned_by: &[MemberId],
    after: GroupId,
    limit: i64,
) -> Result<Vec<(GroupId, Option<MemberId>)>, sqlx::Error> {
    if groups.is_empty() && owned_by.is_empty() {
        return owners_of_all(db, after, limit).await;
    }
    // Each branch has an index of its own; joined by `or` they walked along all of the tenant's groups.
    sqlx::query!(
        r#"select group_id as "group!: GroupId", owner_id as "owner?: MemberId"
           from (
             (select group_id, coalesce(owner_id, (
                       select series.owner_id from series
                       where series.tenant_id = groups.tenant_id and series.series_id = groups.series_id)) as owner_id
              from groups where kind = 'external' and group_id = any($1) and group_id > $3
              order by group_id limit $4)
             union
             (select group_id, owner_id from groups
              where kind = 'external' and owner_id = any($2) and group_id > $3
              order by group_id limit $4)
             union
             (select groups.group_id, series.owner_id
              from series join groups using (tenant_id, series_id)
              where kind = 'external' and series.owner_id = any($2) and groups.owner_id is null and groups.group_id > $3
              order by groups.group_id limit $4)) as named
           order by group_id limit $4"#,
        groups as &[GroupId],
        owned_by as &[MemberId],
        after.0,
        limit,
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(|row| (row.group, row.owner)).collect())
}

async fn owners_of_all(
    db: impl PgExecutor<'_>,
    after: GroupId,
    limit: i64,
) -> Result<Vec<(GroupId, Option<MemberId>)>, sqlx::Error> {
    sqlx::query!(
        r#"select group_id as "group!: GroupId", coalesce(owner_id, (
             select series.owner_id from series
             where series.tenant_id = groups.tenant_id and series.series_id = groups.series_id)) as "owner?: MemberId"
           from groups where kind = 'external' and group_id > $1 order by group_id limit $2"#,
        after.0,
        limit,
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(|row| (row.group, row.owner)).collect())
}
