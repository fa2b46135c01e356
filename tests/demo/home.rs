//! The stack the story happens on: started here, and stopped unless somebody wants to look around.

use anyhow::{Context as _, ensure};
use testkit::{Stack, build_dir, repository};
use tokio::process::Command;

use crate::options::{Kind, Options};
use crate::screen::Screen;

/// Where everything runs.
pub(crate) struct Home {
    pub(crate) options: Options,
    /// Whether it ran before us; then it goes on after us.
    was_up: std::sync::OnceLock<bool>,
}

impl Home {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            was_up: std::sync::OnceLock::new(),
        }
    }

    /// Starts, or heals, Postgres, NATS, the services and the workers.
    pub(crate) async fn up(&self) -> anyhow::Result<Stack> {
        let was_up = self.command()?.arg("status").output().await?.status.success();
        self.was_up.get_or_init(|| was_up);
        self.start().await?;
        Stack::at(&self.options.state())
    }

    async fn start(&self) -> anyhow::Result<()> {
        let mut command = self.command()?;
        command.arg("up");
        if self.options.stack == Kind::Local {
            command.args(["--services", "--build-dir"]).arg(build_dir()?);
        }
        succeed(command).await
    }

    /// `kill -9`: of a process, or of all that its container holds.
    pub(crate) async fn kill(&self, stack: &Stack, name: &str) -> anyhow::Result<()> {
        match self.options.stack {
            Kind::Local => stack.kill(name),
            Kind::Compose => {
                let mut command = self.command()?;
                command.args(["kill", "-s", "SIGKILL", name]);
                succeed(command).await
            }
        }
    }

    /// Stops everything; the data stays. Or leaves all of it running, the killed worker too.
    pub(crate) async fn leave(&self, screen: &Screen) -> anyhow::Result<()> {
        let Some(was_up) = self.was_up.get() else {
            return Ok(());
        };
        if self.options.keep || *was_up {
            self.start().await?;
            let why = if self.options.keep {
                "KEEP=1"
            } else {
                "it ran before"
            };
            screen.line(&format!(
                "Everything is left running ({why}); `{}` stops it.",
                self.verb("down")
            ));
            return Ok(());
        }
        let mut command = self.command()?;
        command.arg("down");
        succeed(command).await
    }

    /// Whether it will run after the story.
    pub(crate) fn stays(&self) -> bool {
        self.options.keep || self.was_up.get().is_some_and(|was_up| *was_up)
    }

    /// What a person types to have the stack do something: `up`, `down`.
    pub(crate) fn verb(&self, verb: &str) -> String {
        match self.options.stack {
            Kind::Local => format!("make {verb}"),
            Kind::Compose => format!(
                "deploy/dev/stack.py --state {} compose {verb}",
                self.options.state().display()
            ),
        }
    }

    /// What shows which processes run.
    pub(crate) fn status(&self) -> String {
        match self.options.stack {
            Kind::Local => "deploy/dev/stack.py status".to_owned(),
            Kind::Compose => self.verb("status"),
        }
    }

    /// What shows every event.
    pub(crate) fn tail(&self) -> String {
        match self.options.stack {
            Kind::Local => "make tail".to_owned(),
            Kind::Compose => format!("make tail ARGS='--state {}'", self.options.state().display()),
        }
    }

    /// Where to read what every process said.
    pub(crate) fn log(&self) -> String {
        match self.options.stack {
            Kind::Local => format!("{}/<process>.log", self.options.state().join("log").display()),
            Kind::Compose => self.verb("logs <process>"),
        }
    }

    /// Says where more can be read, once there is something.
    pub(crate) fn point_at_logs(&self, screen: &Screen) {
        if self.was_up.get().is_some() {
            screen.note(&format!("what the services said: {}", self.log()));
        }
    }

    /// The command that opens the database.
    pub(crate) fn psql(&self, stack: &Stack) -> String {
        let postgres = &stack.description().postgres;
        // The password stays in its file.
        let place = postgres
            .superuser_url
            .rsplit_once('@')
            .map_or("", |(_, place)| place);
        let (passwords, bin) = (self.options.state().join("pgpass"), postgres.bin.display());
        format!(
            "PGPASSFILE={} {bin}/psql postgres://postgres@{place}",
            passwords.display()
        )
    }

    fn command(&self) -> anyhow::Result<Command> {
        let script = repository().join("deploy/dev/stack.py");
        ensure!(
            script.exists(),
            "{} is missing; remedy: run the demo from a whole checkout",
            script.display()
        );
        let mut command = Command::new(script);
        command.arg("--state").arg(self.options.state());
        if self.options.stack == Kind::Compose {
            command.arg("compose");
        }
        Ok(command)
    }
}

async fn succeed(mut command: Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .await
        .context("stack.py does not start; remedy: install python3")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}",
        said.trim().trim_start_matches("stack: ")
    );
    Ok(())
}
