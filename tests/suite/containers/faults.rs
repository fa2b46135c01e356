//! Containers stopped, cut off and killed: what each is needed for, what is told meanwhile, and that it heals.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use client::Ask;
use futures::future::try_join_all;
use reqwest::StatusCode;
use serde_json::json;
use testkit::{READY, eventually};

use super::fleet::Fleet;
use super::journey;
use super::network::{Line, docker};
use super::servers::Servers;
use crate::scene::{Contact, Scene};

/// How soon a service must notice that its database is away, and say so.
const NOTICED: Duration = Duration::from_secs(5);
/// Nothing is refused when the bus is silent: only its pings tell.
const SILENCE_NOTICED: Duration = Duration::from_secs(20);
const SERVICES: [&str; 5] = ["identity", "customers", "groups", "broadcast", "referral"];

/// Containers that are killed together, the journey that needs them, and what it says without them.
const NEEDS: [(&[&str], &str, &[&str]); 8] = [
    (
        &["identity"],
        "journeys::befriend::one_contact_of_two_members_is_one_person",
        &["POST identity /v1/tenants", "Connection refused"],
    ),
    (
        &["customers"],
        "journeys::befriend::one_contact_of_two_members_is_one_person",
        &["POST customers /v1/codes", "Connection refused"],
    ),
    (
        &["groups"],
        "journeys::groups::a_full_group_sends_the_next_contact_to_a_new_one",
        &["POST groups /v1/series", "Connection refused"],
    ),
    (
        &["broadcast"],
        "journeys::befriend::a_scan_befriends_and_welcomes_exactly_once",
        &["GET broadcast /v1/inbox", "Connection refused"],
    ),
    // One of them would do the other's work.
    (
        &["broadcast-worker-1", "broadcast-worker-2"],
        "journeys::broadcast::nothing_goes_out_before_its_sender_confirms",
        &["not within", "\"delivered\":0"],
    ),
    (
        &["referral"],
        "journeys::commission::the_source_plan_pays_189_80_and_a_refund_takes_it_back",
        &["POST referral /v1/plans/yunji-demo", "Connection refused"],
    ),
    // Nobody hears that the brand is verified.
    (
        &["nats"],
        "journeys::befriend::one_contact_of_two_members_is_one_person",
        &["POST customers /v1/codes: 409 tenant_unverified"],
    ),
    (
        &["postgres"],
        "journeys::befriend::one_contact_of_two_members_is_one_person",
        &["POST identity /v1/", ": 503 unavailable"],
    ),
];

pub(super) async fn stopped_postgres_is_told(
    servers: &Servers,
    fleet: &Fleet<'_>,
    scene: &Scene,
) -> anyhow::Result<()> {
    servers.postgres.stop().await?;
    for service in SERVICES {
        refused_for_now(write(scene, service)).await?;
    }
    fleet.all_answer(StatusCode::SERVICE_UNAVAILABLE, NOTICED).await?;
    servers.postgres.start().await?;
    fleet.all_answer(StatusCode::OK, READY).await?;
    welcomed(scene, "after-postgres").await
}

/// From everything, from Postgres alone, from NATS alone: whoever asks is told the truth.
pub(super) async fn cut_offs_are_told_and_heal(fleet: &Fleet<'_>, scene: &Scene) -> anyhow::Result<()> {
    // A join needs no bus. That the bus is away is told; what happened meanwhile, once it is back.
    // Both replicas are cut off: one that reaches the bus publishes what the other has recorded.
    let groups = [fleet.container("groups")?.id(), fleet.container("groups-2")?.id()];
    let (series, visitor) = (scene.series(10).await?, newcomer(scene, "without-nats").await?);
    scene.all_welcomed_once(std::slice::from_ref(&visitor)).await?;
    for replica in groups {
        fleet.network.disconnect(Line::Nats, replica).await?;
    }
    // A 503 is an answer, too: whoever gets it tries again.
    eventually(async || scene.join(&series, &visitor).await).await?;
    for (name, lines) in [
        ("customers", &Line::ALL[..]),
        ("broadcast", &Line::ALL[..]),
        ("customers", &[Line::Postgres][..]),
    ] {
        cut_off_refuses(fleet, scene, name, lines)
            .await
            .with_context(|| format!("{name} from {lines:?}"))?;
    }
    fleet
        .answers("groups", StatusCode::SERVICE_UNAVAILABLE, SILENCE_NOTICED)
        .await?;
    let told = scene.inbox(&visitor).await?;
    ensure!(told.len() == 1, "groups is not cut off from NATS: {told:?}");
    for replica in groups {
        fleet.network.connect(Line::Nats, replica, "groups").await?;
    }
    fleet.answers("groups", StatusCode::OK, READY).await?;
    scene.all_greeted_once(&[visitor]).await
}

async fn cut_off_refuses(fleet: &Fleet<'_>, scene: &Scene, name: &str, lines: &[Line]) -> anyhow::Result<()> {
    let id = fleet.container(name)?.id();
    for line in lines {
        fleet.network.disconnect(*line, id).await?;
    }
    fleet
        .answers(name, StatusCode::SERVICE_UNAVAILABLE, NOTICED)
        .await?;
    refused_for_now(write(scene, name)).await?;
    for line in lines {
        fleet.network.connect(*line, id, name).await?;
    }
    fleet.answers(name, StatusCode::OK, READY).await?;
    welcomed(scene, &format!("after-{name}-{}", lines.len())).await
}

/// `docker kill` of each container: the journey that needs it fails. Then it is started again.
pub(super) async fn each_is_needed(servers: &Servers, fleet: &Fleet<'_>) -> anyhow::Result<()> {
    for (names, needed_by, words) in NEEDS {
        let containers: Vec<_> = names
            .iter()
            .map(|name| match *name {
                "postgres" => Ok(&servers.postgres),
                "nats" => Ok(&servers.nats),
                name => fleet.container(name),
            })
            .collect::<anyhow::Result<_>>()?;
        for container in &containers {
            docker(&["kill", container.id()]).await?;
        }
        journey::fails(servers, needed_by, words)
            .await
            .with_context(|| format!("without {names:?}"))?;
        try_join_all(containers.iter().map(|container| container.start())).await?;
        fleet.all_answer(StatusCode::OK, READY).await?;
    }
    // The second replicas, which no journey asks alone.
    for name in fleet.names().filter(|name| name.ends_with("-2")) {
        docker(&["kill", fleet.container(name)?.id()]).await?;
        fleet.container(name)?.start().await?;
    }
    fleet.all_answer(StatusCode::OK, READY).await
}

async fn newcomer(scene: &Scene, external_id: &str) -> anyhow::Result<Contact> {
    let contact = scene.scan(external_id).await?;
    ensure!(contact.first, "a refused scan left something behind: {contact:?}");
    Ok(contact)
}

async fn welcomed(scene: &Scene, external_id: &str) -> anyhow::Result<()> {
    let contact = newcomer(scene, external_id).await?;
    scene.all_welcomed_once(&[contact]).await
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
