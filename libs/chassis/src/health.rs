//! Whether the process should get traffic: named checks, asked at most every quarter of a second.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::ensure;
use futures::{FutureExt, future::BoxFuture, future::join_all};
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{Settings, process::install_crypto};

const CHECK_MILLIS_MAX: u64 = 1_000;
const CACHE_MILLIS: u64 = 250;
const ASK_SECS_MAX: u64 = 3;
const PASSED: &str = "ok";

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The checks that make a process ready. Clones share them.
#[derive(Clone, Default)]
pub struct Health(Arc<Inner>);

#[derive(Default)]
struct Inner {
    checks: RwLock<Vec<(&'static str, Check)>>,
    /// Once it fires the process is not ready, whatever the checks say.
    stopping: CancellationToken,
    /// Held while the checks run, so that a crowd of askers runs them once.
    latest: Mutex<Option<(Instant, Report)>>,
}

/// What the checks said.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    status: Status,
    checks: BTreeMap<&'static str, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ready,
    NotReady,
    Stopping,
}

impl Report {
    /// Whether the process should get traffic.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status == Status::Ready
    }

    /// Each check by its name, and whether it passed.
    pub(crate) fn checks(&self) -> impl Iterator<Item = (&'static str, bool)> {
        self.checks.iter().map(|(name, said)| (*name, said == PASSED))
    }
}

/// Asks the process that serves on this host, at the operator's listener of these settings, whether it is ready.
///
/// # Errors
/// What it answers instead.
pub async fn ask(settings: &Settings) -> anyhow::Result<()> {
    let mut at = settings.ops_listen;
    ensure!(at.port() != 0, "SHEQUN_OPS_LISTEN names no port to ask at");
    if at.ip().is_unspecified() {
        at.set_ip(match at {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    install_crypto();
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(ASK_SECS_MAX))
        .build()?;
    let answer = client.get(format!("http://{at}/health/ready")).send().await?;
    let is_ready = answer.status().is_success();
    ensure!(is_ready, "not ready: {}", answer.text().await?);
    Ok(())
}

impl Health {
    /// No checks yet; not ready any more once `stopping` fires.
    #[must_use]
    pub fn until(stopping: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            stopping,
            ..Inner::default()
        }))
    }

    /// Adds a check. It must not change anything; past a second it counts as failed.
    pub fn add<F, C>(&self, name: &'static str, check: F)
    where
        F: Fn() -> C + Send + Sync + 'static,
        C: Future<Output = Result<(), String>> + Send + 'static,
    {
        let check: Check = Arc::new(move || check().boxed());
        self.0
            .checks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push((name, check));
    }

    /// Asks every check, or repeats a fresh answer.
    pub async fn report(&self) -> Report {
        let mut latest = self.0.latest.lock().await;
        let mut report = match &*latest {
            Some((at, report)) if at.elapsed() < Duration::from_millis(CACHE_MILLIS) => report.clone(),
            _ => {
                let report = self.ask().await;
                *latest = Some((Instant::now(), report.clone()));
                report
            }
        };
        if self.0.stopping.is_cancelled() {
            report.status = Status::Stopping;
        }
        report
    }

    async fn ask(&self) -> Report {
        let checks = self
            .0
            .checks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let answers = join_all(checks.into_iter().map(|(name, check)| async move {
            let answer = tokio::time::timeout(Duration::from_millis(CHECK_MILLIS_MAX), check()).await;
            (
                name,
                answer.unwrap_or_else(|_| Err(format!("no answer within {CHECK_MILLIS_MAX} ms"))),
            )
        }))
        .await;
        let all_well = answers.iter().all(|(_, answer)| answer.is_ok());
        Report {
            status: if all_well { Status::Ready } else { Status::NotReady },
            checks: answers
                .into_iter()
                .map(|(name, answer)| (name, answer.err().unwrap_or_else(|| PASSED.into())))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn one_failing_check_is_named() {
        let health = Health::default();
        health.add("postgres", || async { Ok(()) });
        health.add("nats", || async { Err("connection refused".to_owned()) });
        health.add("identity", std::future::pending);
        let report = health.report().await;
        assert!(!report.is_ready());
        assert_eq!(report.checks["postgres"], "ok");
        assert_eq!(report.checks["nats"], "connection refused");
        assert_eq!(report.checks["identity"], "no answer within 1000 ms");
        let passed: BTreeMap<_, _> = report.checks().collect();
        assert_eq!(
            passed,
            [("postgres", true), ("nats", false), ("identity", false)].into()
        );
    }

    #[tokio::test]
    async fn answers_are_kept_for_a_moment() {
        let (health, asked) = (Health::default(), Arc::new(AtomicUsize::new(0)));
        let counter = asked.clone();
        health.add("postgres", move || {
            counter.fetch_add(1, Ordering::Relaxed);
            async { Ok(()) }
        });
        assert!(health.report().await.is_ready());
        health.report().await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn stopping_is_never_ready() {
        let stopping = CancellationToken::new();
        let health = Health::until(stopping.clone());
        assert!(health.report().await.is_ready());
        stopping.cancel();
        assert!(!health.report().await.is_ready());
    }
}
