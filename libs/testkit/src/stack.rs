//! The local stack (`deploy/dev/stack.py`) as tests see it: one shared by the whole run, or one of
//! a test's own that it may break.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use async_nats::{ConnectOptions, jetstream};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

/// Where the run's shared stack lives; the nextest setup script exports it.
const SHARED_STATE: &str = "SHEQUN_TEST_STATE";
/// Names a folder of programs that are not those of this build.
const PROGRAMS: &str = "SHEQUN_PROGRAMS";

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
    /// The program.
    pub server: PathBuf,
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
        Self::at(&state).or_else(|_| {
            stack_py(&state, &["up"])?;
            Self::at(&state)
        })
    }

    /// A stack of the caller's own; stopped and wiped when it is dropped.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn private(name: &str) -> anyhow::Result<Self> {
        // `stack.py down` reads the pid off the name, to end what a killed test left.
        let state = repository().join(format!(".shequn/private/{name}-{}", std::process::id()));
        stack_py(&state, &["up"])?;
        let mut stack = Self::at(&state)?;
        stack.private = true;
        Ok(stack)
    }

    /// The stack in a state folder, as it is.
    ///
    /// # Errors
    /// When there is none.
    pub fn at(state: &Path) -> anyhow::Result<Self> {
        let path = state.join("stack.json");
        let text = std::fs::read(&path).with_context(|| format!("no stack: {}", path.display()))?;
        Ok(Self {
            state: state.to_owned(),
            description: serde_json::from_slice(&text).with_context(|| path.display().to_string())?,
            private: false,
        })
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

    /// A service's program with its settings, to be given a command.
    ///
    /// # Errors
    /// When it is not built.
    pub fn command(&self, name: &str) -> anyhow::Result<tokio::process::Command> {
        self.command_of(self.process(name))
    }

    pub(crate) fn command_of(&self, process: &ProcessDescription) -> anyhow::Result<tokio::process::Command> {
        let program = build_dir()?.join(&process.binary);
        ensure!(
            program.exists(),
            "{} is not built: `cargo build --workspace --features failpoints --bins`",
            program.display()
        );
        let mut command = tokio::process::Command::new(program);
        command.envs(&process.env).stdin(Stdio::null());
        Ok(command)
    }

    /// The bus as its administrator sees it.
    ///
    /// # Errors
    /// When NATS is out of reach.
    pub async fn jetstream(&self) -> anyhow::Result<jetstream::Context> {
        let nats = &self.description.nats;
        let user = &nats.users["admin"];
        let client = ConnectOptions::with_user_and_password(user.user.clone(), user.password.clone())
            .custom_inbox_prefix(&user.inbox)
            .connect(&nats.url)
            .await?;
        Ok(jetstream::new(client))
    }

    /// `kill -9` to a process that `stack.py` started: `postgres`, `nats`, or one by its name.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self, name: &str) -> anyhow::Result<()> {
        self.signal(name, Signal::SIGKILL)
    }

    /// Any other signal to such a process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, name: &str, signal: Signal) -> anyhow::Result<()> {
        let record = self.state.join(format!("run/{name}.json"));
        let record = std::fs::read(record).with_context(|| format!("{name} was not started"))?;
        let record: serde_json::Value = serde_json::from_slice(&record)?;
        let pid = record["pid"].as_i64().context("the record names no pid")?;
        // The kernel may have given the pid of a dead process to somebody else's.
        ensure!(
            record["birth"].as_str() == birth(pid)?.as_deref(),
            "{name} does not run"
        );
        kill(Pid::from_raw(pid.try_into()?), signal).with_context(|| format!("{signal} to {name}"))
    }

    /// Starts again whatever does not run.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn heal(&self) -> anyhow::Result<()> {
        stack_py(&self.state, &["up"])
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if !self.private {
            return;
        }
        if std::env::var_os("SHEQUN_TEST_KEEP").is_some() {
            // What could not be stopped now, the next `stack.py down` stops.
            let _ = stack_py(&self.state, &["down"]);
        } else if stack_py(&self.state, &["down", "--wipe"]).is_ok() {
            // Only leftovers (the empty folder, its lock): nothing depends on their going away.
            let _ = std::fs::remove_dir_all(&self.state);
        }
    }
}

/// When the process began, as `processes.py` records it; nothing when it has ended.
fn birth(pid: i64) -> anyhow::Result<Option<String>> {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return Ok(None);
    };
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let started = fields.split_whitespace().nth(19).context("the start time")?;
    Ok(Some(format!("{}/{started}", boot.trim())))
}

/// The checkout this was built from.
#[must_use]
pub fn repository() -> PathBuf {
    let libs_testkit = Path::new(env!("CARGO_MANIFEST_DIR"));
    libs_testkit.ancestors().nth(2).unwrap_or(libs_testkit).to_owned()
}

/// Where the services' programs lie: beside the running test, or where `make skew` mixes two builds.
///
/// # Errors
/// When the running program has no path.
pub fn build_dir() -> anyhow::Result<PathBuf> {
    if let Some(mixed) = std::env::var_os(PROGRAMS) {
        return Ok(mixed.into());
    }
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

/// Runs `deploy/dev/stack.py` for the stack in a state folder.
///
/// # Errors
/// When it fails, with its words.
pub fn stack_py(state: &Path, arguments: &[&str]) -> anyhow::Result<()> {
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
