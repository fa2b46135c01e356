//! Identity: tenants and their verification, members, logins, and the keys that sign them.

mod config;
mod error;
mod events;
mod grpc;
mod http;
mod keyring;
mod keys;
mod member;
mod ops;
mod password;
mod seal;
mod session;
mod store;
mod tenant;
#[cfg(test)]
mod tests;
mod throttle;

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use chassis::auth::KeySource;
use chassis::http::Origin;
use chassis::{Clock, Process, Settings};
use contracts::identity::v1::identity_service_server::IdentityServiceServer;
use jiff::SignedDuration;
use outbox::{Database, Link};
use sqlx::migrate::Migrator;
use tonic::service::Routes;

pub use config::Config;
use config::{Command, KeysCommand, Limits, ReviewerCommand, Secrets};
use keys::Keys;
use ops::rotate_keys::{Rotation, rotate_keys};
use password::Hasher;
use seal::Seal;
use throttle::{Gate, Try};

const SERVICE: &str = "identity";

/// The schema, after the outbox's own tables.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// What every operation has at hand.
#[derive(Clone)]
pub struct State {
    db: Database,
    clock: Clock,
    seal: Arc<Seal>,
    keys: Keys,
    hasher: Hasher,
    /// For those who register, whom nobody knows: a crowd of them must not keep members from logging in.
    newcomers: Hasher,
    gate: Gate,
    proxies: Option<u8>,
}

impl State {
    fn new(db: Database, clock: Clock, seal: Arc<Seal>, keys: Keys, limits: Limits) -> Self {
        let failures = throttle::Limits {
            per_account_max: limits.login_failures_per_account_max.into(),
            per_address_max: limits.login_failures_per_address_max.into(),
            all_max: limits.login_failures_max.into(),
        };
        Self {
            db,
            clock,
            seal,
            keys,
            hasher: Hasher::new(limits.password_hashes_max),
            newcomers: Hasher::new(1),
            gate: Gate::new(failures),
            proxies: limits.proxies,
        }
    }

    /// An attempt to log in, as its failures are counted.
    fn login(&self, account: String, origin: &Origin) -> Try {
        Try {
            account,
            address: self.proxies.and_then(|proxies| origin.behind(proxies)),
        }
    }
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    http::api().document()
}

/// Does what the command line says.
///
/// # Errors
/// When it can't be done, with the reason.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let Config {
        settings,
        secrets,
        limits,
        command,
    } = config;
    match command {
        Command::Serve => serve(&settings, &secrets, limits).await,
        Command::Upkeep(upkeep) => upkeep.run(&settings, &MIGRATOR).await,
        Command::Openapi => print(&document().to_pretty_json()?),
        Command::Reviewer(ReviewerCommand::Add { email, password }) => {
            ops::enlist_reviewer::enlist_reviewer(&settings, &email, &password).await
        }
        Command::Keys(KeysCommand::Rotate { lead_secs, withdraw }) => {
            let rotation = match withdraw {
                true => Rotation::Withdraw,
                false => Rotation::After(SignedDuration::from_secs(lead_secs)),
            };
            let (db, seal) = (Database::new(chassis::pool(&settings)?), secrets.seal()?);
            let now = Clock::system().now();
            let ring = rotate_keys(&db, &seal, rotation, now).await?;
            print(&serde_json::to_string_pretty(&ring.published(now))?)
        }
    }
}

fn print(answer: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{answer}")?)
}

async fn serve(settings: &Settings, secrets: &Secrets, limits: Limits) -> anyhow::Result<()> {
    let seal = Arc::new(secrets.seal()?);
    let keys = Keys::new();
    let process = Process::start_with(SERVICE, settings, KeySource::Local(keys.published()))?;
    let link = Link::open(&process).await?;
    let state = State::new(link.database.clone(), process.clock, seal.clone(), keys, limits);

    process.spawn(
        "signing keys",
        state
            .keys
            .clone()
            .keep(link.database.clone(), seal, state.clock, process.stopping()),
    );
    link.relay(&process);

    let (keys, clock) = (state.keys.clone(), state.clock);
    process.health.add("signing keys", move || {
        std::future::ready(keys.check(clock.now()))
    });

    let api = http::api().router(state.clone(), process.verifier.clone())?;
    process
        .serve(api, Routes::new(IdentityServiceServer::new(state)))
        .await
}

impl Secrets {
    fn seal(&self) -> anyhow::Result<Seal> {
        let secret = self.key_secret.as_ref().context("SHEQUN_KEY_SECRET is not set")?;
        Ok(Seal::new(secret)?)
    }
}
