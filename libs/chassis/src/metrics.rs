//! Figures for Prometheus: one recorder per process, and what the kernel knows about it.

use std::sync::OnceLock;

use anyhow::Context;
use jiff::Timestamp;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// Upper bounds of histograms that end in `_seconds`.
const SECONDS_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Upper bounds of every other histogram: sizes and counts.
const COUNT_BUCKETS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 5_000.0,
];
const UPKEEP_SECS: u64 = 5;

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder, once however often it is called.
pub(crate) fn start(now: Timestamp) -> anyhow::Result<PrometheusHandle> {
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets(COUNT_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS_BUCKETS)
        })
        .context("cannot set the buckets")?
        .build_recorder();
    let handle = RECORDER.get_or_init(|| recorder.handle());
    // Lost only to a second caller at the same moment, whose handle we then share.
    if metrics::set_global_recorder(recorder).is_ok() {
        metrics::gauge!("process_start_time_seconds").set(now.as_second() as f64);
    }
    Ok(handle.clone())
}

/// Moves samples into their buckets now and then: nobody may be scraping, and samples take room.
pub(crate) async fn upkeep(handle: PrometheusHandle, stopping: CancellationToken) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(std::time::Duration::from_secs(UPKEEP_SECS));
    while stopping.run_until_cancelled(tick.tick()).await.is_some() {
        handle.run_upkeep();
    }
    Ok(())
}

/// Everything recorded, in the text format.
pub(crate) fn render(handle: &PrometheusHandle) -> String {
    if let Some(bytes) = resident_bytes() {
        metrics::gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        metrics::gauge!("process_open_fds").set(open.count() as f64);
    }
    handle.render()
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}
