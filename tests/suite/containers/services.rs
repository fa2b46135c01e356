//! The five services as processes on the host, with the settings of a stack that runs in containers.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use testkit::{Stack, build_dir, eventually_within, http};
use tokio::process::{Child, Command};

pub(super) const READY: Duration = Duration::from_secs(30);

/// Five running processes; they end with this.
pub(super) struct Services {
    running: Vec<Service>,
}

struct Service {
    ready_url: String,
    log: std::path::PathBuf,
    _process: Child,
}

impl Services {
    /// Migrates every schema, then starts all and waits until they are ready.
    pub(super) async fn start(stack: &Stack) -> anyhow::Result<Self> {
        let description = stack.description();
        let names: Vec<&String> = description
            .processes
            .iter()
            .filter_map(|(name, process)| (*name == process.service).then_some(name))
            .collect();
        for name in &names {
            once(stack, name, &["migrate"]).await?;
        }
        once(
            stack,
            "identity",
            &["reviewer", "add", "--email", &description.reviewer.email],
        )
        .await?;
        let running = names
            .iter()
            .map(|name| Service::spawn(stack, name))
            .collect::<anyhow::Result<_>>()?;
        let services = Self { running };
        services.all_answer(StatusCode::OK, READY).await?;
        Ok(services)
    }

    /// Waits until every service's readiness check answers so.
    pub(super) async fn all_answer(&self, status: StatusCode, limit: Duration) -> anyhow::Result<()> {
        let http = http();
        for service in &self.running {
            eventually_within(limit, async || {
                let answer = http.get(&service.ready_url).send().await?;
                let told = answer.status();
                ensure!(told == status, "{told}: {}", answer.text().await?);
                anyhow::Ok(())
            })
            .await
            .with_context(|| format!("no {status}; {}", service.last_words()))?;
        }
        Ok(())
    }
}

impl Service {
    fn spawn(stack: &Stack, name: &str) -> anyhow::Result<Self> {
        let log = stack.state().join(format!("log/{name}.log"));
        let file = File::create(&log)?;
        Ok(Self {
            ready_url: format!("{}/health/ready", stack.process(name).url("ops")),
            _process: command(stack, name)?
                .arg("serve")
                .stdout(Stdio::from(file.try_clone()?))
                .stderr(Stdio::from(file))
                .kill_on_drop(true)
                .spawn()?,
            log,
        })
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n");
        format!("{} ends in\n{last}", self.log.display())
    }
}

async fn once(stack: &Stack, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = command(stack, name)?.args(arguments).output().await?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} {}: {words}", arguments.join(" "));
    Ok(())
}

fn command(stack: &Stack, name: &str) -> anyhow::Result<Command> {
    let process = stack.process(name);
    let mut command = Command::new(build_dir()?.join(&process.binary));
    command.envs(&process.env).stdin(Stdio::null());
    Ok(command)
}
