//! Customers: contacts, who follows them, and the live codes they come by.

mod assignment;
mod audience;
mod code;
mod config;
mod contact;
mod email;
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

use chassis::auth::Signer;
use chassis::{Clock, Process, Settings};
use contracts::broadcast::v1::ContactOptedOut;
use contracts::customers::v1::customers_service_server::CustomersServiceServer;
use contracts::identity::v1::{MemberJoined, MemberLeft, TenantVerified};
use outbox::{Database, Link};
use sqlx::migrate::Migrator;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use url::Url;

pub use config::{Command, Config};

/// The tables of customers, for `migrate` and for tests.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// What every request and every event is handled with.
#[derive(Clone)]
pub struct State {
    database: Database,
    clock: Clock,
    signer: Signer,
    public_url: Url,
    /// An upload may take longer than the drain; it ends at the next batch.
    stopping: CancellationToken,
}

/// Does what the command line says.
///
/// # Errors
/// When a setting is unusable, or the service fails.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let settings = &config.settings;
    match config.command {
        Command::Serve => serve(settings, config.public_url).await,
        Command::Upkeep(upkeep) => upkeep.run(settings, &MIGRATOR).await,
        Command::Openapi => {
            let document = http::api().document().to_pretty_json()?;
            Ok(writeln!(std::io::stdout(), "{document}")?)
        }
    }
}

async fn serve(settings: &Settings, public_url: Url) -> anyhow::Result<()> {
    let process = Process::start("customers", settings)?;
    let link = Link::open(&process).await?;
    let state = State {
        database: link.database.clone(),
        clock: process.clock,
        signer: process.signer.clone(),
        public_url,
        stopping: process.stopping(),
    };

    link.listen::<TenantVerified, _>(&process, "customers-tenant", state.clone());
    link.listen::<MemberJoined, _>(&process, "customers-member-joined", state.clone());
    link.listen::<MemberLeft, _>(&process, "customers-member-left", state.clone());
    link.listen::<ContactOptedOut, _>(&process, "customers-opt-out", state.clone());
    link.relay(&process);

    let api = http::api().router(state.clone(), process.verifier.clone())?;
    process
        .serve(api, Routes::new(CustomersServiceServer::new(state)))
        .await
}
