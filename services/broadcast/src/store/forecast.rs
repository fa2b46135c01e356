//! What a forecast goes by, as arrays: a million ids in rows would take seconds.

use contracts::{BroadcastId, ContactId, MemberId, TenantId};
use jiff::civil::Date;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::cap::{Keeping, Policy, Scope};
use crate::chunk::State as ChunkState;
use crate::forecast::Share;
use crate::outcome::Outcome;
use crate::zone::Zone;

/// The next chunks with somebody whose part is not over.
pub(crate) async fn shares(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    held_out_ppm: i32,
    after_n: i32,
    rows_max: i64,
) -> sqlx::Result<Vec<Share>> {
    sqlx::query!(
        r#"select n, member_id as "member: MemberId", in_zone, contact_ids as "contacts: Vec<ContactId>",
             state as "state: ChunkState", ends_as as "ends_as: Outcome",
             case when $2 > 0 then array(
               select contact_id from unnest(contact_ids) as kept (contact_id)
               where is_held_out($1, contact_id, $2) order by 1)
             else '{}'::uuid[] end as "held_out!: Vec<ContactId>"
           from chunk where broadcast_id = $1 and n > $3 and ended < recipients order by n limit $4"#,
        broadcast.0,
        held_out_ppm,
        after_n,
        rows_max,
    )
    .fetch_all(db)
    .await
    .map(|rows| {
        rows.into_iter()
            .map(|row| Share {
                n: row.n,
                member: row.member,
                zone: row.in_zone.as_deref().and_then(Zone::named),
                contacts: row.contacts,
                held_out: row.held_out,
                ends_as: row.ends_as.filter(|_| row.state == ChunkState::Cancelled),
            })
            .collect()
    })
}

/// Recipients whose part is over, sorted.
pub(crate) async fn ended(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
) -> sqlx::Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"select coalesce(array_agg(contact_id order by contact_id), '{}') as "contacts!: Vec<ContactId>"
           from receipt where tenant_id = $1 and broadcast_id = $2"#,
        tenant.0,
        broadcast.0,
    )
    .fetch_one(db)
    .await
}

/// The tenant's contacts who do not want marketing any more, sorted.
pub(crate) async fn opted_out(db: impl PgExecutor<'_>, tenant: TenantId) -> sqlx::Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"select coalesce(array_agg(contact_id order by contact_id), '{}') as "contacts!: Vec<ContactId>"
           from consent where tenant_id = $1 and not marketing"#,
        tenant.0,
    )
    .fetch_one(db)
    .await
}

/// Who has no cap left for another mass message than `but_of`: by the one that took the last.
pub(crate) async fn holders(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    policy: Policy,
    keeping: Keeping,
    but_of: BroadcastId,
) -> sqlx::Result<Vec<(BroadcastId, Vec<ContactId>)>> {
    match keeping {
        Keeping::One { window_start } => sqlx::query!(
            r#"select broadcast_id as "broadcast: BroadcastId", array_agg(contact_id) as "contacts!: Vec<ContactId>"
               from cap
               where tenant_id = $1 and kind = $2 and member_id = $3 and window_start = $4 and broadcast_id <> $5
               group by broadcast_id"#,
            tenant.0,
            policy.scope.name(),
            policy.member.0,
            window_start.to_sqlx() as _,
            but_of.0,
        )
        .fetch_all(db)
        .await
        .map(|rows| rows.into_iter().map(|row| (row.broadcast, row.contacts)).collect()),
        Keeping::Several {
            first_day,
            sends_max,
            counts_ones,
        } => {
            let (scope, member) = (policy.scope, Some(policy.member));
            let taken = several(db, tenant, scope, member, first_day, sends_max, counts_ones, but_of).await?;
            Ok(taken
                .into_iter()
                .map(|taken| (taken.broadcast, taken.contacts))
                .collect())
        }
    }
}

struct Taken {
    member: MemberId,
    broadcast: BroadcastId,
    contacts: Vec<ContactId>,
}

#[expect(clippy::too_many_arguments, reason = "a statement and its binds")]
async fn several(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    scope: Scope,
    member: Option<MemberId>,
    first_day: Date,
    sends_max: i32,
    counts_ones: bool,
    but_of: BroadcastId,
) -> sqlx::Result<Vec<Taken>> {
    sqlx::query_as!(
        Taken,
        r#"with taken as (
             select member_id, contact_id, held.day, held.broadcast_id
             from cap_tally cross join unnest(days, broadcast_ids) as held (day, broadcast_id)
             where tenant_id = $1 and scope = $2 and ($3::uuid is null or member_id = $3)
             union all
             select member_id, contact_id, coalesce(taken_on, window_start), broadcast_id from cap
             where $6::boolean and tenant_id = $1 and kind = $2 and ($3::uuid is null or member_id = $3)),
           used_up as (
             select member_id, contact_id,
               (array_agg(broadcast_id order by day desc, broadcast_id))[1] as broadcast_id
             from taken where day >= $4::date and broadcast_id <> $7
             group by member_id, contact_id having count(*) >= $5)
           select member_id as "member!: MemberId", broadcast_id as "broadcast!: BroadcastId",
             array_agg(contact_id) as "contacts!: Vec<ContactId>"
           from used_up group by member_id, broadcast_id"#,
        tenant.0,
        scope.name(),
        member.map(|member| member.0),
        first_day.to_sqlx() as _,
        i64::from(sends_max),
        counts_ones,
        but_of.0,
    )
    .fetch_all(db)
    .await
}

/// Who has no cap of a kind left, by whom it is counted for; sorted.
pub(crate) async fn used_up(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    scope: Scope,
    keeping: Keeping,
    but_of: BroadcastId,
) -> sqlx::Result<Vec<(MemberId, ContactId)>> {
    let taken = match keeping {
        Keeping::One { window_start } => {
            sqlx::query_as!(
                Taken,
                r#"select member_id as "member: MemberId", broadcast_id as "broadcast: BroadcastId",
                     array_agg(contact_id) as "contacts!: Vec<ContactId>"
                   from cap where tenant_id = $1 and kind = $2 and window_start = $3 and broadcast_id <> $4
                   group by member_id, broadcast_id"#,
                tenant.0,
                scope.name(),
                window_start.to_sqlx() as _,
                but_of.0,
            )
            .fetch_all(db)
            .await?
        }
        Keeping::Several {
            first_day,
            sends_max,
            counts_ones,
        } => several(db, tenant, scope, None, first_day, sends_max, counts_ones, but_of).await?,
    };
    let mut pairs: Vec<_> = taken
        .into_iter()
        .flat_map(|taken| {
            taken
                .contacts
                .into_iter()
                .map(move |contact| (taken.member, contact))
        })
        .collect();
    pairs.sort_unstable();
    Ok(pairs)
}

/// What these mass messages are called.
pub(crate) async fn titles(
    db: impl PgExecutor<'_>,
    broadcasts: &[BroadcastId],
) -> sqlx::Result<Vec<(BroadcastId, String)>> {
    sqlx::query!(
        r#"select broadcast_id as "broadcast: BroadcastId", title from broadcast where broadcast_id = any($1)"#,
        broadcasts as &[BroadcastId],
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(|row| (row.broadcast, row.title)).collect())
}
