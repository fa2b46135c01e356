//! Connections to the mail server, used again and again: an e-mail after the other on each.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail as Sender, Rcpt, Rset};
use tokio::time::timeout;

use super::super::calls::Failed;
use super::written::Written;
use crate::config::Knobs;
use crate::failure::Failure;
use crate::mail::{Mail, Server, Stage, failure_of};

/// A connection that nobody used for longer is not worth a try.
const IDLE_SECS_MAX: u64 = 60;
/// A server that says nothing, or does not let us in, is not waited for longer: that holds a lane.
const BEGIN_SECS_MAX: u64 = 10;
/// The server is about to close the connection.
const CLOSING: u16 = 421;

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

pub(crate) struct Line {
    from: Address,
    server: Server,
    connections_max: u16,
    timeout: Duration,
    /// The one used last is last.
    idle: Mutex<Vec<Idle>>,
}

impl Line {
    /// None where no server is known.
    pub(crate) fn new(mail: &Mail) -> Option<Self> {
        Some(Self {
            server: mail.server.clone()?,
            from: mail.from.clone(),
            connections_max: mail.connections_max,
            timeout: mail.timeout,
            idle: Mutex::default(),
        })
    }

    pub(super) fn from(&self) -> &Address {
        &self.from
    }

    /// One chunk's share of the connections.
    pub(super) fn calls_max(&self, knobs: &Knobs, is_aside: bool) -> usize {
        knobs.share_connections(self.connections_max, is_aside)
    }

    pub(super) async fn attempt(&self, letter: &Written) -> Result<(), Failed> {
        let mut stage = Stage::Connecting;
        let begun = timeout(Duration::from_secs(BEGIN_SECS_MAX), self.begin(&mut stage)).await;
        let sent = match begun {
            Ok(Ok(connection)) => timeout(self.timeout, self.hand_over(connection, letter, &mut stage)).await,
            Ok(Err(error)) => Ok(Err(error)),
            Err(silence) => Err(silence),
        };
        let (failure, code) = match sent {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => (failure(stage, &error), code(&error)),
            Err(_) if stage.is_named() => (Failure::TimedOut, None),
            Err(_) => (Failure::Unreachable, None),
        };
        // Never the words of an answer: they tell the address.
        tracing::debug!(
            stage = stage.name(),
            code,
            failure = failure.name(),
            "e-mail not taken"
        );
        Err(Failed {
            failure,
            retry_after: None,
            is_handed: stage.is_handed(),
        })
    }

    /// The rest of it, up to the acknowledgement; `stage` tells how far it came, also when nobody waits any more.
    async fn hand_over(
        &self,
        mut connection: AsyncSmtpConnection,
        letter: &Written,
        stage: &mut Stage,
    ) -> Result<(), Error> {
        *stage = Stage::Recipient;
        let mut asked = connection.command(Rcpt::new(letter.to.clone(), vec![])).await;
        if asked.is_ok() {
            asked = connection.command(Data).await;
        }
        if let Err(error) = asked {
            if is_open_after(&error) && connection.command(Rset).await.is_ok() {
                self.keep(connection);
            }
            return Err(error);
        }
        *stage = Stage::Content;
        let taken = connection.message(&letter.content).await;
        if taken.as_ref().err().is_none_or(is_open_after) {
            self.keep(connection);
        }
        taken.map(drop)
    }

    /// A connection that knows who writes. One that was closed while nobody used it is replaced.
    async fn begin(&self, stage: &mut Stage) -> Result<AsyncSmtpConnection, Error> {
        let sender = || Sender::new(Some(self.from.clone()), vec![]);
        while let Some(mut connection) = self.kept() {
            *stage = Stage::Sender;
            if connection.command(sender()).await.is_ok() {
                return Ok(connection);
            }
        }
        *stage = Stage::Connecting;
        let mut connection = self.server.connect().await.inspect_err(warn)?;
        *stage = Stage::Sender;
        connection.command(sender()).await.inspect_err(warn)?;
        Ok(connection)
    }

    fn kept(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < Duration::from_secs(IDLE_SECS_MAX));
        idle.pop().map(|idle| idle.connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.connections_max.into() {
            idle.push(Idle { connection, since });
        }
    }
}

/// Nobody's e-mails go: whoever runs this has to know. It says nothing of a recipient, and holds no password.
fn warn(error: &Error) {
    match code(error) {
        Some(code) => tracing::warn!(code, "the mail server does not let us send"),
        None => tracing::warn!(%error, "the mail server is not reached"),
    }
}

fn code(error: &Error) -> Option<u16> {
    error.status().map(Into::into)
}

fn is_open_after(error: &Error) -> bool {
    code(error).is_some_and(|code| code != CLOSING)
}

fn failure(stage: Stage, error: &Error) -> Failure {
    let words = || std::error::Error::source(error).map(ToString::to_string);
    match code(error) {
        Some(code) => failure_of(stage, code, &words().unwrap_or_default()),
        None if stage.is_named() => Failure::Broken,
        None => Failure::Unreachable,
    }
}
