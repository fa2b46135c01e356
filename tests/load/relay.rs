//! Events per second from the outbox to JetStream, beside the same messages published by the same client with nothing
//! else to do. Both windows are of one size, both streams are synced to disk before they acknowledge.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, stream};
use futures::{StreamExt as _, TryStreamExt as _};
use outbox::{Bus, Database};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use testkit::{Stack, eventually_within};
use tokio_util::sync::CancellationToken;

use crate::figure::{Figures, median};

const EVENTS: usize = 10_000;
const PAYLOAD_BYTES: i32 = 300;
/// As many as the relay has on their way: a batch.
const WINDOW: usize = 500;
const PUBLISHED: Duration = Duration::from_secs(120);
const STREAM: &str = "CUSTOMERS";

/// A stack with the outbox of customers and no service: nobody else writes, nobody listens.
struct Scene {
    // Before the stack, so that they are closed first.
    superuser: PgPool,
    database: Database,
    bus: Bus,
    admin: jetstream::Context,
    _stack: Stack,
}

/// A message as it lies in the stream.
struct Stored {
    subject: String,
    headers: HeaderMap,
    payload: Vec<u8>,
}

pub(crate) async fn measure(figures: &mut Figures, rounds: usize) -> anyhow::Result<()> {
    let scene = Scene::set().await?;
    let (mut relayed, mut raw) = (Vec::new(), Vec::new());
    // The first round only warms up.
    for round in 0..=rounds {
        let (rate, messages) = scene.relay().await.context("through the relay")?;
        let baseline = scene.publish(&messages).await.context("published raw")?;
        if round > 0 {
            relayed.push(rate);
            raw.push(baseline);
        }
    }
    figures.add("relay_events_per_s", median(&relayed), "1/s", Some(median(&raw)))
}

impl Scene {
    async fn set() -> anyhow::Result<Self> {
        let stack = tokio::task::spawn_blocking(|| Stack::private("relay")).await??;
        let env = &stack.process("customers").env;
        outbox::migrate(&env["SHEQUN_OWNER_DATABASE_URL"], &Migrator::DEFAULT).await?;
        let nats = &stack.description().nats;
        let user = &nats.users["customers"];
        Ok(Self {
            superuser: PgPool::connect(&stack.description().postgres.superuser_url).await?,
            database: Database::new(PgPool::connect(&env["SHEQUN_DATABASE_URL"]).await?),
            bus: Bus::connect("customers", &nats.url, &user.user, &user.password).await?,
            admin: stack.jetstream().await?,
            _stack: stack,
        })
    }

    /// Fills the outbox, lets the relay empty it; the rate, and what the stream then holds.
    async fn relay(&self) -> anyhow::Result<(f64, Vec<Stored>)> {
        // With it goes what it knows of message ids.
        let _ = self.admin.delete_stream(STREAM).await;
        sqlx::query("truncate customers.outbox, customers.relay_state")
            .execute(&self.superuser)
            .await?;
        sqlx::query(
            "insert into customers.outbox (event_id, tenant_id, name, key, occurred_at, payload)
             select uuidv7(), '00000000-0000-7000-8000-000000000001', 'shequn.customers.v1.ContactBefriended',
                    uuidv7()::text, now(), decode(repeat('00', $2), 'hex')
             from generate_series(1, $1)",
        )
        .bind(i32::try_from(EVENTS)?)
        .bind(PAYLOAD_BYTES)
        .execute(&self.superuser)
        .await?;
        let stopping = CancellationToken::new();
        let relay = outbox::relay(
            self.database.clone(),
            self.bus.clone(),
            "customers",
            stopping.clone(),
        );
        let relay = tokio::spawn(relay);
        let empty = eventually_within(PUBLISHED, async || {
            let sql = "select count(*) from customers.outbox where published_at is null";
            match sqlx::query_scalar(sql).fetch_one(&self.superuser).await? {
                0_i64 => anyhow::Ok(()),
                left => bail!("{left} events are not published yet"),
            }
        });
        empty.await?;
        stopping.cancel();
        relay.await??;
        self.whole().await
    }

    /// Publishes messages into a stream of the same kind; the rate.
    async fn publish(&self, messages: &[Stored]) -> anyhow::Result<f64> {
        let config = self.stream().await?.cached_info().config.clone();
        self.admin.delete_stream(STREAM).await?;
        self.admin.create_stream(config).await?;
        futures::stream::iter(messages)
            .map(async |stored| {
                let message = PublishMessage::build()
                    .headers(stored.headers.clone())
                    .payload(stored.payload.clone().into());
                let sent = self
                    .bus
                    .jetstream()
                    .send_publish(stored.subject.clone(), message)
                    .await?;
                anyhow::Ok(sent.await?)
            })
            .buffer_unordered(WINDOW)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(self.whole().await?.0)
    }

    async fn stream(&self) -> anyhow::Result<stream::Stream> {
        Ok(self.admin.get_stream(STREAM).await?)
    }

    /// How fast the stream was filled, by its own times, and its messages: each of the events once.
    async fn whole(&self) -> anyhow::Result<(f64, Vec<Stored>)> {
        let stream = self.stream().await?;
        let state = &stream.cached_info().state;
        ensure!(
            state.messages == EVENTS as u64,
            "the stream holds {} messages",
            state.messages
        );
        let took = (state.last_timestamp - state.first_timestamp).as_seconds_f64();
        let consumer = stream.create_consumer(OrderedConfig::default()).await?;
        let messages: Vec<Stored> = consumer
            .messages()
            .await?
            .take(EVENTS)
            .map(|message| {
                let message = message?;
                anyhow::Ok(Stored {
                    subject: message.subject.to_string(),
                    headers: message.headers.clone().context("headers")?,
                    payload: message.payload.to_vec(),
                })
            })
            .try_collect()
            .await?;
        let ids: HashSet<&str> = messages
            .iter()
            .filter_map(|stored| stored.headers.get("Nats-Msg-Id"))
            .map(async_nats::HeaderValue::as_str)
            .collect();
        ensure!(
            ids.len() == EVENTS,
            "{} distinct ids are in the stream",
            ids.len()
        );
        Ok(((EVENTS - 1) as f64 / took, messages))
    }
}
