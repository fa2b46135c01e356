//! The work queue: hints which chunks to send. Everything in it can be made again from the database, so only the
//! dispatcher and the reconciler publish here, without an outbox, and a wiped stream costs nothing but time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config as StreamConfig, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, Message};
use contracts::broadcast::v1::ChunkReady;
use contracts::{BroadcastId, TenantId};
use futures::future::try_join_all;
use outbox::Bus;
use prost::Message as _;

use crate::chunk::{ChunkKey, Hint};
use crate::error::Error;

const STREAM: &str = "BROADCAST_WORK";
const SUBJECTS: &str = "shequn.work.broadcast.>";
const DURABLE: &str = "broadcast-worker";
const MESSAGES_MAX: i64 = 100_000;
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Only a fuse: attempts are counted in the database, and a hint that blows it is published anew.
const DELIVERIES_MAX: i64 = 100;
const ACKS_PENDING_MAX: i64 = 1_000;
/// Servers that are electing a leader answer no request, nor do they answer it once they have one: ask again soon.
const ASK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct Queue {
    bus: Bus,
    /// How long a hint may be with a silent worker: as long as its lease on the chunk.
    ack_wait: Duration,
    /// Hints that workers hold or wait for, as far as they were seen of late.
    lanes: Arc<AtomicI64>,
}

impl Queue {
    pub(crate) fn new(bus: Bus, ack_wait: Duration) -> Self {
        Self {
            bus,
            ack_wait,
            lanes: Arc::default(),
        }
    }

    /// Makes sure stream and consumer are there, as they have to be after a wipe. A stream that is there stays as it is:
    /// a service may create its streams, not change them.
    pub(crate) async fn set_up(&self) -> Result<PullConsumer, Error> {
        let stream = StreamConfig {
            name: STREAM.to_owned(),
            subjects: vec![SUBJECTS.to_owned()],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            max_messages: MESSAGES_MAX,
            max_age: AGE_MAX,
            num_replicas: self.bus.stream_replicas(),
            ..StreamConfig::default()
        };
        let consumer = pull::Config {
            durable_name: Some(DURABLE.to_owned()),
            filter_subject: SUBJECTS.to_owned(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            max_deliver: DELIVERIES_MAX,
            max_ack_pending: ACKS_PENDING_MAX,
            ..pull::Config::default()
        };
        let jetstream = self.asking();
        jetstream.get_or_create_stream(stream).await.map_err(lost)?;
        jetstream
            .create_consumer_on_stream(consumer, STREAM)
            .await
            .map_err(lost)
    }

    /// To ask about stream and consumer, and to take from them.
    fn asking(&self) -> Context {
        let mut jetstream = self.bus.jetstream().clone();
        jetstream.set_timeout(ASK_AGAIN);
        jetstream
    }

    /// Publishes hints, all on their way at once; the ones that fail are found missing later.
    pub(crate) async fn publish(&self, hints: &[Hint]) -> Result<(), Error> {
        let mut acks = Vec::with_capacity(hints.len());
        for hint in hints {
            let message = PublishMessage::build().payload(encode(*hint).into());
            let subject = format!("shequn.work.broadcast.{}", hint.chunk.tenant);
            let sent = self
                .bus
                .jetstream()
                .send_publish(subject, message)
                .await
                .map_err(lost)?;
            acks.push(sent.into_future());
        }
        try_join_all(acks).await.map(drop).map_err(lost)
    }

    /// Hints that wait in the queue or are with a worker. Sets the queue up when it is not there.
    pub(crate) async fn outstanding(&self) -> Result<u64, Error> {
        let consumer: PullConsumer = match self.asking().get_consumer_from_stream(DURABLE, STREAM).await {
            Ok(consumer) => consumer,
            Err(_) => self.set_up().await?,
        };
        let info = consumer.cached_info();
        // A lane waits for a hint or works on one; in between it is not seen, and one that is gone is not missed at once.
        let seen = (info.num_waiting + info.num_ack_pending) as i64;
        let before = self.lanes.load(Ordering::Relaxed);
        self.lanes.store(seen.max((seen + before) / 2), Ordering::Relaxed);
        Ok(info.num_pending + info.num_ack_pending as u64)
    }

    /// Lanes of all workers, and chunks that are sent beside them, as `outstanding` saw them.
    pub(crate) fn lanes(&self) -> i64 {
        self.lanes.load(Ordering::Relaxed)
    }
}

fn lost(error: impl Into<async_nats::Error>) -> Error {
    Error::Queue(error.into())
}

fn encode(hint: Hint) -> Vec<u8> {
    ChunkReady {
        tenant_id: hint.chunk.tenant.to_string(),
        broadcast_id: hint.chunk.broadcast.to_string(),
        chunk: hint.chunk.n.unsigned_abs(),
        epoch: hint.epoch.unsigned_abs(),
        aside: hint.is_aside,
    }
    .encode_to_vec()
}

/// The hint a message carries, if it is one.
pub(crate) fn decode(message: &Message) -> Option<Hint> {
    hint_of(&message.payload)
}

pub(crate) fn hint_of(payload: &[u8]) -> Option<Hint> {
    let ready = ChunkReady::decode(payload).ok()?;
    let tenant: TenantId = ready.tenant_id.parse().ok()?;
    let broadcast: BroadcastId = ready.broadcast_id.parse().ok()?;
    let chunk = ChunkKey {
        tenant,
        broadcast,
        n: ready.chunk.try_into().ok()?,
    };
    Some(Hint {
        chunk,
        epoch: ready.epoch.try_into().ok()?,
        is_aside: ready.aside,
    })
}
