//! One more replica of a service beside the run's shared ones, with settings of a test's own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use testkit::{READY, Signal, Stack, eventually, eventually_within, http};
use tokio::process::Child;
use uuid::Uuid;

/// Everything we say ourselves, and what an operator who looks for a fault would ask of the libraries.
pub(crate) const TALKATIVE: &str = "debug,identity=trace,customers=trace,groups=trace,broadcast=trace,\
                                    referral_commission=trace,chassis=trace,outbox=trace,contracts=trace";

pub(crate) struct Replica {
    pub(crate) service: String,
    child: Child,
    log: PathBuf,
    /// By listener: `http`, `grpc`, `ops`.
    urls: BTreeMap<String, String>,
}

impl Replica {
    /// Starts it on free ports and waits until it is ready.
    pub(crate) async fn start(stack: &Stack, service: &str, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        let logs = stack.state().join("log");
        let log = logs.join(format!("{service}-{}.log", Uuid::now_v7().simple()));
        let file = std::fs::File::create(&log)?;
        let mut command = stack.command(service)?;
        for listener in ["HTTP", "GRPC", "OPS"] {
            command.env(format!("SHEQUN_{listener}_LISTEN"), "127.0.0.1:0");
        }
        let child = command
            .arg("serve")
            .env("SHEQUN_LOG", TALKATIVE)
            .envs(env.iter().copied())
            // By this `stack.py down` knows those that a killed test left.
            .current_dir(logs)
            .stdout(Stdio::from(file.try_clone()?))
            .stderr(Stdio::from(file))
            .kill_on_drop(true)
            .spawn()?;
        let mut replica = Self {
            service: service.to_owned(),
            child,
            log,
            urls: BTreeMap::new(),
        };
        replica.urls = eventually(async || replica.listening()).await?;
        eventually_within(READY, async || replica.is_ready().await).await?;
        Ok(replica)
    }

    pub(crate) fn url(&self, listener: &str) -> &str {
        &self.urls[listener]
    }

    pub(crate) fn log(&self) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned())
    }

    /// Whether it still runs and says that it is ready.
    pub(crate) async fn is_ready(&self) -> anyhow::Result<()> {
        let answer = http()
            .get(format!("{}/health/ready", self.url("ops")))
            .send()
            .await?;
        ensure!(answer.status().is_success(), "{}: {answer:?}", self.service);
        Ok(())
    }

    /// A figure it has counted, over all labels that hold `label`.
    pub(crate) async fn figure(&self, name: &str, label: &str) -> anyhow::Result<u64> {
        figure(&format!("{}/metrics", self.url("ops")), name, label).await
    }

    /// SIGTERM and its end: what it held of the stack's events goes on to the others at once.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        let pid = self
            .child
            .id()
            .with_context(|| format!("{} has died", self.service))?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.try_into()?), Signal::SIGTERM)?;
        let status = tokio::time::timeout(READY, self.child.wait()).await??;
        ensure!(status.success(), "{} ended with {status}", self.service);
        Ok(())
    }

    fn listening(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let log = self.log()?;
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let urls: BTreeMap<String, String> = lines
            .filter_map(|line| {
                let listener = line["listener"].as_str()?.to_owned();
                Some((listener, format!("http://{}", line["address"].as_str()?)))
            })
            .collect();
        ensure!(urls.len() == 3, "{} listens on {urls:?}: {log}", self.service);
        Ok(urls)
    }
}

/// The sum of a counter's samples whose labels hold `label`.
pub(crate) async fn figure(url: &str, name: &str, label: &str) -> anyhow::Result<u64> {
    let text = http().get(url).send().await?.text().await?;
    let samples = text
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(label));
    let values = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    Ok(values.sum())
}
