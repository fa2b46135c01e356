//! An order's commission, its reversal, and the ledger that sums to zero (D86).

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testkit::Stack;

use crate::scene::Scene;

async fn order_event(scene: &Scene, event: Value) -> anyhow::Result<Value> {
    scene
        .api
        .post("referral", "/v1/order-events")
        .token(&scene.operator.token)
        .json(&event)
        .ok()
        .await
}

async fn earned(scene: &Scene, person: &str) -> anyhow::Result<(i64, i64)> {
    let path = format!("/v1/accruals?person={person}");
    let accruals = scene
        .api
        .get("referral", &path)
        .token(&scene.operator.token)
        .ok()
        .await?;
    let mut sums = (0, 0);
    for accrual in accruals["items"].as_array().context("items")? {
        sums.0 += accrual["amount"]["minor"]
            .as_i64()
            .with_context(|| accrual.to_string())?;
        sums.1 += accrual["reversed"]["minor"]
            .as_i64()
            .with_context(|| accrual.to_string())?;
    }
    Ok(sums)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_plan_pays_189_80_and_a_refund_takes_it_back() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 1).await?;
    scene.scan("buyer-1").await?;
    scene.scan("referrer-1").await?;
    let admin = &scene.brand.owner.token;
    scene
        .api
        .post("referral", "/v1/plans/yunji-demo")
        .token(admin)
        .json(&json!({}))
        .ok()
        .await?;
    let paid = json!({
        "id": "e1", "type": "order.paid", "occurred_at": "2026-03-01T10:00:00+08:00", "order": "o1",
        "buyer": "buyer-1", "referrer": "referrer-1",
        "lines": [{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39800}],
    });
    let posted = order_event(&scene, paid.clone()).await?;
    ensure!(posted["outcome"] == "posted", "{posted}");
    ensure!(
        earned(&scene, "referrer-1").await? == (18_980, 0),
        "150.00 + 39.80"
    );
    let replayed = order_event(&scene, paid).await?;
    ensure!(replayed["outcome"] == "replayed", "{replayed}");
    ensure!(
        earned(&scene, "referrer-1").await? == (18_980, 0),
        "a replay changes nothing"
    );

    let refunded = json!({
        "id": "e2", "type": "order.refunded", "occurred_at": "2026-03-05T10:00:00+08:00", "order": "o1",
        "refund": "r1", "lines": [{"line": 1, "amount": 39800}],
    });
    order_event(&scene, refunded).await?;
    ensure!(
        earned(&scene, "referrer-1").await? == (18_980, 18_980),
        "a refund reverses exactly"
    );
    let balance = scene
        .api
        .get("referral", "/v1/trial-balance")
        .token(admin)
        .ok()
        .await?;
    let sum: i64 = balance["accounts"]
        .as_array()
        .with_context(|| balance.to_string())?
        .iter()
        .filter_map(|account| account["balance"]["minor"].as_i64())
        .sum();
    ensure!(sum == 0, "{balance}");
    Ok(())
}
