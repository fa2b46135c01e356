//! An event as the shop sends it, and the checks that make it an [`Event`].

use std::collections::BTreeSet;

use chassis::text::Text;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event::{Event, Line, Refund, RefundLine, Sale, What};
use super::fault::{Fault, Flaw, within, wrong};
use super::money::AMOUNT_MINOR_MAX;
use super::name::{EventId, OrderNo, PersonId, Sku};

const LINES_MAX: usize = 200;
const QTY_MAX: u32 = 100_000;
/// 2000-01-01T00:00:00Z; whatever claims to be older is a mistake.
const EARLIEST_SECOND: i64 = 946_684_800;
/// Bounds an order's money so that no sum of its postings comes near the edge of 64 bits.
const ORDER_NET_MINOR_MAX: i64 = 10 * AMOUNT_MINOR_MAX;

/// Something that happened to an order. `order.paid` needs `buyer` and `lines` and may name
/// `referrer` and `closer`; `order.refunded` needs `refund` and `lines`; `order.voided` needs
/// `reason`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "id": "evt-1001", "type": "order.paid", "occurred_at": "2026-03-01T10:00:00+08:00", "order": "YJ-2026-0001",
    "buyer": "hana-0042", "referrer": "hana-0007",
    "lines": [{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39800, "coupon_share": 2000}],
}))]
pub(crate) struct EventDraft {
    pub(crate) id: EventId,
    pub(crate) r#type: EventKind,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) occurred_at: Timestamp,
    /// The shop's order number; no white space, dot, asterisk or greater-than sign.
    pub(crate) order: OrderNo,
    /// A person: external id, or contact id of a contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) buyer: Option<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) referrer: Option<PersonId>,
    /// The referrer when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) closer: Option<PersonId>,
    /// Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// The shop's id of the refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refund: Option<Text<64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lines: Option<Vec<LineDraft>>,
    /// `fraud`, or any other text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Text<64>>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) enum EventKind {
    #[serde(rename = "order.paid")]
    Paid,
    #[serde(rename = "order.delivered")]
    Delivered,
    #[serde(rename = "order.refunded")]
    Refunded,
    #[serde(rename = "order.voided")]
    Voided,
}

/// A line of `order.paid` (`sku`, `qty`, `unit_price`, and what was taken off the price) or of
/// `order.refunded` (`amount`). Amounts are minor units of the plan's currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineDraft {
    pub(crate) line: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sku: Option<Sku>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub(crate) qty: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub(crate) unit_price: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub(crate) discount: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub(crate) coupon_share: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub(crate) wallet_paid: Option<i64>,
    /// Of `net_item_paid`, given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub(crate) amount: Option<i64>,
}

impl EventDraft {
    /// The event this draft describes.
    ///
    /// # Errors
    /// The first flaw, with the path of its field.
    pub(crate) fn check(self) -> Result<Event, Fault> {
        if !self.order.is_subject_token() {
            return Err(wrong("order", "holds white space, '.', '*' or '>'"));
        }
        if self.code.is_some() {
            return Err(Flaw::Unsupported("a code").at("code"));
        }
        self.refuse_foreign_fields()?;
        let occurred_at = moment(self.occurred_at)?;
        let what = match self.r#type {
            EventKind::Paid => What::Paid(Sale {
                buyer: needed(self.buyer, "buyer")?,
                referrer: self.referrer,
                closer: self.closer,
                lines: sale_lines(&needed(self.lines, "lines")?)?,
            }),
            EventKind::Delivered => What::Delivered,
            EventKind::Refunded => What::Refunded(Refund {
                refund: needed(self.refund, "refund")?.to_string(),
                lines: refund_lines(&needed(self.lines, "lines")?)?,
            }),
            EventKind::Voided => What::Voided {
                reason: needed(self.reason, "reason")?.to_string(),
            },
        };
        Ok(Event {
            id: self.id,
            occurred_at,
            order: self.order,
            what,
        })
    }

    fn refuse_foreign_fields(&self) -> Result<(), Fault> {
        use EventKind::{Paid, Refunded, Voided};
        let fields: [(&str, bool, &[EventKind]); 6] = [
            ("buyer", self.buyer.is_some(), &[Paid]),
            ("referrer", self.referrer.is_some(), &[Paid]),
            ("closer", self.closer.is_some(), &[Paid]),
            ("lines", self.lines.is_some(), &[Paid, Refunded]),
            ("refund", self.refund.is_some(), &[Refunded]),
            ("reason", self.reason.is_some(), &[Voided]),
        ];
        for (name, present, kinds) in fields {
            if present && !kinds.contains(&self.r#type) {
                return Err(Flaw::Superfluous.at(name));
            }
        }
        Ok(())
    }
}

/// Cut to the microsecond, which is what the database keeps: a hold must not end a moment later in
/// memory than in the store.
fn moment(at: Timestamp) -> Result<Timestamp, Fault> {
    if at.as_second() < EARLIEST_SECOND {
        return Err(wrong("occurred_at", "lies before 2000"));
    }
    Ok(Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at))
}

fn needed<T>(value: Option<T>, field: impl Into<String>) -> Result<T, Fault> {
    value.ok_or_else(|| Flaw::Missing.at(field))
}

fn amount(value: i64, field: String) -> Result<i64, Fault> {
    if (0..=AMOUNT_MINOR_MAX).contains(&value) {
        return Ok(value);
    }
    Err(wrong(
        field,
        format!("is not within 0 to {AMOUNT_MINOR_MAX} minor units"),
    ))
}

fn sale_lines(drafts: &[LineDraft]) -> Result<Vec<Line>, Fault> {
    within("lines", drafts.len(), LINES_MAX)?;
    let mut numbers = BTreeSet::new();
    let mut lines = Vec::with_capacity(drafts.len());
    let mut net_minor: i64 = 0;
    for (at, draft) in drafts.iter().enumerate() {
        let line = draft.sale(&format!("lines[{at}]"))?;
        if !numbers.insert(line.line) {
            return Err(wrong(format!("lines[{at}].line"), "stands there twice"));
        }
        net_minor = net_minor.saturating_add(line.net());
        lines.push(line);
    }
    if net_minor > ORDER_NET_MINOR_MAX {
        return Err(wrong(
            "lines",
            format!("come to more than {ORDER_NET_MINOR_MAX} minor units"),
        ));
    }
    Ok(lines)
}

fn refund_lines(drafts: &[LineDraft]) -> Result<Vec<RefundLine>, Fault> {
    within("lines", drafts.len(), LINES_MAX)?;
    drafts
        .iter()
        .enumerate()
        .map(|(at, draft)| draft.refund(&format!("lines[{at}]")))
        .collect()
}

impl LineDraft {
    fn sale(&self, field: &str) -> Result<Line, Fault> {
        if self.amount.is_some() {
            return Err(Flaw::Superfluous.at(format!("{field}.amount")));
        }
        let qty = needed(self.qty, format!("{field}.qty"))?;
        if !(1..=QTY_MAX).contains(&qty) {
            return Err(wrong(
                format!("{field}.qty"),
                format!("is not within 1 to {QTY_MAX}"),
            ));
        }
        let off = |value: Option<i64>, name: &str| amount(value.unwrap_or(0), format!("{field}.{name}"));
        let price_field = format!("{field}.unit_price");
        let line = Line {
            line: self.line,
            sku: needed(self.sku.clone(), format!("{field}.sku"))?,
            qty,
            unit_price: amount(needed(self.unit_price, &price_field)?, price_field)?,
            discount: off(self.discount, "discount")?,
            coupon_share: off(self.coupon_share, "coupon_share")?,
            wallet_paid: off(self.wallet_paid, "wallet_paid")?,
        };
        if line.net() < 0 {
            return Err(wrong(
                field,
                "has a negative net_item_paid: more is taken off than it costs",
            ));
        }
        Ok(line)
    }

    fn refund(&self, field: &str) -> Result<RefundLine, Fault> {
        let foreign = [
            ("sku", self.sku.is_some()),
            ("qty", self.qty.is_some()),
            ("unit_price", self.unit_price.is_some()),
            ("discount", self.discount.is_some()),
            ("coupon_share", self.coupon_share.is_some()),
            ("wallet_paid", self.wallet_paid.is_some()),
        ];
        if let Some((name, _)) = foreign.into_iter().find(|(_, present)| *present) {
            return Err(Flaw::Superfluous.at(format!("{field}.{name}")));
        }
        let amount_field = format!("{field}.amount");
        let minor = amount(needed(self.amount, &amount_field)?, amount_field)?;
        Ok(RefundLine {
            line: self.line,
            amount: minor,
        })
    }
}

#[cfg(test)]
mod tests;
