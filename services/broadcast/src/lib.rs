//! Broadcast: mass messages, the caps on them, and contacts' inboxes.

mod broadcast;
mod cap;
mod channel;
mod chunk;
mod config;
mod error;
mod events;
mod grip;
mod grpc;
mod http;
mod message;
mod ops;
mod outcome;
mod pace;
mod queue;
mod share;
mod split;
mod store;
mod task;
#[cfg(test)]
mod tests;
mod timers;
mod webhook;
mod worker;

use std::io::Write as _;

use anyhow::Context as _;
use chassis::auth::Signer;
use chassis::{Clock, Process, Settings};
use contracts::broadcast::v1::broadcast_service_server::BroadcastServiceServer;
use contracts::customers::v1::ContactBefriended;
use contracts::groups::v1::GroupJoined;
use contracts::identity::v1::TenantVerified;
use outbox::{Bus, Database, consume};
use secrecy::ExposeSecret as _;
use sqlx::migrate::Migrator;
use tonic::service::Routes;
use tonic::transport::Channel;

pub use config::{Command, Config, Knobs};

use crate::queue::Queue;

/// The tables of broadcast, for `migrate` and for tests.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// What every request, event and loop is handled with. The work queue is not in it: it is for the dispatcher, the
/// reconciler and the worker.
#[derive(Clone)]
pub struct State {
    db: Database,
    clock: Clock,
    signer: Signer,
    customers: Channel,
    knobs: Knobs,
    dev: bool,
}

/// Does what the command line says.
///
/// # Errors
/// When a setting is unusable, or the service fails.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let settings = &config.settings;
    match config.command {
        Command::Serve => serve(&config).await,
        Command::Worker => work(&config).await,
        Command::Migrate => {
            let url = settings
                .owner_database_url
                .as_ref()
                .context("SHEQUN_OWNER_DATABASE_URL is missing")?;
            Ok(outbox::migrate(url.expose_secret(), &MIGRATOR).await?)
        }
        Command::DeadLetters(command) => {
            let db = Database::new(chassis::pool(settings)?);
            Ok(outbox::dead_letters::run(command, &db).await?)
        }
        Command::Openapi => {
            let document = http::api().document().to_pretty_json()?;
            Ok(writeln!(std::io::stdout(), "{document}")?)
        }
    }
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let process = Process::start("broadcast", &config.settings)?;
    let (state, bus) = start(&process, config).await?;
    let queue = Queue::new(bus.clone(), config.knobs.lease());

    listen::<TenantVerified>(&process, &state, &bus, "broadcast-tenant");
    listen::<ContactBefriended>(&process, &state, &bus, "broadcast-welcome");
    listen::<GroupJoined>(&process, &state, &bus, "broadcast-greeting");
    process.spawn("resolver", timers::resolve(state.clone(), process.stopping()));
    process.spawn(
        "dispatcher",
        timers::dispatch(state.clone(), queue.clone(), process.stopping()),
    );
    process.spawn(
        "reconciler",
        timers::reconcile(state.clone(), queue, process.stopping()),
    );
    process.spawn(
        "end of mass messages",
        timers::end(state.clone(), process.stopping()),
    );
    let relay = outbox::relay(state.db.clone(), bus, "broadcast", process.last());
    process.spawn_last("relay", async move { Ok(relay.await?) });

    let api = http::api().router(state.clone(), process.verifier.clone())?;
    process
        .serve(api, Routes::new(BroadcastServiceServer::new(state)))
        .await
}

async fn work(config: &Config) -> anyhow::Result<()> {
    let process = Process::start("broadcast", &config.settings)?;
    let (state, bus) = start(&process, config).await?;
    let queue = Queue::new(bus, config.knobs.lease());
    process.spawn("worker", worker::work(state, queue, process.stopping()));
    process.serve_ops().await
}

/// What both modes have.
async fn start(process: &Process, config: &Config) -> anyhow::Result<(State, Bus)> {
    let settings = &config.settings;
    config.knobs.check()?;
    let db = Database::new(chassis::pool(settings)?);
    let bus = connect(settings).await?;
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
    let state = State {
        db,
        clock: process.clock,
        signer: process.signer.clone(),
        customers: chassis::grpc::channel(&config.customers_grpc)?,
        knobs: config.knobs,
        dev: settings.dev,
    };
    Ok((state, bus))
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
        "broadcast",
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
        state.db.clone(),
        bus.clone(),
        durable,
        state.clone(),
        process.stopping(),
    );
    process.spawn(durable, async move { Ok(listening.await?) });
}
