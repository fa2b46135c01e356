//! What may vary between two processes of broadcast.

use std::time::Duration;

use lettre::Address;
use secrecy::SecretString;
use url::Url;

use crate::opt_out::PUBLIC_URL_BYTES_MAX;

/// Recipients of a slow receiver handed over at a time, beside the lanes: a call there takes long, however few there are.
const ASIDE_MAX: u16 = 5;

/// Broadcast: mass messages, the caps on them, and contacts' inboxes.
#[derive(Debug, clap::Parser)]
#[command(name = "broadcast", version)]
pub struct Config {
    #[command(flatten)]
    pub settings: chassis::Settings,

    #[command(flatten)]
    pub knobs: Knobs,

    #[command(flatten)]
    pub mail: MailSettings,

    /// Where customers answers peers: audiences and the names of recipients are taken from there
    #[arg(
        long,
        env = "SHEQUN_CUSTOMERS_GRPC",
        default_value = "http://127.0.0.1:50051",
        value_name = "URL"
    )]
    pub customers_grpc: Url,

    /// Where people reach this API: the way out of marketing in each message is `<url>/v1/opt-out/<token>`. At most 200
    /// bytes. The same for `serve` and every worker
    #[arg(
        long,
        env = "SHEQUN_PUBLIC_URL",
        default_value = "http://localhost",
        value_name = "URL"
    )]
    pub public_url: Url,

    /// Where groups answers peers; who sits in the groups of an audience is told there
    #[arg(
        long,
        env = "SHEQUN_GROUPS_GRPC",
        default_value = "http://127.0.0.1:50052",
        value_name = "URL"
    )]
    pub groups_grpc: Url,

    #[command(subcommand)]
    pub command: Command,
}

impl Config {
    /// Settings that can be read and not be used.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.public_url.as_str().len() <= PUBLIC_URL_BYTES_MAX,
            "SHEQUN_PUBLIC_URL is longer than {PUBLIC_URL_BYTES_MAX} bytes: links in messages begin with it, and have to fit"
        );
        anyhow::ensure!(
            self.mail.smtp_url.is_none() || self.knobs.worker_chunks_max < self.mail.smtp_connections_max,
            "SHEQUN_WORKER_CHUNKS_MAX is not below SHEQUN_SMTP_CONNECTIONS_MAX: each chunk in hand needs a connection, and \
             one that is sent aside"
        );
        self.knobs.check()
    }
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve the API, resolve and dispatch mass messages, until stopped
    Serve,
    /// Send what is dispatched, until stopped; run as many as you like
    Worker,
    #[command(flatten)]
    Upkeep(outbox::Upkeep),
    /// Print the OpenAPI document
    Openapi,
}

/// The limits of mass messages.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Knobs {
    /// Recipients in a chunk, the unit of work
    #[arg(long, env = "SHEQUN_CHUNK_RECIPIENTS_MAX", default_value_t = 500, value_name = "COUNT",
          value_parser = clap::value_parser!(i32).range(1..=500))]
    pub chunk_recipients_max: i32,

    /// Recipients a worker has handed to the channel without a receipt, over all its chunks: as many may be sent twice
    /// when it dies. Up to 5 of them are of the chunk it sends aside, each other chunk's sub-batch is its share of the rest;
    /// the same for `serve` and every worker
    #[arg(long, env = "SHEQUN_SUB_BATCH_RECIPIENTS", default_value_t = 50, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..=500))]
    pub sub_batch_recipients: u16,

    /// Chunks queued or being sent at once, of all tenants
    #[arg(
        long,
        env = "SHEQUN_WINDOW_CHUNKS",
        default_value_t = 64,
        value_name = "COUNT"
    )]
    pub window_chunks: u16,

    /// Chunks one worker sends at once, beside one aside whose receiver is slow; fewer than SHEQUN_SUB_BATCH_RECIPIENTS,
    /// and the same for `serve` and every worker
    #[arg(long, env = "SHEQUN_WORKER_CHUNKS_MAX", default_value_t = 2, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub worker_chunks_max: u16,

    /// Seconds after which a silent worker's chunk is given to another one; the same for `serve` and every worker
    #[arg(long, env = "SHEQUN_LEASE_SECS", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(2..))]
    pub lease_secs: u64,

    /// Attempts in a row without progress after which a chunk's recipients are dead
    #[arg(
        long,
        env = "SHEQUN_CHUNK_ATTEMPTS_MAX",
        default_value_t = 5,
        value_name = "COUNT"
    )]
    pub chunk_attempts_max: u16,

    /// Seconds a hint may be missing from the work queue before its chunk is dispatched again
    #[arg(
        long,
        env = "SHEQUN_QUEUED_SECS_MAX",
        default_value_t = 5,
        value_name = "SECONDS"
    )]
    pub queued_secs_max: u32,

    /// Seconds between two looks for expired leases and lost hints
    #[arg(
        long,
        env = "SHEQUN_RECONCILE_SECS",
        default_value_t = 1,
        value_name = "SECONDS"
    )]
    pub reconcile_secs: u64,

    /// Milliseconds between two looks for something to resolve, dispatch or finish
    #[arg(
        long,
        env = "SHEQUN_TICK_MILLIS",
        default_value_t = 200,
        value_name = "MILLISECONDS"
    )]
    pub tick_millis: u64,

    /// Milliseconds between two looks of an open stream for new messages
    #[arg(long, env = "SHEQUN_INBOX_POLL_MILLIS", default_value_t = 1_000, value_name = "MILLISECONDS",
          value_parser = clap::value_parser!(u64).range(50..))]
    pub inbox_poll_millis: u64,

    /// Streams of messages open at once, each of which looks for new ones; whoever comes beyond is told to come back
    #[arg(
        long,
        env = "SHEQUN_STREAMS_MAX",
        default_value_t = 1_000,
        value_name = "COUNT"
    )]
    pub streams_max: u16,

    /// Seconds a member has to confirm a share
    #[arg(
        long,
        env = "SHEQUN_TASK_EXPIRY_SECS",
        default_value_t = 86_400,
        value_name = "SECONDS"
    )]
    pub task_expiry_secs: u32,

    /// Seconds between two reminders to confirm a share, 8 hours or more: three a day at most
    #[arg(long, env = "SHEQUN_TASK_REMINDER_SECS", default_value_t = 28_800, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(28_800..))]
    pub task_reminder_secs: u64,

    /// Seconds before the end of a cap's window in which no call is started: it could arrive in the next one
    #[arg(
        long,
        env = "SHEQUN_WINDOW_GUARD_SECS",
        default_value_t = 5,
        value_name = "SECONDS"
    )]
    pub window_guard_secs: u64,

    /// Calls to webhooks one chunk has under way at once
    #[arg(long, env = "SHEQUN_WEBHOOK_CALLS_MAX", default_value_t = 50, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub webhook_calls_max: u16,

    /// Attempts to reach a webhook, or to hand over an e-mail, for one recipient
    #[arg(
        long,
        env = "SHEQUN_WEBHOOK_ATTEMPTS_MAX",
        default_value_t = 5,
        value_name = "COUNT"
    )]
    pub webhook_attempts_max: u32,

    /// Seconds a webhook has to answer
    #[arg(
        long,
        env = "SHEQUN_WEBHOOK_TIMEOUT_SECS",
        default_value_t = 10,
        value_name = "SECONDS"
    )]
    pub webhook_timeout_secs: u64,

    /// Hours a mass message waits for a receiver that takes nothing of it; then its recipients are dead
    #[arg(long, env = "SHEQUN_AWAY_HOURS_MAX", default_value_t = 24, value_name = "HOURS",
          value_parser = clap::value_parser!(u32).range(1..=168))]
    pub away_hours_max: u32,

    /// Weeks that receipts are kept after the end of their mass message; its figures stay
    #[arg(long, env = "SHEQUN_RECEIPT_WEEKS", default_value_t = 13, value_name = "WEEKS",
          value_parser = clap::value_parser!(i32).range(4..=520))]
    pub receipt_weeks: i32,

    /// Seconds that a webhook's Retry-After is waited for with its chunk in hand; what asks for longer is handed back until then
    #[arg(
        long,
        env = "SHEQUN_RETRY_AFTER_SECS_MAX",
        default_value_t = 10,
        value_name = "SECONDS"
    )]
    pub retry_after_secs_max: u64,
}

/// How e-mails leave.
#[derive(Clone, Debug, clap::Args)]
pub struct MailSettings {
    /// The address that e-mails come from, and answers and bounces go to; without it there is no channel `email`. The
    /// same for `serve` and every worker
    #[arg(long, env = "SHEQUN_MAIL_FROM", value_name = "ADDRESS")]
    pub mail_from: Option<Address>,

    /// The mail server, for workers: smtps://user:password@host, or smtp://… with STARTTLS; ?tls=none for a relay beside
    /// us, without a password
    #[arg(long, env = "SHEQUN_SMTP_URL", hide_env_values = true, value_name = "URL")]
    pub smtp_url: Option<SecretString>,

    /// Connections to the mail server that a worker has at most, more than SHEQUN_WORKER_CHUNKS_MAX: up to 5 of them are of
    /// the chunk it sends aside, each other chunk has its share of the rest
    #[arg(long, env = "SHEQUN_SMTP_CONNECTIONS_MAX", default_value_t = 15, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(2..=500))]
    pub smtp_connections_max: u16,

    /// Seconds the mail server has to take an e-mail
    #[arg(long, env = "SHEQUN_SMTP_TIMEOUT_SECS", default_value_t = 30, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub smtp_timeout_secs: u64,
}

impl Knobs {
    /// The most that one chunk's worker has handed over without a receipt: what versions before the chunk aside did, too.
    pub(crate) fn sub_batch_recipients(&self) -> usize {
        (self.sub_batch_recipients / self.worker_chunks_max).into()
    }

    /// One chunk's share of what its worker may hand over without a receipt.
    pub(crate) fn share_recipients(&self, is_aside: bool) -> usize {
        self.share(self.sub_batch_recipients, is_aside)
    }

    /// One chunk's share of a worker's connections.
    pub(crate) fn share_connections(&self, connections_max: u16, is_aside: bool) -> usize {
        self.share(connections_max, is_aside)
    }

    /// Of what a worker has more of than lanes.
    fn share(&self, all: u16, is_aside: bool) -> usize {
        let lanes = self.worker_chunks_max;
        let aside = (all / lanes.saturating_add(1)).clamp(1, ASIDE_MAX);
        let share = match is_aside {
            true => aside,
            false => all.saturating_sub(aside) / lanes,
        };
        share.max(1).into()
    }

    /// Knobs that only fit together.
    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.worker_chunks_max < self.sub_batch_recipients,
            "SHEQUN_WORKER_CHUNKS_MAX is not below SHEQUN_SUB_BATCH_RECIPIENTS: each chunk in hand needs a recipient of it, \
             and one that is sent aside"
        );
        Ok(())
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_secs)
    }

    /// Between two renewals of a lease, which also tell of a cancellation: within a second of it no call is started.
    pub(crate) fn pulse(&self) -> Duration {
        (self.lease() / 4).min(Duration::from_millis(500))
    }

    pub(crate) fn tick(&self) -> Duration {
        Duration::from_millis(self.tick_millis)
    }

    pub(crate) fn task_expiry(&self) -> Duration {
        Duration::from_secs(self.task_expiry_secs.into())
    }

    pub(crate) fn task_reminder(&self) -> Duration {
        Duration::from_secs(self.task_reminder_secs)
    }

    pub(crate) fn inbox_poll(&self) -> Duration {
        Duration::from_millis(self.inbox_poll_millis)
    }

    pub(crate) fn window_guard(&self) -> Duration {
        Duration::from_secs(self.window_guard_secs)
    }

    pub(crate) fn webhook_timeout(&self) -> Duration {
        Duration::from_secs(self.webhook_timeout_secs)
    }

    pub(crate) fn away_secs_max(&self) -> f64 {
        f64::from(self.away_hours_max) * 3_600.0
    }

    pub(crate) fn retry_after_max(&self) -> Duration {
        Duration::from_secs(self.retry_after_secs_max)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn no_more_are_in_doubt_than_was_said() {
        let usual = Config::parse_from(["broadcast", "serve"]).knobs;
        let with = |sub_batch_recipients, worker_chunks_max| Knobs {
            sub_batch_recipients,
            worker_chunks_max,
            ..usual
        };
        for sub_batch in 2..=500 {
            for lanes in 1..sub_batch {
                let knobs = with(sub_batch, lanes);
                let (lane, aside) = (knobs.share_recipients(false), knobs.share_recipients(true));
                assert!(knobs.check().is_ok() && lane >= 1 && (1..=5).contains(&aside));
                assert!(
                    lane * usize::from(lanes) + aside <= usize::from(sub_batch),
                    "{sub_batch} {lanes}"
                );
                assert!(
                    lane.max(aside) <= knobs.sub_batch_recipients(),
                    "{sub_batch} {lanes}"
                );
            }
            assert!(with(sub_batch, sub_batch).check().is_err());
        }
        assert_eq!(
            (usual.share_recipients(false), usual.share_recipients(true)),
            (22, 5)
        );
    }
}
