//! The whole set in containers: what only containers can show, and every journey over what the faults left.

mod balancer;
mod faults;
mod fleet;
mod journey;
mod load;
mod memory;
mod network;
mod rollout;
mod servers;

use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::scene::Scene;
use fleet::Fleet;
use network::Network;
use servers::Servers;

/// One set for all of it, for to start it takes as long as to break it.
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
    let began = Instant::now();
    // It goes last: it can't while containers are on it.
    let network = Network::create().await?;
    let servers = Servers::start(&network).await?;
    let fleet = Fleet::start(&servers, &network).await?;
    servers.are_those_in_use().await?;
    fleet.are_those_in_use().await?;
    let scene = Scene::set(&servers.stack, 1).await?;
    told("start", began);
    step(
        "a rolling restart under load",
        rollout::loses_nothing(&servers, &fleet, &scene),
    )
    .await?;
    step(
        "Postgres stopped",
        faults::stopped_postgres_is_told(&servers, &fleet, &scene),
    )
    .await?;
    step(
        "services cut off",
        faults::cut_offs_are_told_and_heal(&fleet, &scene),
    )
    .await?;
    step("each container killed", faults::each_is_needed(&servers, &fleet)).await?;
    step("all journeys", journey::all(&servers)).await?;
    step("memory under load", memory::holds(&servers, &fleet, &scene)).await
}

async fn step(what: &'static str, step: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let began = Instant::now();
    step.await.context(what)?;
    told(what, began);
    Ok(())
}

fn told(what: &str, began: Instant) {
    say(&format!("{what}: {:.1} s", began.elapsed().as_secs_f64()));
}

#[expect(clippy::print_stdout, reason = "a test's figures are read in its output")]
fn say(figure: &str) {
    println!("{figure}");
}

/// Services set CI to `true`, to `1` or to their name.
pub(crate) fn is_ci() -> bool {
    let ci = std::env::var("CI").unwrap_or_default();
    !["", "false", "0"].contains(&ci.as_str())
}
