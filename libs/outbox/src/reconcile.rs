//! Keeping the stream what the outbox says it is: created by its owner, and given again what a
//! wiped or torn stream lost.

use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::relay::RelayError;
use crate::{Bus, Database, Tx};

const HOUR: u64 = 3_600;
/// How long events stay in the stream, and published rows in the outbox.
pub(crate) const RETENTION_HOURS: u64 = 7 * 24;
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// The one place a service publishes from: its stream and the right to write to it.
pub(crate) struct Publisher {
    db: Database,
    bus: Bus,
    service: &'static str,
    has_compared: AtomicBool,
}

impl Publisher {
    pub(crate) fn new(db: Database, bus: Bus, service: &'static str) -> Self {
        Self {
            db,
            bus,
            service,
            has_compared: AtomicBool::new(false),
        }
    }

    /// Whether this process has found out by now what the stream lost.
    pub(crate) fn has_compared(&self) -> bool {
        self.has_compared.load(Ordering::Relaxed)
    }

    pub(crate) fn service(&self) -> &'static str {
        self.service
    }

    /// Takes the lead until the transaction ends; false when another replica has it.
    pub(crate) async fn lead(&self, tx: &mut Tx) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("select pg_try_advisory_xact_lock(hashtext('relay'), hashtext($1))")
            .bind(self.service)
            .fetch_one(&mut **tx)
            .await
    }

    /// Creates the stream if it is missing, and marks as unpublished what it no longer has: all,
    /// if it is not the stream published to before; the tail, if its sequence went back.
    /// Listeners pass over what they already have in effect.
    pub(crate) async fn reconcile(&self) -> Result<(), RelayError> {
        let mut tx = self.db.begin_everyone().await?;
        if !self.lead(&mut tx).await? {
            return Ok(());
        }
        let info = self.stream().await?;
        let epoch = info.created.unix_timestamp_nanos() as i64;
        let last_seq = info.state.last_sequence.cast_signed();
        let lost = match self.known(&mut tx).await? {
            Some((known, _)) if known != epoch => unpublish_after(&mut tx, 0).await?,
            Some((_, known_seq)) if known_seq > last_seq => unpublish_after(&mut tx, last_seq).await?,
            _ => 0,
        };
        self.learn(&mut tx, epoch, last_seq).await?;
        tx.commit().await?;
        self.has_compared.store(true, Ordering::Relaxed);
        if lost > 0 {
            metrics::counter!("outbox_events_lost_total").increment(lost);
            tracing::warn!(
                service = self.service,
                events = lost,
                "stream lost events; publishing them again"
            );
        }
        Ok(())
    }

    /// Remembers the highest sequence acknowledged, to notice when the stream's goes back. It has gone back if `first`,
    /// the lowest one given to a new message, was given before: what had it, and all behind, is published again.
    pub(crate) async fn remember(
        &self,
        tx: &mut Tx,
        first: Option<i64>,
        last: Option<i64>,
    ) -> Result<(), sqlx::Error> {
        let known = self.known(tx).await?.map(|(_, known_seq)| known_seq);
        let is_torn = first.is_some() && first <= known;
        if let Some(first) = first.filter(|_| is_torn) {
            let events = unpublish_after(tx, first - 1).await?;
            metrics::counter!("outbox_events_lost_total").increment(events);
            tracing::warn!(
                service = self.service,
                events,
                "stream went back; publishing its tail again"
            );
        }
        sqlx::query(
            "update relay_state set last_seq = case when $3 then $2 else greatest(last_seq, $2) end
             where stream = $1",
        )
        .bind(self.service)
        .bind(last)
        .bind(is_torn)
        .execute(&mut **tx)
        .await
        .map(drop)
    }

    async fn known(&self, tx: &mut Tx) -> Result<Option<(i64, i64)>, sqlx::Error> {
        sqlx::query_as("select epoch, last_seq from relay_state where stream = $1")
            .bind(self.service)
            .fetch_optional(&mut **tx)
            .await
    }

    async fn learn(&self, tx: &mut Tx, epoch: i64, last_seq: i64) -> Result<(), sqlx::Error> {
        sqlx::query(
            "insert into relay_state (stream, epoch, last_seq) values ($1, $2, $3)
             on conflict (stream) do update set epoch = $2, last_seq = $3
             where (relay_state.epoch, relay_state.last_seq) is distinct from ($2, $3)",
        )
        .bind(self.service)
        .bind(epoch)
        .bind(last_seq)
        .execute(&mut **tx)
        .await
        .map(drop)
    }

    async fn stream(&self) -> Result<Info, RelayError> {
        let config = Config {
            name: self.service.to_uppercase(),
            subjects: vec![format!("shequn.{}.v1.>", self.service)],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            max_age: Duration::from_secs(RETENTION_HOURS * HOUR),
            duplicate_window: DUPLICATE_WINDOW,
            num_replicas: self.bus.stream_replicas(),
            ..Config::default()
        };
        let name = config.name.clone();
        self.bus
            .jetstream()
            // One that is there stays as its operator set it, replicas and all. Changing a stream is not a
            // service's right: a changed one could copy into, or out of, another's.
            .get_or_create_stream(config)
            .await
            .map(|stream| stream.cached_info().clone())
            .map_err(|error| RelayError::Stream(name, error.into()))
    }
}

/// A wiped stream may mean a week of rows, and half of them would be no help: it takes the time it needs.
async fn unpublish_after(tx: &mut Tx, stream_seq: i64) -> Result<u64, sqlx::Error> {
    sqlx::query("set local statement_timeout = 0")
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "update outbox set published_at = null, stream_seq = null
         where published_at is not null and stream_seq > $1",
    )
    .bind(stream_seq)
    .execute(&mut **tx)
    .await
    .map(|done| done.rows_affected())
}
