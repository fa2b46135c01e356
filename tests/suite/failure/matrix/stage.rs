//! What every row of the matrix is played on: a private set with three workers, each behind proxies of its own, two
//! dispatchers, and the receiver.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream;
use client::Api;
use jiff::Timestamp;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use testkit::{Dice, Set, Signal, eventually_within};
use uuid::Uuid;

use crate::failure::proxy::{Line, Proxy};
use crate::failure::sink::Sink;
use crate::isolation::clock::TestClock;

use super::cluster::Cluster;
use super::disk::Disk;
use super::standby::Standby;

pub(crate) const WORKERS: [&str; 3] = ["broadcast-worker-1", "broadcast-worker-2", "broadcast-worker-3"];
/// Serves beside `broadcast`, so that somebody dispatches while that one is away.
pub(crate) const SECOND: &str = "broadcast-second";
pub(crate) const LEASE_SECS: u64 = 4;
pub(crate) const WINDOW_CHUNKS: i64 = 16;
pub(crate) const CHUNK_RECIPIENTS: usize = 100;
pub(crate) const CALL_SECS_MAX: u64 = 5;
/// How long what was broken may take to answer again, on a busy machine.
const HEALS: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    /// Before the set, which can't remove what is mounted.
    pub(crate) disks: Option<Disks>,
    pub(crate) set: Set,
    pub(crate) sink: Arc<Sink>,
    pub(crate) api: Api,
    pub(crate) dice: Dice,
    /// Of the first worker.
    pub(crate) to_nats: Proxy,
    pub(crate) to_postgres: Proxy,
    /// Of the first worker.
    pub(crate) clock: TestClock,
    /// Sees every service's rows.
    pub(crate) tables: PgPool,
    pub(crate) bus: jetstream::Context,
    /// Calls a second without a fault, once that row was played.
    pub(crate) usual_rate: Option<f64>,
    pub(crate) standby: Option<Standby>,
    pub(crate) cluster: Option<Cluster>,
    /// What every process of broadcast is started with.
    mutant: Option<&'static str>,
}

impl Stage {
    pub(crate) async fn set(name: &str, seed: u64) -> anyhow::Result<Self> {
        let dice = Dice::new(seed);
        let env = [
            ("SHEQUN_LEASE_SECS", LEASE_SECS.to_string()),
            ("SHEQUN_QUEUED_SECS_MAX", "2".to_owned()),
            ("SHEQUN_CHUNK_RECIPIENTS_MAX", CHUNK_RECIPIENTS.to_string()),
            ("SHEQUN_WINDOW_CHUNKS", WINDOW_CHUNKS.to_string()),
            ("SHEQUN_WEBHOOK_TIMEOUT_SECS", CALL_SECS_MAX.to_string()),
            ("SHEQUN_RETRY_AFTER_SECS_MAX", "2".to_owned()),
        ];
        let mut set = Set::start_with(name, &env).await?;
        let process = &set.stack().process(WORKERS[0]).env;
        let nats: reqwest::Url = process["SHEQUN_NATS_URL"].parse()?;
        let postgres: reqwest::Url = process["SHEQUN_DATABASE_URL"].parse()?;
        let to_nats = Proxy::open(address(&nats)?, dice.draw()).await?;
        let to_postgres = Proxy::open(address(&postgres)?, dice.draw()).await?;
        let clock = TestClock::new()?;
        let (clock_file, clock_path) = clock.env();
        set.terminate(WORKERS[0]).await?;
        set.vary(
            WORKERS[0],
            &[
                ("SHEQUN_NATS_URL", through(nats, &to_nats)?),
                ("SHEQUN_DATABASE_URL", through(postgres, &to_postgres)?),
                (clock_file, clock_path),
            ],
        );
        set.run(WORKERS[0], None).await?;
        set.add(WORKERS[2], WORKERS[1])?;
        set.run(WORKERS[2], None).await?;
        set.add(SECOND, "broadcast")?;
        set.run(SECOND, None).await?;
        let stack = set.stack();
        Ok(Self {
            disks: None,
            sink: Arc::new(Sink::open(dice.draw()).await?),
            api: Api::new(stack),
            to_nats,
            to_postgres,
            clock,
            tables: pool(&stack.description().postgres.superuser_url)?,
            bus: stack.jetstream().await?,
            dice,
            set,
            usual_rate: None,
            standby: None,
            cluster: None,
            mutant: None,
        })
    }

    /// A set that reaches Postgres through one proxy, and a synchronous standby behind it.
    pub(crate) async fn with_standby(name: &str, seed: u64) -> anyhow::Result<Self> {
        let mut stage = Self::set(name, seed).await?;
        let stack = stage.set.stack();
        let (state, description) = (stack.state().to_owned(), stack.description().clone());
        stage.standby = Some(Standby::follow(&description, &state).await?);
        for name in stage.names() {
            let url = stage.set.process(&name).env["SHEQUN_DATABASE_URL"].parse()?;
            let url = through(url, &stage.to_postgres)?;
            stage.set.vary(&name, &[("SHEQUN_DATABASE_URL", url)]);
            stage.disarm(&name).await?;
        }
        let url = description.postgres.superuser_url.parse()?;
        stage.tables = pool(&through(url, &stage.to_postgres)?)?;
        Ok(stage)
    }

    /// A set whose servers have a disk each, which can be filled.
    pub(crate) async fn with_small_disks(name: &str, seed: u64) -> anyhow::Result<Self> {
        let mut stage = Self::set(name, seed).await?;
        let stack = stage.set.stack();
        let (state, store) = (stack.state().to_owned(), stack.description().nats.store.clone());
        for server in ["nats", "postgres"] {
            stage.signal(server, Signal::SIGKILL)?;
        }
        stage.disks = Some(Disks {
            nats: Disk::move_to(&store).await?,
            postgres: Disk::move_to(&state.join("postgres")).await?,
        });
        stage.heal().await?;
        Ok(stage)
    }

    /// A set on three NATS servers, each stream on all of them.
    pub(crate) async fn with_cluster(name: &str, seed: u64) -> anyhow::Result<Self> {
        let mut stage = Self::set(name, seed).await?;
        // Whoever is there when streams are missing makes them.
        for name in stage.names() {
            stage.set.terminate(&name).await?;
        }
        stage.signal("nats", Signal::SIGKILL)?;
        let stack = stage.set.stack();
        stage.cluster = Some(Cluster::start(stack.description(), stack.state()).await?);
        for name in stage.names() {
            stage
                .set
                .vary(&name, &[("SHEQUN_STREAM_REPLICAS", "3".to_owned())]);
            stage.run(&name, None).await?;
        }
        stage.bus = stage.set.stack().jetstream().await?;
        Ok(stage)
    }

    /// Of all processes, identity first: the others ask it for its keys.
    fn names(&self) -> Vec<String> {
        let names = self.set.stack().description().processes.keys().cloned();
        let mut names: Vec<_> = names.chain([WORKERS[2], SECOND].map(str::to_owned)).collect();
        names.sort_by_key(|name| name != "identity");
        names
    }

    /// Starts again whatever of the servers is away; one that is about to end is taken to run, so it is tried again.
    pub(crate) async fn heal(&self) -> anyhow::Result<()> {
        let stack = self.set.stack();
        eventually_within(HEALS, async || tokio::task::block_in_place(|| stack.heal())).await
    }

    pub(crate) fn signal(&self, server: &str, signal: Signal) -> anyhow::Result<()> {
        self.set.stack().signal(server, signal)
    }

    /// Starts a process, with crash points armed.
    pub(crate) async fn run(&mut self, name: &str, failpoints: Option<&str>) -> anyhow::Result<()> {
        let mutant = self.mutant.map(|mutant| format!("{mutant}=return"));
        let points: Vec<&str> = mutant.as_deref().into_iter().chain(failpoints).collect();
        let armed = (!points.is_empty()).then(|| points.join(";"));
        self.set.run(name, armed.as_deref()).await
    }

    /// All of broadcast is wrong in this way from now on.
    pub(crate) async fn mutate(&mut self, mutant: Option<&'static str>) -> anyhow::Result<()> {
        self.mutant = mutant;
        for name in WORKERS.into_iter().chain(["broadcast", SECOND]) {
            self.disarm(name).await?;
        }
        Ok(())
    }

    /// `kill -9`, and started again at once.
    pub(crate) async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        self.set.kill(name).await?;
        self.run(name, None).await
    }

    /// Waits until the process has died at its crash point, and starts it without.
    pub(crate) async fn revive(&mut self, name: &str) -> anyhow::Result<()> {
        let status = self.set.died(name).await?;
        anyhow::ensure!(!status.success(), "{name} ended without an abort: {status}");
        self.run(name, None).await
    }

    /// Ends a process in good order and starts it with crash points armed.
    pub(crate) async fn arm(&mut self, name: &str, failpoints: &str) -> anyhow::Result<()> {
        self.set.terminate(name).await?;
        self.run(name, Some(failpoints)).await
    }

    /// Ends a process, which may have died at a crash point, and starts it without any.
    pub(crate) async fn disarm(&mut self, name: &str) -> anyhow::Result<()> {
        if !self.set.has_died(name) {
            self.set.terminate(name).await?;
        }
        self.run(name, None).await
    }

    /// Waits until whoever held a chunk when this was asked holds it no more.
    pub(crate) async fn leases_are_gone(&self) -> anyhow::Result<()> {
        let then = held(&self.tables).await?;
        eventually_within(HEALS, async || {
            let now = held(&self.tables).await?;
            let still = then.intersection(&now).count();
            anyhow::ensure!(still == 0, "{still} chunks are still held");
            anyhow::Ok(())
        })
        .await
    }

    /// Everything runs and is ready, however the row before ended.
    pub(crate) async fn all_well(&mut self) -> anyhow::Result<()> {
        self.to_nats.set(Line::Through);
        self.to_postgres.set(Line::Through);
        for name in self.names() {
            if self.set.has_died(&name) {
                self.run(&name, None).await?;
            }
        }
        self.set.signal(WORKERS[0], Signal::SIGCONT)?;
        eventually_within(HEALS, async || {
            self.set.all_answer(reqwest::StatusCode::OK, HEALS).await
        })
        .await
    }
}

pub(crate) struct Disks {
    pub(crate) nats: Disk,
    pub(crate) postgres: Disk,
}

/// Mass message, chunk and lease of whatever is held.
pub(crate) async fn held(tables: &PgPool) -> anyhow::Result<BTreeSet<(Uuid, i32, Uuid)>> {
    let held = "select broadcast_id, n, lease_owner from broadcast.chunk where state = 'sending'";
    let held: Vec<_> = sqlx::query_as(held).fetch_all(tables).await?;
    Ok(held.into_iter().collect())
}

/// After a restart of the server a connection that is dead is noticed, and another one made.
fn pool(url: &str) -> anyhow::Result<PgPool> {
    Ok(PgPoolOptions::new()
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy(url)?)
}

fn address(url: &reqwest::Url) -> anyhow::Result<SocketAddr> {
    let host = url.host_str().context("a host")?;
    Ok(SocketAddr::new(host.parse()?, url.port().context("a port")?))
}

fn through(mut url: reqwest::Url, proxy: &Proxy) -> anyhow::Result<String> {
    url.set_port(Some(proxy.address().port()))
        .map_err(|()| anyhow::anyhow!("{url} takes no port"))?;
    Ok(url.to_string())
}

#[expect(clippy::disallowed_methods, reason = "a test is its own clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
