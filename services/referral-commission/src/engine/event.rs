//! What happens to an order: paid, delivered, refunded, voided.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::name::{EventId, OrderNo, PersonId, Sku};

/// One event, checked; made from an [`EventDraft`](super::EventDraft), or read back from the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: EventId,
    pub(crate) occurred_at: Timestamp,
    pub(crate) order: OrderNo,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum What {
    #[serde(rename = "order.paid")]
    Paid(Sale),
    #[serde(rename = "order.delivered")]
    Delivered,
    #[serde(rename = "order.refunded")]
    Refunded(Refund),
    #[serde(rename = "order.voided")]
    Voided { reason: String },
}

/// A paid order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sale {
    pub(crate) buyer: PersonId,
    pub(crate) referrer: Option<PersonId>,
    pub(crate) closer: Option<PersonId>,
    pub(crate) lines: Vec<Line>,
}

/// One line of an order; `net` is never negative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) line: u32,
    pub(crate) sku: Sku,
    pub(crate) qty: u32,
    pub(crate) unit_price: i64,
    pub(crate) discount: i64,
    pub(crate) coupon_share: i64,
    pub(crate) wallet_paid: i64,
}

/// Money given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refund {
    pub(crate) refund: String,
    pub(crate) lines: Vec<RefundLine>,
}

/// How much of a line's `net_item_paid` is given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefundLine {
    pub(crate) line: u32,
    pub(crate) amount: i64,
}

impl Line {
    /// `net_item_paid`: list × qty − discount − coupon − wallet; no postage, no tax (A5).
    #[must_use]
    pub(crate) fn net(&self) -> i64 {
        i64::from(self.qty) * self.unit_price - self.discount - self.coupon_share - self.wallet_paid
    }
}

impl Sale {
    /// Whoever closed: the referrer unless stated (A3).
    #[must_use]
    pub(crate) fn closer(&self) -> Option<&PersonId> {
        self.closer.as_ref().or(self.referrer.as_ref())
    }

    /// Everybody the sale names.
    pub(crate) fn people_mut(&mut self) -> impl Iterator<Item = &mut PersonId> {
        [
            Some(&mut self.buyer),
            self.referrer.as_mut(),
            self.closer.as_mut(),
        ]
        .into_iter()
        .flatten()
    }
}

impl Event {
    #[must_use]
    pub(crate) fn is_paid(&self) -> bool {
        matches!(self.what, What::Paid(_))
    }

    /// `order.paid`, as in the JSON.
    #[must_use]
    pub(crate) fn kind(&self) -> &'static str {
        match self.what {
            What::Paid(_) => "order.paid",
            What::Delivered => "order.delivered",
            What::Refunded(_) => "order.refunded",
            What::Voided { .. } => "order.voided",
        }
    }

    /// The keys this event occupies for ever (R7): its id, and what it is about. Sorted, so that
    /// two events that share keys claim them in the same order.
    #[must_use]
    pub(crate) fn keys(&self) -> [String; 2] {
        let business = match &self.what {
            // JSON keeps (order, refund) apart whatever characters they hold.
            What::Refunded(refund) => {
                format!(
                    "{}:{}",
                    self.kind(),
                    serde_json::json!([self.order, refund.refund])
                )
            }
            _ => format!("{}:{}", self.kind(), self.order),
        };
        [format!("id:{}", self.id), business]
    }

    /// What the event says, all but its id, as a hash: equal content is a repetition (R7, R42).
    #[must_use]
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let content = serde_json::to_vec(&(self.occurred_at, &self.order, &self.what))
            .expect("strings, integers and options always serialise");
        Sha256::digest(content).into()
    }
}

/// What the keys say about an event that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nobody held its keys.
    New,
    /// They are held by the same content.
    Same,
    /// At least one is held by other content.
    Other,
}

impl Claim {
    /// Judges an event by the fingerprints under which its keys were already held.
    #[must_use]
    pub(crate) fn judge(fingerprint: &[u8; 32], held: &[Vec<u8>]) -> Self {
        if held.is_empty() {
            Self::New
        } else if held.iter().all(|earlier| earlier == fingerprint) {
            Self::Same
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{paid, refunded};
    use super::*;

    #[test]
    fn the_same_content_under_another_id_is_a_repetition() {
        let mut again = paid("2026-03-01T02:00:00Z");
        again.id = "e9".parse().unwrap();
        let first = paid("2026-03-01T10:00:00+08:00");
        assert_eq!(
            first.fingerprint(),
            again.fingerprint(),
            "instants, not spellings"
        );
        assert_eq!(first.keys()[1], again.keys()[1]);
        assert_ne!(first.keys()[0], again.keys()[0]);
    }

    #[test]
    fn g22_paid_three_times_and_once_with_another_amount() {
        let first = paid("2026-03-01T10:00:00+08:00");
        let held = vec![first.fingerprint().to_vec()];
        assert_eq!(Claim::judge(&first.fingerprint(), &[]), Claim::New);
        assert_eq!(Claim::judge(&first.fingerprint(), &held), Claim::Same);
        let mut other = first.clone();
        let What::Paid(sale) = &mut other.what else {
            unreachable!()
        };
        sale.lines[0].unit_price += 1;
        assert_eq!(Claim::judge(&other.fingerprint(), &held), Claim::Other);
    }

    #[test]
    fn each_refund_has_its_own_key() {
        let [a, b] = [refunded("a", "x", 1), refunded("b", "y", 1)];
        assert_ne!(a.keys()[1], b.keys()[1]);
    }

    #[test]
    fn an_event_survives_the_store() {
        for event in [
            paid("2026-03-01T10:00:00.123456789+08:00"),
            refunded("r", "r1", 100),
        ] {
            let json = serde_json::to_value(&event).unwrap();
            assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
        }
    }
}
