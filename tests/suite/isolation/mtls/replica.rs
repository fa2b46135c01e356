//! One more process of a service beside those of the shared set, with TLS, on ports of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use testkit::{Stack, eventually, http};
use tokio::process::{Child, Command};

use super::authority::{Authority, Files, Pair};

pub(super) struct Replica {
    pub(super) files: Files,
    ports: BTreeMap<String, SocketAddr>,
    /// It ends with this.
    child: Child,
}

impl Replica {
    pub(super) async fn start(
        stack: &Stack,
        service: &str,
        pair: &Pair,
        authority: &Authority,
        env: &[(&'static str, String)],
    ) -> anyhow::Result<Self> {
        let files = Files::new(pair, &authority.pem())?;
        let log = std::fs::File::create(files.log())?;
        let child = command(stack, service)?
            .envs(files.env())
            .envs(env.iter().cloned())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()?;
        let mut replica = Self {
            files,
            ports: BTreeMap::new(),
            child,
        };
        replica.ports = eventually(async || replica.listening()).await?;
        Ok(replica)
    }

    /// The addresses it tells in its log.
    fn listening(&self) -> anyhow::Result<BTreeMap<String, SocketAddr>> {
        let log = std::fs::read_to_string(self.files.log())?;
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ports: BTreeMap<_, _> = lines
            .filter_map(|line| {
                let address = line["address"].as_str()?.parse().ok()?;
                Some((line["listener"].as_str()?.to_owned(), address))
            })
            .collect();
        ensure!(ports.len() == 3, "it listens at {ports:?} and says {log}");
        Ok(ports)
    }

    pub(super) fn grpc(&self) -> SocketAddr {
        self.ports["grpc"]
    }

    pub(super) fn http_port(&self) -> u16 {
        self.ports["http"].port()
    }

    /// What the readiness check answers, once it is that status.
    pub(super) async fn answers(&self, status: u16) -> anyhow::Result<Value> {
        let url = format!("http://{}/health/ready", self.ports["ops"]);
        eventually(async || {
            let answer = http().get(&url).send().await?;
            let (told, text) = (answer.status(), answer.text().await?);
            ensure!(told == status, "{told}: {text}");
            anyhow::Ok(serde_json::from_str(&text)?)
        })
        .await
    }

    /// A figure without labels.
    pub(super) async fn figure(&self, name: &str) -> anyhow::Result<f64> {
        let url = format!("http://{}/metrics", self.ports["ops"]);
        let figures = http().get(url).send().await?.text().await?;
        let value = figures
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.map_or(Ok(0.0), str::parse)?)
    }

    pub(super) fn still_runs(&mut self) -> anyhow::Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "it ended: {ended:?}");
        Ok(())
    }
}

/// `serve`, as the set runs it, on free ports.
pub(super) fn command(stack: &Stack, service: &str) -> anyhow::Result<Command> {
    let mut command = stack.command(service)?;
    command
        .arg("serve")
        .env_remove("SHEQUN_OWNER_DATABASE_URL")
        .env_remove("SHEQUN_REVIEWER_PASSWORD");
    for listener in ["HTTP", "GRPC", "OPS"] {
        command.env(format!("SHEQUN_{listener}_LISTEN"), "127.0.0.1:0");
    }
    Ok(command)
}

/// Runs a service that can't start; its last words.
pub(super) async fn words_of(mut command: Command) -> anyhow::Result<String> {
    command
        .kill_on_drop(true)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let ending = tokio::time::timeout(testkit::READY, command.output());
    let output = ending.await.context("it started and runs")??;
    ensure!(!output.status.success(), "it started and ended well");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout))
}
