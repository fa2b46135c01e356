//! A process from its start to its end: what it holds, what it runs, and the order in which it stops.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use axum::{Router, middleware::from_fn_with_state};
use futures::FutureExt;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{service::Routes, transport::Channel};
use url::Url;

use crate::{
    Clock, Health, Settings,
    auth::{KeySource, Signer, Verifier, token::LOGIN_ISSUER},
    grpc, metrics,
    serve::{self, Listeners, Protocol, observe, part, serve_http},
    telemetry,
    tls::{self, Tls},
};

/// What the last ones, such as the outbox relay, get to flush after everything else has ended.
const FLUSH_SECS_MAX: u64 = 5;

/// One running service. It starts without its database, bus or peers, is live at once, and becomes
/// ready when they can be reached.
pub struct Process {
    pub clock: Clock,
    pub health: Health,
    pub verifier: Verifier,
    pub signer: Signer,
    service: &'static str,
    settings: Settings,
    tls: Option<Tls>,
    recorder: PrometheusHandle,
    leaving: CancellationToken,
    loops: Loops,
    last: Loops,
    failed: Arc<AtomicBool>,
}

/// Tasks that end together.
struct Loops {
    end: CancellationToken,
    tasks: TaskTracker,
}

impl Process {
    /// Installs what a process has one of (crypto provider, telemetry, metrics, signals) and loads
    /// the keys. Needs a runtime; connects to nothing.
    ///
    /// # Errors
    /// When a setting or a key file is unusable.
    pub fn start(service: &'static str, settings: &Settings) -> anyhow::Result<Self> {
        Self::start_with(service, settings, KeySource::Http(settings.identity_url.clone()))
    }

    /// Like `start`, for the one service that has identity's keys itself.
    ///
    /// # Errors
    /// When a setting or a key file is unusable.
    pub fn start_with(
        service: &'static str,
        settings: &Settings,
        identity_keys: KeySource,
    ) -> anyhow::Result<Self> {
        install_crypto();
        telemetry::start(service, settings)?;
        let (clock, loops) = (Clock::system(), Loops::new());
        let recorder = metrics::start(clock.now())?;
        let tls = Tls::load(service, &settings.tls, clock)?;
        let identity_keys = secured(identity_keys, tls.as_ref())?;
        let leaving = loops.end.child_token();
        let process = Self {
            recorder,
            health: Health::until(leaving.clone()),
            verifier: Verifier::new(service, &settings.peer_keys, identity_keys, clock)?,
            signer: Signer::load(service, &settings.signing_key, &settings.peer_keys)?,
            service,
            settings: settings.clone(),
            tls,
            leaving,
            loops,
            last: Loops::new(),
            failed: Arc::default(),
            clock,
        };
        leave_on_signals(process.leaving())?;
        let verifier = process.verifier.clone();
        process
            .health
            .add("identity", move || std::future::ready(verifier.ready()));
        process.spawn(
            "identity keys",
            process.verifier.clone().keep_fresh(process.stopping()),
        );
        process.spawn(
            "metrics upkeep",
            metrics::upkeep(process.recorder.clone(), process.stopping()),
        );
        if let Some(tls) = process.tls.clone() {
            process.spawn("tls files", tls.keep_fresh(process.stopping()));
        }
        tracing::info!(service, version = env!("CARGO_PKG_VERSION"), "started");
        Ok(process)
    }

    /// The name of the service: of its database role, its user at NATS and its tokens.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// What it was started with.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A connection to the service `peer`, made at first use and again whenever it breaks. With TLS it is made to
    /// nobody else.
    ///
    /// # Errors
    /// When the address is plain and this process is not, or the other way round.
    pub fn channel(&self, peer: &str, url: &Url) -> anyhow::Result<Channel> {
        channel(peer, url, self.tls.as_ref())
    }

    /// Fires at SIGTERM or SIGINT, and no later than `stopping`: the process is not ready any more, but still serves
    /// those who have not noticed.
    #[must_use]
    pub fn leaving(&self) -> CancellationToken {
        self.leaving.clone()
    }

    /// Fires when the process should end: `SHEQUN_LEAVE_SECS` after `leaving`, or when a loop fails.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.loops.end.clone()
    }

    /// Fires after `stopping`, once listeners and loops have ended and nothing new can be committed.
    #[must_use]
    pub fn last(&self) -> CancellationToken {
        self.last.end.clone()
    }

    /// Runs a loop that ends when `stopping` fires. If it fails, or ends sooner, the process stops
    /// and exits with an error.
    pub fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.supervise(&self.loops, name, future);
    }

    /// Runs a loop that ends when `last` fires: one that carries away what the others leave.
    pub fn spawn_last(
        &self,
        name: &'static str,
        future: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.supervise(&self.last, name, future);
    }

    fn supervise(
        &self,
        loops: &Loops,
        name: &'static str,
        future: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let (end, stop, failed) = (loops.end.clone(), self.stopping(), self.failed.clone());
        loops.tasks.spawn(async move {
            let error = match std::panic::AssertUnwindSafe(future).catch_unwind().await {
                Ok(Ok(())) if end.is_cancelled() => return,
                Ok(Ok(())) => "ended before it was asked to".to_owned(),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => "panicked".to_owned(),
            };
            tracing::error!(task = name, error, "loop failed, the process stops");
            failed.store(true, Ordering::Release);
            stop.cancel();
        });
    }

    /// Serves the API and the gRPC routes until stopped, then drains.
    ///
    /// # Errors
    /// When an address cannot be bound, a loop failed, or draining took too long.
    pub async fn serve(self, api: Router, grpc: Routes) -> anyhow::Result<()> {
        let listeners = Listeners::bind(&self.settings).await?;
        self.serve_on(listeners, api, grpc).await
    }

    /// Like `serve`, on sockets bound before.
    ///
    /// # Errors
    /// When a loop failed, or draining took too long.
    pub async fn serve_on(self, listeners: Listeners, api: Router, grpc: Routes) -> anyhow::Result<()> {
        let stopping = self.stopping();
        let api = api
            .layer(from_fn_with_state(Protocol::Http, observe))
            .layer(from_fn_with_state(self.leaving(), part));
        // Only where nobody can put others in their place.
        let published = self.tls.as_ref().and_then(|_| self.verifier.published());
        let (grpc, reporter) = grpc::routes(grpc, self.verifier.clone(), self.settings.dev, published)?;
        self.spawn(
            "grpc health",
            grpc::report_health(reporter, self.health.clone(), stopping.clone()),
        );
        let http = serve_http(listeners.http, api, stopping.clone());
        self.spawn("http", http.map(Ok));
        let (tls, age) = (
            self.tls.clone(),
            Duration::from_secs(self.settings.grpc_connection_secs_max),
        );
        self.spawn("grpc", grpc::serve_grpc(listeners.grpc, grpc, tls, age, stopping));
        let leave_secs = self.settings.leave_secs;
        self.run(listeners.ops, leave_secs).await
    }

    /// Runs a worker: loops, health and metrics, no API.
    ///
    /// # Errors
    /// When the address cannot be bound, a loop failed, or draining took too long.
    pub async fn serve_ops(self) -> anyhow::Result<()> {
        let ops = serve::bind("ops", self.settings.ops_listen).await?;
        // Nobody sends to it, so nobody has to notice.
        self.run(ops, 0).await
    }

    /// Waits for the end and brings it about. The operator's listener outlives the others, so that
    /// draining can be watched.
    async fn run(self, ops: TcpListener, leave_secs: u64) -> anyhow::Result<()> {
        let watched = CancellationToken::new();
        let router = serve::ops_router(self.health.clone(), self.recorder.clone());
        let ops = tokio::spawn(serve_http(ops, router, watched.clone()));

        self.leaving.cancelled().await;
        tracing::info!(leave_secs, "leaving");
        // A loop that fails meanwhile ends the wait.
        let _ = timeout(Duration::from_secs(leave_secs), self.loops.end.cancelled()).await;
        tracing::info!(drain_secs = self.settings.drain_secs, "draining");
        let drained = self.loops.end_within(self.settings.drain_secs).await;
        if !drained {
            tracing::error!(
                tasks = self.loops.tasks.len(),
                "still busy at the end of the drain"
            );
        }
        let flushed = self.last.end_within(FLUSH_SECS_MAX).await;
        if !flushed {
            tracing::error!(
                tasks = self.last.tasks.len(),
                "still flushing at the end of the drain"
            );
        }
        watched.cancel();
        // The scraper's connection closes within its answer; a failure here changes nothing.
        let _ = timeout_at(Instant::now() + Duration::from_secs(1), ops).await;
        let failed = self.failed.load(Ordering::Acquire) || !drained || !flushed;
        tracing::info!(failed, "stopped");
        telemetry::flush().await;
        anyhow::ensure!(!failed, "stopped by a failure, which the log names");
        Ok(())
    }
}

/// Where the keys of logins come from when nobody in between may forge them.
fn secured(source: KeySource, tls: Option<&Tls>) -> anyhow::Result<KeySource> {
    let KeySource::Http(url) = source else {
        return Ok(source);
    };
    match tls {
        None => tls::check_scheme(&url, false).map(|()| KeySource::Http(url)),
        Some(_) => channel(LOGIN_ISSUER, &url, tls).map(KeySource::Peer),
    }
    .context("SHEQUN_IDENTITY_URL can't be used")
}

fn channel(peer: &str, url: &Url, tls: Option<&Tls>) -> anyhow::Result<Channel> {
    let channel = match tls {
        Some(tls) => grpc::secured_channel(url, peer, tls.clone()),
        None => grpc::channel(url),
    };
    channel.with_context(|| format!("the address of {peer} can't be used"))
}

impl Loops {
    fn new() -> Self {
        Self {
            end: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Tells the tasks to end and waits for them; false when time ran out.
    async fn end_within(&self, secs: u64) -> bool {
        self.end.cancel();
        self.tasks.close();
        timeout_at(Instant::now() + Duration::from_secs(secs), self.tasks.wait())
            .await
            .is_ok()
    }
}

/// The one provider of TLS in this build; without it the first connection would panic.
pub(crate) fn install_crypto() {
    // An error says that one is installed already, by an earlier `Process` of the same test.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn leave_on_signals(leaving: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM"),
            _ = interrupt.recv() => tracing::info!("SIGINT"),
        }
        leaving.cancel();
    });
    Ok(())
}
