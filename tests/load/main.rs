//! `make bench`: figures of a release build, each with its own check, beside a baseline of the same run.

mod befriend;
mod broadcast;
mod container;
mod crowd;
mod figure;
mod half_load;
mod hop;
mod http;
mod lane;
mod people;
mod process;
mod relay;
mod rivals;
mod scene;
mod sink;

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
    /// Workers that send mass messages, where the figure does not say how many.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// How many of the usual recipients mass messages have; fewer only to try the figures out.
    #[arg(long, default_value_t = 100, value_name = "PERCENT")]
    recipients: usize,
    /// Only receive webhooks, and say on request what came.
    #[arg(long)]
    sink: bool,
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.contains(only.as_str()))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.sink {
        return rivals::serve_sink();
    }
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
    if ["event_hop", "half_load", "befriend"]
        .iter()
        .any(|name| arguments.wants(name))
    {
        of_a_scene(&mut set, &mut figures, &arguments).await?;
    }
    // Last: the set's own workers do not come back.
    if broadcast::is_wanted(&arguments) {
        broadcast::measure(&mut set, &mut figures, &arguments).await?;
    }
    figures.print()
}

/// Figures of a brand with one code.
async fn of_a_scene(set: &mut Set, figures: &mut Figures, arguments: &Arguments) -> anyhow::Result<()> {
    let scene = Scene::set(set.stack()).await?;
    if arguments.wants("event_hop") {
        hop::measure(set, &scene, figures).await?;
    }
    if arguments.wants("half_load") {
        half_load::measure(set, &scene, figures, arguments.round_secs).await?;
    }
    if arguments.wants("befriend") {
        befriend::measure(set, &scene, figures, arguments.rounds, arguments.round_secs).await?;
    }
    Ok(())
}
