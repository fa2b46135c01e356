//! Postgres and NATS killed, a stream wiped, events doubled: nothing lost, nothing twice in effect.

use anyhow::{Context as _, ensure};
use async_nats::ConnectOptions;
use async_nats::jetstream::{self, message::PublishMessage};
use futures::TryStreamExt as _;
use reqwest::StatusCode;
use serde_json::json;
use testkit::{Infra, Set, Stack, eventually};

use crate::scene::Scene;

async fn admin(stack: &Stack) -> anyhow::Result<jetstream::Context> {
    let nats = &stack.description().nats;
    let user = &nats.users["admin"];
    let client = ConnectOptions::with_user_and_password(user.user.clone(), user.password.clone())
        .custom_inbox_prefix(&user.inbox)
        .connect(&nats.url)
        .await?;
    Ok(jetstream::new(client))
}

async fn heal(set: &Set) -> anyhow::Result<()> {
    let stack = set.stack();
    tokio::task::block_in_place(|| stack.heal())
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_killed_and_started_again_delays_events_only() -> anyhow::Result<()> {
    let set = Set::start("nats").await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let mut contacts = scene.scan_many(5).await?;
    set.stack().kill(Infra::Nats)?;
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
    set.stack().kill(Infra::Postgres)?;
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
    let set = Set::start("wiped").await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let contacts = scene.scan_many(10).await?;
    let jetstream = admin(set.stack()).await?;
    let names: Vec<String> = jetstream.stream_names().try_collect().await?;
    ensure!(
        names.len() >= 6,
        "five event streams and the work queue: {names:?}"
    );
    for name in &names {
        jetstream.delete_stream(name).await?;
    }
    scene.all_welcomed_once(&contacts).await?;
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    scene.confirm_all(&broadcast, 2).await?;
    let outcome = scene.finished(&broadcast).await?;
    ensure!(outcome["outcomes"]["delivered"] == 10, "{outcome}");
    let series = scene.series(100).await?;
    for contact in &contacts {
        scene.join(&series, contact).await?;
    }
    scene.all_welcomed_once(&contacts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn doubled_and_reordered_events_are_in_effect_once() -> anyhow::Result<()> {
    let set = Set::start("doubled").await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let contacts = scene.scan_many(10).await?;
    scene.all_welcomed_once(&contacts).await?;
    let jetstream = admin(set.stack()).await?;
    let mut stream = jetstream.get_stream("CUSTOMERS").await?;
    let last = stream.info().await?.state.last_sequence;
    // Backwards and three times, each under a message id that the server has not seen.
    for _ in 0..3 {
        for sequence in (1..=last).rev() {
            let message = stream.get_raw_message(sequence).await?;
            let mut headers = message.headers.clone();
            headers.insert("Nats-Msg-Id", uuid::Uuid::now_v7().to_string());
            let copy = PublishMessage::build().headers(headers).payload(message.payload);
            jetstream.send_publish(message.subject, copy).await?.await?;
        }
    }
    // A contact who scans now is told of behind all the copies.
    let behind = scene.scan("wx-behind").await?;
    scene.all_welcomed_once(&[behind]).await?;
    eventually(async || {
        let inspected = stream.info().await?.state.last_sequence;
        let consumer: jetstream::consumer::PullConsumer = stream
            .get_consumer("broadcast-welcome")
            .await
            .map_err(|error| anyhow::anyhow!(error))?;
        let info = consumer.get_info().await?;
        ensure!(
            info.num_pending == 0 && info.num_ack_pending == 0,
            "{inspected}: {info:?}"
        );
        anyhow::Ok(())
    })
    .await?;
    scene.all_welcomed_once(&contacts).await
}
