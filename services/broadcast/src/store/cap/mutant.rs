//! Wrong ways to take caps, so that a test can see that they are noticed. In test builds only.

use contracts::{BroadcastId, ContactId, TenantId};
use jiff::civil::Date;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::cap::Policy;

/// In no order: whoever meets another one midway waits for them, and they for us. Slow enough to meet.
const UNORDERED: &str = "
    with taken as (
      insert into cap (tenant_id, kind, member_id, contact_id, window_start, broadcast_id)
      select $1, $2, $3, contact_id, $4, $5
      from (select contact_id from unnest($6::uuid[]) as contact_id order by md5(contact_id::text || $5::text)) as shuffled
      cross join lateral (select pg_sleep(0.0005 + 0 * length(contact_id::text))) as slowly
      on conflict (tenant_id, kind, member_id, contact_id, window_start) do nothing
      returning contact_id)
    select contact_id from taken
    union all
    select contact_id from cap
    where tenant_id = $1 and kind = $2 and member_id = $3 and contact_id = any($6) and window_start = $4
      and broadcast_id = $5
    order by 1";

/// Who is free is looked up first, and believed. Long enough ago to be wrong.
const OUTSIDE: &str = "
    with free as materialized (
      select wanted.contact_id from unnest($6::uuid[]) as wanted (contact_id)
      where not exists (
        select from cap
        where tenant_id = $1 and kind = $2 and member_id = $3 and cap.contact_id = wanted.contact_id
          and window_start = $4 and broadcast_id <> $5)),
    pause as materialized (select pg_sleep(0.1)),
    taken as (
      insert into cap (tenant_id, kind, member_id, contact_id, window_start, broadcast_id)
      select $1, $2, $3, contact_id, $4, $5 from free cross join pause order by contact_id
      on conflict (tenant_id, kind, member_id, contact_id, window_start) do nothing)
    select contact_id from free order by 1";

/// The statement that the process is to be wrong with, if it is.
pub(super) fn statement() -> Option<&'static str> {
    if outbox::is_mutant("mutant-cap-unordered") {
        Some(UNORDERED)
    } else if outbox::is_mutant("mutant-cap-outside") {
        Some(OUTSIDE)
    } else {
        None
    }
}

pub(super) async fn take(
    db: impl PgExecutor<'_>,
    statement: &'static str,
    tenant: TenantId,
    policy: Policy,
    window_start: Date,
    broadcast: BroadcastId,
    contacts: &[ContactId],
) -> sqlx::Result<Vec<ContactId>> {
    sqlx::query_scalar(statement)
        .bind(tenant.0)
        .bind(policy.scope.name())
        .bind(policy.member.0)
        .bind(window_start.to_sqlx())
        .bind(broadcast.0)
        .bind(contacts)
        .fetch_all(db)
        .await
}
