//! Events of orders, and the keys they occupy.

use contracts::TenantId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::engine::{Event, OrderNo};

/// Claims an event's keys; answers the fingerprints under which they are held when not all were
/// free. One that claims the same keys at the same moment waits here, and is then told.
pub(crate) async fn claim(
    db: &mut PgConnection,
    tenant_id: TenantId,
    keys: &[String],
    fingerprint: &[u8; 32],
) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    let claimed = sqlx::query!(
        "insert into event_key (tenant_id, key, fingerprint) select $1, key, $3 from unnest($2::text[]) as key
         on conflict do nothing",
        tenant_id.0,
        keys,
        fingerprint.as_slice(),
    )
    .execute(&mut *db)
    .await?
    .rows_affected();
    if claimed == keys.len() as u64 {
        return Ok(Vec::new());
    }
    sqlx::query_scalar!("select fingerprint from event_key where key = any($1)", keys)
        .fetch_all(db)
        .await
}

pub(crate) async fn insert(
    db: impl PgExecutor<'_>,
    tenant_id: TenantId,
    event: &Event,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into order_event (tenant_id, event_id, order_no, content, received_at)
         values ($1, $2, $3, $4, $5)",
        tenant_id.0,
        event.id.as_str(),
        event.order.as_str(),
        Json(event) as _,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(drop)
}

/// An event and when it came in.
pub(crate) struct Received {
    pub(crate) content: Json<Event>,
    pub(crate) received_at: Timestamp,
}

/// All events of some orders, in the order of their coming in.
pub(crate) async fn of_orders(
    db: impl PgExecutor<'_>,
    orders: &[OrderNo],
) -> Result<Vec<Received>, sqlx::Error> {
    let orders: Vec<&str> = orders.iter().map(OrderNo::as_str).collect();
    sqlx::query_as!(
        Received,
        r#"select content as "content: Json<Event>", received_at from order_event
           where order_no = any($1) order by received_at, event_id"#,
        &orders as _,
    )
    .fetch_all(db)
    .await
}
