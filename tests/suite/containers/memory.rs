//! 128 MiB for each service, held under load: no process is ended for want of memory.
//!
//! What is measured is *anonymous* memory, once a second: what a process can't give back. The limit counts the page
//! cache, too, of which the kernel takes back what it needs; that nobody was killed is asked of the engine.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use client::{Api, PASSWORD};
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use serde_json::json;
use testcontainers::core::client::docker_client_instance;

use super::fleet::{Fleet, MEMORY_BYTES_MAX};
use super::load::paid;
use super::say;
use super::servers::Servers;
use crate::scene::{Contact, Scene};

const SCANS: usize = 1_000;
/// Two replicas have connections to Postgres for no more; who waits too long for one is told to come again.
const SCANS_AT_ONCE: usize = 16;
/// Of the newcomers, who joins a series and who buys.
const JOINS_EACH: usize = 20;
const IMPORTED_ROWS: usize = 10_000;
const LOGINS: usize = 24;
const LOGINS_AT_ONCE: usize = 8;
const MIB: u64 = 1024 * 1024;

/// The most that was seen of a container.
#[derive(Default, Clone, Copy)]
struct Peak {
    anonymous: u64,
    /// With the page cache, as the kernel counts it against the limit.
    whole: u64,
    limit: u64,
}

pub(super) async fn holds(servers: &Servers, fleet: &Fleet<'_>, scene: &Scene) -> anyhow::Result<()> {
    let peaks = Mutex::new(BTreeMap::new());
    let watch = try_join_all(fleet.names().map(|name| watch(fleet, name, &peaks)));
    tokio::select! {
        done = press(servers, scene) => done?,
        ended = watch => anyhow::bail!("nobody watches: {:?}", ended.err()),
    }
    let peaks = peaks.into_inner().map_err(|_| anyhow::anyhow!("poisoned"))?;
    for name in fleet.names() {
        let peak: &Peak = peaks.get(name).with_context(|| format!("{name} was not seen"))?;
        let (anonymous, whole) = (peak.anonymous / MIB, peak.whole / MIB);
        say(&format!(
            "  {name}: {anonymous} MiB at most, {whole} MiB with its page cache"
        ));
        ensure!(
            peak.limit == MEMORY_BYTES_MAX.unsigned_abs(),
            "{name} may have {}",
            peak.limit
        );
        ensure!(fleet.is_whole(name).await?, "{name} was ended for want of memory");
    }
    Ok(())
}

async fn watch(fleet: &Fleet<'_>, name: &str, peaks: &Mutex<BTreeMap<String, Peak>>) -> anyhow::Result<()> {
    let docker = docker_client_instance().await?;
    let mut figures = Box::pin(docker.stats(fleet.container(name)?.id(), None));
    while let Some(figures) = figures.next().await {
        let Some(memory) = figures?.memory_stats else {
            continue;
        };
        let of = memory.stats.unwrap_or_default();
        // Control groups of version 2, or of version 1.
        let anonymous = of.get("anon").or_else(|| of.get("total_rss"));
        let mut peaks = peaks.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        let peak = peaks.entry(name.to_owned()).or_default();
        peak.anonymous = peak.anonymous.max(anonymous.copied().unwrap_or_default());
        peak.whole = peak
            .whole
            .max(memory.max_usage.or(memory.usage).unwrap_or_default());
        peak.limit = memory.limit.unwrap_or_default();
    }
    anyhow::bail!("{name} tells no more")
}

/// A crowd at the sticker, an import, orders and logins at the same time; then a mass message to the crowd.
async fn press(servers: &Servers, scene: &Scene) -> anyhow::Result<()> {
    let apis = [Api::new(&servers.stack), Api::new(&servers.second)];
    let began = Instant::now();
    let (crowd, (), ()) = tokio::try_join!(crowd(scene, &apis), import(scene), logins(scene, &apis))?;
    say(&format!(
        "  crowd, import and logins: {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    let began = Instant::now();
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    scene.confirm_all(&broadcast, &crowd).await?;
    let outcome = scene.finished(&broadcast).await?;
    let delivered = outcome["outcomes"]["delivered"].as_u64();
    ensure!(delivered.is_some_and(|all| all >= SCANS as u64), "{outcome}");
    say(&format!("  mass message: {:.1} s", began.elapsed().as_secs_f64()));
    Ok(())
}

async fn crowd(scene: &Scene, apis: &[Api; 2]) -> anyhow::Result<Vec<Contact>> {
    let series = scene.series(100).await?;
    let join = format!("/v1/series/{series}/join");
    stream::iter(0..SCANS)
        .map(async |n| {
            let api = &apis[n % apis.len()];
            let external_id = format!("wx-crowd-{n}");
            let body = json!({"code": scene.code, "external_id": external_id});
            let scan = api.post("customers", "/v1/scans").key("").json(&body);
            let contact = Contact::of(&external_id, &scan.ok().await?)?;
            if n % JOINS_EACH == 0 {
                let seat = api.post("groups", &join).token(&contact.token);
                seat.json(&json!({})).ok().await?;
                let order = paid(&external_id, &external_id);
                let event = api.post("referral", "/v1/order-events");
                event.token(&scene.operator.token).json(&order).ok().await?;
            }
            anyhow::Ok(contact)
        })
        .buffer_unordered(SCANS_AT_ONCE)
        .try_collect()
        .await
}

async fn import(scene: &Scene) -> anyhow::Result<()> {
    let rows = (0..IMPORTED_ROWS).map(|n| {
        let (front, back) = (n / 10_000, n % 10_000);
        format!("wx-imported-{n},陈 晨,+86 137 {front:04} {back:04},1990-02,vip\n")
    });
    let file = "external_id,name,phone,birth_month,tags\n".to_owned() + &rows.collect::<String>();
    let import = scene.api.post("customers", "/v1/imports");
    let report = import
        .token(&scene.operator.token)
        .timeout(std::time::Duration::from_secs(120))
        .body("text/csv", file)
        .ok()
        .await?;
    ensure!(report["created"] == IMPORTED_ROWS, "{report}");
    Ok(())
}

async fn logins(scene: &Scene, apis: &[Api; 2]) -> anyhow::Result<()> {
    let brand = &scene.brand;
    let login = json!({"tenant": brand.slug, "email": brand.owner.email, "password": PASSWORD});
    stream::iter(0..LOGINS)
        .map(async |n| {
            let answer = apis[n % apis.len()].post("identity", "/v1/login").json(&login);
            answer.ok().await.map(drop)
        })
        .buffer_unordered(LOGINS_AT_ONCE)
        .try_collect()
        .await
}
