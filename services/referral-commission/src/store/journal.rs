//! The ledger: transactions and entries are added, balances follow by delta.

use std::collections::BTreeMap;

use contracts::TenantId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::balance::{AccountBalance, ClassBalance};
use crate::commission::Money;
use crate::engine::{EventId, OrderNo, PersonId, Transaction};

/// What is posted together: the transactions of one order.
pub(crate) struct Posting {
    pub(crate) order: OrderNo,
    pub(crate) currency: String,
    /// The event whose arrival had it posted; none when time passed.
    pub(crate) caused_by: Option<EventId>,
    pub(crate) transactions: Vec<Transaction>,
}

#[derive(Default)]
struct Transactions<'a> {
    ids: Vec<Uuid>,
    kinds: Vec<&'a str>,
    orders: Vec<&'a str>,
    events: Vec<Option<&'a str>>,
    causes: Vec<Option<&'a str>>,
    moments: Vec<jiff_sqlx::Timestamp>,
}

#[derive(Default)]
struct Entries<'a> {
    transactions: Vec<Uuid>,
    seqs: Vec<i32>,
    accounts: Vec<String>,
    currencies: Vec<&'a str>,
    amounts: Vec<i64>,
    lines: Vec<Option<i64>>,
    rules: Vec<Option<&'a str>>,
}

/// Adds transactions to the ledger.
///
/// Cost: three statements, however many transactions. Locks: one balance row per account and
/// currency, taken in the order of their names, so that posters never deadlock; each is held to
/// the commit, and only ever has a delta added.
pub(crate) async fn post(
    db: &mut PgConnection,
    tenant_id: TenantId,
    postings: &[Posting],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let (mut transactions, mut entries) = (Transactions::default(), Entries::default());
    for posting in postings {
        for transaction in &posting.transactions {
            let id = Uuid::now_v7();
            transactions.ids.push(id);
            transactions.kinds.push(transaction.kind.as_str());
            transactions.orders.push(posting.order.as_str());
            transactions
                .events
                .push(transaction.event.as_ref().map(EventId::as_str));
            transactions
                .causes
                .push(posting.caused_by.as_ref().map(EventId::as_str));
            transactions.moments.push(transaction.at.to_sqlx());
            for ((account, part, minor), seq) in transaction.entries.iter().zip(1..) {
                entries.transactions.push(id);
                entries.seqs.push(seq);
                entries.accounts.push(account.to_string());
                entries.currencies.push(&posting.currency);
                entries.amounts.push(minor);
                entries.lines.push(part.map(|part| part.line.into()));
                entries.rules.push(part.map(|part| part.rule.as_str()));
            }
        }
    }
    if transactions.ids.is_empty() {
        return Ok(());
    }
    insert_transactions(&mut *db, tenant_id, &transactions, now).await?;
    insert_entries(&mut *db, tenant_id, &entries).await?;
    add_to_balances(db, tenant_id, &entries).await
}

async fn insert_transactions(
    db: impl PgExecutor<'_>,
    tenant_id: TenantId,
    new: &Transactions<'_>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into transaction (tenant_id, transaction_id, kind, order_no, event_id, caused_by, occurred_at, posted_at)
         select $1, transaction_id, kind, order_no, event_id, caused_by, occurred_at, $8
         from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
           as new (transaction_id, kind, order_no, event_id, caused_by, occurred_at)",
        tenant_id.0,
        &new.ids,
        &new.kinds as _,
        &new.orders as _,
        &new.events as _,
        &new.causes as _,
        &new.moments as _,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(drop)
}

async fn insert_entries(
    db: impl PgExecutor<'_>,
    tenant_id: TenantId,
    new: &Entries<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into entry (tenant_id, transaction_id, seq, account, currency, minor, line, rule)
         select $1, transaction_id, seq, account, currency, minor, line, rule
         from unnest($2::uuid[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::text[])
           as new (transaction_id, seq, account, currency, minor, line, rule)",
        tenant_id.0,
        &new.transactions,
        &new.seqs,
        &new.accounts,
        &new.currencies as _,
        &new.amounts,
        &new.lines as _,
        &new.rules as _,
    )
    .execute(db)
    .await
    .map(drop)
}

async fn add_to_balances(
    db: impl PgExecutor<'_>,
    tenant_id: TenantId,
    new: &Entries<'_>,
) -> Result<(), sqlx::Error> {
    let mut deltas: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for ((account, currency), minor) in new.accounts.iter().zip(&new.currencies).zip(&new.amounts) {
        *deltas.entry((account, currency)).or_default() += minor;
    }
    let (accounts, currencies): (Vec<&str>, Vec<&str>) = deltas.keys().copied().unzip();
    let amounts: Vec<i64> = deltas.into_values().collect();
    // `unnest` keeps the order of the map, which is the order of the locks.
    sqlx::query!(
        "insert into balance (tenant_id, account, currency, minor)
         select $1, account, currency, minor from unnest($2::text[], $3::text[], $4::bigint[])
           as delta (account, currency, minor)
         on conflict (tenant_id, account, currency) do update set minor = balance.minor + excluded.minor",
        tenant_id.0,
        &accounts as _,
        &currencies as _,
        &amounts,
    )
    .execute(db)
    .await
    .map(drop)
}

/// A person's accounts, by currency: held, and available (below zero: owed).
pub(crate) struct PersonBalance {
    pub(crate) currency: String,
    pub(crate) held: i64,
    pub(crate) available: i64,
}

pub(crate) async fn balances_of(
    db: impl PgExecutor<'_>,
    person: &PersonId,
) -> Result<Vec<PersonBalance>, sqlx::Error> {
    sqlx::query_as!(
        PersonBalance,
        r#"select currency, coalesce(-sum(minor) filter (where account = 'HELD:' || $1), 0)::bigint as "held!",
                  coalesce(-sum(minor) filter (where account = 'AVAIL:' || $1), 0)::bigint as "available!"
           from balance where account in ('HELD:' || $1, 'AVAIL:' || $1) group by currency order by currency"#,
        person.as_str(),
    )
    .fetch_all(db)
    .await
}

/// At most `limit` accounts after a given one, in the order of their names.
pub(crate) async fn accounts(
    db: impl PgExecutor<'_>,
    after: Option<&(String, String)>,
    limit: i64,
) -> Result<Vec<AccountBalance>, sqlx::Error> {
    let (account, currency) = after.map_or(("", ""), |(account, currency)| (account, currency));
    let rows = sqlx::query!(
        "select account, currency, minor from balance where (account, currency) > ($1, $2)
         order by account, currency limit $3",
        account,
        currency,
        limit,
    )
    .fetch_all(db)
    .await?;
    let told = rows.into_iter().map(|row| AccountBalance {
        account: row.account,
        balance: Money {
            currency: row.currency,
            minor: row.minor,
        },
    });
    Ok(told.collect())
}

/// Ledgers (one per tenant and currency) that do not sum to zero; for a transaction of `everyone`.
pub(crate) async fn unbalanced(db: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "ledgers!" from (
             select from balance group by tenant_id, currency having sum(minor) <> 0) as unbalanced"#,
    )
    .fetch_one(db)
    .await
}

/// The sums of each class of accounts: CLR, MER, COM, HELD, AVAIL.
pub(crate) async fn classes(db: impl PgExecutor<'_>) -> Result<Vec<ClassBalance>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select split_part(account, ':', 1) as "class!", currency, count(*) as "count!", sum(minor)::bigint as "minor!"
           from balance group by 1, 2 order by 2, 1"#,
    )
    .fetch_all(db)
    .await?;
    let told = rows.into_iter().map(|row| ClassBalance {
        class: row.class,
        count: row.count,
        balance: Money {
            currency: row.currency,
            minor: row.minor,
        },
    });
    Ok(told.collect())
}
