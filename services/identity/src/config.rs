//! What may vary between two processes of identity.

use secrecy::SecretString;

use crate::keyring::LEAD;
use crate::member::Email;

/// Tenants, their staff, and who may ask: logins, tokens, keys.
#[derive(Debug, clap::Parser)]
#[command(name = "identity", version)]
pub struct Config {
    #[command(flatten)]
    pub settings: chassis::Settings,

    #[command(flatten)]
    pub secrets: Secrets,

    #[command(flatten)]
    pub limits: Limits,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Args)]
pub struct Secrets {
    /// Seals signing keys and licence numbers in the database; at least 32 characters, the same for
    /// all replicas, kept apart from database backups. `serve` and `keys` need it
    #[arg(
        long,
        global = true,
        env = "SHEQUN_KEY_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub key_secret: Option<SecretString>,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Limits {
    /// Passwords hashed at once; each takes 19 MiB and a core for its time
    #[arg(long, env = "SHEQUN_PASSWORD_HASHES_MAX", default_value_t = 2, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub password_hashes_max: u16,

    /// Failed logins one account may have in 15 minutes
    #[arg(long, env = "SHEQUN_LOGIN_FAILURES_PER_ACCOUNT_MAX", default_value_t = 10, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub login_failures_per_account_max: u16,

    /// Failed logins one client may have in 15 minutes, at whatever accounts; needs SHEQUN_PROXIES
    #[arg(long, env = "SHEQUN_LOGIN_FAILURES_PER_ADDRESS_MAX", default_value_t = 100, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub login_failures_per_address_max: u16,

    /// Failed logins all accounts together may have in a minute
    #[arg(long, env = "SHEQUN_LOGIN_FAILURES_MAX", default_value_t = 600, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub login_failures_max: u16,

    /// Own proxies between clients and this process, each of which appends to `X-Forwarded-For`: clients are told
    /// apart by their addresses then. Unset, all count as one
    #[arg(long, env = "SHEQUN_PROXIES", value_name = "COUNT")]
    pub proxies: Option<u8>,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Answers HTTP and gRPC until stopped
    Serve,
    #[command(flatten)]
    Upkeep(outbox::Upkeep),
    /// Prints the OpenAPI document
    Openapi,
    /// The platform's reviewers, who verify tenants
    #[command(subcommand)]
    Reviewer(ReviewerCommand),
    /// The keys that sign logins
    #[command(subcommand)]
    Keys(KeysCommand),
}

#[derive(Debug, clap::Subcommand)]
pub enum ReviewerCommand {
    /// Adds a reviewer, or sets a new password for one; connects as the schema's owner
    Add {
        /// The address the reviewer logs in with
        #[arg(long)]
        email: Email,
        /// 10 to 128 characters; give it through the environment
        #[arg(long, env = "SHEQUN_REVIEWER_PASSWORD", hide_env_values = true)]
        password: SecretString,
    },
}

#[derive(Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// Makes a new key
    Rotate {
        /// Seconds the key is published before it signs; verifiers fetch the set every 10 minutes
        #[arg(long, value_name = "SECONDS", default_value_t = LEAD.as_secs(),
              value_parser = clap::value_parser!(i64).range(0..=86_400))]
        lead_secs: i64,
        /// Sign with it at once and withdraw all others, because one may be known to somebody else:
        /// every access token ends, refresh tokens stay good
        #[arg(long, conflicts_with = "lead_secs")]
        withdraw: bool,
    },
}
