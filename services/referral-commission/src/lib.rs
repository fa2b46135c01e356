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

use std::io::Write as _;
use std::time::Duration;

use chassis::{Clock, Process, Settings};
use contracts::customers::v1::ContactBefriended;
use contracts::referral::v1::referral_service_server::ReferralServiceServer;
use outbox::{Database, Link};
use tonic::service::Routes;

pub use config::{Command, Config, Knobs};
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
    };

    link.listen::<ContactBefriended, _>(&process, "referral-person", state.clone());
    let poll = Duration::from_secs(knobs.maturity_poll_secs);
    let maturity = ops::mature_until_stopped(state.clone(), poll, process.stopping());
    process.spawn("maturity", async {
        maturity.await;
        Ok(())
    });
    let checking = ops::check_ledger_until_stopped(state.clone(), process.stopping());
    process.spawn("ledger check", async {
        checking.await;
        Ok(())
    });
    ops::count_from_zero();
    link.relay(&process);

    let api = http::api().router(state.clone(), process.verifier.clone())?;
    process
        .serve(api, Routes::new(ReferralServiceServer::new(state)))
        .await
}
