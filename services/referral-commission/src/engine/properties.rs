//! The invariants of the commission rules, over orders and histories nobody thought of.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::plan_draft::Base;
use super::samples::{at, event, rate_plan, yunji_demo};
use super::{Event, Plan, Replay, difference, replay};

/// Balances by account, and by account and moment.
type Books = BTreeMap<(String, Option<Timestamp>), i64>;

const PAID_AT: &str = "2026-02-01T00:00:00Z";

fn day(days: i64) -> Timestamp {
    at(PAID_AT) + SignedDuration::from_hours(24 * days)
}

fn book(books: &mut Books, transactions: &[super::Transaction]) {
    for transaction in transactions {
        for (account, _, minor) in transaction.entries.iter() {
            for moment in [None, Some(transaction.at)] {
                *books.entry((account.to_string(), moment)).or_default() += minor;
            }
        }
    }
    books.retain(|_, minor| *minor != 0);
}

fn plan() -> Plan {
    let mut draft = yunji_demo();
    draft.version[0].rule[1].base = Some(Base::NetItemPaidMinus(vec!["R1".parse().unwrap()]));
    draft.version[0].rule[0].fixed = Some(777);
    draft.check().unwrap()
}

prop_compose! {
    /// A sale of one to three lines.
    fn sale()(lines in prop::collection::vec((1..5_u32, 0..200_000_i64, 0..1_000_i64), 1..4), own in any::<bool>())
        -> Event {
        let lines: Vec<_> = lines.iter().zip(1_u32..).map(|((qty, unit_price, discount), line)| json!({
            "line": line, "sku": "PKG398", "qty": qty, "unit_price": unit_price, "discount": discount.min(unit_price),
        })).collect();
        event(json!({
            "id": "paid", "type": "order.paid", "occurred_at": PAID_AT, "order": "O-1", "buyer": "b1",
            "referrer": "p1", "closer": if own { "b1" } else { "p2" }, "lines": lines,
        }))
    }
}

prop_compose! {
    /// Refunds, perhaps a delivery and a void, on any days around the payment and the maturity.
    fn history()(
        refunds in prop::collection::vec((0..30_i64, 1..4_u32, 0..150_000_i64), 0..6),
        delivered in prop::option::of(-3..5_i64),
        voided in prop::option::weighted(0.2, 0..30_i64),
    ) -> Vec<Event> {
        let mut events: Vec<Event> = refunds.iter().enumerate().map(|(n, (on, line, amount))| event(json!({
            "id": format!("r{n}"), "type": "order.refunded", "occurred_at": day(*on), "order": "O-1",
            "refund": format!("r{n}"), "lines": [{"line": line, "amount": amount}],
        }))).collect();
        events.extend(delivered.map(|on| event(json!({
            "id": "d", "type": "order.delivered", "occurred_at": day(on), "order": "O-1",
        }))));
        events.extend(voided.map(|on| event(json!({
            "id": "v", "type": "order.voided", "occurred_at": day(on), "order": "O-1", "reason": "fraud",
        }))));
        events
    }
}

/// The events of one order, in any order.
fn arrivals() -> impl Strategy<Value = Vec<Event>> {
    (sale(), history()).prop_flat_map(|(sale, mut events)| {
        events.push(sale);
        Just(events).prop_shuffle()
    })
}

fn check_standing(replay: &Replay) -> Result<(), TestCaseError> {
    let Some(standing) = &replay.standing else {
        return Ok(());
    };
    for accrual in &standing.accruals {
        let line = &standing.lines[&accrual.line];
        prop_assert_eq!(accrual.why.minor(), accrual.minor, "I18");
        prop_assert!((0..=accrual.minor).contains(&accrual.reversed), "I07");
        prop_assert!(line.refunded <= line.net, "I09");
        if line.refunded == line.net {
            prop_assert_eq!(accrual.reversed, accrual.minor, "I08");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn i01_i06_any_arrival_gives_the_same_balanced_books(
        arrivals in arrivals(),
        ticks in prop::collection::vec(0..3_i64, 12),
    ) {
        let plan = plan();
        let end = day(60);
        let mut at_once = Books::new();
        let whole = replay(&plan, &arrivals, end);
        book(&mut at_once, &difference(&Replay::default(), &whole));
        check_standing(&whole)?;

        let (mut books, mut seen, mut now, mut before) = (Books::new(), Vec::new(), day(0), Replay::default());
        for (arrival, tick) in arrivals.into_iter().zip(ticks) {
            seen.push(arrival);
            now += SignedDuration::from_hours(24 * 4 * tick);
            let after = if seen.iter().any(Event::is_paid) { replay(&plan, &seen, now) } else { before.clone() };
            check_standing(&after)?;
            for transaction in difference(&before, &after) {
                prop_assert_eq!(transaction.entries.iter().map(|(_, _, minor)| minor).sum::<i64>(), 0, "I01");
                book(&mut books, std::slice::from_ref(&transaction));
            }
            before = after;
        }
        book(&mut books, &difference(&before, &replay(&plan, &seen, end)));
        prop_assert_eq!(books, at_once);
    }

    #[test]
    fn i08_any_partition_of_a_refund_reverses_exactly(
        net in 1..100_000_000_i64,
        ppm in 0..=1_000_000_u32,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let plan = rate_plan("CNY", ppm);
        let mut points: Vec<i64> = cuts.iter().map(|cut| cut.index(net as usize) as i64).collect();
        points.extend([0, net]);
        points.sort_unstable();
        let mut events = vec![event(json!({
            "id": "paid", "type": "order.paid", "occurred_at": PAID_AT, "order": "O-1", "buyer": "b1",
            "closer": "p1", "lines": [{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": net}],
        }))];
        events.extend(points.windows(2).enumerate().map(|(n, cut)| event(json!({
            "id": format!("r{n}"), "type": "order.refunded", "occurred_at": day(1), "order": "O-1",
            "refund": format!("r{n}"), "lines": [{"line": 1, "amount": cut[1] - cut[0]}],
        }))));
        let whole = replay(&plan, &events, day(60));
        let mut books = Books::new();
        book(&mut books, &whole.transactions);
        prop_assert_eq!(books.into_iter().filter(|((_, moment), _)| moment.is_none()).count(), 0);
        prop_assert!(whole.parked.is_empty());
    }
}
