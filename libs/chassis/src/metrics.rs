//! Figures for Prometheus: one recorder per process, and what the kernel knows about it.

use std::sync::OnceLock;

use anyhow::Context;
use jiff::Timestamp;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::health::Report;

/// Upper bounds of histograms that end in `_seconds`.
const SECONDS_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Upper bounds of every other histogram: sizes and counts.
const COUNT_BUCKETS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 5_000.0,
];
const UPKEEP_SECS: u64 = 5;
/// Where the kernel tells the container's limit: control groups of version 2, then of version 1.
const MEMORY_LIMIT_FILES: &[&str] = &[
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];
/// Version 1 says "none" by a number near the largest there is.
const MEMORY_LIMIT_BYTES_MAX: f64 = 1e15;
/// Ticks of `/proc/self/stat` per second: a constant of the kernel's interface.
const TICKS_PER_SEC: u64 = 100;

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
        metrics::gauge!("process_memory_limit_bytes").set(memory_limit_bytes());
        // Never, until a certificate says otherwise: then one alert fits with and without TLS.
        metrics::gauge!("tls_certificate_expires_at_seconds").set(f64::INFINITY);
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

/// Everything recorded, in the text format, with what is asked at that moment: readiness, and what the kernel knows.
pub(crate) fn render(handle: &PrometheusHandle, report: &Report) -> String {
    for (check, passes) in report.checks() {
        metrics::gauge!("health_check_passes", "check" => check).set(f64::from(u8::from(passes)));
    }
    if let Some(bytes) = resident_bytes() {
        metrics::gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        metrics::gauge!("process_open_fds").set(open.count() as f64);
    }
    if let Some(millis) = cpu_millis() {
        metrics::counter!("process_cpu_milliseconds_total").absolute(millis);
    }
    handle.render()
}

/// Without a limit it is infinite, so that a share of it can be asked for everywhere.
fn memory_limit_bytes() -> f64 {
    MEMORY_LIMIT_FILES
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .and_then(|limit| limit.trim().parse().ok())
        .filter(|limit| *limit < MEMORY_LIMIT_BYTES_MAX)
        .unwrap_or(f64::INFINITY)
}

/// Time on a processor, of all threads, in user and in kernel mode.
fn cpu_millis() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name, in which anything may stand; the 14th and 15th are the times.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map_while(|ticks| ticks.parse::<u64>().ok()).sum();
    Some(ticks * 1_000 / TICKS_PER_SEC)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_time_and_limit() {
        assert!(memory_limit_bytes() > 0.0);
        let began = cpu_millis().unwrap();
        let mut work = 0_u64;
        // The clock ticks a hundred times a second, so this ends.
        while cpu_millis().unwrap() < began + 20 {
            work = work.wrapping_add(1);
        }
        assert!(work > 0);
    }
}
