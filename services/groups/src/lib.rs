//! Groups: communities with a fixed number of seats, series that open the next group when one is
//! full, and who sits where.

mod config;
mod customers;
mod error;
mod events;
mod gate;
mod group;
mod grpc;
mod http;
mod ops;
mod seat;
mod series;
mod store;
#[cfg(test)]
mod tests;

use anyhow::Context as _;
use chassis::{Clock, Process, Settings};
use contracts::groups::v1::groups_service_server::GroupsServiceServer;
use contracts::identity::v1::TenantVerified;
use outbox::{Bus, Database};
use secrecy::ExposeSecret as _;
use tonic::service::Routes;

pub use config::Config;
use config::{Command, Serve};
pub use http::document;

/// The schema, for `migrate` and for tests.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

const SERVICE: &str = "groups";

/// What every operation has at hand.
#[derive(Clone)]
pub struct State {
    db: Database,
    clock: Clock,
    customers: customers::Customers,
    gate: gate::Gate,
}

/// Runs the command until it ends or the process is told to stop.
///
/// # Errors
/// When a setting is missing or the command fails.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let Config { settings, command } = config;
    match command {
        Command::Serve(options) => serve(&settings, &options).await,
        Command::Migrate => {
            let url = settings
                .owner_database_url
                .context("SHEQUN_OWNER_DATABASE_URL is not set")?;
            Ok(outbox::migrate(url.expose_secret(), &MIGRATOR).await?)
        }
        Command::DeadLetters(command) => {
            Ok(outbox::dead_letters::run(command, &Database::new(chassis::pool(&settings)?)).await?)
        }
        Command::Openapi => print(&document().to_pretty_json()?),
    }
}

async fn serve(settings: &Settings, options: &Serve) -> anyhow::Result<()> {
    let process = Process::start(SERVICE, settings)?;
    let db = Database::new(chassis::pool(settings)?);
    let bus = connect(settings).await?;
    let state = State {
        db: db.clone(),
        clock: process.clock,
        customers: customers::Customers::new(
            chassis::grpc::channel(&options.customers_grpc)?,
            process.signer.clone(),
        ),
        gate: gate::Gate::new(options.joins_at_once_max),
    };

    let checked = db.clone();
    process.health.add("postgres", move || {
        let db = checked.clone();
        async move { db.check().await }
    });
    let checked = bus.clone();
    process.health.add("nats", move || {
        let bus = checked.clone();
        async move { bus.check().await }
    });

    let tenants = outbox::consume::<TenantVerified, _>(
        db.clone(),
        bus.clone(),
        "groups-tenant",
        state.clone(),
        process.stopping(),
    );
    process.spawn("groups-tenant", async { Ok(tenants.await?) });
    let relay = outbox::relay(db, bus, SERVICE, process.last());
    process.spawn_last("relay", async { Ok(relay.await?) });

    let api = http::api().router(state.clone(), process.verifier.clone())?;
    process
        .serve(api, Routes::new(GroupsServiceServer::new(state)))
        .await
}

async fn connect(settings: &Settings) -> anyhow::Result<Bus> {
    let user = settings
        .nats_user
        .as_deref()
        .context("SHEQUN_NATS_USER is not set")?;
    let password = settings
        .nats_password
        .as_ref()
        .context("SHEQUN_NATS_PASSWORD is not set")?;
    Ok(Bus::connect(
        SERVICE,
        settings.nats_url.as_str(),
        user,
        password.expose_secret(),
    )
    .await?)
}

#[expect(clippy::print_stdout, reason = "the answer of a command line")]
fn print(text: &str) -> anyhow::Result<()> {
    println!("{text}");
    Ok(())
}
