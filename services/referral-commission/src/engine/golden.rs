//! The golden examples of the commission rules, by their numbers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::plan_draft::Base;
use super::samples::{
    DELIVERED_AT, PAID_AT, at, delivered, paid, plan, rate_plan, refunded, sale, voided, yunji_demo,
};
use super::{Code, Event, Plan, Replay, replay};

const BEFORE_ANY_HOLD_ENDS: &str = "2026-03-01T10:00:00+08:00";

fn balances(replay: &Replay) -> BTreeMap<String, i64> {
    let mut balances = BTreeMap::new();
    for transaction in &replay.transactions {
        for (account, _, minor) in transaction.entries.iter() {
            *balances.entry(account.to_string()).or_default() += minor;
        }
    }
    balances.retain(|_, minor| *minor != 0);
    balances
}

fn until(plan: &Plan, events: &[Event], until: &str) -> BTreeMap<String, i64> {
    balances(&replay(plan, events, at(until)))
}

fn after(events: &[Event]) -> BTreeMap<String, i64> {
    until(&plan(), events, BEFORE_ANY_HOLD_ENDS)
}

fn expected<const N: usize>(pairs: [(&str, i64); N]) -> BTreeMap<String, i64> {
    pairs.map(|(account, minor)| (account.to_owned(), minor)).into()
}

fn one_line(qty: u32, unit_price: i64, coupon_share: i64) -> Event {
    sale(
        PAID_AT,
        "b1",
        json!([{
            "line": 1, "sku": "PKG398", "qty": qty, "unit_price": unit_price, "coupon_share": coupon_share,
        }]),
    )
}

fn earned(plan: &Plan, event: Event) -> Vec<i64> {
    let replay = replay(plan, &[event], at(BEFORE_ANY_HOLD_ENDS));
    replay
        .standing
        .unwrap()
        .accruals
        .iter()
        .map(|accrual| accrual.minor)
        .collect()
}

#[test]
fn g01_fixed_fee_and_rate() {
    assert_eq!(earned(&plan(), paid(PAID_AT)), [15_000, 3_980]);
    let books = [
        ("CLR", 39_800),
        ("MER", -39_800),
        ("COM", 18_980),
        ("HELD:p1", -18_980),
    ];
    assert_eq!(after(&[paid(PAID_AT)]), expected(books));
}

#[test]
fn g02_a_coupon_lowers_the_base_of_the_rate() {
    assert_eq!(earned(&plan(), one_line(1, 39_800, 2_000)), [15_000, 3_780]);
}

#[test]
fn g03_fixed_is_per_unit() {
    assert_eq!(earned(&plan(), one_line(3, 39_800, 0)), [45_000, 11_940]);
}

#[test]
fn g04_a_rate_of_what_the_fixed_fee_leaves() {
    let mut draft = yunji_demo();
    draft.version[0].rule[1].base = Some(Base::NetItemPaidMinus(vec!["R1".parse().unwrap()]));
    let plan = draft.check().unwrap();
    assert_eq!(earned(&plan, paid(PAID_AT)), [15_000, 2_480]);
    assert_eq!(
        earned(&plan, one_line(1, 14_000, 0)),
        [15_000],
        "the base never goes below zero"
    );
}

#[test]
fn g06_a_full_refund_leaves_nothing() {
    assert_eq!(after(&[paid(PAID_AT), refunded("r", "r1", 39_800)]), expected([]));
    assert_eq!(
        after(&[paid(PAID_AT), voided("2026-02-28T00:00:00Z")]),
        expected([])
    );
}

#[test]
fn g09_a_part_takes_its_share_of_every_rule() {
    let events = [paid(PAID_AT), refunded("r", "r1", 10_000)];
    let standing = replay(&plan(), &events, at(PAID_AT)).standing.unwrap();
    let reversed: Vec<_> = standing.accruals.iter().map(|accrual| accrual.reversed).collect();
    assert_eq!(reversed, [3_769, 1_000]);
    assert_eq!(after(&events)["HELD:p1"], -14_211);
}

#[test]
fn g11_g13_halves_up_in_any_currency() {
    assert_eq!(earned(&rate_plan("CNY", 20_100), one_line(1, 5_000, 0)), [101]);
    assert_eq!(earned(&rate_plan("JPY", 100_000), one_line(1, 398, 0)), [40]);
    assert_eq!(
        earned(&rate_plan("KWD", 100_000), one_line(1, 39_800, 0)),
        [3_980]
    );
}

#[test]
fn g17_nobody_earns_on_their_own_order() {
    let own = sale(
        PAID_AT,
        "p1",
        json!([{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39_800}]),
    );
    let replay = replay(&plan(), &[own], at(BEFORE_ANY_HOLD_ENDS));
    assert_eq!(
        balances(&replay),
        expected([("CLR", 39_800), ("MER", -39_800)]),
        "the sale stands"
    );
    assert_eq!(replay.code_of(&"paid".parse().unwrap()), Some(Code::SelfReferral));
}

#[test]
fn g24_available_at_the_very_second() {
    let events = [paid(PAID_AT), delivered(DELIVERED_AT)];
    let held = until(&plan(), &events, "2026-03-16T09:59:59+08:00");
    assert_eq!((held["HELD:p1"], held.get("AVAIL:p1")), (-18_980, None));
    let available = until(&plan(), &events, "2026-03-16T10:00:00+08:00");
    assert_eq!((available.get("HELD:p1"), available["AVAIL:p1"]), (None, -18_980));
}

#[test]
fn a_refund_after_maturity_takes_from_what_is_available() {
    let late = refund_at("2026-03-16T10:00:00+08:00", 39_800);
    let events = [paid(PAID_AT), delivered(DELIVERED_AT), late];
    let replay = replay(&plan(), &events, at("2026-04-01T00:00:00Z"));
    assert_eq!(balances(&replay), expected([]));
    let reversal = replay.transactions.last().unwrap();
    let accounts: Vec<_> = reversal
        .entries
        .iter()
        .map(|(account, ..)| account.to_string())
        .collect();
    assert!(accounts.contains(&"AVAIL:p1".to_owned()) && !accounts.contains(&"HELD:p1".to_owned()));
}

fn refund_at(occurred_at: &str, amount: i64) -> Event {
    Event {
        occurred_at: at(occurred_at),
        ..refunded("late", "late", amount)
    }
}

#[test]
fn refunds_are_judged_in_the_order_of_their_happening() {
    // Arrival order is that of the slice: the larger refund happened later, and is the one too many.
    let larger = refund_at("2026-02-28T00:00:00Z", 30_000);
    let events = [paid(PAID_AT), larger, refunded("r", "r1", 20_000)];
    let replay = replay(&plan(), &events, at(BEFORE_ANY_HOLD_ENDS));
    assert_eq!(
        replay.parked,
        [("late".parse().unwrap(), Code::OverRefund)].into()
    );
    assert_eq!(balances(&replay)["CLR"], 19_800);
}

#[test]
fn too_much_is_refused_whole() {
    let cases = [
        json!([{"line": 1, "amount": 39_801}]),
        json!([{"line": 2, "amount": 1}]),
        json!([{"line": 1, "amount": 20_000}, {"line": 1, "amount": 20_000}]),
    ];
    for lines in cases {
        let mut refund = serde_json::to_value(refunded("r", "r1", 0)).unwrap();
        refund["lines"] = lines;
        let events = [paid(PAID_AT), serde_json::from_value(refund).unwrap()];
        let replay = replay(&plan(), &events, at(BEFORE_ANY_HOLD_ENDS));
        assert_eq!(replay.code_of(&"r".parse().unwrap()), Some(Code::OverRefund));
        assert_eq!(balances(&replay)["CLR"], 39_800);
    }
    let void_first = [
        paid(PAID_AT),
        voided("2026-02-26T12:00:00Z"),
        refunded("r", "r1", 1),
    ];
    assert_eq!(replay(&plan(), &void_first, at(PAID_AT)).parked.len(), 1);
}

#[test]
fn an_order_the_plan_does_not_know_posts_nothing() {
    let unknown = sale(
        PAID_AT,
        "b1",
        json!([{"line": 1, "sku": "OTHER", "qty": 1, "unit_price": 1}]),
    );
    let early = paid("2025-12-31T23:59:59+08:00");
    for (event, code) in [(unknown, Code::UnknownSku), (early, Code::NoPlan)] {
        let replay = replay(&plan(), &[event, delivered(DELIVERED_AT)], Timestamp::MAX);
        assert!(replay.standing.is_none() && replay.transactions.is_empty());
        assert_eq!(replay.code_of(&"paid".parse().unwrap()), Some(code));
        assert_eq!(
            replay.code_of(&"delivered".parse().unwrap()),
            Some(Code::UnknownOrder)
        );
    }
}

#[test]
fn the_wallet_s_share_earns_no_rate_and_nothing_earns_nothing() {
    let wallet = |wallet_paid: i64| {
        sale(
            PAID_AT,
            "b1",
            json!([{
                "line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39_800, "wallet_paid": wallet_paid,
            }]),
        )
    };
    assert_eq!(earned(&plan(), wallet(30_000)), [15_000, 980]);
    assert_eq!(earned(&plan(), wallet(39_800)), [0_i64; 0]);
}

#[test]
fn the_version_is_chosen_by_the_moment_of_payment() {
    let mut draft = yunji_demo();
    let mut next = draft.version[0].clone();
    next.effective_from = at("2026-07-01T00:00:00+08:00");
    next.rule[0].fixed = Some(10_000);
    draft.version.push(next);
    let plan = draft.check().unwrap();
    assert_eq!(
        earned(&plan, paid("2026-06-30T23:59:59.999+08:00")),
        [15_000, 3_980]
    );
    assert_eq!(earned(&plan, paid("2026-07-01T00:00:00+08:00")), [10_000, 3_980]);
}

#[test]
fn delivery_before_payment_holds_from_the_payment() {
    let events = [delivered("2026-02-20T00:00:00Z"), paid(PAID_AT)];
    let standing = replay(&plan(), &events, at(PAID_AT)).standing.unwrap();
    assert_eq!(standing.matures_at, Some(at("2026-03-13T09:00:00+08:00")));
}
