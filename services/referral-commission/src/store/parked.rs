//! Events without (all of) their effect.

use std::collections::BTreeSet;

use contracts::TenantId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::engine::{Code, Event, EventId, OrderNo};
use crate::parked::{Parked, Place};

/// Parks events, again if need be; answers how many were not parked already.
pub(crate) async fn put(
    db: impl PgExecutor<'_>,
    tenant_id: TenantId,
    events: &[(&Event, Code)],
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    if events.is_empty() {
        return Ok(0);
    }
    let ids: Vec<&str> = events.iter().map(|(event, _)| event.id.as_str()).collect();
    let codes: Vec<&str> = events.iter().map(|(_, code)| code.as_str()).collect();
    let orders: Vec<&str> = events.iter().map(|(event, _)| event.order.as_str()).collect();
    let contents: Vec<Json<&Event>> = events.iter().map(|(event, _)| Json(*event)).collect();
    sqlx::query!(
        "insert into parked (tenant_id, event_id, code, order_no, content, parked_at)
         select $1, event_id, code, order_no, content, $6
         from unnest($2::text[], $3::text[], $4::text[], $5::jsonb[]) as new (event_id, code, order_no, content)
         on conflict (tenant_id, event_id, code)
           do update set cleared_at = null, parked_at = excluded.parked_at where parked.cleared_at is not null",
        tenant_id.0,
        &ids as _,
        &codes as _,
        &orders as _,
        &contents as _,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// Clears events that have their effect now.
pub(crate) async fn clear(
    db: impl PgExecutor<'_>,
    parked: &BTreeSet<&(EventId, Code)>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    if parked.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = parked.iter().map(|(event, _)| event.as_str()).collect();
    let codes: Vec<&str> = parked.iter().map(|(_, code)| code.as_str()).collect();
    sqlx::query!(
        "update parked set cleared_at = $3 from unnest($1::text[], $2::text[]) as done (event_id, code)
         where parked.event_id = done.event_id and parked.code = done.code",
        &ids as _,
        &codes as _,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Why an event is parked at present, other than by a conflict of keys.
pub(crate) async fn code_of(db: impl PgExecutor<'_>, event: &EventId) -> Result<Option<Code>, sqlx::Error> {
    let code = sqlx::query_scalar!(
        "select code from parked where event_id = $1 and cleared_at is null and code <> 'KEY_CONFLICT'
         order by code limit 1",
        event.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(code.and_then(|code| Code::named(&code)))
}

/// At most `limit` parked events after a given one, oldest first.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<Parked>, sqlx::Error> {
    let first = Place::default();
    let after = after.unwrap_or(&first);
    sqlx::query_as!(
        Parked,
        r#"select event_id as "event_id: EventId", code, order_no as "order: OrderNo", parked_at, content as "event: Json<Event>"
           from parked where cleared_at is null and (parked_at, event_id, code) > ($1, $2, $3)
           order by parked_at, event_id, code limit $4"#,
        after.parked_at.max(Timestamp::UNIX_EPOCH).to_sqlx() as _,
        after.event_id,
        after.code,
        limit,
    )
    .fetch_all(db)
    .await
}
