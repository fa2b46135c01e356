//! A service's link to its database and the bus: opened, watched, listened to and relayed in one way by all.

use anyhow::Context as _;
use chassis::{Process, Settings};
use contracts::Event;
use futures::FutureExt as _;
use secrecy::ExposeSecret as _;
use sqlx::migrate::Migrator;

use crate::{Bus, Database, Handler, consume, dead_letters, figures, migrate, relay};

/// One process's Postgres and NATS.
pub struct Link {
    pub database: Database,
    pub bus: Bus,
}

impl Link {
    /// Opens both and has the process report whether they answer; neither has to be there yet.
    ///
    /// # Errors
    /// When a setting is missing or malformed.
    pub async fn open(process: &Process) -> anyhow::Result<Self> {
        let settings = process.settings();
        let database = Database::new(chassis::pool(settings)?);
        let bus = connect(process.service(), settings).await?;

        // A connection of its own: a crowd that takes all the others must not make every replica unready at once.
        let checked = chassis::pool::of(settings, 1)?;
        process.health.add("postgres", move || {
            let pool = checked.clone();
            async move { chassis::pool::check(&pool).await }
        });
        let checked = bus.clone();
        process.health.add("nats", move || {
            let bus = checked.clone();
            async move { bus.check().await }
        });
        let figures = figures::of_pool(database.clone(), process.stopping());
        process.spawn("figures of the pool", figures.map(Ok));
        Ok(Self { database, bus })
    }

    /// Puts every event `E` into effect by `handler`, as the durable consumer `durable`.
    pub fn listen<E, H>(&self, process: &Process, durable: &'static str, handler: H)
    where
        E: Event + 'static,
        H: Handler<E>,
    {
        let (database, bus) = (self.database.clone(), self.bus.clone());
        let listening = consume::<E, _>(database, bus, durable, handler, process.stopping());
        process.spawn(durable, async move { Ok(listening.await?) });
    }

    /// Publishes what the service records, until everything else has ended.
    pub fn relay(&self, process: &Process) {
        let (database, bus) = (self.database.clone(), self.bus.clone());
        let relaying = relay(database, bus, process.service(), process.last());
        process.spawn_last("relay", async move { Ok(relaying.await?) });
    }
}

async fn connect(service: &str, settings: &Settings) -> anyhow::Result<Bus> {
    let user = settings
        .nats_user
        .as_deref()
        .context("SHEQUN_NATS_USER is not set")?;
    let password = settings
        .nats_password
        .as_ref()
        .context("SHEQUN_NATS_PASSWORD is not set")?;
    let url = settings.nats_url.as_str();
    let bus = Bus::connect(service, url, user, password.expose_secret()).await?;
    Ok(bus.replicating(settings.stream_replicas))
}

/// What every service's command line can do beside serving.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Upkeep {
    /// Bring the schema up to date, as its owner
    Migrate,
    /// Look at the events that could not be handled, or hand them back
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Ask the process that serves on this host whether it is ready
    Health,
}

impl Upkeep {
    /// Does it; `own` are the service's migrations, after the outbox's.
    ///
    /// # Errors
    /// When a setting is missing or the database refuses.
    pub async fn run(self, settings: &Settings, own: &Migrator) -> anyhow::Result<()> {
        match self {
            Self::Migrate => {
                let url = settings
                    .owner_database_url
                    .as_ref()
                    .context("SHEQUN_OWNER_DATABASE_URL is not set")?;
                Ok(migrate(url.expose_secret(), own).await?)
            }
            Self::DeadLetters(command) => {
                Ok(dead_letters::run(command, &Database::new(chassis::pool(settings)?)).await?)
            }
            Self::Health => chassis::health::ask(settings).await,
        }
    }
}
