//! The five services and two workers as processes of a test's own: started, killed, started again.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::StatusCode;
use tokio::process::{Child, Command};

use crate::{ProcessDescription, Stack, eventually_within, http};

/// How long a process may take to become ready, or to end.
pub const READY: Duration = Duration::from_secs(30);

/// Running services on a stack of the test's own; all end with it.
pub struct Set {
    // Before the stack, so that they end first.
    children: BTreeMap<String, Child>,
    env: BTreeMap<String, String>,
    /// Processes beyond those of the stack, or with other settings than it gives them.
    more: BTreeMap<String, ProcessDescription>,
    stack: Stack,
}

impl Set {
    /// A private stack with every service migrated, running and ready.
    ///
    /// # Errors
    /// When a service does not become ready.
    pub async fn start(name: &str) -> anyhow::Result<Self> {
        Self::start_with(name, &[]).await
    }

    /// As [`start`](Self::start), with variables added to every process.
    ///
    /// # Errors
    /// When a service does not become ready.
    pub async fn start_with(name: &str, env: &[(&str, String)]) -> anyhow::Result<Self> {
        let name = name.to_owned();
        let stack = tokio::task::spawn_blocking(move || Stack::private(&name)).await??;
        Self::on(stack, env).await
    }

    /// The same on a stack that runs already, wherever its servers are.
    ///
    /// # Errors
    /// When a service does not become ready.
    pub async fn on(stack: Stack, env: &[(&str, String)]) -> anyhow::Result<Self> {
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let mut set = Self {
            stack,
            env,
            children: BTreeMap::new(),
            more: BTreeMap::new(),
        };
        set.prepare().await?;
        let names: Vec<String> = set.stack.description().processes.keys().cloned().collect();
        // The others ask identity for its keys first of all.
        set.run("identity", None).await?;
        for name in names.iter().filter(|name| *name != "identity") {
            set.spawn(name, None).await?;
        }
        for name in &names {
            set.ready(name).await?;
        }
        Ok(set)
    }

    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// A further process with the settings of `like`, listening on ports of its own. It is a worker if that one is.
    ///
    /// # Errors
    /// When no port is free.
    pub fn add(&mut self, name: &str, like: &str) -> anyhow::Result<()> {
        let mut process = self.process(like).clone();
        for (listener, port) in &mut process.ports {
            // Taken by nobody else before it is started: others of this stack have theirs already.
            *port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let variable = format!("SHEQUN_{}_LISTEN", listener.to_uppercase());
            process.env.insert(variable, format!("127.0.0.1:{port}"));
        }
        self.more.insert(name.to_owned(), process);
        Ok(())
    }

    /// Other settings for a process from its next start on.
    pub fn vary(&mut self, name: &str, env: &[(&str, String)]) {
        let mut process = self.process(name).clone();
        for (variable, value) in env {
            process.env.insert((*variable).to_owned(), value.clone());
        }
        self.more.insert(name.to_owned(), process);
    }

    /// A process as it is started next.
    #[must_use]
    pub fn process(&self, name: &str) -> &ProcessDescription {
        self.more.get(name).unwrap_or_else(|| self.stack.process(name))
    }

    /// Starts a process, with crash points armed as `FAILPOINTS` names them, and waits until it is
    /// ready.
    ///
    /// # Errors
    /// When it does not become ready within 30 s.
    pub async fn run(&mut self, name: &str, failpoints: Option<&str>) -> anyhow::Result<()> {
        self.spawn(name, failpoints).await?;
        self.ready(name).await
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let mut child = self
            .children
            .remove(name)
            .with_context(|| format!("{name} does not run"))?;
        Ok(child.kill().await?)
    }

    /// SIGTERM, then waits until it has drained and ended.
    ///
    /// # Errors
    /// When it does not end within 30 s.
    pub async fn terminate(&mut self, name: &str) -> anyhow::Result<ExitStatus> {
        self.signal(name, Signal::SIGTERM)?;
        self.died(name).await
    }

    /// Sends a signal and does not wait for what comes of it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, name: &str, signal: Signal) -> anyhow::Result<()> {
        let child = self
            .children
            .get(name)
            .with_context(|| format!("{name} does not run"))?;
        let pid = child.id().with_context(|| format!("{name} has ended already"))?;
        Ok(kill(Pid::from_raw(pid.try_into()?), signal)?)
    }

    /// Waits until the process ended: of itself, as at a crash point, or because it was asked to.
    ///
    /// # Errors
    /// When it still lives after 30 s.
    pub async fn died(&mut self, name: &str) -> anyhow::Result<ExitStatus> {
        let mut child = self
            .children
            .remove(name)
            .with_context(|| format!("{name} does not run"))?;
        tokio::time::timeout(READY, child.wait())
            .await
            .with_context(|| format!("{name} still runs after {READY:?}"))?
            .map_err(Into::into)
    }

    /// Whether the process has ended of itself; then it may be started again.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn has_died(&mut self, name: &str) -> bool {
        let Some(child) = self.children.get_mut(name) else {
            return true;
        };
        let has_ended = child.try_wait().expect("a child's state").is_some();
        if has_ended {
            self.children.remove(name);
        }
        has_ended
    }

    /// The memory a process holds, in MiB.
    ///
    /// # Errors
    /// When it does not run.
    pub fn rss_mib(&self, name: &str) -> anyhow::Result<f64> {
        let child = self
            .children
            .get(name)
            .with_context(|| format!("{name} does not run"))?;
        let pid = child.id().with_context(|| format!("{name} has ended"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib: f64 = status
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?
                    .trim()
                    .strip_suffix(" kB")?
                    .parse()
                    .ok()
            })
            .context("no VmRSS")?;
        Ok(kib / 1_024.0)
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        for (name, process) in &self.stack.description().processes {
            if *name == process.service {
                self.once(name, &["migrate"]).await?;
            }
        }
        self.once(
            "identity",
            &[
                "reviewer",
                "add",
                "--email",
                &self.stack.description().reviewer.email,
            ],
        )
        .await
    }

    async fn once(&self, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command(name)?;
        command.args(arguments);
        succeed(command).await
    }

    async fn spawn(&mut self, name: &str, failpoints: Option<&str>) -> anyhow::Result<()> {
        let logs = self.stack.state().join("log");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(logs.join(format!("{name}.log")))?;
        let is_worker = name.contains("-worker-");
        let child = self
            .command(name)?
            .arg(if is_worker { "worker" } else { "serve" })
            .envs(failpoints.map(|points| ("FAILPOINTS", points)))
            // It would push the error out of the last words.
            .env("RUST_BACKTRACE", "0")
            // By this `stack.py down` knows those that a killed test left.
            .current_dir(logs)
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()?;
        self.children.insert(name.to_owned(), child);
        Ok(())
    }

    fn command(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = self.stack.command_of(self.process(name))?;
        command.envs(&self.env);
        Ok(command)
    }

    /// Waits until the process says it is ready.
    ///
    /// # Errors
    /// When it does not within 30 s; with its last words.
    pub async fn ready(&self, name: &str) -> anyhow::Result<()> {
        self.answers(name, StatusCode::OK, READY).await
    }

    /// Waits until the readiness check of every running process answers so.
    ///
    /// # Errors
    /// When one does not within the limit; with its last words.
    pub async fn all_answer(&self, status: StatusCode, limit: Duration) -> anyhow::Result<()> {
        for name in self.children.keys() {
            self.answers(name, status, limit).await?;
        }
        Ok(())
    }

    async fn answers(&self, name: &str, status: StatusCode, limit: Duration) -> anyhow::Result<()> {
        let url = format!("{}/health/ready", self.process(name).url("ops"));
        let http = http();
        let asking = eventually_within(limit, async || {
            let answer = http.get(&url).send().await?;
            let told = answer.status();
            ensure!(told == status, "{told}: {}", answer.text().await?);
            anyhow::Ok(())
        });
        asking
            .await
            .with_context(|| format!("{name} is not {status}; it said: {}", self.last_words(name)))
    }

    fn last_words(&self, name: &str) -> String {
        let log = std::fs::read_to_string(self.stack.state().join(format!("log/{name}.log")));
        let log = log.unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

/// Runs a command that ends.
///
/// # Errors
/// When it fails, with its words.
pub async fn succeed(mut command: Command) -> anyhow::Result<()> {
    let output = command.output().await?;
    // Not the whole command: its variables hold passwords.
    let (program, arguments) = (command.as_std().get_program(), command.as_std().get_args());
    ensure!(
        output.status.success(),
        "{program:?} {:?}: {}{}",
        arguments.collect::<Vec<_>>(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
