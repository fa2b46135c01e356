//! Who holds a contact's mass messages of a window.

#[cfg(feature = "failpoints")]
mod mutant;

use contracts::{BroadcastId, ContactId, TenantId};
use jiff::civil::Date;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::cap::{Keeping, Policy};

/// Takes the caps that are free and tells which of the sorted contacts' caps this mass message now holds, from now or
/// from an earlier claim of the same chunk.
pub(crate) async fn take(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    policy: Policy,
    keeping: Keeping,
    today: Date,
    broadcast: BroadcastId,
    contacts: &[ContactId],
) -> sqlx::Result<Vec<ContactId>> {
    match keeping {
        Keeping::One { window_start } => {
            take_one(db, tenant, policy, window_start, today, broadcast, contacts).await
        }
        Keeping::Several {
            first_day,
            sends_max,
            counts_ones,
        } => {
            let window = (first_day, sends_max, counts_ones);
            take_several(db, tenant, policy, window, today, broadcast, contacts).await
        }
    }
}

/// The row of the window is there or it is not: nothing is counted. Whoever got all of them has none from before.
async fn take_one(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    policy: Policy,
    window_start: Date,
    today: Date,
    broadcast: BroadcastId,
    contacts: &[ContactId],
) -> sqlx::Result<Vec<ContactId>> {
    #[cfg(feature = "failpoints")]
    if let Some(statement) = mutant::statement() {
        return mutant::take(db, statement, tenant, policy, window_start, broadcast, contacts).await;
    }
    sqlx::query_scalar!(
        r#"with taken as (
             insert into cap (tenant_id, kind, member_id, contact_id, window_start, broadcast_id, taken_on)
             select $1, $2, $3, contact_id, $4, $5, $7 from unnest($6::uuid[]) as contact_id order by contact_id
             on conflict (tenant_id, kind, member_id, contact_id, window_start) do nothing
             returning contact_id)
           select contact_id as "contact!: ContactId" from taken
           union all
           select contact_id from cap
           where tenant_id = $1 and kind = $2 and member_id = $3 and contact_id = any($6) and window_start = $4
             and broadcast_id = $5 and (select count(*) from taken) < cardinality($6)
           order by 1"#,
        tenant.0,
        policy.scope.name(),
        policy.member.0,
        window_start.to_sqlx() as _,
        broadcast.0,
        contacts as &[ContactId],
        today.to_sqlx() as _,
    )
    .fetch_all(db)
    .await
}

/// The contact's row is locked and counted: two that meet on it come one after the other, and the second sees what the
/// first took. What this mass message took on an earlier day is traded for today's; what no window reaches any more is
/// forgotten on the way.
async fn take_several(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    policy: Policy,
    (first_day, sends_max, counts_ones): (Date, i32, bool),
    today: Date,
    broadcast: BroadcastId,
    contacts: &[ContactId],
) -> sqlx::Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"with taken as (
             insert into cap_tally (tenant_id, scope, member_id, contact_id, days, broadcast_ids)
             select $1, $2, $3, contact_id, array[$7::date], array[$5::uuid]
             from unnest($6::uuid[]) as asked (contact_id)
             where not $9::boolean or $8 > (
               select count(*) from cap
               where cap.tenant_id = $1 and kind = $2 and cap.member_id = $3 and cap.contact_id = asked.contact_id
                 and coalesce(taken_on, window_start) >= $4::date and broadcast_id <> $5)
             order by contact_id
             on conflict (tenant_id, scope, member_id, contact_id) do update
             set (days, broadcast_ids) = (
               select array_agg(held.day), array_agg(held.broadcast_id) from (
                 select * from unnest(cap_tally.days, cap_tally.broadcast_ids) as held (day, broadcast_id)
                 where held.day > $7::date - 93 and held.broadcast_id <> $5
                 union all select $7::date, $5::uuid) as held)
             where ($7::date, $5::uuid) not in (
                 select * from unnest(cap_tally.days, cap_tally.broadcast_ids) as held (day, broadcast_id))
               and $8 > (
                 select count(*) from unnest(cap_tally.days, cap_tally.broadcast_ids) as held (day, broadcast_id)
                 where held.day >= $4::date and held.broadcast_id <> $5)
                 + case when $9 then (
                     select count(*) from cap
                     where cap.tenant_id = $1 and kind = $2 and cap.member_id = $3
                       and cap.contact_id = cap_tally.contact_id
                       and coalesce(taken_on, window_start) >= $4::date and broadcast_id <> $5)
                   else 0 end
             returning contact_id)
           select contact_id as "contact!: ContactId" from taken
           union all
           select contact_id from cap_tally
           where tenant_id = $1 and scope = $2 and member_id = $3 and contact_id = any($6)
             and ($7::date, $5::uuid) in (
               select * from unnest(days, broadcast_ids) as held (day, broadcast_id))
           order by 1"#,
        tenant.0,
        policy.scope.name(),
        policy.member.0,
        first_day.to_sqlx() as _,
        broadcast.0,
        contacts as &[ContactId],
        today.to_sqlx() as _,
        i64::from(sends_max),
        counts_ones,
    )
    .fetch_all(db)
    .await
}

/// Gives back what this mass message holds of these contacts' caps, of its own kind and against fatigue; with
/// `but_of`, only those taken on other days. Rows that others lock, too, are locked in the order in which they are taken.
pub(crate) async fn give_back(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    policy: Policy,
    broadcast: BroadcastId,
    contacts: &[ContactId],
    but_of: Option<Date>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with ones as (
           delete from cap
           where tenant_id = $1 and ((kind = $2 and member_id = $3) or (kind = 'fatigue' and member_id = $7))
             and contact_id = any($4) and broadcast_id = $5 and ($6::date is null or taken_on is distinct from $6)),
         held as (
           select scope, member_id, contact_id from cap_tally
           where tenant_id = $1 and ((scope = $2 and member_id = $3) or (scope = 'fatigue' and member_id = $7))
             and contact_id = any($4) and $5 = any(broadcast_ids)
           order by scope = 'fatigue', contact_id for update)
         update cap_tally set (days, broadcast_ids) = (
           select coalesce(array_agg(kept.day), '{}'), coalesce(array_agg(kept.broadcast_id), '{}')
           from unnest(days, broadcast_ids) as kept (day, broadcast_id)
           where kept.broadcast_id <> $5 or kept.day = $6)
         from held
         where cap_tally.tenant_id = $1 and cap_tally.scope = held.scope and cap_tally.member_id = held.member_id
           and cap_tally.contact_id = held.contact_id",
        tenant.0,
        policy.scope.name(),
        policy.member.0,
        contacts as &[ContactId],
        broadcast.0,
        but_of.map(|date| date.to_sqlx()) as _,
        uuid::Uuid::nil(),
    )
    .execute(db)
    .await
    .map(drop)
}
