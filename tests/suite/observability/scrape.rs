//! A real Prometheus scrapes the running set: whatever a dashboard or an alert names is there, and every expression holds.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testkit::{Stack, eventually, eventually_within};
use tokio::time::Instant;

use super::alert::alerts;
use super::dashboard::queries;
use super::prometheus::Prometheus;
use super::promql::names;
use crate::scene::Scene;

/// For all panels together. A ledger is checked at once, but an outbox is counted every 5 s and a rate needs two scrapes.
const SCRAPED: Duration = Duration::from_secs(60);
const CONTACTS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_that_is_watched_exists() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let prometheus = Prometheus::start(&stack).await?;
    all_up(&prometheus, stack.description().processes.len()).await?;
    drive(&stack).await?;

    let mut lost = Vec::new();
    let (panels, began) = (queries(), Instant::now());
    for query in &panels {
        // Every panel shows something, or nobody would notice that it shows nothing.
        let shown = eventually_within(SCRAPED.saturating_sub(began.elapsed()), async || {
            let asked = prometheus.ask("query", &[("query", &query.expression)]).await;
            let answer = asked.map_err(|error| error.to_string())?;
            let series = answer["result"].as_array().map_or(0, Vec::len);
            if series > 0 {
                Ok(())
            } else {
                Err("no data".to_owned())
            }
        });
        if let Err(error) = shown.await {
            lost.push(format!("{}: {error:#}: {}", query.place, query.expression));
        }
    }
    let alerts = alerts();
    let expressions = alerts.iter().map(|alert| (&alert.name, &alert.expression));
    for (place, expression) in expressions.chain(panels.iter().map(|query| (&query.place, &query.expression)))
    {
        let found = strangers(&prometheus, expression).await;
        lost.extend(found?.into_iter().map(|stranger| format!("{place}: {stranger}")));
    }
    lost.extend(unwell(&prometheus, alerts.len()).await?);
    lost.sort();
    lost.dedup();
    ensure!(lost.is_empty(), "{lost:#?}");
    println!(
        "{} panels' queries and {} alerts name what exists",
        panels.len(),
        alerts.len()
    );
    Ok(())
}

async fn all_up(prometheus: &Prometheus, processes: usize) -> anyhow::Result<()> {
    eventually(async || {
        let answer = prometheus.ask("targets", &[("state", "active")]).await?;
        let targets = answer["activeTargets"].as_array().context("targets")?;
        let up = targets.iter().filter(|target| target["health"] == "up").count();
        ensure!(
            up == processes && targets.len() == processes,
            "{up} of {processes}: {targets:?}"
        );
        anyhow::Ok(())
    })
    .await
}

/// A little of everything: contacts, a group, mass messages with and without an effect, an order.
async fn drive(stack: &Stack) -> anyhow::Result<()> {
    let scene = Scene::set(stack, 1).await?;
    let contacts = scene.scan_many(CONTACTS).await?;
    let series = scene.series(10).await?;
    scene.join(&series, &contacts[0]).await?;
    for outcome in ["delivered", "capped"] {
        let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
        scene.confirm_all(&broadcast, &contacts).await?;
        let ended = scene.finished(&broadcast).await?;
        ensure!(ended["outcomes"][outcome] == CONTACTS, "{ended}");
    }
    let post = async |path: &str, token: &str, body: Value| {
        let asked = scene.api.post("referral", path).token(token).json(&body);
        asked.ok().await
    };
    post("/v1/plans/yunji-demo", &scene.brand.owner.token, json!({})).await?;
    let paid = json!({
        "id": "e1", "type": "order.paid", "occurred_at": "2026-03-01T10:00:00+08:00", "order": "o1", "buyer": "wx-0",
        "referrer": "wx-1", "lines": [{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39800}],
    });
    post("/v1/order-events", &scene.operator.token, paid).await?;
    Ok(())
}

/// Metrics, labels and values of labels that an expression names and nobody exports.
async fn strangers(prometheus: &Prometheus, expression: &str) -> anyhow::Result<Vec<String>> {
    let (named, mut strangers, mut present) = (names(expression), Vec::new(), BTreeSet::new());
    for (metric, matchers) in &named.selectors {
        // An exact value must be there; a pattern, such as that of failures, may have no series yet.
        let exact: Vec<String> = matchers
            .iter()
            .filter(|[_, operator, _]| operator == "=")
            .map(|[label, _, value]| format!("{label}=\"{value}\""))
            .collect();
        let selector = format!("{metric}{{{}}}", exact.join(","));
        let found = prometheus.ask("series", &[("match[]", &selector)]).await?;
        let series = found.as_array().context("series")?;
        let labels: BTreeSet<&str> = series
            .iter()
            .filter_map(Value::as_object)
            .flat_map(|labels| labels.keys().map(String::as_str))
            .collect();
        if series.is_empty() {
            strangers.push(format!("{selector} does not exist"));
        } else {
            let unknown = matchers
                .iter()
                .filter(|[label, ..]| !labels.contains(label.as_str()));
            strangers.extend(unknown.map(|[label, ..]| format!("{metric} has no label {label}")));
        }
        present.extend(labels.into_iter().map(str::to_owned));
    }
    let unknown = named.labels.difference(&present);
    strangers.extend(unknown.map(|label| format!("nothing in it has a label {label}: {expression}")));
    Ok(strangers)
}

/// Rules that Prometheus could not evaluate, once it has evaluated all.
async fn unwell(prometheus: &Prometheus, alerts: usize) -> anyhow::Result<Vec<String>> {
    let rules = eventually(async || {
        let answer = prometheus.ask("rules", &[]).await?;
        let groups = answer["groups"].as_array().context("groups")?;
        let rules: Vec<Value> = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
            .collect();
        ensure!(rules.len() == alerts, "{} rules of {alerts}", rules.len());
        ensure!(
            rules.iter().all(|rule| rule["health"] != "unknown"),
            "not all evaluated"
        );
        anyhow::Ok(rules)
    })
    .await?;
    let unwell = rules.iter().filter(|rule| rule["health"] != "ok");
    Ok(unwell
        .map(|rule| format!("{}: {}", rule["name"], rule["lastError"]))
        .collect())
}
