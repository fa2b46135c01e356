//! The golden examples' plan, people and events, for tests.

use jiff::Timestamp;
use serde_json::json;

use super::{Event, EventDraft, Plan, PlanDraft};

pub(crate) const PAID_AT: &str = "2026-02-26T09:00:00+08:00";
pub(crate) const DELIVERED_AT: &str = "2026-03-01T10:00:00+08:00";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn yunji_demo() -> PlanDraft {
    crate::publication::yunji_demo()
}

pub(crate) fn plan() -> Plan {
    yunji_demo().check().unwrap()
}

/// A plan with one rule that pays the closer a rate of everything.
pub(crate) fn rate_plan(currency: &str, ppm: u32) -> Plan {
    let mut draft = yunji_demo();
    draft.currency = currency.to_owned();
    let rules = &mut draft.version[0].rule;
    rules.remove(0);
    rules[0].rate_ppm = Some(ppm);
    draft.check().unwrap()
}

pub(crate) fn event(body: serde_json::Value) -> Event {
    serde_json::from_value::<EventDraft>(body)
        .unwrap()
        .check()
        .unwrap()
}

/// G01: p1 refers and closes one package for b1.
pub(crate) fn paid(occurred_at: &str) -> Event {
    sale(
        occurred_at,
        "b1",
        json!([{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39_800}]),
    )
}

pub(crate) fn sale(occurred_at: &str, buyer: &str, lines: serde_json::Value) -> Event {
    event(json!({
        "id": "paid", "type": "order.paid", "occurred_at": occurred_at, "order": "O-1",
        "buyer": buyer, "referrer": "p1", "lines": lines,
    }))
}

pub(crate) fn delivered(occurred_at: &str) -> Event {
    event(json!({"id": "delivered", "type": "order.delivered", "occurred_at": occurred_at, "order": "O-1"}))
}

/// A refund on line 1, on the day after the payment.
pub(crate) fn refunded(id: &str, refund: &str, amount: i64) -> Event {
    event(json!({
        "id": id, "type": "order.refunded", "occurred_at": "2026-02-27T09:00:00+08:00", "order": "O-1",
        "refund": refund, "lines": [{"line": 1, "amount": amount}],
    }))
}

pub(crate) fn voided(occurred_at: &str) -> Event {
    event(json!({
        "id": "voided", "type": "order.voided", "occurred_at": occurred_at, "order": "O-1", "reason": "fraud",
    }))
}
