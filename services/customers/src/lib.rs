//! Customers: contacts, who follows them, and the live codes they come by.

mod assignment;
mod code;
mod config;
mod contact;
mod error;
mod events;
mod grpc;
mod http;
mod import;
mod ops;
mod phone;
#[cfg(test)]
mod scene;
mod store;
mod tag;

use std::io::Write as _;

use anyhow::Context as _;
use chassis::auth::Signer;
use chassis::{Clock, Process, Settings};
use contracts::customers::v1::customers_service_server::CustomersServiceServer;
use contracts::identity::v1::{MemberJoined, MemberLeft, TenantVerified};
use outbox::{Bus, Database, consume};
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tonic::service::Routes;
use url::Url;

pub use config::{Command, Config};

/// The tables of customers, for `migrate` and for tests.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// What every request and every event is handled with.
#[derive(Clone)]
pub struct State {
    database: Database,
    /// For the one look-up that has no tenant yet: whose code a token is.
    pool: PgPool,
    clock: Clock,
    signer: Signer,
    public_url: Url,
}

/// Does what the command line says.
///
/// # Errors
/// When a setting is unusable, or the service fails.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let settings = &config.settings;
    match config.command {
        Command::Serve => serve(settings, config.public_url).await,
        Command::Migrate => {
            let url = settings
                .owner_database_url
                .as_ref()
                .context("SHEQUN_OWNER_DATABASE_URL is missing")?;
            Ok(outbox::migrate(url.expose_secret(), &MIGRATOR).await?)
        }
        Command::DeadLetters(command) => {
            let database = Database::new(chassis::pool(settings)?);
            Ok(outbox::dead_letters::run(command, &database).await?)
        }
        Command::Openapi => {
            let document = http::api().document().to_pretty_json()?;
            Ok(writeln!(std::io::stdout(), "{document}")?)
        }
    }
}

async fn serve(settings: &Settings, public_url: Url) -> anyhow::Result<()> {
    let process = Process::start("customers", settings)?;
    let pool = chassis::pool(settings)?;
    let database = Database::new(pool.clone());
    let bus = connect(settings).await?;
    let state = State {
        database: database.clone(),
        pool,
        clock: process.clock,
        signer: process.signer.clone(),
        public_url,
    };

    let checked = database.clone();
    process.health.add("postgres", move || {
        let database = checked.clone();
        async move { database.check().await }
    });
    let checked = bus.clone();
    process.health.add("nats", move || {
        let bus = checked.clone();
        async move { bus.check().await }
    });

    listen::<TenantVerified>(&process, &state, &bus, "customers-tenant");
    listen::<MemberJoined>(&process, &state, &bus, "customers-member-joined");
    listen::<MemberLeft>(&process, &state, &bus, "customers-member-left");
    let relay = outbox::relay(database, bus, "customers", process.last());
    process.spawn_last("relay", async move { Ok(relay.await?) });

    let api = http::api().router(state.clone(), process.verifier.clone())?;
    process
        .serve(api, Routes::new(CustomersServiceServer::new(state)))
        .await
}

async fn connect(settings: &Settings) -> anyhow::Result<Bus> {
    let user = settings
        .nats_user
        .as_deref()
        .context("SHEQUN_NATS_USER is missing")?;
    let password = settings
        .nats_password
        .as_ref()
        .context("SHEQUN_NATS_PASSWORD is missing")?;
    Ok(Bus::connect(
        "customers",
        settings.nats_url.as_str(),
        user,
        password.expose_secret(),
    )
    .await?)
}

fn listen<E>(process: &Process, state: &State, bus: &Bus, durable: &'static str)
where
    E: contracts::Event + 'static,
    State: outbox::Handler<E>,
{
    let listening = consume::<E, _>(
        state.database.clone(),
        bus.clone(),
        durable,
        state.clone(),
        process.stopping(),
    );
    process.spawn(durable, async move { Ok(listening.await?) });
}
