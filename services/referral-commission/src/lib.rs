//! Commission: order events and a plan become a balanced ledger of who earned what, held until
//! the goods have stayed, taken back when they come back.

mod balance;
mod commission;
mod config;
mod engine;
mod error;
mod events;
mod grpc;
mod http;
mod ops;
mod order;
mod parked;
mod publication;
mod statement;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::Context as _;
use chassis::{Clock, Process, Settings};
use contracts::customers::v1::ContactBefriended;
use contracts::referral::v1::referral_service_server::ReferralServiceServer;
use outbox::{Bus, Database};
use secrecy::ExposeSecret as _;
use tonic::service::Routes;

pub use config::{Command, Config, Serve};
pub use http::document;

/// The schema, for `migrate` and for tests.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

const SERVICE: &str = "referral";

/// What every operation has at hand.
#[derive(Clone)]
pub struct State {
    db: Database,
    clock: Clock,
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

    let people = outbox::consume::<ContactBefriended, _>(
        db.clone(),
        bus.clone(),
        "referral-person",
        state.clone(),
        process.stopping(),
    );
    process.spawn("referral-person", async { Ok(people.await?) });
    let poll = Duration::from_secs(options.maturity_poll_secs);
    let maturity = ops::mature_until_stopped(state.clone(), poll, process.stopping());
    process.spawn("maturity", async {
        maturity.await;
        Ok(())
    });
    let relay = outbox::relay(db, bus, SERVICE, process.last());
    process.spawn_last("relay", async { Ok(relay.await?) });

    let api = http::api().router(state.clone(), process.verifier.clone())?;
    process
        .serve(api, Routes::new(ReferralServiceServer::new(state)))
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
