//! One journey over Postgres and NATS in containers: the images, the provisioning and the permissions work outside of
//! the local stack, too.

mod servers;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use client::Ask;
use reqwest::StatusCode;
use serde_json::json;
use testkit::{READY, Set, Stack};

use crate::scene::Scene;
use servers::Servers;

/// How soon a service must notice that its database is away, and say so.
const NOTICED: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_welcomed_and_a_stopped_postgres_is_told() -> anyhow::Result<()> {
    if let Err(missing) = servers::engine().await {
        ensure!(
            !is_ci(),
            "CI starts a Docker engine, but none answers: {missing:#}"
        );
        println!("skipped: no Docker engine answers: {missing:#}");
        return Ok(());
    }
    let servers = Servers::start().await?;
    let set = Set::on(Stack::at(servers.stack.state())?, &[]).await?;
    let scene = Scene::set(&servers.stack, 1).await?;
    let contact = scene.scan("wx-1").await?;
    scene.all_welcomed_once(&[contact]).await?;
    servers.are_those_in_use().await?;
    println!("Postgres: container {}", servers.postgres.id());
    println!("NATS: container {}", servers.nats.id());

    servers.postgres.stop().await?;
    for write in writes(&scene) {
        refused_for_now(write).await?;
    }
    set.all_answer(StatusCode::SERVICE_UNAVAILABLE, NOTICED).await?;

    servers.postgres.start().await?;
    set.all_answer(StatusCode::OK, READY).await?;
    let contact = scene.scan("wx-2").await?;
    ensure!(
        contact.first,
        "the refused scan left something behind: {contact:?}"
    );
    scene.all_welcomed_once(&[contact]).await
}

/// Services set CI to `true`, to `1` or to their name.
fn is_ci() -> bool {
    let ci = std::env::var("CI").unwrap_or_default();
    !["", "false", "0"].contains(&ci.as_str())
}

/// A request per service that would write.
fn writes(scene: &Scene) -> Vec<Ask> {
    let (api, operator) = (&scene.api, &scene.operator.token);
    let owner =
        json!({"email": "owner@late.example", "name": "王 雅婷", "password": "correct horse battery staple"});
    vec![
        api.post("identity", "/v1/tenants")
            .json(&json!({"slug": "late-brand", "name": "Late", "owner": owner})),
        api.post("customers", "/v1/scans")
            .json(&json!({"code": scene.code, "external_id": "wx-2"})),
        api.post("groups", "/v1/series")
            .token(operator)
            .json(&json!({"name": "VIP", "theme": "skin care", "benefit": "samples"})),
        api.post("broadcast", "/v1/broadcasts")
            .token(operator)
            .json(&json!({
                "kind": "enterprise", "title": "Spring", "text": "The spring colours are here",
                "audience": {"tags_any": ["sticker"]}, "channel": "inbox",
            })),
        api.post("referral", "/v1/plans/yunji-demo")
            .token(&scene.brand.owner.token)
            .json(&json!({})),
    ]
}

async fn refused_for_now(write: Ask) -> anyhow::Result<()> {
    let asked = Instant::now();
    let answer = write.send().await?;
    ensure!(answer.status == StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    let retry_after = answer.headers.get("retry-after").context("no Retry-After")?;
    ensure!(retry_after.to_str()?.parse::<u32>()? > 0, "{answer:?}");
    ensure!(
        asked.elapsed() < NOTICED,
        "{} took {:?}",
        answer.what,
        asked.elapsed()
    );
    Ok(())
}
