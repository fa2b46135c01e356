//! What the ledger guarantees by itself, whatever the program does.

use jiff::SignedDuration;
use sqlx::PgPool;
use testkit::eventually;

use serde_json::json;

use super::{DELIVERED_AT, House, PAID_AT, POSTED, books, delivered, event, paid, paid_by};
use crate::error::Error;
use crate::ops;

/// The SQLSTATE and constraint a statement is refused with.
async fn refusal(house: &House, pool: &PgPool, statement: &str) -> (String, Option<String>) {
    let statements = format!(
        "begin; set local shequn.tenant = '{}'; {statement}; commit",
        house.tenant_id
    );
    let mut connection = pool.acquire().await.unwrap();
    let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(&mut *connection)
        .await;
    let error = refused.unwrap_err().into_database_error().unwrap();
    sqlx::raw_sql("rollback").execute(&mut *connection).await.unwrap();
    (
        error.code().unwrap().into_owned(),
        error.constraint().map(str::to_owned),
    )
}

#[tokio::test]
async fn i03_what_stands_is_changed_by_nobody() {
    let house = House::open().await;
    house.take_in(paid("O-1")).await;
    for table in ["transaction", "entry"] {
        for change in [
            format!("update {table} set tenant_id = tenant_id"),
            format!("delete from {table}"),
            format!("truncate {table} cascade"),
        ] {
            for pool in [&house.database.pool, &house.database.superuser] {
                assert_eq!(refusal(&house, pool, &change).await.0, "42501", "{change}");
            }
        }
    }
    assert_eq!(house.books().await["HELD:p1"], -18_980);
}

#[tokio::test]
async fn i01_what_does_not_sum_to_zero_does_not_commit() {
    let house = House::open().await;
    house.take_in(paid("O-1")).await;
    let id = uuid::Uuid::now_v7();
    let transaction = format!(
        "insert into transaction (tenant_id, transaction_id, kind, order_no, occurred_at, posted_at)
         values ('{}', '{id}', 'sale', 'O-1', now(), now())",
        house.tenant_id
    );
    let entry = |transaction_id: &str, seq: i32, currency: &str, minor: i64| {
        format!(
            "insert into entry (tenant_id, transaction_id, seq, account, currency, minor)
             values ('{}', {transaction_id}, {seq}, 'CLR', '{currency}', {minor})",
            house.tenant_id
        )
    };
    let entries = |added: &[(&str, i32, i64)]| {
        let row = |(transaction_id, seq, minor): &(&str, i32, i64)| {
            format!(
                "('{}'::uuid, {transaction_id}, {seq}, 'CLR', 'CNY', {minor})",
                house.tenant_id
            )
        };
        format!(
            "insert into entry (tenant_id, transaction_id, seq, account, currency, minor) values {}",
            added.iter().map(row).collect::<Vec<_>>().join(", ")
        )
    };
    let new = format!("'{id}'");
    let earlier = "(select transaction_id from transaction limit 1)";
    let cases = [
        transaction.clone(),
        format!("{transaction}; {}", entry(&new, 1, "CNY", 1)),
        format!(
            "{transaction}; {}; {}",
            entry(&new, 1, "CNY", 1),
            entry(&new, 2, "JPY", -1)
        ),
        entry(earlier, 99, "CNY", 1),
        // Before its first entry, and in the company of a balanced one.
        entry(earlier, 0, "CNY", 1),
        format!(
            "{transaction}; {}",
            entries(&[(&new, 1, 1), (&new, 2, -1), (earlier, 99, 5), (earlier, 100, -4)])
        ),
        // In two statements it is unbalanced between them.
        format!(
            "{transaction}; {}; {}",
            entry(&new, 1, "CNY", 1),
            entry(&new, 2, "CNY", -1)
        ),
    ];
    for case in cases {
        let refused = refusal(&house, &house.database.pool, &case).await;
        assert_eq!(
            refused,
            ("23514".to_owned(), Some("transaction_balances".to_owned())),
            "{case}"
        );
    }
    house.books().await;
}

#[tokio::test]
async fn a_hold_that_ended_long_ago_matures_with_the_event() {
    let house = House::open().await;
    house.take_in(paid("O-1")).await;
    assert_eq!(house.take_in(delivered("O-1", DELIVERED_AT)).await, POSTED);
    let expected = [
        ("AVAIL:p1", -18_980),
        ("CLR", 39_800),
        ("COM", 18_980),
        ("MER", -39_800),
    ];
    assert_eq!(house.books().await, books(expected));
    assert_eq!(ops::mature_due(&house.state).await.unwrap(), 0, "I10");
}

#[tokio::test]
async fn a_hold_that_ends_now_matures_by_itself_and_once() {
    let house = House::open().await;
    let almost = house.state.clock.now() - SignedDuration::from_hours(15 * 24) + SignedDuration::from_secs(1);
    for order in ["O-1", "O-2"] {
        house.take_in(paid(order)).await;
        house.take_in(delivered(order, &almost.to_string())).await;
    }
    assert_eq!(house.books().await["HELD:p1"], -37_960);
    eventually(async || {
        // Two at once: none matures twice.
        let matured = tokio::join!(ops::mature_due(&house.state), ops::mature_due(&house.state));
        assert!(matured.0.is_ok() && matured.1.is_ok());
        let books = house.books().await;
        if books.get("AVAIL:p1") == Some(&-37_960) && !books.contains_key("HELD:p1") {
            Ok(())
        } else {
            Err(books)
        }
    })
    .await
    .unwrap();
    assert_eq!(house.audited("order").await, ["order.matured"; 2]);
    assert_eq!(house.count("transaction").await, 4);
}

#[tokio::test]
async fn an_order_that_cannot_mature_keeps_no_other_from_it() {
    let house = House::open().await;
    let almost = house.state.clock.now() - SignedDuration::from_hours(15 * 24) + SignedDuration::from_secs(1);
    for (order, referrer) in [("O-1", "p1"), ("O-2", "p2"), ("O-3", "p3")] {
        house.take_in(paid_by(order, referrer)).await;
        house.take_in(delivered(order, &almost.to_string())).await;
    }
    sqlx::query("update order_event set content = '{}' where order_no = 'O-1'")
        .execute(&house.database.superuser)
        .await
        .unwrap();
    eventually(async || {
        ops::mature_due(&house.state).await.unwrap();
        let books = house.books().await;
        if books.get("AVAIL:p2") == Some(&-18_980) && books.get("AVAIL:p3") == Some(&-18_980) {
            Ok(())
        } else {
            Err(books)
        }
    })
    .await
    .unwrap();
    assert_eq!(house.books().await["HELD:p1"], -18_980);
    assert_eq!(ops::mature_due(&house.state).await.unwrap(), 0);
}

#[tokio::test]
async fn an_order_of_many_commissions_is_posted_or_refused_whole() {
    let house = House::empty().await;
    let mut plan = crate::publication::yunji_demo();
    let rule = plan.version[0].rule[1].clone();
    plan.version[0].rule = (0..5)
        .map(|n| {
            let mut rule = rule.clone();
            rule.id = format!("R{n}").parse().unwrap();
            rule
        })
        .collect();
    house.publish("k", plan).await.unwrap();
    let order = |order: &str, lines: u32| {
        let lines: Vec<_> = (1..=lines)
            .map(|line| json!({"line": line, "sku": "PKG398", "qty": 1, "unit_price": 39_800}))
            .collect();
        event(json!({
            "id": order, "type": "order.paid", "occurred_at": PAID_AT, "order": order, "buyer": "b1",
            "referrer": "p1", "lines": lines,
        }))
    };
    assert_eq!(house.take_in(order("large", 100)).await, POSTED);
    assert_eq!(house.count("entry").await, 1_002);
    let refused = ops::take_in(&house.state, house.operator(), order("too-large", 101)).await;
    assert!(matches!(refused, Err(Error::OrderTooLarge(500))));
    assert_eq!(house.count("transaction").await, 1);
    house.books().await;
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let house = House::open().await;
    house.take_in(paid("O-1")).await;
    for table in [
        "plan",
        "event_key",
        "shop_order",
        "order_event",
        "accrual",
        "transaction",
        "entry",
        "balance",
    ] {
        let statement = format!("select count(*) from {table}");
        for tenant in [contracts::TenantId::new().to_string(), String::new()] {
            let mut tx = house.database.pool.begin().await.unwrap();
            sqlx::query("select set_config('shequn.tenant', $1, true)")
                .bind(tenant)
                .execute(&mut *tx)
                .await
                .unwrap();
            let seen: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(statement.clone()))
                .fetch_one(&mut *tx)
                .await
                .unwrap();
            assert_eq!(seen, 0, "{table}");
        }
    }
}

#[tokio::test]
async fn a_ledger_that_went_out_of_balance_is_found_and_so_is_an_order_that_is_late() {
    let house = House::open().await;
    house.take_in(paid("O-1")).await;
    let found = ops::check_ledger(&house.state).await.unwrap();
    assert_eq!((found.unbalanced, found.overdue), (0, 0));
    for sabotage in [
        "update balance set minor = minor + 1 where account = 'CLR'",
        "update shop_order set matures_at = now() - interval '2 minutes', settled_until = now() - interval '1 hour'",
    ] {
        sqlx::query(sabotage)
            .execute(&house.database.superuser)
            .await
            .unwrap();
    }
    let found = ops::check_ledger(&house.state).await.unwrap();
    assert_eq!((found.unbalanced, found.overdue), (1, 1));
}
