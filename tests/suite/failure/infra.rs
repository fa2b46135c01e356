//! Postgres and NATS killed, a stream wiped, events doubled: nothing lost, nothing twice in effect.

use anyhow::{Context as _, ensure};
use async_nats::jetstream::message::PublishMessage;
use contracts::stream_of;
use futures::TryStreamExt as _;
use reqwest::StatusCode;
use serde_json::json;
use testkit::{Set, eventually};

use crate::scene::Scene;

async fn heal(set: &Set) -> anyhow::Result<()> {
    let stack = set.stack();
    tokio::task::block_in_place(|| stack.heal())
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_killed_and_started_again_delays_events_only() -> anyhow::Result<()> {
    let set = Set::start("nats").await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let mut contacts = scene.scan_many(5).await?;
    set.stack().kill("nats")?;
    for n in 5..15 {
        contacts.push(
            scene
                .scan(&format!("wx-{n}"))
                .await
                .context("a scan needs no bus")?,
        );
    }
    heal(&set).await?;
    scene.all_welcomed_once(&contacts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_killed_answers_503_and_leaves_nothing_half_done() -> anyhow::Result<()> {
    let set = Set::start("postgres").await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let mut contacts = scene.scan_many(5).await?;
    set.stack().kill("postgres")?;
    let body = json!({"code": scene.code, "external_id": "wx-down"});
    let down = eventually(async || {
        let answer = scene
            .api
            .post("customers", "/v1/scans")
            .key("")
            .json(&body)
            .send()
            .await?;
        ensure!(answer.status == StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        anyhow::Ok(answer)
    })
    .await?;
    ensure!(down.headers.contains_key("retry-after"), "{down:?}");
    heal(&set).await?;
    contacts.push(eventually(async || scene.scan("wx-down").await).await?);
    scene.all_welcomed_once(&contacts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn wiped_streams_cost_time_only() -> anyhow::Result<()> {
    let mut set = Set::start("wiped").await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let series = scene.series(100).await?;
    // Nobody listens, so what the streams hold now is lost with them.
    set.terminate("broadcast").await?;
    let contacts = scene.scan_many(10).await?;
    for contact in &contacts {
        scene.join(&series, contact).await?;
    }
    for event in [
        "shequn.customers.v1.ContactBefriended",
        "shequn.groups.v1.GroupJoined",
    ] {
        published(&scene, event, contacts.len()).await?;
    }
    let names: Vec<String> = scene.bus.stream_names().try_collect().await?;
    ensure!(
        names.len() >= 6,
        "five event streams and the work queue: {names:?}"
    );
    for name in &names {
        scene.bus.delete_stream(name).await?;
    }
    set.run("broadcast", None).await?;
    scene.all_welcomed_once(&contacts).await?;
    scene.all_greeted_once(&contacts).await?;
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    scene.confirm_all(&broadcast, &contacts).await?;
    let outcome = scene.finished(&broadcast).await?;
    ensure!(outcome["outcomes"]["delivered"] == 10, "{outcome}");
    scene.all_reached_once(&contacts).await
}

/// Waits until the event's stream holds so many of the scene's.
async fn published(scene: &Scene, event: &str, count: usize) -> anyhow::Result<()> {
    let stream = stream_of(event).context("event belongs to no stream")?;
    let stream = scene.bus.get_stream(stream).await?;
    let filter = format!("{event}.{}.>", scene.brand.tenant_id);
    eventually(async || {
        let subjects: Vec<_> = stream.info_with_subjects(&filter).await?.try_collect().await?;
        let held: usize = subjects.iter().map(|(_, count)| count).sum();
        ensure!(held == count, "{subjects:?}");
        anyhow::Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn doubled_and_reordered_events_are_in_effect_once() -> anyhow::Result<()> {
    let set = Set::start("doubled").await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let mut contacts = scene.scan_many(10).await?;
    scene.all_welcomed_once(&contacts).await?;
    let stream = scene.bus.get_stream("CUSTOMERS").await?;
    let last = stream.cached_info().state.last_sequence;
    // Backwards and three times, each under a message id that the server has not seen.
    for _ in 0..3 {
        for sequence in (1..=last).rev() {
            let message = stream.get_raw_message(sequence).await?;
            let mut headers = message.headers.clone();
            headers.insert("Nats-Msg-Id", uuid::Uuid::now_v7().to_string());
            let copy = PublishMessage::build().headers(headers).payload(message.payload);
            scene.bus.send_publish(message.subject, copy).await?.await?;
        }
    }
    // A contact who scans now is told of behind all the copies.
    contacts.push(scene.scan("wx-behind").await?);
    scene.all_welcomed_once(&contacts).await
}
