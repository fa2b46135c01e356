//! The connection to NATS, and how an envelope travels on it.

use std::time::Duration;

use async_nats::connection::State as ConnectionState;
use async_nats::jetstream::{self, context::ContextBuilder, message::PublishMessage};
use async_nats::{Client, ConnectOptions, HeaderMap};
use contracts::{Envelope, EnvelopeError, header};
use uuid::Uuid;

const ACK_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that is cut off, not closed, is noticed when the third ping finds two unanswered.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);
/// More than the relay has in flight, so that its publishes never wait for each other's permits.
const ACKS_IN_FLIGHT_MAX: usize = 2_000;

/// Why the bus can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("could not set up the connection to NATS")]
    Connect(#[from] async_nats::ConnectError),
}

/// A service's connection to NATS under its own user.
#[derive(Clone)]
pub struct Bus {
    client: Client,
    jetstream: jetstream::Context,
    stream_replicas: usize,
}

impl Bus {
    /// Connects as `service`. With NATS away it returns at once and keeps trying.
    ///
    /// # Errors
    /// When the address or the credentials can't be used.
    pub async fn connect(service: &str, url: &str, user: &str, password: &str) -> Result<Self, BusError> {
        let client = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
            .name(service)
            // Each user may listen on its own inboxes only.
            .custom_inbox_prefix(format!("_INBOX.{user}"))
            .retry_on_initial_connect()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .ping_interval(PING_INTERVAL)
            .reconnect_delay_callback(|attempt| {
                Duration::from_millis(50 << attempt.min(5)).min(RECONNECT_DELAY_MAX)
            })
            .connect(url)
            .await?;
        let jetstream = ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            .ack_timeout(ACK_TIMEOUT)
            .max_ack_inflight(ACKS_IN_FLIGHT_MAX)
            .build(client.clone());
        Ok(Self {
            client,
            jetstream,
            stream_replicas: 1,
        })
    }

    /// With so many servers to keep a copy of each stream that is created.
    #[must_use]
    pub fn replicating(self, stream_replicas: usize) -> Self {
        Self {
            stream_replicas,
            ..self
        }
    }

    /// How many servers keep a copy of a stream that is created.
    #[must_use]
    pub fn stream_replicas(&self) -> usize {
        self.stream_replicas
    }

    /// Whether NATS is connected, for the readiness check.
    ///
    /// # Errors
    /// The connection's state instead.
    pub async fn check(&self) -> Result<(), String> {
        match self.client.connection_state() {
            ConnectionState::Connected => Ok(()),
            state => Err(format!("nats is {state}")),
        }
    }

    /// JetStream itself: for a work queue that Postgres can rebuild, and nothing else; domain
    /// events go through [`record`](crate::record).
    #[must_use]
    pub fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }
}

/// The message an envelope travels as: CloudEvents in binary mode.
pub(crate) fn message(envelope: &Envelope, source: &str) -> PublishMessage {
    let mut headers = HeaderMap::new();
    headers.insert(header::CE_SPECVERSION, "1.0");
    headers.insert(header::CE_ID, envelope.event_id.to_string());
    headers.insert(header::CE_SOURCE, format!("/shequn/{source}"));
    headers.insert(header::CE_TYPE, envelope.name.as_str());
    headers.insert(header::CE_TIME, envelope.occurred_at.to_string());
    headers.insert(header::CE_TENANT, envelope.tenant_id.to_string());
    headers.insert(header::CE_PARTITION_KEY, envelope.key.as_str());
    if let Some(traceparent) = &envelope.traceparent {
        headers.insert(header::TRACEPARENT, traceparent.as_str());
    }
    // Last: it sets its own header on the map given before.
    PublishMessage::build()
        .headers(headers)
        .message_id(envelope.event_id.to_string())
        .payload(envelope.payload.clone().into())
}

/// The envelope a received message carries.
///
/// Its headers must name the very subject it came on: that is what the publisher may publish.
pub(crate) fn envelope(message: &async_nats::Message) -> Result<Envelope, EnvelopeError> {
    let text = |name: &'static str| {
        message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(name))
            .map(|value| value.as_str())
            .ok_or(EnvelopeError::Header(name))
    };
    let event_id: Uuid = text(header::CE_ID)?
        .parse()
        .map_err(|_| EnvelopeError::Header(header::CE_ID))?;
    let tenant = text(header::CE_TENANT)?;
    let envelope = Envelope {
        event_id,
        tenant_id: tenant
            .parse()
            .map_err(|_| EnvelopeError::Tenant(tenant.to_owned()))?,
        name: text(header::CE_TYPE)?.to_owned(),
        key: text(header::CE_PARTITION_KEY)?.to_owned(),
        occurred_at: text(header::CE_TIME)?
            .parse()
            .map_err(|_| EnvelopeError::Header(header::CE_TIME))?,
        payload: message.payload.to_vec(),
        traceparent: text(header::TRACEPARENT).ok().map(str::to_owned),
    };
    if envelope.subject() != message.subject.as_str() {
        return Err(EnvelopeError::Subject(message.subject.to_string()));
    }
    Ok(envelope)
}
