//! A person's entries in the ledger, by when they took effect.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::engine::{OrderNo, PersonId, RuleId, Why};
use crate::statement::{Period, StatementLine};
use crate::store::journal::PersonBalance;

/// What the person's accounts held when the period began.
pub(crate) async fn opening(
    db: impl PgExecutor<'_>,
    person: &PersonId,
    from: Timestamp,
) -> Result<Vec<PersonBalance>, sqlx::Error> {
    sqlx::query_as!(
        PersonBalance,
        r#"select currency, coalesce(-sum(minor) filter (where account = 'HELD:' || $1), 0)::bigint as "held!",
                  coalesce(-sum(minor) filter (where account = 'AVAIL:' || $1), 0)::bigint as "available!"
           from entry join transaction using (tenant_id, transaction_id)
           where account in ('HELD:' || $1, 'AVAIL:' || $1) and occurred_at < $2
           group by currency order by currency"#,
        person.as_str(),
        from.to_sqlx() as _,
    )
    .fetch_all(db)
    .await
}

struct Row {
    currency: String,
    at: Timestamp,
    posted_at: Timestamp,
    kind: String,
    order: OrderNo,
    line: i64,
    rule: RuleId,
    held: i64,
    available: i64,
    why: Json<Why>,
}

/// At most `limit` movements in a period, with their currency: one line for each commission that
/// a transaction moves.
pub(crate) async fn lines(
    db: impl PgExecutor<'_>,
    person: &PersonId,
    period: &Period,
    limit: i64,
) -> Result<Vec<(String, StatementLine)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select moved.currency, occurred_at as at, posted_at, kind, order_no as "order: OrderNo", line as "line!",
                  rule as "rule!: RuleId", held as "held!", available as "available!", why as "why: Json<Why>"
           from (
             select tenant_id, transaction_id, currency, line, rule,
                    coalesce(-sum(minor) filter (where account = 'HELD:' || $1), 0)::bigint as held,
                    coalesce(-sum(minor) filter (where account = 'AVAIL:' || $1), 0)::bigint as available
             from entry where account in ('HELD:' || $1, 'AVAIL:' || $1)
             group by tenant_id, transaction_id, currency, line, rule) as moved
           join transaction using (tenant_id, transaction_id)
           join (select tenant_id, order_no, line, rule, why from accrual where person = $1) as earned
             using (tenant_id, order_no, line, rule)
           where ($2::timestamptz is null or occurred_at >= $2) and ($3::timestamptz is null or occurred_at < $3)
           order by occurred_at, transaction_id, line, rule limit $4"#,
        person.as_str(),
        period.from.map(jiff_sqlx::ToSqlx::to_sqlx) as _,
        period.to.map(jiff_sqlx::ToSqlx::to_sqlx) as _,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Row::with_currency).collect())
}

impl Row {
    fn with_currency(self) -> (String, StatementLine) {
        let line = StatementLine {
            at: self.at,
            posted_at: self.posted_at,
            kind: self.kind,
            order: self.order,
            line: self.line,
            rule: self.rule,
            held_minor: self.held,
            available_minor: self.available,
            why: self.why.0,
        };
        (self.currency, line)
    }
}
