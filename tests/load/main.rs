//! `make bench`: figures of a release build, each with its own check, beside a baseline of the same run.

mod befriend;
mod container;
mod figure;
mod half_load;
mod hop;
mod http;
mod lane;
mod people;
mod process;
mod relay;
mod scene;

use clap::Parser;
use testkit::Set;

use crate::figure::Figures;
use crate::scene::Scene;

/// Measures the services of a release build on a stack of their own.
#[derive(Parser)]
struct Arguments {
    /// Measure only what has one of these in its name.
    only: Vec<String>,
    /// Rounds whose median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load in a round.
    #[arg(long, default_value_t = 5)]
    round_secs: u64,
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.contains(only.as_str()))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut figures = Figures::new()?;
    // On a stack of its own, before another one shares the machine.
    if arguments.wants("relay") {
        relay::measure(&mut figures, arguments.rounds).await?;
    }
    if arguments.only == ["relay"] {
        return figures.print();
    }
    let mut set = Set::start("bench").await?;
    if arguments.wants("rss") || arguments.wants("ready") {
        process::measure(&mut set, &mut figures).await?;
    }
    if arguments.wants("container_ready") {
        container::measure(&mut set, &mut figures).await?;
    }
    let scene = Scene::set(set.stack()).await?;
    if arguments.wants("event_hop") {
        hop::measure(&set, &scene, &mut figures).await?;
    }
    if arguments.wants("half_load") {
        half_load::measure(&set, &scene, &mut figures, arguments.round_secs).await?;
    }
    if arguments.wants("befriend") {
        befriend::measure(
            &mut set,
            &scene,
            &mut figures,
            arguments.rounds,
            arguments.round_secs,
        )
        .await?;
    }
    figures.print()
}
