//! What a service costs before it does anything: memory when idle, time from start to ready.

use std::time::{Duration, Instant};

use testkit::Set;

use crate::figure::{Figures, median};

pub(crate) const SERVICES: [&str; 5] = ["broadcast", "customers", "groups", "identity", "referral"];
pub(crate) const STARTS: usize = 5;
/// Long enough for every loop of a service to have run at least once.
const IDLE: Duration = Duration::from_secs(10);

pub(crate) async fn measure(set: &mut Set, figures: &mut Figures) -> anyhow::Result<()> {
    for service in SERVICES {
        let mut starts = Vec::with_capacity(STARTS);
        for _ in 0..STARTS {
            set.terminate(service).await?;
            let began = Instant::now();
            set.run(service, None).await?;
            starts.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        figures.add(&format!("{service}_ready_ms"), median(&starts), "ms", None)?;
    }
    tokio::time::sleep(IDLE).await;
    for service in SERVICES {
        figures.add(
            &format!("{service}_idle_rss_mib"),
            set.rss_mib(service)?,
            "MiB",
            None,
        )?;
    }
    Ok(())
}
