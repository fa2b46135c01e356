//! What an operator watches of the pipes: how much waits where, and for how long. Nothing is decided by it.

use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use contracts::{Event, stream_of};
use sqlx::Error;
use tokio_util::sync::CancellationToken;

use crate::consume::{Handler, Listener};
use crate::{Bus, Database};

const EVERY: Duration = Duration::from_secs(5);
/// Counting stops here: by then it is clear that something is wrong, and a week of rows would cost.
const EVENTS_COUNTED_MAX: i64 = 100_000;
const LETTERS_COUNTED_MAX: i64 = 10_000;

/// The connections to Postgres in use.
pub(crate) async fn of_pool(db: Database, stopping: CancellationToken) {
    let pool = db.tenantless();
    metrics::counter!("postgres_connection_timeouts_total").increment(0);
    metrics::gauge!("postgres_connections_max").set(pool.options().get_max_connections());
    loop {
        let open = f64::from(pool.size());
        let in_use = open - pool.num_idle() as f64;
        metrics::gauge!("postgres_connections_open").set(open);
        // The two are not read at one moment.
        metrics::gauge!("postgres_connections_in_use").set(in_use.max(0.0));
        if is_over(&stopping).await {
            return;
        }
    }
}

/// Counts an operation that got no connection in time.
pub(crate) fn count_time_out(error: &Error) {
    if matches!(error, Error::PoolTimedOut) {
        metrics::counter!("postgres_connection_timeouts_total").increment(1);
    }
}

/// What was recorded and is not in the stream yet. Asked by every replica and also while NATS is away, which is
/// when it matters.
pub(crate) async fn of_outbox(db: &Database, stopping: &CancellationToken) {
    metrics::counter!("outbox_events_published_total").increment(0);
    metrics::counter!("outbox_events_lost_total").increment(0);
    loop {
        // A Postgres that hangs must not hold the end of the process.
        match stopping.run_until_cancelled(unpublished(db)).await {
            Some(Ok((events, oldest_secs))) => {
                metrics::gauge!("outbox_events_pending").set(events as f64);
                metrics::gauge!("outbox_oldest_pending_seconds").set(oldest_secs);
            }
            Some(Err(error)) => tracing::debug!(%error, "outbox not counted"),
            None => return,
        }
        if is_over(stopping).await {
            return;
        }
    }
}

/// Events in the outbox, and the age of the first one.
async fn unpublished(db: &Database) -> Result<(i64, f64), Error> {
    let mut tx = db.begin_everyone().await?;
    sqlx::query_as(
        "select (select count(*) from (select from outbox where published_at is null limit $1) as pending),
           coalesce(greatest(0, extract(epoch from now() -
             (select occurred_at from outbox where published_at is null order by seq limit 1))), 0)::float8",
    )
    .bind(EVENTS_COUNTED_MAX)
    .fetch_one(&mut *tx)
    .await
}

/// What waits for a listener in the stream, and what it gave up on.
pub(crate) async fn of_listener<E, H>(listener: Listener<E, H>, stopping: CancellationToken)
where
    E: Event + 'static,
    H: Handler<E>,
{
    let durable = listener.durable;
    metrics::counter!("outbox_events_received_total", "durable" => durable).increment(0);
    metrics::counter!("outbox_dead_letters_total", "durable" => durable).increment(0);
    loop {
        let looked = stopping.run_until_cancelled(look(&listener)).await;
        if looked.is_none() || is_over(&stopping).await {
            return;
        }
    }
}

async fn look<E, H>(listener: &Listener<E, H>)
where
    E: Event + 'static,
    H: Handler<E>,
{
    let durable = listener.durable;
    match waiting::<E>(&listener.bus, durable).await {
        Ok(events) => {
            metrics::gauge!("outbox_consumer_pending_events", "durable" => durable).set(events as f64);
        }
        Err(error) => tracing::debug!(error, durable, "waiting events not counted"),
    }
    match given_up(&listener.db, durable).await {
        Ok(letters) => {
            metrics::gauge!("outbox_dead_letters_waiting", "durable" => durable).set(letters as f64);
        }
        Err(error) => tracing::debug!(%error, durable, "dead letters not counted"),
    }
}

/// Events that were not delivered yet, and those that were and are not acknowledged.
async fn waiting<E: Event>(bus: &Bus, durable: &str) -> Result<u64, async_nats::Error> {
    let stream = stream_of(&E::full_name()).ok_or("event belongs to no stream")?;
    let consumer: PullConsumer = bus
        .jetstream()
        .get_consumer_from_stream::<pull::Config, _, _>(durable, stream)
        .await?;
    let info = consumer.cached_info();
    Ok(info.num_pending + info.num_ack_pending as u64)
}

async fn given_up(db: &Database, durable: &str) -> Result<i64, Error> {
    let mut tx = db.begin_everyone().await?;
    sqlx::query_scalar(
        "select count(*) from (select from dead_letter where consumer = $1 limit $2) as given_up",
    )
    .bind(durable)
    .bind(LETTERS_COUNTED_MAX)
    .fetch_one(&mut *tx)
    .await
}

/// Waits until it is time to look again; true when the process ends first.
async fn is_over(stopping: &CancellationToken) -> bool {
    stopping
        .run_until_cancelled(tokio::time::sleep(EVERY))
        .await
        .is_none()
}
