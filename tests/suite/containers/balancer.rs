//! What a Kubernetes Service does for its clients: a new connection goes to a replica that is ready, an old one stays.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use client::{Answer, Api, Ask};
use futures::future::join_all;
use reqwest::StatusCode;
use testkit::{Description, http};
use tokio::time::Instant;

use super::servers::Servers;

/// A kubelet's readiness probe, only faster.
const PROBE_PERIOD: Duration = Duration::from_millis(250);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const PROBE_FAILURES: u32 = 2;
/// A client closes a connection that it has no use for, well before a server that leaves does.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// How long a client goes on when it is told to come again.
const RETRIED_MAX: Duration = Duration::from_secs(20);

/// Two replicas of each service, and whether they are ready.
pub(super) struct Balancer {
    replicas: [Description; 2],
    /// Failed probes in a row, by service and replica.
    failures: BTreeMap<String, [AtomicU32; 2]>,
    turn: AtomicUsize,
}

impl Balancer {
    pub(super) fn new(servers: &Servers) -> Self {
        let replicas = [&servers.stack, &servers.second].map(|stack| stack.description().clone());
        let processes = replicas[0].processes.iter();
        let services = processes.filter(|(name, process)| **name == process.service);
        Self {
            failures: services
                .map(|(name, _)| (name.clone(), Default::default()))
                .collect(),
            replicas,
            turn: AtomicUsize::new(0),
        }
    }

    /// Probes every replica as long as it is polled.
    pub(super) async fn watch(&self) -> Infallible {
        let http = http();
        let mut tick = tokio::time::interval(PROBE_PERIOD);
        loop {
            tick.tick().await;
            let probes = self.failures.iter().flat_map(|(service, failures)| {
                let both = self.replicas.iter().zip(failures);
                both.map(|(replica, failures)| {
                    let url = format!("{}/health/ready", replica.processes[service].url("ops"));
                    (http.get(url).timeout(PROBE_TIMEOUT), failures)
                })
            });
            join_all(probes.map(async |(probe, failures)| {
                if probe
                    .send()
                    .await
                    .is_ok_and(|answer| answer.status().is_success())
                {
                    failures.store(0, Ordering::Relaxed);
                } else {
                    failures.fetch_add(1, Ordering::Relaxed);
                }
            }))
            .await;
        }
    }

    /// Asserts that every replica takes connections.
    pub(super) fn all_are_in(&self) -> anyhow::Result<()> {
        for (service, failures) in &self.failures {
            for (replica, failures) in failures.iter().enumerate() {
                ensure!(is_in(failures), "replica {replica} of {service} is out");
            }
        }
        Ok(())
    }

    fn connect(&self, service: &str) -> anyhow::Result<Api> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let replica = (0..self.replicas.len())
            .map(|offset| (turn + offset) % self.replicas.len())
            .find(|replica| is_in(&self.failures[service][*replica]));
        let replica = replica.with_context(|| format!("no replica of {service} is ready"))?;
        Ok(Api::of(&self.replicas[replica]))
    }
}

fn is_in(failures: &AtomicU32) -> bool {
    failures.load(Ordering::Relaxed) < PROBE_FAILURES
}

/// Somebody who asks one thing after the other, over one connection to each service.
pub(super) struct Client<'a> {
    balancer: &'a Balancer,
    connections: BTreeMap<&'static str, (Api, Instant)>,
    pub(super) asked: usize,
    pub(super) retried: usize,
}

impl<'a> Client<'a> {
    pub(super) fn of(balancer: &'a Balancer) -> Self {
        Self {
            balancer,
            connections: BTreeMap::new(),
            asked: 0,
            retried: 0,
        }
    }

    /// Asks, and again only when it is answered 503: a connection that breaks is a request that failed.
    pub(super) async fn ask(
        &mut self,
        service: &'static str,
        ask: impl Fn(&Api) -> Ask,
    ) -> anyhow::Result<Answer> {
        let deadline = Instant::now() + RETRIED_MAX;
        self.asked += 1;
        loop {
            let api = match self.connections.remove(service) {
                Some((api, used)) if used.elapsed() < IDLE_MAX => api,
                _ => self.balancer.connect(service)?,
            };
            let answer = ask(&api).send().await?;
            if answer
                .headers
                .get("connection")
                .is_none_or(|value| value != "close")
            {
                self.connections.insert(service, (api, Instant::now()));
            }
            if answer.status != StatusCode::SERVICE_UNAVAILABLE || Instant::now() > deadline {
                return Ok(answer);
            }
            self.retried += 1;
            let wait = answer
                .headers
                .get("retry-after")
                .context("a 503 without Retry-After")?;
            tokio::time::sleep(Duration::from_secs(wait.to_str()?.parse()?)).await;
        }
    }
}
