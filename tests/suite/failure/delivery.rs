//! An event's way under `kill -9`, at the points where a crash could lose or double it.

use anyhow::ensure;
use testkit::{Set, Signal, eventually};

use crate::scene::Scene;

/// Kills `process` at `point`, starts it again, and wants each contact welcomed exactly once.
async fn survives(name: &str, process: &str, point: &str) -> anyhow::Result<()> {
    let mut set = Set::start(name).await?;
    let scene = Scene::set(set.stack(), 2).await?;
    set.terminate(process).await?;
    set.run(process, Some(&format!("{point}=2*off->1*return")))
        .await?;
    let contacts = eventually(async || scene.scan("wx-0").await).await?;
    let mut contacts = vec![contacts];
    for n in 1..12 {
        // The process may die under any of these requests; a scan is repeated with the same id.
        match scene.scan(&format!("wx-{n}")).await {
            Ok(contact) => contacts.push(contact),
            Err(_) => break,
        }
    }
    let status = set.died(process).await?;
    ensure!(!status.success(), "{process} ended without an abort: {status}");
    set.run(process, None).await?;
    // The last one always: the news of it leaves behind all that the crash repeats.
    for n in contacts.len()..=12 {
        contacts.push(scene.scan(&format!("wx-{n}")).await?);
    }
    scene.all_welcomed_once(&contacts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_commit_and_publish() -> anyhow::Result<()> {
    survives("before-publish", "customers", "relay-before-publish").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_publish_and_its_note() -> anyhow::Result<()> {
    survives("after-publish", "customers", "relay-after-publish").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_receive_and_commit() -> anyhow::Result<()> {
    survives("before-commit", "broadcast", "consume-before-commit").await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_commit_and_ack() -> anyhow::Result<()> {
    survives("before-ack", "broadcast", "consume-before-ack").await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_flushes_the_outbox_before_it_ends() -> anyhow::Result<()> {
    let mut set = Set::start("drain").await?;
    let scene = Scene::set(set.stack(), 1).await?;
    // Every commit wakes the relay; only while NATS hears nothing does its outbox fill.
    set.stack().signal("nats", Signal::SIGSTOP)?;
    let contacts = scene.scan_many(20).await?;
    set.signal("customers", Signal::SIGTERM)?;
    eventually(async || {
        let answer = scene.api.get("customers", "/openapi.json").send().await;
        ensure!(answer.is_err(), "it still listens");
        anyhow::Ok(())
    })
    .await?;
    set.stack().signal("nats", Signal::SIGCONT)?;
    let status = set.died("customers").await?;
    ensure!(status.success(), "{status}");
    // customers stays away: what arrives now had left before it ended.
    scene.all_welcomed_once(&contacts).await
}
