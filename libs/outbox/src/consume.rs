//! From the stream to a handler: the inbox check, the handler and the acknowledgement, in that
//! order, so that each event is in effect once however often it comes.

use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use chassis::{Clock, telemetry};
use contracts::{Envelope, Event, stream_of, subject_filter};
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::lanes::{AsyncWork, Lanes};
use crate::{Actor, Bus, Database, Tx, bus, crash_point, dead_letters, figures, inbox, prune};

pub(crate) const ATTEMPTS_MAX: i32 = 5;
/// A crashed listener's events come again after this; living ones say in time that they still work.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// Without end: the listener counts attempts itself and terminates at [`ATTEMPTS_MAX`]. While its database is away
/// nothing is counted, and nothing may be lost either.
const DELIVERIES_MAX: i64 = -1;
const ACKS_PENDING_MAX: i64 = 512;
const PULL_MESSAGES_MAX: usize = 128;
const PULL_EXPIRES: Duration = Duration::from_secs(10);
const HEARTBEAT: Duration = Duration::from_secs(1);
const RECONNECT_BACK_OFF: Duration = Duration::from_millis(500);
const NOT_COUNTED_BACK_OFF: Duration = Duration::from_secs(1);
const NOT_COUNTED_BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// What a handler may fail with; it is retried, then becomes the dead letter's reason.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// A service's answer to one kind of event.
///
/// Events may come late and, after a retry, out of order: decide by the data, not by arrival.
pub trait Handler<E: Event>: Clone + Send + Sync + 'static {
    /// Puts the event into effect inside `tx`, which holds the event's tenant and is committed
    /// together with the inbox's note that it was handled.
    fn handle(
        &self,
        tx: &mut Tx,
        event: E,
        envelope: &Envelope,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send;
}

/// Listens as `durable` to every event of type `E` until `stopping`, then finishes what it took.
///
/// # Errors
/// Never for a passing fault: a lost connection, stream or consumer is set up again.
pub async fn consume<E, H>(
    db: Database,
    bus: Bus,
    durable: &'static str,
    handler: H,
    stopping: CancellationToken,
) -> Result<(), std::convert::Infallible>
where
    E: Event + 'static,
    H: Handler<E>,
{
    let listener = Listener {
        db,
        bus,
        durable,
        handler,
        event: PhantomData::<fn(E)>,
    };
    let replay = tokio::spawn(dead_letters::replay_loop(listener.clone(), stopping.clone()));
    let figures = tokio::spawn(figures::of_listener(listener.clone(), stopping.clone()));
    let mut told = String::new();
    while !stopping.is_cancelled() {
        if let Err(error) = listener.listen(&stopping).await {
            let error = error.to_string();
            if error != told {
                tracing::warn!(error, durable, "listener sets up its consumer until it holds");
                told = error;
            }
            tokio::select! {
                () = tokio::time::sleep(RECONNECT_BACK_OFF) => {}
                () = stopping.cancelled() => {}
            }
        }
    }
    // A panic inside is caught per event, so the loop only ends by `stopping`.
    let _ = tokio::join!(replay, figures);
    Ok(())
}

/// One durable consumer and what it calls.
pub(crate) struct Listener<E, H> {
    pub(crate) db: Database,
    pub(crate) bus: Bus,
    pub(crate) durable: &'static str,
    handler: H,
    event: PhantomData<fn(E)>,
}

impl<E, H: Clone> Clone for Listener<E, H> {
    fn clone(&self) -> Self {
        Self {
            db: self.db.clone(),
            bus: self.bus.clone(),
            durable: self.durable,
            handler: self.handler.clone(),
            event: PhantomData,
        }
    }
}

impl<E: Event + 'static, H: Handler<E>> Listener<E, H> {
    async fn listen(&self, stopping: &CancellationToken) -> Result<(), async_nats::Error> {
        let consumer = self.consumer().await?;
        let mut messages = consumer
            .stream()
            .max_messages_per_batch(PULL_MESSAGES_MAX)
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await?;
        let created = Timestamp::from_nanosecond(consumer.cached_info().created.unix_timestamp_nanos())?;
        let lanes = Lanes::start(self.clone());
        let receiving = async {
            loop {
                tokio::select! {
                    () = stopping.cancelled() => break Ok(()),
                    message = messages.next() => match message {
                        Some(Ok(message)) => if !lanes.put(message).await { break Err("a lane died".into()) },
                        Some(Err(error)) => break Err(error.into()),
                        None => break Ok(()),
                    },
                }
            }
        };
        let ended = tokio::select! {
            ended = receiving => ended,
            never = prune::prune_inbox(&self.db, self.durable, created) => match never {},
        };
        lanes.finish().await;
        ended
    }

    /// Creates the durable, or finds it: the request's subject names stream, durable and filter,
    /// which is all this service's user may create.
    async fn consumer(&self) -> Result<PullConsumer, async_nats::Error> {
        let stream = stream_of(&E::full_name()).ok_or("event belongs to no stream")?;
        let config = pull::Config {
            durable_name: Some(self.durable.to_owned()),
            filter_subject: subject_filter::<E>(),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_deliver: DELIVERIES_MAX,
            max_ack_pending: ACKS_PENDING_MAX,
            ..pull::Config::default()
        };
        Ok(self
            .bus
            .jetstream()
            .create_consumer_on_stream(config, stream)
            .await?)
    }

    /// One transaction: inbox, handler, commit. False when the event was in effect already.
    pub(crate) async fn apply(&self, envelope: &Envelope) -> Result<bool, HandlerError> {
        let event: E = envelope.open()?;
        let mut tx = self.db.begin(envelope.tenant_id).await?;
        let Some(attempts) = inbox::first_time(&mut tx, self.durable, envelope).await? else {
            return Ok(false);
        };
        AssertUnwindSafe(self.handler.handle(&mut tx, event, envelope))
            .catch_unwind()
            .await
            .map_err(|_| "handler panicked")??;
        if attempts > 1 {
            inbox::unbury(&mut tx, self.durable, envelope.event_id).await?;
        }
        crash_point("consume-before-commit");
        tx.commit().await?;
        crash_point("consume-before-ack");
        Ok(true)
    }

    /// Counts the failure and says what becomes of the message.
    async fn after_failure(&self, message: &Message, envelope: &Envelope, error: &HandlerError) -> AckKind {
        let reason = reason(error.as_ref());
        tracing::warn!(reason, event_id = %envelope.event_id, durable = self.durable, "event not handled");
        if is_passing(error.as_ref()) {
            return AckKind::Nak(Some(not_counted_back_off(message)));
        }
        let hopeless = error.is::<contracts::EnvelopeError>();
        match self.count(envelope, &reason, hopeless).await {
            Ok(Some(attempts)) if hopeless || attempts >= ATTEMPTS_MAX => {
                metrics::counter!("outbox_dead_letters_total", "durable" => self.durable).increment(1);
                AckKind::Term
            }
            Ok(Some(attempts)) => AckKind::Nak(Some(back_off(attempts))),
            Ok(None) => AckKind::Ack,
            Err(_) => AckKind::Nak(Some(not_counted_back_off(message))),
        }
    }

    pub(crate) async fn count(
        &self,
        envelope: &Envelope,
        reason: &str,
        hopeless: bool,
    ) -> Result<Option<i32>, sqlx::Error> {
        let mut tx = self.db.begin(envelope.tenant_id).await?;
        let attempts = inbox::failed(&mut tx, self.durable, envelope, reason).await?;
        if let Some(attempts) = attempts
            && (hopeless || attempts >= ATTEMPTS_MAX)
        {
            inbox::bury(&mut tx, self.durable, envelope, reason, attempts).await?;
            tx.audit(
                Actor::System(self.durable),
                "dead_letter.buried",
                envelope.event_id,
            );
        }
        tx.commit().await?;
        Ok(attempts)
    }

    /// Applies the event while telling the server that work goes on.
    async fn apply_with_progress(
        &self,
        message: &Message,
        envelope: &Envelope,
    ) -> Result<bool, HandlerError> {
        let apply = self.apply(envelope);
        tokio::pin!(apply);
        loop {
            tokio::select! {
                done = &mut apply => return done,
                () = tokio::time::sleep(ACK_WAIT / 3) => {
                    message.ack_with(AckKind::Progress).await?;
                }
            }
        }
    }
}

impl<E: Event + 'static, H: Handler<E>> AsyncWork for Listener<E, H> {
    async fn run(&self, message: Message) {
        let envelope = match bus::envelope(&message) {
            Ok(envelope) => envelope,
            Err(error) => {
                // Not from an outbox: there is no tenant to keep it for.
                tracing::error!(%error, subject = %message.subject, "message is no event");
                let _ = message.ack_with(AckKind::Term).await;
                return;
            }
        };
        let span = tracing::info_span!(
            "consume",
            durable = self.durable,
            event_id = %envelope.event_id,
            trace_id = tracing::field::Empty,
        );
        telemetry::set_parent(&span, envelope.traceparent.as_deref());
        let ack = async {
            match self.apply_with_progress(&message, &envelope).await {
                Ok(_) => AckKind::Ack,
                Err(error) => self.after_failure(&message, &envelope, &error).await,
            }
        }
        .instrument(span)
        .await;
        metrics::counter!("outbox_events_received_total", "durable" => self.durable).increment(1);
        let delay = Clock::system().now().duration_since(envelope.occurred_at);
        metrics::histogram!("outbox_event_delay_seconds", "durable" => self.durable)
            .record(delay.as_secs_f64().max(0.0));
        if let Err(error) = message.ack_with(ack).await {
            tracing::debug!(
                error,
                durable = self.durable,
                "acknowledgement lost; the event comes again"
            );
        }
    }
}

/// 0.2, 0.8, 3.2, 12.8 s, each times 0.5 to 1.5 so that failures spread out.
fn back_off(attempts: i32) -> Duration {
    let exponent = attempts.clamp(1, 6).cast_unsigned() - 1;
    Duration::from_millis(200 * 4_u64.pow(exponent)).mul_f64(0.5 + rand::random::<f64>())
}

/// 1 s at first, 30 s at most: a long outage is not made longer by what waits for its end.
fn not_counted_back_off(message: &Message) -> Duration {
    let delivered = message.info().map_or(1, |info| info.delivered);
    NOT_COUNTED_BACK_OFF
        .saturating_mul(u32::try_from(delivered).unwrap_or(u32::MAX))
        .min(NOT_COUNTED_BACK_OFF_MAX)
}

/// Whether the database was away, crowded or in a deadlock: that says nothing about the event and is no attempt.
fn is_passing(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<sqlx::Error>())
        .any(chassis::problem::is_passing)
}

/// The error and its sources on one line.
pub(crate) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the database failed")]
    struct Failed(#[from] sqlx::Error);

    #[test]
    fn only_faults_that_pass_are_no_attempts() {
        assert!(is_passing(&Failed(sqlx::Error::PoolTimedOut)));
        assert!(!is_passing(&Failed(sqlx::Error::RowNotFound)));
        assert!(!is_passing(&contracts::EnvelopeError::Header("ce-id")));
    }
}
