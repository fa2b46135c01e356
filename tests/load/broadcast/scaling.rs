//! What more workers bring when the receiver takes its time: each has at most 50 calls under way, so four of them should
//! do four times as much.

use std::time::Duration;

use super::run::Way;
use super::{World, say};
use crate::crowd::Crowd;
use crate::figure::{Figures, median};

const DELAY: Duration = Duration::from_millis(50);
const WORKERS: usize = 4;
/// A worker's part: 100,000 recipients a round, as long alone as with the others.
const RECIPIENTS: usize = 20_000;
const ACCOUNT: &str = "slow";

pub(super) async fn measure(world: &mut World<'_>, figures: &mut Figures) -> anyhow::Result<()> {
    let mut crowd = Crowd::found(world.set.stack(), &world.superuser).await?;
    crowd.set_webhook(&world.sink.url(ACCOUNT)).await?;
    world.sink.delay(DELAY);
    let mut times = Vec::new();
    for round in 1..=world.rounds {
        let mut rates = [0.0; 2];
        for (rate, workers) in rates.iter_mut().zip([1, WORKERS]) {
            let (tag, recipients) = (
                format!("round-{round}-{workers}"),
                world.part_of(RECIPIENTS) * workers,
            );
            crowd.grow(&tag, recipients).await?;
            crowd.sign_in().await?;
            world.workers.scale(world.set, workers).await?;
            let secs = world
                .send(&crowd, &tag, Way::Webhook(ACCOUNT), recipients)
                .await?;
            *rate = recipients as f64 / secs;
        }
        let [one, four] = rates;
        say(&format!(
            "round {round}: one worker {one:.0}/s, {WORKERS} {four:.0}/s"
        ));
        times.push(four / one);
    }
    world.sink.delay(Duration::ZERO);
    figures.add(
        "broadcast_scaling_1_to_4",
        median(&times),
        "times",
        Some(WORKERS as f64),
    )
}
