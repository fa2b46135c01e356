//! Broadcast: mass messages, the caps on them, and contacts' inboxes.

mod audience;
mod broadcast;
mod cap;
mod channel;
mod chunk;
mod click;
mod config;
mod content;
mod dead;
mod error;
mod events;
mod failure;
mod feed;
mod forecast;
mod grip;
mod grpc;
mod http;
mod list;
mod live;
mod mail;
mod message;
mod ops;
mod opt_out;
mod outcome;
mod pace;
mod policy;
mod post;
mod preview;
mod queue;
mod quiet;
mod report;
mod schedule;
mod share;
mod split;
mod store;
mod task;
#[cfg(test)]
mod tests;
mod timers;
mod watch;
mod webhook;
mod worker;
mod zone;

use std::io::Write as _;

use chassis::auth::Signer;
use chassis::{Clock, Process};
use contracts::broadcast::v1::broadcast_service_server::BroadcastServiceServer;
use contracts::customers::v1::{ContactBefriended, ContactConsentChanged};
use contracts::groups::v1::GroupJoined;
use contracts::identity::v1::TenantVerified;
use outbox::{Database, Link};
use sqlx::migrate::Migrator;
use tonic::service::Routes;
use tonic::transport::Channel;
use url::Url;

pub use config::{Command, Config, Knobs, MailSettings};

use crate::click::Clicks;
use crate::live::Streams;
use crate::mail::Mail;
use crate::queue::Queue;
use crate::watch::Watches;

/// The tables of broadcast, for `migrate` and for tests.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// What every request, event and loop is handled with. The work queue is not in it: it is for the dispatcher, the
/// reconciler and the worker.
#[derive(Clone)]
pub struct State {
    db: Database,
    clock: Clock,
    signer: Signer,
    /// Audiences, and who their recipients are.
    customers: Channel,
    /// Who sits where: of `serve` alone, a worker resolves no audience.
    groups: Option<Channel>,
    /// How e-mails leave; none where none do.
    mail: Option<Mail>,
    knobs: Knobs,
    streams: Streams,
    watches: Watches,
    clicks: Clicks,
    /// Where people reach the API: links in messages begin with it.
    public_url: Url,
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
        Command::Upkeep(upkeep) => upkeep.run(settings, &MIGRATOR).await,
        Command::Openapi => {
            let document = http::api().document().to_pretty_json()?;
            Ok(writeln!(std::io::stdout(), "{document}")?)
        }
    }
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let process = Process::start("broadcast", &config.settings)?;
    let groups = process.channel("groups", &config.groups_grpc)?;
    let (state, link) = start(&process, config, Some(groups)).await?;
    let queue = Queue::new(link.bus.clone(), config.knobs.lease());

    link.listen::<TenantVerified, _>(&process, "broadcast-tenant", state.clone());
    link.listen::<ContactBefriended, _>(&process, "broadcast-welcome", state.clone());
    link.listen::<ContactConsentChanged, _>(&process, "broadcast-consent", state.clone());
    link.listen::<GroupJoined, _>(&process, "broadcast-greeting", state.clone());
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
    process.spawn(
        "old receipts",
        timers::keep_receipts(state.clone(), process.stopping()),
    );
    process.spawn("old caps", timers::forget_caps(state.clone(), process.stopping()));
    process.spawn("clicks", timers::count_clicks(state.clone(), process.stopping()));
    link.relay(&process);

    let api = http::api().router(state.clone(), process.verifier.clone())?;
    process
        .serve(api, Routes::new(BroadcastServiceServer::new(state)))
        .await
}

async fn work(config: &Config) -> anyhow::Result<()> {
    let process = Process::start("broadcast", &config.settings)?;
    let (state, link) = start(&process, config, None).await?;
    let is_sender = state.mail.as_ref().is_none_or(|mail| mail.server.is_some());
    anyhow::ensure!(
        is_sender,
        "SHEQUN_MAIL_FROM is set without SHEQUN_SMTP_URL, which a worker sends by"
    );
    let queue = Queue::new(link.bus, config.knobs.lease());
    process.spawn("worker", worker::work(state, queue, process.stopping()));
    process.serve_ops().await
}

/// What both modes have.
async fn start(process: &Process, config: &Config, groups: Option<Channel>) -> anyhow::Result<(State, Link)> {
    config.check()?;
    let mail = Mail::open(&config.mail, config.settings.dev)?;
    let link = Link::open(process).await?;
    ops::count_from_zero();
    let state = State {
        db: link.database.clone(),
        clock: process.clock,
        signer: process.signer.clone(),
        customers: process.channel("customers", &config.customers_grpc)?,
        groups,
        mail,
        knobs: config.knobs,
        streams: Streams::new(config.knobs.streams_max.into(), process.leaving()),
        watches: Watches::new(process.leaving()),
        clicks: Clicks::default(),
        public_url: config.public_url.clone(),
        dev: config.settings.dev,
    };
    Ok((state, link))
}
