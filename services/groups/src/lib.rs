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

use std::io::Write as _;

use chassis::{Clock, Process, Settings};
use contracts::groups::v1::groups_service_server::GroupsServiceServer;
use contracts::identity::v1::TenantVerified;
use outbox::{Database, Link};
use tonic::service::Routes;

pub use config::Config;
use config::{Command, Knobs};
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
    let Config {
        settings,
        knobs,
        command,
    } = config;
    match command {
        Command::Serve => serve(&settings, &knobs).await,
        Command::Upkeep(upkeep) => upkeep.run(&settings, &MIGRATOR).await,
        Command::Openapi => Ok(writeln!(std::io::stdout(), "{}", document().to_pretty_json()?)?),
    }
}

async fn serve(settings: &Settings, knobs: &Knobs) -> anyhow::Result<()> {
    let process = Process::start(SERVICE, settings)?;
    let link = Link::open(&process).await?;
    let state = State {
        db: link.database.clone(),
        clock: process.clock,
        customers: customers::Customers::new(
            process.channel("customers", &knobs.customers_grpc)?,
            process.signer.clone(),
        ),
        gate: gate::Gate::new(knobs.joins_at_once_max),
    };

    link.listen::<TenantVerified, _>(&process, "groups-tenant", state.clone());
    link.relay(&process);

    let api = http::api().router(state.clone(), process.verifier.clone())?;
    process
        .serve(api, Routes::new(GroupsServiceServer::new(state)))
        .await
}
