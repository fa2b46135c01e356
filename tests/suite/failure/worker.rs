//! Broadcast killed at every step of a page and of a chunk: each recipient has one outcome, one message.

use anyhow::ensure;
use serde_json::json;
use testkit::Set;

use crate::scene::Scene;

const CONTACTS: usize = 60;

/// Kills the only running worker at `point`, starts it again, and reads every inbox.
async fn survives(name: &str, point: &str) -> anyhow::Result<()> {
    let mut set = Set::start_with(name, &[("SHEQUN_LEASE_SECS", "3".to_owned())]).await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let contacts = scene.scan_many(CONTACTS).await?;
    set.terminate("broadcast-worker-2").await?;
    set.terminate("broadcast-worker-1").await?;
    set.run("broadcast-worker-1", Some(&format!("{point}=1*return")))
        .await?;
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    scene.confirm_all(&broadcast, &contacts).await?;
    let status = set.died("broadcast-worker-1").await?;
    ensure!(!status.success(), "the worker ended without an abort: {status}");
    set.run("broadcast-worker-1", None).await?;
    let outcome = scene.finished(&broadcast).await?;
    ensure!(outcome["outcomes"]["delivered"] == CONTACTS, "{outcome}");
    scene.all_reached_once(&contacts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_it_took_the_caps() -> anyhow::Result<()> {
    survives("t1-before", "broadcast-before-t1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_the_caps_taken() -> anyhow::Result<()> {
    survives("t1-after", "broadcast-after-t1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_messages_sent_and_no_receipt() -> anyhow::Result<()> {
    survives("sent", "broadcast-after-send").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_receipts_written() -> anyhow::Result<()> {
    survives("t2-after", "broadcast-after-t2").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_acknowledgement() -> anyhow::Result<()> {
    survives("ack-before", "broadcast-before-ack").await
}

/// The page and its cursor are one transaction: whoever comes next resolves it again, whole.
#[tokio::test(flavor = "multi_thread")]
async fn killed_with_a_page_of_the_audience_written() -> anyhow::Result<()> {
    let mut set = Set::start("page").await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let contacts = scene.scan_many(CONTACTS).await?;
    scene.all_welcomed_once(&contacts).await?;
    set.terminate("broadcast").await?;
    set.run("broadcast", Some("broadcast-resolve-page=1*return"))
        .await?;
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    let status = set.died("broadcast").await?;
    ensure!(!status.success(), "broadcast ended without an abort: {status}");
    set.run("broadcast", None).await?;
    scene.confirm_all(&broadcast, &contacts).await?;
    let outcome = scene.finished(&broadcast).await?;
    ensure!(outcome["audience"] == CONTACTS, "{outcome}");
    ensure!(outcome["outcomes"]["delivered"] == CONTACTS, "{outcome}");
    scene.all_reached_once(&contacts).await
}
