//! The local stack (`deploy/dev/stack.py`) as tests see it: one shared by the whole run, or one of
//! a test's own that it may break.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

/// Where the run's shared stack lives; the nextest setup script exports it.
const SHARED_STATE: &str = "SHEQUN_TEST_STATE";

/// The parts of a stack that are not services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Infra {
    Postgres,
    Nats,
}

impl Infra {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Nats => "nats",
        }
    }
}

/// What `stack.py` writes to `stack.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Description {
    pub postgres: PostgresDescription,
    pub nats: NatsDescription,
    pub reviewer: Reviewer,
    /// By process name: the services, and `broadcast-worker-1`, `broadcast-worker-2`.
    pub processes: BTreeMap<String, ProcessDescription>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct PostgresDescription {
    pub superuser_url: String,
    pub bin: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
pub struct NatsDescription {
    pub url: String,
    pub http_url: String,
    pub store: PathBuf,
    pub users: BTreeMap<String, NatsUser>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct NatsUser {
    pub user: String,
    pub password: String,
    pub inbox: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Reviewer {
    pub email: String,
    pub password: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ProcessDescription {
    pub service: String,
    pub binary: String,
    /// By listener: `http`, `grpc`, `ops`.
    pub ports: BTreeMap<String, u16>,
    pub env: BTreeMap<String, String>,
}

impl ProcessDescription {
    /// The address of a listener: `http`, `grpc` or `ops`.
    #[must_use]
    pub fn url(&self, listener: &str) -> String {
        format!("http://127.0.0.1:{}", self.ports[listener])
    }
}

/// Postgres and NATS as private child processes, with the settings of all services.
pub struct Stack {
    state: PathBuf,
    description: Description,
    private: bool,
}

impl Stack {
    /// The stack of this test run, started if it is not there yet; never break it.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn shared() -> anyhow::Result<Self> {
        let state =
            std::env::var_os(SHARED_STATE).map_or_else(|| repository().join(".shequn/test"), PathBuf::from);
        Self::up(state, false)
    }

    /// A stack of the caller's own; stopped and wiped when it is dropped.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn private(name: &str) -> anyhow::Result<Self> {
        Self::up(
            repository().join(format!(".shequn/private/{name}-{}", std::process::id())),
            true,
        )
    }

    /// The stack in a state folder, started if it is not there yet, and left running.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn at(state: &Path) -> anyhow::Result<Self> {
        Self::up(state.to_owned(), false)
    }

    fn up(state: PathBuf, private: bool) -> anyhow::Result<Self> {
        let mut made = false;
        if private || !state.join("stack.json").exists() {
            run_stack(&state, &["up"])?;
            made = true;
        }
        match describe(&state) {
            Ok(description) => Ok(Self {
                state,
                description,
                private,
            }),
            Err(error) if made => Err(error),
            Err(_) => {
                run_stack(&state, &["up"])?;
                Ok(Self {
                    description: describe(&state)?,
                    state,
                    private,
                })
            }
        }
    }

    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    #[must_use]
    pub fn process(&self, name: &str) -> &ProcessDescription {
        &self.description.processes[name]
    }

    /// Kills Postgres or NATS without a word.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self, infra: Infra) -> anyhow::Result<()> {
        let record = self.state.join(format!("run/{}.json", infra.name()));
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(record)?)?;
        let pid = record["pid"].as_i64().context("the record names no pid")?;
        kill(Pid::from_raw(pid.try_into()?), Signal::SIGKILL).context("kill -9")
    }

    /// Starts again whatever does not run.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn heal(&self) -> anyhow::Result<()> {
        run_stack(&self.state, &["up"])
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.private
            && run_stack(&self.state, &["down", "--wipe"]).is_ok()
            && std::env::var_os("SHEQUN_TEST_KEEP").is_none()
        {
            // Only leftovers (the empty folder, its lock): nothing depends on their going away.
            let _ = std::fs::remove_dir_all(&self.state);
        }
    }
}

/// The checkout this was built from.
#[must_use]
pub fn repository() -> PathBuf {
    let libs_testkit = Path::new(env!("CARGO_MANIFEST_DIR"));
    libs_testkit.ancestors().nth(2).unwrap_or(libs_testkit).to_owned()
}

/// Where the programs of this build lie: beside the running test.
///
/// # Errors
/// When the running program has no path.
pub fn build_dir() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().context("a program lies in a folder")?;
    let is_test = folder.ends_with("deps") || folder.ends_with("examples");
    Ok(if is_test {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    }
    .to_owned())
}

fn describe(state: &Path) -> anyhow::Result<Description> {
    let path = state.join("stack.json");
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

fn run_stack(state: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let script = repository().join("deploy/dev/stack.py");
    let output = Command::new(script)
        .arg("--state")
        .arg(state)
        .args(arguments)
        .output()?;
    ensure!(
        output.status.success(),
        "stack.py {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
