//! Commissions: what each person earned, and what of it was taken back.

use contracts::TenantId;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::commission::{Commission, Place};
use crate::engine::{Accrual, OrderNo, PersonId, RuleId, Why};

/// Adds commissions, or notes what more of them was reversed.
pub(crate) async fn put(
    db: impl PgExecutor<'_>,
    tenant_id: TenantId,
    order: &OrderNo,
    currency: &str,
    accruals: &[&Accrual],
) -> Result<(), sqlx::Error> {
    if accruals.is_empty() {
        return Ok(());
    }
    let column =
        |value: fn(&Accrual) -> i64| accruals.iter().map(|&accrual| value(accrual)).collect::<Vec<_>>();
    let rules: Vec<&str> = accruals.iter().map(|accrual| accrual.rule.as_str()).collect();
    let people: Vec<&str> = accruals.iter().map(|accrual| accrual.person.as_str()).collect();
    let whys: Vec<Json<&Why>> = accruals.iter().map(|accrual| Json(&accrual.why)).collect();
    let paid: Vec<_> = accruals
        .iter()
        .map(|accrual| accrual.why.paid_at.to_sqlx())
        .collect();
    sqlx::query!(
        "insert into accrual (tenant_id, order_no, currency, line, rule, person, minor, reversed, why, paid_at)
         select $1, $2, $3, line, rule, person, minor, reversed, why, paid_at
         from unnest($4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::jsonb[], $10::timestamptz[])
           as new (line, rule, person, minor, reversed, why, paid_at)
         on conflict (tenant_id, order_no, line, rule, person) do update set reversed = excluded.reversed",
        tenant_id.0,
        order.as_str(),
        currency,
        &column(|accrual| accrual.line.into()),
        &rules as _,
        &people as _,
        &column(|accrual| accrual.minor),
        &column(|accrual| accrual.reversed),
        &whys as _,
        &paid as _,
    )
    .execute(db)
    .await
    .map(drop)
}

struct Row {
    order: OrderNo,
    line: i64,
    rule: RuleId,
    person: PersonId,
    currency: String,
    minor: i64,
    reversed: i64,
    why: Json<Why>,
}

/// At most `limit` commissions after a given one; of one person, or of all.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    person: Option<&PersonId>,
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<Commission>, sqlx::Error> {
    let first = Place::default();
    let after = after.unwrap_or(&first);
    let rows = sqlx::query_as!(
        Row,
        r#"select order_no as "order: OrderNo", line, rule as "rule: RuleId", person as "person: PersonId", currency,
                  minor, reversed, why as "why: Json<Why>"
           from accrual
           where (order_no, line, rule, person) > ($1, $2, $3, $4) and ($5::text is null or person = $5)
           order by order_no, line, rule, person limit $6"#,
        after.order,
        after.line,
        after.rule,
        after.person,
        person.map(PersonId::as_str),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Commission::from).collect())
}

impl From<Row> for Commission {
    fn from(row: Row) -> Self {
        let accrual = Accrual {
            // The column is wider than the type that fills it.
            line: u32::try_from(row.line).unwrap_or(u32::MAX),
            rule: row.rule,
            person: row.person,
            minor: row.minor,
            reversed: row.reversed,
            why: row.why.0,
        };
        Self::new(row.order, &row.currency, accrual)
    }
}
