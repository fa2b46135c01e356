//! What is remembered: plans, people, events, orders, commissions, the ledger.

pub(crate) mod accrual;
pub(crate) mod event;
pub(crate) mod journal;
pub(crate) mod order;
pub(crate) mod parked;
pub(crate) mod person;
pub(crate) mod plan;
pub(crate) mod statement;

use sqlx::PgExecutor;

/// All reads of this transaction see the moment of the first one. Call it before any other statement.
pub(crate) async fn freeze(db: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    let freeze = "set transaction isolation level repeatable read";
    sqlx::query(freeze).execute(db).await.map(drop)
}
