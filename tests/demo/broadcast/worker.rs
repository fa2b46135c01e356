//! The two workers: how much each has delivered, and the end of one of them.

use std::fmt;

use crate::metrics::Metrics;
use crate::run::Run;
use crate::screen::percent;

use super::message::Progress;

const WORKERS: [&str; 2] = ["broadcast-worker-1", "broadcast-worker-2"];
/// Smaller audiences may be one worker's work.
const SHARED: u64 = 300;

/// What the workers had delivered when a mass message began.
pub(crate) struct Before([u64; 2]);

/// How a worker ended.
pub(crate) struct Death {
    worker: &'static str,
    survivor: &'static str,
    /// Delivered by the survivor before.
    survivor_before: u64,
    settled: u64,
    audience: u64,
}

impl Before {
    pub(crate) async fn read(run: &Run<'_>) -> anyhow::Result<Self> {
        Ok(Self([
            delivered(run, WORKERS[0]).await?,
            delivered(run, WORKERS[1]).await?,
        ]))
    }

    /// Kills the worker that has more in its hands, without a word.
    pub(crate) async fn kill_one(&self, run: &Run<'_>, progress: &Progress) -> anyhow::Result<Death> {
        let now = Self::read(run).await?;
        let busier = usize::from(now.0[1] - self.0[1] > now.0[0] - self.0[0]);
        run.home.kill(&run.stack, WORKERS[busier]).await?;
        Ok(Death {
            worker: WORKERS[busier],
            survivor: WORKERS[1 - busier],
            survivor_before: self.0[1 - busier],
            settled: progress.settled(),
            audience: progress.audience,
        })
    }
}

async fn delivered(run: &Run<'_>, worker: &str) -> anyhow::Result<u64> {
    let metrics = Metrics::of(&run.stack, &run.api, worker).await?;
    Ok(metrics.sum("broadcast_recipients_total", &[("outcome", "delivered")]))
}

impl Death {
    /// Both had a part in it: what the survivor delivered is neither nothing nor all.
    pub(crate) async fn check(&self, run: &mut Run<'_>, progress: &Progress) -> anyhow::Result<()> {
        let survivor = delivered(run, self.survivor)
            .await?
            .saturating_sub(self.survivor_before);
        let all = progress.outcomes.get("delivered").copied().unwrap_or(0);
        run.checks
            .holds(self.audience < SHARED || (1..all).contains(&survivor), || {
                format!(
                    "{} delivered {survivor} of {all}: the workers did not share the work",
                    self.survivor
                )
            });
        run.part(
            &format!("by {}, the survivor", self.survivor),
            usize::try_from(survivor)?,
        );
        Ok(())
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            worker,
            settled,
            audience,
            ..
        } = self;
        write!(
            f,
            "kill -9 of {worker} at {settled} of {audience}, {}",
            percent(*settled, *audience)
        )
    }
}
