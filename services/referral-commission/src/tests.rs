//! Operations on a real Postgres.

mod arrival;
mod crowd;
mod ledger;
mod reading;

use std::collections::BTreeMap;

use chassis::Clock;
use chassis::auth::{Admin, Operator, Role};
use contracts::{MemberId, RequestKey, TenantId};
use outbox::Database;
use serde_json::{Value, json};
use testkit::{TestDatabase, database};

use crate::engine::{Code, Event, EventDraft, PlanDraft};
use crate::error::Error;
use crate::ops::{self, Outcome, Receipt};
use crate::publication::{Publication, yunji_demo};
use crate::{MIGRATOR, State, store};

const PAID_AT: &str = "2026-02-26T09:00:00+08:00";
/// So long ago that every hold has ended.
const DELIVERED_AT: &str = "2026-03-01T10:00:00+08:00";

/// A tenant with a ledger of its own.
struct House {
    state: State,
    tenant_id: TenantId,
    database: TestDatabase,
}

impl House {
    /// With the source's plan.
    async fn open() -> Self {
        let house = Self::empty().await;
        house.publish("k", yunji_demo()).await.unwrap();
        house
    }

    async fn empty() -> Self {
        let database = database("referral", async |owner_url| {
            outbox::migrate(&owner_url, &MIGRATOR).await
        })
        .await
        .unwrap();
        let state = State {
            db: Database::new(database.pool.clone()),
            clock: Clock::system(),
        };
        Self {
            state,
            tenant_id: TenantId::new(),
            database,
        }
    }

    async fn publish(&self, key: &str, plan: PlanDraft) -> Result<Publication, Error> {
        let admin = Admin {
            tenant: self.tenant_id,
            member: MemberId::new(),
            role: Role::Admin,
        };
        let key = RequestKey {
            key: key.to_owned(),
            fingerprint: [0; 32],
        };
        ops::publish_plan(&self.state, &admin, &key, plan).await
    }

    async fn take_in(&self, event: Event) -> Receipt {
        ops::take_in(&self.state, self.operator(), event).await.unwrap()
    }

    fn operator(&self) -> Operator {
        Operator {
            tenant: self.tenant_id,
            member: MemberId::new(),
            role: Role::Operator,
        }
    }

    /// What balances and entries agree on; accounts at zero are left out.
    async fn books(&self) -> BTreeMap<String, i64> {
        let from = async |table: &str| -> BTreeMap<String, i64> {
            let statement = format!(
                "select account, sum(minor)::bigint from {table} where tenant_id = $1
                 group by account having sum(minor) <> 0"
            );
            let rows: Vec<(String, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(statement))
                .bind(self.tenant_id.0)
                .fetch_all(&self.database.superuser)
                .await
                .unwrap();
            rows.into_iter().collect()
        };
        let books = from("balance").await;
        assert_eq!(books, from("entry").await, "I02");
        assert_eq!(books.values().sum::<i64>(), 0, "I02");
        books
    }

    async fn parked(&self) -> Vec<(String, String)> {
        let mut tx = self.state.db.read(self.tenant_id).await.unwrap();
        let rows = store::parked::page(&mut *tx, None, 500).await.unwrap();
        let mut rows: Vec<_> = rows
            .into_iter()
            .map(|row| (row.event_id.to_string(), row.code))
            .collect();
        rows.sort();
        rows
    }

    /// What happened to things of a kind, with the note.
    async fn audited(&self, kind: &str) -> Vec<String> {
        let told = "select concat_ws(' ', action, note) from audit_entry
            where tenant_id = $1 and subject_kind = $2 order by audit_entry_id";
        sqlx::query_scalar(told)
            .bind(self.tenant_id.0)
            .bind(kind)
            .fetch_all(&self.database.superuser)
            .await
            .unwrap()
    }

    async fn count(&self, table: &str) -> i64 {
        let statement = format!("select count(*) from {table} where tenant_id = $1");
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .bind(self.tenant_id.0)
            .fetch_one(&self.database.superuser)
            .await
            .unwrap()
    }
}

fn event(body: Value) -> Event {
    serde_json::from_value::<EventDraft>(body)
        .unwrap()
        .check()
        .unwrap()
}

/// G01 for an order of one's own.
fn paid(order: &str) -> Event {
    paid_by(order, "p1")
}

fn paid_by(order: &str, referrer: &str) -> Event {
    event(json!({
        "id": format!("{order}-paid"), "type": "order.paid", "occurred_at": PAID_AT, "order": order,
        "buyer": "b1", "referrer": referrer,
        "lines": [{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39_800}],
    }))
}

fn delivered(order: &str, occurred_at: &str) -> Event {
    event(json!({
        "id": format!("{order}-delivered"), "type": "order.delivered", "occurred_at": occurred_at, "order": order,
    }))
}

fn refunded(order: &str, refund: &str, occurred_at: &str, amount: i64) -> Event {
    event(json!({
        "id": format!("{order}-{refund}"), "type": "order.refunded", "occurred_at": occurred_at, "order": order,
        "refund": refund, "lines": [{"line": 1, "amount": amount}],
    }))
}

fn books<const N: usize>(pairs: [(&str, i64); N]) -> BTreeMap<String, i64> {
    pairs.map(|(account, minor)| (account.to_owned(), minor)).into()
}

fn parked<const N: usize>(pairs: [(&str, Code); N]) -> Vec<(String, String)> {
    pairs
        .map(|(event, code)| (event.to_owned(), code.as_str().to_owned()))
        .into()
}

const POSTED: Receipt = Receipt {
    outcome: Outcome::Posted,
    code: None,
};
const REPLAYED: Receipt = Receipt {
    outcome: Outcome::Replayed,
    code: None,
};

fn as_parked(code: Code) -> Receipt {
    Receipt {
        outcome: Outcome::Parked,
        code: Some(code),
    }
}
