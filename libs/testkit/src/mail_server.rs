//! A real SMTP server, which keeps what it takes and answers as it is told: see `mail_server.py`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::repository;

/// What it answers to the first so many askings for each recipient; 0: to all.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MailRule {
    /// `mail`, `rcpt` or `data`.
    pub at: &'static str,
    /// Part of the recipient's address; at `mail`, of the sender's.
    pub to: &'static str,
    pub answer: &'static str,
    pub times: u32,
}

/// What happened at the server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum MailEvent {
    Connection,
    Login {
        address: String,
    },
    Mail {
        address: String,
    },
    Rcpt {
        address: String,
    },
    /// An e-mail was not taken after all of it was there.
    Refused,
    #[serde(rename = "e-mail")]
    Taken(Email),
}

/// An e-mail it took, decoded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Email {
    pub sender: String,
    pub to: Vec<String>,
    pub headers: Vec<(String, String)>,
    pub text: String,
    pub page: String,
}

impl Email {
    /// The header of that name; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// The server, for as long as this lives.
pub struct MailServer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    port: u16,
    /// What it was started with beside its port.
    login: Vec<String>,
    tls: Vec<PathBuf>,
}

impl MailServer {
    /// On a free port; with a user and a password it takes nobody else's e-mails.
    ///
    /// # Errors
    /// When it does not start; the first one of a checkout is installed.
    pub fn start(login: &[&str]) -> anyhow::Result<Self> {
        Self::listen(0, login.iter().map(ToString::to_string).collect(), vec![])
    }

    /// The same, which speaks TLS from the start: files of its certificate and key, in PEM.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_wrapped(login: &[&str], certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let tls = vec![certificate.to_owned(), key.to_owned()];
        Self::listen(0, login.iter().map(ToString::to_string).collect(), tls)
    }

    fn listen(port: u16, login: Vec<String>, tls: Vec<PathBuf>) -> anyhow::Result<Self> {
        let mut command = Command::new(repository().join("libs/testkit/mail_server.py"));
        if !tls.is_empty() {
            command.arg("--tls").args(&tls);
        }
        let mut child = command
            .arg(port.to_string())
            .args(&login)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the mail server does not start; it needs python3")?;
        let input = child.stdin.take().context("its input is a pipe")?;
        let mut output = BufReader::new(child.stdout.take().context("its output is a pipe")?);
        let port = answer(&mut output)?;
        Ok(Self {
            child,
            input,
            output,
            port,
            login,
            tls,
        })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it answers by these rules alone.
    ///
    /// # Errors
    /// When it is gone.
    pub fn rules(&mut self, rules: &[MailRule]) -> anyhow::Result<()> {
        self.ask::<Vec<MailEvent>>(&rules).map(drop)
    }

    /// All that happened since it was started.
    ///
    /// # Errors
    /// When it is gone.
    pub fn events(&mut self) -> anyhow::Result<Vec<MailEvent>> {
        self.ask(&())
    }

    /// What it took of it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn emails(&mut self) -> anyhow::Result<Vec<Email>> {
        let taken = self.events()?.into_iter().filter_map(|event| match event {
            MailEvent::Taken(email) => Some(email),
            _ => None,
        });
        Ok(taken.collect())
    }

    fn ask<T: DeserializeOwned>(&mut self, what: &impl Serialize) -> anyhow::Result<T> {
        let line = serde_json::to_string(what)?;
        writeln!(self.input, "{line}")?;
        answer(&mut self.output)
    }

    /// Ends it, as a power cut would.
    ///
    /// # Errors
    /// When it can't be waited for.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again where it was, having forgotten everything.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        *self = Self::listen(self.port, self.login.clone(), self.tls.clone())?;
        Ok(())
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn answer<T: DeserializeOwned>(output: &mut BufReader<ChildStdout>) -> anyhow::Result<T> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    serde_json::from_str(&line).context("the mail server is gone")
}
