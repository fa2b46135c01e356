//! What tenants said of caps, from which day on.

use contracts::{MemberId, TenantId};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::cap::{Limit, Rule, Scope, Today, Window};
use crate::policy::CapPolicy;

/// A limit as its three columns.
fn limit(window: Option<Window>, sends_max: Option<i32>, days: Option<i32>) -> Option<Limit> {
    Some(Limit {
        window: window?,
        sends_max: sends_max?,
        days,
    })
}

struct Row {
    today: jiff_sqlx::Date,
    left_secs: f64,
    own_since: Option<jiff_sqlx::Date>,
    own_window: Option<Window>,
    own_sends_max: Option<i32>,
    own_days: Option<i32>,
    fatigue_since: Option<jiff_sqlx::Date>,
    fatigue_window: Option<Window>,
    fatigue_sends_max: Option<i32>,
    fatigue_days: Option<i32>,
}

/// Today in the tenant's zone, by the database's clock alone, and the rules that stand on it for a kind of mass message.
pub(crate) async fn today(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    scope: Scope,
    zone: &str,
) -> sqlx::Result<Today> {
    rules(db, tenant, scope, zone, None).await
}

/// The same of another day.
pub(crate) async fn on(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    scope: Scope,
    zone: &str,
    day: Date,
) -> sqlx::Result<Today> {
    rules(db, tenant, scope, zone, Some(day)).await
}

async fn rules(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    scope: Scope,
    zone: &str,
    day: Option<Date>,
) -> sqlx::Result<Today> {
    let row = sqlx::query_as!(
        Row,
        r#"select today as "today!: jiff_sqlx::Date",
             extract(epoch from (today + 1)::timestamp at time zone $3 - at)::float8 as "left_secs!",
             own.since as "own_since?: jiff_sqlx::Date", own.length as "own_window?: Window",
             own.sends_max as "own_sends_max?", own.days as "own_days?",
             fatigue.since as "fatigue_since?: jiff_sqlx::Date", fatigue.length as "fatigue_window?: Window",
             fatigue.sends_max as "fatigue_sends_max?", fatigue.days as "fatigue_days?"
           from clock_timestamp() as at
           cross join lateral (select coalesce($4::date, (at at time zone $3)::date) as today) as clock
           left join lateral (
             select * from cap_policy where tenant_id = $1 and scope = $2 and since <= today
             order by since desc limit 1) as own on true
           left join lateral (
             select * from cap_policy where tenant_id = $1 and scope = 'fatigue' and since <= today
             order by since desc limit 1) as fatigue on true"#,
        tenant.0,
        scope.name(),
        zone,
        day.map(|day| day.to_sqlx()) as _,
    )
    .fetch_one(db)
    .await?;
    let rule = |scope: Scope, said: Option<Limit>, since: Option<jiff_sqlx::Date>| {
        said.or(scope.limit_by_default()).map(|limit| Rule {
            limit,
            since: since.map(jiff_sqlx::Date::to_jiff),
        })
    };
    let own = limit(row.own_window, row.own_sends_max, row.own_days);
    let fatigue = limit(row.fatigue_window, row.fatigue_sends_max, row.fatigue_days);
    Ok(Today {
        day: row.today.to_jiff(),
        left_secs: row.left_secs,
        own: rule(scope, own, row.own_since),
        // Of contacts alone.
        fatigue: rule(Scope::Fatigue, fatigue, row.fatigue_since).filter(|_| scope != Scope::Group),
    })
}

/// The last day, in the tenant's zone, that a change made in so many seconds from now would find begun; none for a
/// tenant that may not send.
pub(crate) async fn begun(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    ahead_secs: f64,
) -> sqlx::Result<Option<Date>> {
    let day = sqlx::query_scalar!(
        r#"select ((clock_timestamp() + make_interval(secs => $2)) at time zone zone)::date
             as "day!: jiff_sqlx::Date"
           from tenant where tenant_id = $1"#,
        tenant.0,
        ahead_secs,
    )
    .fetch_optional(db)
    .await?;
    Ok(day.map(jiff_sqlx::Date::to_jiff))
}

/// Notes what holds from a day on; false when the same was noted before.
pub(crate) async fn put(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    scope: Scope,
    since: Date,
    limit: Option<Limit>,
    member: MemberId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "insert into cap_policy (tenant_id, scope, since, length, sends_max, days, set_by, set_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (tenant_id, scope, since) do update
         set length = excluded.length, sends_max = excluded.sends_max, days = excluded.days,
           set_by = excluded.set_by, set_at = excluded.set_at
         where (cap_policy.length, cap_policy.sends_max, cap_policy.days)
           is distinct from (excluded.length, excluded.sends_max, excluded.days)",
        tenant.0,
        scope.name(),
        since.to_sqlx() as _,
        limit.map(|limit| limit.window.name()),
        limit.map(|limit| limit.sends_max),
        limit.and_then(|limit| limit.days),
        member.0,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// What was said for this day and the ones after it, for each scope in the order of its days.
pub(crate) async fn list(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    today: Date,
    rows_max: i64,
) -> sqlx::Result<Vec<CapPolicy>> {
    sqlx::query!(
        r#"select scope as "scope: Scope", since as "since: jiff_sqlx::Date", length as "length: Window", sends_max,
             days, set_by as "set_by: MemberId", set_at
           from cap_policy
           where tenant_id = $1 and since >= coalesce((
             select max(since) from cap_policy as earlier
             where earlier.tenant_id = $1 and earlier.scope = cap_policy.scope and earlier.since <= $2), since)
           order by scope, since limit $3"#,
        tenant.0,
        today.to_sqlx() as _,
        rows_max,
    )
    .fetch_all(db)
    .await
    .map(|rows| {
        rows.into_iter()
            .map(|row| {
                let said = limit(row.length, row.sends_max, row.days);
                CapPolicy {
                    scope: row.scope,
                    since: Some(row.since.to_jiff()),
                    limit: said.or(row.scope.limit_by_default()),
                    is_default: said.is_none(),
                    set_by: Some(row.set_by),
                    set_at: Some(row.set_at.into()),
                }
            })
            .collect()
    })
}
