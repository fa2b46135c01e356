//! Mass messages from the confirmation to the last receipt, beside what the machine can do at all. Every figure
//! checks that each recipient was reached, once, and that the receipts say so.

mod limit;
mod million;
mod rates;
mod run;
mod scaling;
mod workers;

use sqlx::PgPool;
use testkit::Set;

use self::workers::Workers;
use crate::Arguments;
use crate::figure::Figures;
use crate::sink::Sink;

const FIGURES: [&str; 8] = [
    "broadcast_webhook_per_s",
    "broadcast_inbox_per_s",
    "broadcast_scaling_1_to_4",
    "audience_1m_s",
    "forecast_1m_s",
    "urgent_delay_s",
    "worker_rss_mib",
    "million",
];

/// What all of them need.
struct World<'a> {
    set: &'a Set,
    superuser: PgPool,
    sink: Sink,
    workers: Workers,
    rounds: usize,
    workers_count: usize,
    recipients_percent: usize,
}

impl World<'_> {
    /// So many recipients, or the part of them that was asked for.
    fn part_of(&self, recipients: usize) -> usize {
        recipients * self.recipients_percent / 100
    }
}

pub(crate) fn is_wanted(arguments: &Arguments) -> bool {
    FIGURES.iter().any(|figure| arguments.wants(figure))
}

pub(crate) async fn measure(
    set: &mut Set,
    figures: &mut Figures,
    arguments: &Arguments,
) -> anyhow::Result<()> {
    let workers = Workers::take_over(set).await?;
    let mut world = World {
        superuser: PgPool::connect(&set.stack().description().postgres.superuser_url).await?,
        set,
        sink: Sink::open()?,
        workers,
        rounds: arguments.rounds,
        workers_count: arguments.workers,
        recipients_percent: arguments.recipients,
    };
    if arguments.wants("broadcast_webhook_per_s") {
        rates::webhook(&mut world, figures).await?;
    }
    if arguments.wants("broadcast_inbox_per_s") {
        rates::inbox(&mut world, figures).await?;
    }
    if arguments.wants("broadcast_scaling_1_to_4") {
        scaling::measure(&mut world, figures).await?;
    }
    let of_the_million = [
        "audience_1m_s",
        "forecast_1m_s",
        "urgent_delay_s",
        "worker_rss_mib",
        "million",
    ];
    if of_the_million.iter().any(|name| arguments.wants(name)) {
        million::measure(&mut world, figures).await?;
    }
    world.workers.scale(world.set, 0).await
}

#[expect(clippy::print_stdout, reason = "what a long run is at")]
fn say(text: &str) {
    println!("{text}");
}
