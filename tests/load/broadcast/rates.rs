//! Recipients per second by channel, each round beside the limit of the same moment.

use super::limit::Limit;
use super::run::Way;
use super::{World, say};
use crate::crowd::Crowd;
use crate::figure::{Figures, median};

const RECIPIENTS: usize = 60_000;
const LIMIT_SECS: u64 = 2;

pub(super) async fn webhook(world: &mut World<'_>, figures: &mut Figures) -> anyhow::Result<()> {
    let account = "webhook";
    let crowd = Crowd::found(world.set.stack(), &world.superuser).await?;
    crowd.set_webhook(&world.sink.url(account)).await?;
    let (rate, limit) = rounds(world, crowd, Way::Webhook(account), Limit::webhook_per_s).await?;
    figures.add("broadcast_webhook_per_s", rate, "1/s", Some(limit))
}

pub(super) async fn inbox(world: &mut World<'_>, figures: &mut Figures) -> anyhow::Result<()> {
    let crowd = Crowd::found(world.set.stack(), &world.superuser).await?;
    let (rate, limit) = rounds(world, crowd, Way::Inbox, Limit::inbox_per_s).await?;
    figures.add("broadcast_inbox_per_s", rate, "1/s", Some(limit))
}

/// Every round sends to contacts of its own, whose caps are free.
async fn rounds(
    world: &mut World<'_>,
    mut crowd: Crowd,
    way: Way<'_>,
    of: fn(&Limit) -> f64,
) -> anyhow::Result<(f64, f64)> {
    world.workers.scale(world.set, world.workers_count).await?;
    let recipients = world.part_of(RECIPIENTS);
    let (mut rates, mut limits) = (Vec::new(), Vec::new());
    // The first round only warms up.
    for round in 0..=world.rounds {
        let tag = format!("round-{round}");
        crowd.grow(&tag, recipients).await?;
        crowd.sign_in().await?;
        let folder = world.set.stack().state();
        let limit = Limit::measure(&world.superuser, &world.sink, folder, LIMIT_SECS).await?;
        let rate = recipients as f64 / world.send(&crowd, &tag, way, recipients).await?;
        say(&format!(
            "round {round}: {rate:.0}/s of {:.0}/s: {limit}",
            of(&limit)
        ));
        if round > 0 {
            rates.push(rate);
            limits.push(of(&limit));
        }
    }
    Ok((median(&rates), median(&limits)))
}
