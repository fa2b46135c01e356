//! Watching a mass message being delivered, live, and killing one of the two workers on the way.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::timeout;

use crate::brand::Shop;
use crate::run::Run;

use super::live::Live;
use super::message::Progress;
use super::worker::{Before, Death};

/// Nothing moves for so long: something is wrong. A dead worker's share is taken up sooner.
const PATIENCE: Duration = Duration::from_secs(90);
/// The worker dies when this much is done, in percent, and surely before `KILL_BEFORE`.
const KILL_FROM: u64 = 30;
const KILL_BEFORE: u64 = 70;
/// Smaller audiences may be delivered between two looks.
const KILLABLE: usize = 300;

/// Follows it until every recipient has a terminal state. One of `mortals`, if there are any, dies
/// on the way.
pub(crate) async fn to_the_end(
    run: &mut Run<'_>,
    shop: &Shop,
    mut progress: Progress,
    mortals: Option<&Before>,
) -> anyhow::Result<(Progress, Option<Death>)> {
    let audience = usize::try_from(progress.audience)?;
    let bar = run.screen.bar(&progress.title, audience);
    let mut live = Live::open(run, shop, &progress.broadcast_id).await?;
    let mut death = None;
    while progress.state != "finished" {
        // Silence is told, too, but as nothing that moved.
        let look = timeout(PATIENCE, live.next()).await.with_context(|| {
            format!(
                "{}: nothing moved for {PATIENCE:?}; {} of {} are settled: {}",
                progress.title,
                progress.settled(),
                progress.audience,
                progress.by_state(),
            )
        })?;
        let Some(look) = look? else {
            live = Live::open(run, shop, &progress.broadcast_id).await?;
            continue;
        };
        (progress.state, progress.audience, progress.outcomes) = (look.state, look.audience, look.outcomes);
        bar.set(progress.settled(), &progress.by_state());
        if let (Some(workers), None, true) = (mortals, &death, is_midway(&progress)) {
            death = Some(workers.kill_one(run, &progress).await?);
        }
    }
    if mortals.is_some() && death.is_none() {
        run.checks.holds(audience < KILLABLE, || {
            format!("no worker was killed while {audience} were delivered")
        });
    }
    Ok((progress, death))
}

fn is_midway(progress: &Progress) -> bool {
    let percent = progress.settled() * 100 / progress.audience.max(1);
    (KILL_FROM..=KILL_BEFORE).contains(&percent) && progress.state == "running"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_dies_midway() {
        let at = |delivered: u64| Progress {
            broadcast_id: String::new(),
            title: String::new(),
            state: "running".to_owned(),
            audience: 1_200,
            outcomes: [("delivered".to_owned(), delivered)].into(),
            tasks: Vec::new(),
        };
        assert_eq!(
            [359, 360, 840, 852].map(|n| is_midway(&at(n))),
            [false, true, true, false]
        );
    }
}
