//! Domain events: their subjects, and the CloudEvents envelope they travel in.

use jiff::Timestamp;
use prost::{Message, Name};
use uuid::Uuid;

use crate::TenantId;

include!(concat!(env!("OUT_DIR"), "/events.rs"));

/// A larger event would be recorded, refused by the bus, and hold up those behind it.
const PAYLOAD_BYTES_MAX: usize = 512 * 1024;

/// A message of some `events.proto`: something that happened, told to whoever listens.
pub trait Event: Message + Name + Default {
    /// The tenant it happened to.
    fn tenant_id(&self) -> &str;
    /// What it happened to; events of one key keep their order.
    fn key(&self) -> &str;
}

/// The subject filter that selects every event of type `E`, of all tenants.
#[must_use]
pub fn subject_filter<E: Event>() -> String {
    format!("{}.>", E::full_name())
}

/// The stream that carries an event or subject: the publisher's name, upper case.
///
/// `shequn.customers.v1.ContactBefriended` is carried by `CUSTOMERS`.
#[must_use]
pub fn stream_of(full_name: &str) -> Option<String> {
    let mut parts = full_name.split('.');
    (parts.next() == Some("shequn")).then_some(())?;
    parts.next().map(str::to_uppercase)
}

/// One event on its way: what the outbox stores and the bus carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub event_id: Uuid,
    pub tenant_id: TenantId,
    /// Protobuf full name: `shequn.customers.v1.ContactBefriended`.
    pub name: String,
    pub key: String,
    pub occurred_at: Timestamp,
    pub payload: Vec<u8>,
    /// W3C trace context of the operation that recorded the event.
    pub traceparent: Option<String>,
}

/// Why an event can't be put into an envelope, or taken out of one.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    #[error("tenant id {0:?} of the event is not a uuid")]
    Tenant(String),
    #[error("key {0:?} of the event is not one subject token")]
    Key(String),
    #[error("event {name} has {bytes} bytes; the bus takes {PAYLOAD_BYTES_MAX}")]
    TooLarge { name: String, bytes: usize },
    #[error("header {0} is missing or malformed")]
    Header(&'static str),
    #[error("subject {0:?} is not the one its headers name")]
    Subject(String),
    #[error("payload is not the event its name says")]
    Payload(#[from] prost::DecodeError),
}

impl Envelope {
    /// Wraps an event that happens `now`.
    ///
    /// # Errors
    /// When the tenant is not an id, the key can't stand in a subject or the event is too large: all
    /// programming errors of the publisher.
    pub fn new<E: Event>(event: &E, now: Timestamp) -> Result<Self, EnvelopeError> {
        let tenant_id = event
            .tenant_id()
            .parse()
            .map_err(|_| EnvelopeError::Tenant(event.tenant_id().to_owned()))?;
        let key = event.key();
        if key.is_empty() || key.contains(|c: char| c.is_whitespace() || matches!(c, '.' | '*' | '>')) {
            return Err(EnvelopeError::Key(key.to_owned()));
        }
        let payload = event.encode_to_vec();
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(EnvelopeError::TooLarge {
                name: E::full_name(),
                bytes: payload.len(),
            });
        }
        Ok(Self {
            event_id: Uuid::now_v7(),
            tenant_id,
            name: E::full_name(),
            key: key.to_owned(),
            occurred_at: now,
            payload,
            traceparent: None,
        })
    }

    /// `shequn.customers.v1.ContactBefriended.<tenant>.<key>`
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}.{}.{}", self.name, self.tenant_id, self.key)
    }

    /// The event inside.
    ///
    /// # Errors
    /// When the payload does not decode as `E`.
    pub fn open<E: Event>(&self) -> Result<E, EnvelopeError> {
        Ok(E::decode(self.payload.as_slice())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContactId, customers::v1::ContactTagged};

    fn tagged(contact_id: &str) -> ContactTagged {
        ContactTagged {
            tenant_id: TenantId::new().to_string(),
            contact_id: contact_id.to_owned(),
            added: vec!["vip".to_owned()],
            removed: vec![],
        }
    }

    #[test]
    fn subject_is_full_name_tenant_and_key() {
        let event = tagged(&ContactId::new().to_string());
        let envelope = Envelope::new(&event, Timestamp::UNIX_EPOCH).unwrap();
        let expected = format!(
            "shequn.customers.v1.ContactTagged.{}.{}",
            event.tenant_id, event.contact_id
        );
        assert_eq!(envelope.subject(), expected);
        assert_eq!(envelope.open::<ContactTagged>().unwrap(), event);
    }

    #[test]
    fn a_key_that_would_break_the_subject_is_refused() {
        for key in ["", "a.b", "a b", "*", "a>"] {
            assert!(matches!(
                Envelope::new(&tagged(key), Timestamp::UNIX_EPOCH),
                Err(EnvelopeError::Key(_))
            ));
        }
    }

    #[test]
    fn an_event_the_bus_would_not_take_is_refused() {
        let mut event = tagged(&ContactId::new().to_string());
        event.added = vec!["x".repeat(PAYLOAD_BYTES_MAX)];
        let refused = Envelope::new(&event, Timestamp::UNIX_EPOCH);
        assert!(matches!(refused, Err(EnvelopeError::TooLarge { .. })));
    }

    #[test]
    fn every_event_has_a_stream() {
        for name in EVENT_NAMES {
            assert!(stream_of(name).is_some(), "{name}");
        }
        assert_eq!(
            stream_of("shequn.customers.v1.ContactTagged").as_deref(),
            Some("CUSTOMERS")
        );
        assert_eq!(stream_of("other.customers"), None);
    }
}
