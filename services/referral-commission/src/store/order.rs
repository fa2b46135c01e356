//! Orders: the row that is locked, and how far its ledger has been told.

use contracts::TenantId;
use jiff::Timestamp;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::engine::OrderNo;

/// An order whose row this transaction holds.
pub(crate) struct Locked {
    pub(crate) order: OrderNo,
    /// In force for it since its `order.paid`.
    pub(crate) plan_id: Option<Uuid>,
    /// What the ledger holds has matured by then; none for a new order.
    pub(crate) settled_before: Option<Timestamp>,
    /// By the database's clock; never goes back.
    pub(crate) settled_until: Timestamp,
}

struct Row {
    order: OrderNo,
    plan_id: Option<Uuid>,
    settled_before: Option<jiff_sqlx::Timestamp>,
    settled_until: Timestamp,
}

impl From<Row> for Locked {
    fn from(row: Row) -> Self {
        Self {
            order: row.order,
            plan_id: row.plan_id,
            settled_before: row.settled_before.map(jiff_sqlx::Timestamp::to_jiff),
            settled_until: row.settled_until,
        }
    }
}

/// Takes an order's row, made if need be, until the transaction ends. Whoever wants the same
/// order waits here; what they read afterwards is what we commit.
pub(crate) async fn lock(
    db: impl PgExecutor<'_>,
    tenant_id: TenantId,
    order: &OrderNo,
) -> Result<Locked, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"insert into shop_order (tenant_id, order_no, settled_until) values ($1, $2, now())
           on conflict (tenant_id, order_no)
             do update set settled_until = greatest(shop_order.settled_until, excluded.settled_until)
           returning order_no as "order: OrderNo", plan_id, old.settled_until as "settled_before?: jiff_sqlx::Timestamp",
                     new.settled_until as "settled_until!""#,
        tenant_id.0,
        order.as_str(),
    )
    .fetch_one(db)
    .await
    .map(Locked::from)
}

/// Takes at most `limit` orders whose commissions are due, or one of them, leaving out those somebody else holds.
pub(crate) async fn lock_due(
    db: impl PgExecutor<'_>,
    only: Option<&OrderNo>,
    limit: i64,
) -> Result<Vec<Locked>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"update shop_order set settled_until = now() where order_no in (
             select order_no from shop_order where settled_until < matures_at and matures_at <= now()
               and ($1::text is null or order_no = $1)
             order by matures_at limit $2 for update skip locked)
           returning order_no as "order: OrderNo", plan_id, old.settled_until as "settled_before?: jiff_sqlx::Timestamp",
                     new.settled_until as "settled_until!""#,
        only.map(OrderNo::as_str),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Locked::from).collect())
}

/// At most `limit` orders whose commissions are due, the longest due first.
pub(crate) async fn due(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<OrderNo>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select order_no as "order: OrderNo" from shop_order
           where settled_until < matures_at and matures_at <= now() order by matures_at limit $1"#,
        limit,
    )
    .fetch_all(db)
    .await
}

/// At most `limit` tenants with commissions that are due; for a transaction of `everyone`.
pub(crate) async fn tenants_due(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<TenantId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select distinct tenant_id as "tenant_id: TenantId" from shop_order
           where settled_until < matures_at and matures_at <= now() limit $1"#,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Orders of all tenants that are due for longer than this, `limit` at most; for a transaction of `everyone`.
pub(crate) async fn overdue(
    db: impl PgExecutor<'_>,
    after_secs: f64,
    limit: i64,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "orders!" from (
             select from shop_order
             where settled_until < matures_at and matures_at <= now() - make_interval(secs => $1) limit $2) as overdue"#,
        after_secs,
        limit,
    )
    .fetch_one(db)
    .await
}

pub(crate) async fn keep_terms(
    db: impl PgExecutor<'_>,
    order: &OrderNo,
    plan_id: Option<Uuid>,
    matures_at: Option<Timestamp>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update shop_order set plan_id = $2, matures_at = $3 where order_no = $1",
        order.as_str(),
        plan_id,
        matures_at.map(jiff_sqlx::ToSqlx::to_sqlx) as _,
    )
    .execute(db)
    .await
    .map(drop)
}

/// What a reader needs to tell an order's story: its plan, and up to when.
pub(crate) async fn find(
    db: impl PgExecutor<'_>,
    order: &OrderNo,
) -> Result<Option<(Option<Uuid>, Timestamp)>, sqlx::Error> {
    let row = sqlx::query!(
        "select plan_id, settled_until from shop_order where order_no = $1",
        order.as_str()
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.plan_id, row.settled_until.to_jiff())))
}
