//! One journey over Postgres and NATS in containers: the images, the provisioning and the permissions work outside of
//! the local stack, too.

mod fleet;
mod servers;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use client::Ask;
use reqwest::StatusCode;
use serde_json::json;
use testkit::READY;

use crate::scene::Scene;
use fleet::{Fleet, Network};
use servers::Servers;

/// How soon a service must notice that its database is away, and say so.
const NOTICED: Duration = Duration::from_secs(5);
const SERVICES: [&str; 5] = ["identity", "customers", "groups", "broadcast", "referral"];

#[tokio::test(flavor = "multi_thread")]
async fn the_set_in_containers_does_its_work_and_gets_over_its_faults() -> anyhow::Result<()> {
    if let Err(missing) = servers::engine().await {
        ensure!(
            !is_ci(),
            "CI starts a Docker engine, but none answers: {missing:#}"
        );
        println!("skipped: no Docker engine answers: {missing:#}");
        return Ok(());
    }
    // It goes last: it can't while containers are on it.
    let network = Network::create()?;
    let servers = Servers::start(&network).await?;
    let fleet = Fleet::start(&servers.stack, &network).await?;
    servers.are_those_in_use().await?;
    fleet.are_those_in_use().await?;
    journeys_run(&servers).await.context("the journeys")?;
    let scene = Scene::set(&servers.stack, 1).await?;
    stopped_postgres_is_told(&servers, &fleet, &scene)
        .await
        .context("Postgres stopped")?;
    for name in ["customers", "broadcast"] {
        cut_off_is_told(&fleet, &scene, name)
            .await
            .with_context(|| format!("{name} cut off"))?;
    }
    killed_and_started_again(&servers, &fleet, &scene)
        .await
        .context("each container killed")
}

/// All journeys on the shared set, unchanged, by this very program; those that start a set of their own stay out.
async fn journeys_run(servers: &Servers) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command
        .args(["journeys::", "--test-threads", "4"])
        .args(["--skip", "journeys::demo", "--skip", "journeys::trace"])
        .env("SHEQUN_TEST_STATE", servers.stack.state())
        .kill_on_drop(true);
    let output = command.output().await?;
    let told = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{told}\n{said}");
    let result = told.lines().find(|line| line.starts_with("test result: ok. "));
    let result = result.with_context(|| format!("no result in {told}"))?;
    ensure!(!result.contains(" 0 passed"), "{result}");
    Ok(())
}

async fn stopped_postgres_is_told(servers: &Servers, fleet: &Fleet<'_>, scene: &Scene) -> anyhow::Result<()> {
    servers.postgres.stop().await?;
    for service in SERVICES {
        refused_for_now(write(scene, service)).await?;
    }
    fleet.all_answer(StatusCode::SERVICE_UNAVAILABLE, NOTICED).await?;
    servers.postgres.start().await?;
    fleet.all_answer(StatusCode::OK, READY).await?;
    newcomer_is_welcomed(scene, "after-postgres").await
}

/// Neither Postgres nor NATS nor a peer can be reached; the customer still can, and is told to come again.
async fn cut_off_is_told(fleet: &Fleet<'_>, scene: &Scene, name: &str) -> anyhow::Result<()> {
    let container = fleet.container(name)?;
    fleet.network.disconnect(container.id())?;
    fleet
        .answers(name, StatusCode::SERVICE_UNAVAILABLE, NOTICED)
        .await?;
    refused_for_now(write(scene, name)).await?;
    fleet.network.connect(container.id(), name)?;
    fleet.answers(name, StatusCode::OK, READY).await?;
    newcomer_is_welcomed(scene, &format!("after-{name}")).await
}

/// `docker kill` of each container in turn: without it the journey that needs it fails, with it again nothing is lost.
async fn killed_and_started_again(servers: &Servers, fleet: &Fleet<'_>, scene: &Scene) -> anyhow::Result<()> {
    for name in fleet.names() {
        fleet::docker(&["kill", fleet.container(name)?.id()])?;
        fleet.container(name)?.start().await?;
    }
    for server in [&servers.postgres, &servers.nats] {
        fleet::docker(&["kill", server.id()])?;
        ensure!(
            scene.scan("while-killed").await.is_err() || server.id() == servers.nats.id(),
            "a scan succeeded without Postgres"
        );
        server.start().await?;
    }
    fleet.all_answer(StatusCode::OK, READY).await?;
    newcomer_is_welcomed(scene, "after-kills").await
}

async fn newcomer_is_welcomed(scene: &Scene, external_id: &str) -> anyhow::Result<()> {
    let contact = scene.scan(external_id).await?;
    ensure!(contact.first, "a refused scan left something behind: {contact:?}");
    scene.all_welcomed_once(&[contact]).await
}

/// Services set CI to `true`, to `1` or to their name.
pub(crate) fn is_ci() -> bool {
    let ci = std::env::var("CI").unwrap_or_default();
    !["", "false", "0"].contains(&ci.as_str())
}

/// A request that would write.
fn write(scene: &Scene, service: &str) -> Ask {
    let (api, operator) = (&scene.api, &scene.operator.token);
    let (path, token, body) = match service {
        "identity" => {
            let owner = json!({
                "email": "owner@late.example", "name": "王 雅婷", "password": "correct horse battery staple",
            });
            let body = json!({"slug": "late-brand", "name": "Late", "owner": owner});
            return api.post(service, "/v1/tenants").json(&body);
        }
        "customers" => {
            let body = json!({"code": scene.code, "external_id": "wx-refused"});
            return api.post(service, "/v1/scans").json(&body);
        }
        "groups" => (
            "/v1/series",
            operator,
            json!({"name": "VIP", "theme": "skin care", "benefit": "samples"}),
        ),
        "broadcast" => (
            "/v1/broadcasts",
            operator,
            json!({
                "kind": "enterprise", "title": "Spring", "text": "The spring colours are here",
                "audience": {"tags_any": ["sticker"]}, "channel": "inbox",
            }),
        ),
        _ => ("/v1/plans/yunji-demo", &scene.brand.owner.token, json!({})),
    };
    api.post(service, path).token(token).json(&body)
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
