//! Series as they are stored.

use contracts::{GroupId, MemberId, SeriesId, TenantId};
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::series::Series;

pub(crate) async fn insert(
    db: impl PgExecutor<'_>,
    tenant_id: TenantId,
    series: &Series,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into series (tenant_id, series_id, name, theme, benefit, greeting, capacity, groups_opened,
                             current_group_id, opened_at, owner_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        tenant_id.0,
        series.series_id.0,
        series.name,
        series.theme,
        series.benefit,
        series.greeting,
        series.capacity,
        series.groups_opened,
        series.current_group_id.0,
        series.opened_at.to_sqlx() as _,
        series.owner_id.map(|id| id.0),
    )
    .execute(db)
    .await
    .map(drop)
}

pub(crate) async fn find(
    db: impl PgExecutor<'_>,
    series_id: SeriesId,
) -> Result<Option<Series>, sqlx::Error> {
    sqlx::query_as!(
        Series,
        r#"select series_id as "series_id: SeriesId", name, theme, benefit, greeting, capacity, groups_opened,
                  current_group_id as "current_group_id: GroupId", owner_id as "owner_id: MemberId", opened_at
           from series where series_id = $1"#,
        series_id.0,
    )
    .fetch_optional(db)
    .await
}

/// At most `limit` series after a given one, in the order of their ids.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    after: SeriesId,
    limit: i64,
) -> Result<Vec<Series>, sqlx::Error> {
    sqlx::query_as!(
        Series,
        r#"select series_id as "series_id: SeriesId", name, theme, benefit, greeting, capacity, groups_opened,
                  current_group_id as "current_group_id: GroupId", owner_id as "owner_id: MemberId", opened_at
           from series where series_id > $1 order by series_id limit $2"#,
        after.0,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Remembers which group takes newcomers now; the caller holds the series' row.
pub(crate) async fn advance(db: impl PgExecutor<'_>, series: &Series) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update series set groups_opened = $2, current_group_id = $3 where series_id = $1",
        series.series_id.0,
        series.groups_opened,
        series.current_group_id.0,
    )
    .execute(db)
    .await
    .map(drop)
}
