//! Accounts that send, a tenant's channel and its members on it: what they may send in a second, and the tokens of it.

use contracts::{MemberId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::broadcast::{ChannelName, RatePerS};
use crate::pace::AccountRate;

/// Sets the rates of a channel; says whether they are others.
pub(crate) async fn set_rate(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    rate: &AccountRate,
    now: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"insert into account_rate (tenant_id, channel, rate_per_s, member_rate_per_s, set_at)
           values ($1, $2, $3, $4, $5)
           on conflict (tenant_id, channel) do update
             set rate_per_s = excluded.rate_per_s, member_rate_per_s = excluded.member_rate_per_s,
               set_at = excluded.set_at
           returning old.set_at is null or old.rate_per_s is distinct from new.rate_per_s
             or old.member_rate_per_s is distinct from new.member_rate_per_s as "is_new!""#,
        tenant.0,
        rate.channel.name(),
        rate.rate_per_s.map(|rate| rate.0),
        rate.member_rate_per_s.map(|rate| rate.0),
        now.to_sqlx() as _,
    )
    .fetch_one(db)
    .await
}

struct Row {
    channel: ChannelName,
    rate_per_s: Option<i32>,
    member_rate_per_s: Option<i32>,
}

/// The channels with a rate.
pub(crate) async fn rates(db: impl PgExecutor<'_>, tenant: TenantId) -> sqlx::Result<Vec<AccountRate>> {
    sqlx::query_as!(
        Row,
        r#"select channel as "channel: ChannelName", rate_per_s, member_rate_per_s
           from account_rate where tenant_id = $1 order by channel"#,
        tenant.0
    )
    .fetch_all(db)
    .await
    .map(|rows| {
        rows.into_iter()
            .map(|row| AccountRate {
                channel: row.channel,
                rate_per_s: row.rate_per_s.map(RatePerS),
                member_rate_per_s: row.member_rate_per_s.map(RatePerS),
            })
            .collect()
    })
}

/// Takes tokens of an account, the tenant's own when the member is nil, for one worker: how long until the first of them
/// is due. Workers get consecutive stretches of time, so together they never pass the rate. None are taken when they are
/// due later than `wait_secs_max` from now.
pub(crate) async fn take_tokens(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    channel: ChannelName,
    member: MemberId,
    stretch_secs: f64,
    wait_secs_max: f64,
) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar!(
        r#"insert into account (tenant_id, channel, member_id, paced_to)
           values ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))
           on conflict (tenant_id, channel, member_id) do update
             set paced_to = greatest(account.paced_to, clock_timestamp()) + make_interval(secs => $4)
             where account.paced_to <= clock_timestamp() + make_interval(secs => $5)
           returning greatest(extract(epoch from paced_to - clock_timestamp())::float8 - $4, 0) as "wait_secs!""#,
        tenant.0,
        channel.name(),
        member.0,
        stretch_secs,
        wait_secs_max,
    )
    .fetch_optional(db)
    .await
}
