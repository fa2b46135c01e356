//! As many workers as a figure asks for.

use std::net::TcpListener;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::{Set, eventually_within, http};
use tokio::process::Child;

const LIKE: &str = "broadcast-worker-1";
const SET_WORKERS: [&str; 2] = [LIKE, "broadcast-worker-2"];

/// They end with this.
pub(super) struct Workers {
    children: Vec<Child>,
}

impl Workers {
    /// In the place of the set's own.
    pub(super) async fn take_over(set: &mut Set) -> anyhow::Result<Self> {
        for worker in SET_WORKERS {
            set.terminate(worker).await?;
        }
        Ok(Self { children: Vec::new() })
    }

    /// Starts or ends some until there are so many, all of them ready.
    pub(super) async fn scale(&mut self, set: &Set, count: usize) -> anyhow::Result<()> {
        while self.children.len() > count {
            let mut child = self.children.pop().context("a worker")?;
            let pid = child.id().context("the worker has ended")?;
            kill(Pid::from_raw(pid.try_into()?), Signal::SIGTERM)?;
            let status = child.wait().await?;
            ensure!(status.success(), "a worker ended with {status}");
        }
        while self.children.len() < count {
            self.start(set).await?;
        }
        Ok(())
    }

    async fn start(&mut self, set: &Set) -> anyhow::Result<()> {
        // Free at this moment; nobody else on this machine looks for one at the same time.
        let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let logs = set.stack().state().join("log");
        let log = logs.join(format!("bench-worker-{}.log", self.children.len() + 1));
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        let mut command = set.stack().command(LIKE)?;
        let child = command
            .arg("worker")
            .env("SHEQUN_OPS_LISTEN", &listen)
            .current_dir(logs)
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()?;
        self.children.push(child);
        let (http, url) = (http(), format!("http://{listen}/health/ready"));
        eventually_within(testkit::READY, async || {
            let status = http.get(&url).send().await?.status();
            ensure!(status.is_success(), "the worker is not ready: {status}");
            anyhow::Ok(())
        })
        .await
    }

    /// The most memory that one of them has held so far, in MiB.
    pub(super) fn rss_mib_max(&self) -> anyhow::Result<f64> {
        let mut most: f64 = 0.0;
        for child in &self.children {
            let pid = child.id().context("a worker has ended")?;
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
            most = most.max(kib.context("no VmHWM")?);
        }
        Ok(most / 1_024.0)
    }
}
