//! From the outbox to the stream: in batches, pipelined, in order per key, at least once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use contracts::{Envelope, TenantId};
use futures::future::join_all;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio_util::sync::CancellationToken;

use crate::reconcile::Publisher;
use crate::{Bus, Database, Tx, bus, crash_point, figures, prune};

const BATCH_EVENTS_MAX: i64 = 500;
/// A crash may lose the wake-up; the poll then finds what was committed.
const POLL: Duration = Duration::from_secs(1);
const BACK_OFF: Duration = Duration::from_millis(200);
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Less than a process gives its last ones to end in.
const FLUSH_MAX: Duration = Duration::from_secs(4);

/// Why a round of the relay ended early; what it did not publish stays in the outbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error("stream {0} is not available")]
    Stream(String, #[source] async_nats::Error),
    #[error("{failed} of {of} events were not acknowledged")]
    Unacknowledged { failed: usize, of: usize },
}

/// Publishes what `service` records, until `stopping`; then what is still there, for 4 s at most.
///
/// # Errors
/// Never for a passing fault: those are logged and tried again.
pub async fn relay(
    db: Database,
    bus: Bus,
    service: &'static str,
    stopping: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let publisher = Publisher::new(db.clone(), bus.clone(), service);
    tokio::join!(
        carry(&db, &bus, &publisher, &stopping),
        prune::prune_until(&db, &publisher, &stopping),
        figures::of_outbox(&db, &stopping)
    );
    Ok(())
}

async fn carry(db: &Database, bus: &Bus, publisher: &Publisher, stopping: &CancellationToken) {
    let service = publisher.service();
    let mut check = tokio::time::interval(CHECK_EVERY);
    while !stopping.is_cancelled() {
        let round = tokio::select! {
            () = db.recorded() => drain(db, bus, publisher).await,
            () = tokio::time::sleep(POLL) => drain(db, bus, publisher).await,
            _ = check.tick() => publisher.reconcile().await,
            () = stopping.cancelled() => break,
        };
        if let Err(error) = round {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                service,
                "relay waits to try again"
            );
            tokio::time::sleep(BACK_OFF).await;
            // The usual cause is a stream that is gone; this creates it anew.
            if let Err(error) = publisher.reconcile().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    service,
                    "stream is not available"
                );
            }
        }
    }
    match tokio::time::timeout(FLUSH_MAX, drain(db, bus, publisher)).await {
        Ok(Ok(())) => tracing::info!(service, "outbox is flushed"),
        _ => tracing::warn!(
            service,
            "outbox is not flushed; the next start publishes the rest"
        ),
    }
}

/// Publishes until the outbox is empty.
async fn drain(db: &Database, bus: &Bus, publisher: &Publisher) -> Result<(), RelayError> {
    while publish_batch(db, bus, publisher).await? == BATCH_EVENTS_MAX as usize {}
    Ok(())
}

/// Publishes one batch and marks what was acknowledged; how many events it held.
///
/// One replica publishes at a time, or two could pass each other with events of one key.
async fn publish_batch(db: &Database, bus: &Bus, publisher: &Publisher) -> Result<usize, RelayError> {
    let mut tx = db.begin_everyone().await?;
    if !publisher.lead(&mut tx).await? {
        return Ok(0);
    }
    let rows = pending(&mut tx).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    crash_point("relay-before-publish");
    let acknowledged = publish(bus, publisher.service(), &rows).await;
    crash_point("relay-after-publish");
    let seqs = acknowledged.iter().map(|ack| ack.stream_seq);
    let new = acknowledged
        .iter()
        .filter(|ack| !ack.duplicate)
        .map(|ack| ack.stream_seq);
    // Before the batch is marked: what is forgotten is what was published earlier.
    publisher.remember(&mut tx, new.min(), seqs.max()).await?;
    mark_published(&mut tx, &acknowledged).await?;
    tx.commit().await?;
    metrics::counter!("outbox_events_published_total").increment(acknowledged.len() as u64);
    match rows.len() - acknowledged.len() {
        0 => Ok(rows.len()),
        failed => Err(RelayError::Unacknowledged {
            failed,
            of: rows.len(),
        }),
    }
}

struct Pending {
    seq: i64,
    envelope: Envelope,
}

struct Acknowledged {
    seq: i64,
    stream_seq: i64,
    /// The stream had it already.
    duplicate: bool,
}

/// Sends the batch in waves. A wave holds at most one event of a key and the next wave waits for
/// its acknowledgements, so an event never overtakes an earlier one of its key; a key that
/// failed is left alone until the next round.
async fn publish(bus: &Bus, service: &str, rows: &[Pending]) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::with_capacity(rows.len());
    let mut failed: HashSet<(TenantId, &str)> = HashSet::new();
    for wave in waves(rows) {
        let sends = wave
            .into_iter()
            .filter(|row| !failed.contains(&key(row)))
            .map(async |row| {
                let message = bus::message(&row.envelope, service);
                let sent = bus
                    .jetstream()
                    .send_publish(row.envelope.subject(), message)
                    .await;
                (
                    row,
                    match sent {
                        Ok(ack) => ack.await,
                        Err(error) => Err(error),
                    },
                )
            });
        for (row, outcome) in join_all(sends).await {
            match outcome {
                Ok(ack) => acknowledged.push(Acknowledged {
                    seq: row.seq,
                    stream_seq: ack.sequence.cast_signed(),
                    duplicate: ack.duplicate,
                }),
                Err(error) => {
                    tracing::debug!(%error, event_id = %row.envelope.event_id, "event not acknowledged");
                    failed.insert(key(row));
                }
            }
        }
    }
    acknowledged
}

fn key(row: &Pending) -> (TenantId, &str) {
    (row.envelope.tenant_id, row.envelope.key.as_str())
}

/// Splits a batch so that the n-th event of each key is in the n-th wave.
fn waves(rows: &[Pending]) -> Vec<Vec<&Pending>> {
    let mut seen: HashMap<(TenantId, &str), usize> = HashMap::new();
    let mut waves: Vec<Vec<&Pending>> = Vec::new();
    for row in rows {
        let nth = seen.entry(key(row)).or_default();
        if *nth == waves.len() {
            waves.push(Vec::new());
        }
        waves[*nth].push(row);
        *nth += 1;
    }
    waves
}

async fn pending(tx: &mut Tx) -> Result<Vec<Pending>, sqlx::Error> {
    sqlx::query(
        "select seq, event_id, tenant_id, name, key, occurred_at, payload, traceparent
         from outbox where published_at is null order by seq limit $1",
    )
    .bind(BATCH_EVENTS_MAX)
    .try_map(|row: PgRow| {
        Ok(Pending {
            seq: row.try_get("seq")?,
            envelope: envelope(&row)?,
        })
    })
    .fetch_all(&mut **tx)
    .await
}

/// The envelope stored in a row of `outbox` or `dead_letter`.
pub(crate) fn envelope(row: &PgRow) -> Result<Envelope, sqlx::Error> {
    Ok(Envelope {
        event_id: row.try_get("event_id")?,
        tenant_id: row.try_get("tenant_id").map(TenantId)?,
        name: row.try_get("name")?,
        key: row.try_get("key")?,
        occurred_at: row.try_get::<jiff_sqlx::Timestamp, _>("occurred_at")?.to_jiff(),
        payload: row.try_get("payload")?,
        traceparent: row.try_get("traceparent")?,
    })
}

async fn mark_published(tx: &mut Tx, acknowledged: &[Acknowledged]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update outbox set published_at = now(), stream_seq = ack.stream_seq
         from unnest($1::bigint[], $2::bigint[]) as ack (seq, stream_seq)
         where outbox.seq = ack.seq",
    )
    .bind(acknowledged.iter().map(|ack| ack.seq).collect::<Vec<_>>())
    .bind(acknowledged.iter().map(|ack| ack.stream_seq).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: i64, key: &str) -> Pending {
        let envelope = Envelope {
            event_id: uuid::Uuid::now_v7(),
            tenant_id: TenantId(uuid::Uuid::nil()),
            name: "shequn.customers.v1.ContactTagged".to_owned(),
            key: key.to_owned(),
            occurred_at: jiff::Timestamp::UNIX_EPOCH,
            payload: vec![],
            traceparent: None,
        };
        Pending { seq, envelope }
    }

    #[test]
    fn a_wave_holds_each_key_once_and_keys_keep_their_order() {
        let rows = [
            row(1, "a"),
            row(2, "b"),
            row(3, "a"),
            row(4, "a"),
            row(5, "c"),
            row(6, "b"),
        ];
        let seqs: Vec<Vec<i64>> = waves(&rows)
            .iter()
            .map(|wave| wave.iter().map(|row| row.seq).collect())
            .collect();
        assert_eq!(seqs, [vec![1, 2, 5], vec![3, 6], vec![4]]);
    }
}
