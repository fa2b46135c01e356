//! Events that are refused, and where.

use serde_json::{Value, json};

use super::*;

type Edit = fn(&mut Value);

fn check(edit: impl FnOnce(&mut Value)) -> Result<Event, Fault> {
    let mut event = json!({
        "id": "e1", "type": "order.paid", "occurred_at": "2026-03-01T10:00:00+08:00", "order": "O-1",
        "buyer": "b1", "referrer": "p1",
        "lines": [{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39800}],
    });
    edit(&mut event);
    serde_json::from_value::<EventDraft>(event).unwrap().check()
}

#[test]
fn defaults_are_filled_in() {
    let event = check(|_| ()).unwrap();
    let spelled_out = check(|event| event["lines"][0]["discount"] = json!(0)).unwrap();
    assert_eq!(event.fingerprint(), spelled_out.fingerprint());
}

#[test]
fn a_moment_is_what_the_database_can_keep() {
    let event = check(|event| event["occurred_at"] = json!("2026-03-01T00:00:00.123456789Z")).unwrap();
    assert_eq!(event.occurred_at.subsec_nanosecond(), 123_456_000);
}

#[test]
fn a_flaw_is_named_by_its_path() {
    let cases: [(&str, Edit); 17] = [
        ("occurred_at", |event| {
            event["occurred_at"] = json!("-005000-01-01T00:00:00Z")
        }),
        ("order", |event| event["order"] = json!("A.1")),
        ("code", |event| event["code"] = json!("SPRING")),
        ("buyer", |event| event["buyer"] = Value::Null),
        ("lines", |event| event["lines"] = Value::Null),
        ("lines", |event| event["lines"] = json!([])),
        ("refund", |event| event["refund"] = json!("r1")),
        ("reason", |event| event["reason"] = json!("fraud")),
        ("lines[0].qty", |event| event["lines"][0]["qty"] = json!(0)),
        ("lines[0].sku", |event| event["lines"][0]["sku"] = Value::Null),
        ("lines[0].unit_price", |event| {
            event["lines"][0]["unit_price"] = json!(-1)
        }),
        ("lines[0].discount", |event| {
            event["lines"][0]["discount"] = json!(i64::MAX)
        }),
        ("lines[0].amount", |event| event["lines"][0]["amount"] = json!(1)),
        ("lines[0]", |event| {
            event["lines"][0]["wallet_paid"] = json!(39_801)
        }),
        ("buyer", |event| event["type"] = json!("order.delivered")),
        ("lines", |event| {
            event["lines"][0]["qty"] = json!(100_000);
            event["lines"][0]["unit_price"] = json!(AMOUNT_MINOR_MAX);
        }),
        ("lines[1].line", |event| {
            let line = event["lines"][0].clone();
            event["lines"].as_array_mut().unwrap().push(line);
        }),
    ];
    for (field, edit) in cases {
        assert_eq!(check(edit).unwrap_err().field, field);
    }
}

#[test]
fn a_refund_names_amounts_only() {
    let refund = |edit: fn(&mut Value)| {
        let mut event = json!({
            "id": "e2", "type": "order.refunded", "occurred_at": "2026-03-02T00:00:00Z", "order": "O-1",
            "refund": "r1", "lines": [{"line": 1, "amount": 100}],
        });
        edit(&mut event);
        serde_json::from_value::<EventDraft>(event).unwrap().check()
    };
    assert!(refund(|_| ()).is_ok());
    assert_eq!(
        refund(|event| event["lines"][0]["qty"] = json!(1))
            .unwrap_err()
            .field,
        "lines[0].qty"
    );
    assert_eq!(
        refund(|event| event["lines"][0]["amount"] = Value::Null)
            .unwrap_err()
            .field,
        "lines[0].amount"
    );
    assert_eq!(
        refund(|event| event["refund"] = Value::Null).unwrap_err().field,
        "refund"
    );
}
