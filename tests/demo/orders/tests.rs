//! The expectations, held against the worked examples of the rules.

use super::expected::{Answer, of};
use super::file::{Event, What};

fn event(at: &str, what: What) -> Event {
    Event::new("O-1", at, what)
}

fn paid(qty: u32, referrer: &str) -> Event {
    let what = What::Paid {
        buyer: "buyer".to_owned(),
        referrer: Some(referrer.to_owned()).filter(|name| !name.is_empty()),
        sku: "PKG398".to_owned(),
        qty,
        unit_price: 39_800,
    };
    event("2026-03-01T10:00:00+08:00", what)
}

fn refunded(refund: &str, amount: i64) -> Event {
    event(
        "2026-03-09T10:00:00+08:00",
        What::Refunded {
            refund: refund.to_owned(),
            amount,
        },
    )
}

#[test]
fn a_sale_pays_150_and_a_tenth() {
    let (answers, sums) = of(&[paid(1, "p1")]);
    assert_eq!(answers, [Answer::Posted]);
    assert_eq!((sums.sold, sums.people["p1"]), (39_800, (18_980, 0)));
    assert_eq!(of(&[paid(3, "p1")]).1.people["p1"], (56_940, 0));
    assert!(of(&[paid(1, "")]).1.people.is_empty());
}

#[test]
fn a_refund_takes_back_its_share_and_all_of_them_everything() {
    let part = of(&[paid(1, "p1"), refunded("a", 10_000)]).1;
    assert_eq!(part.people["p1"], (18_980, 1_000 + 3_769));
    let parts = [
        paid(1, "p1"),
        refunded("a", 3_333),
        refunded("b", 12_345),
        refunded("c", 24_122),
    ];
    let all = of(&parts).1;
    assert_eq!((all.sold - all.refunded, all.people["p1"]), (0, (18_980, 18_980)));
}

#[test]
fn what_comes_twice_counts_once() {
    let mut other = paid(2, "p1");
    let (answers, sums) = of(&[paid(1, "p1"), paid(1, "p1"), other.clone()]);
    assert_eq!(
        answers,
        [Answer::Posted, Answer::Replayed, Answer::Parked("KEY_CONFLICT")]
    );
    assert_eq!(sums.sold, 39_800);
    other.order = "O-2".to_owned();
    assert_eq!(of(&[paid(1, "p1"), other]).1.sold, 3 * 39_800);
}

#[test]
fn a_refund_that_arrives_before_its_sale_counts_when_the_sale_arrives() {
    let (answers, sums) = of(&[refunded("a", 39_800), paid(1, "p1")]);
    assert_eq!(answers, [Answer::Parked("UNKNOWN_ORDER"), Answer::Posted]);
    assert_eq!((sums.refunded, sums.people["p1"]), (39_800, (18_980, 18_980)));
}

#[test]
fn nobody_earns_on_their_own_order_and_nothing_is_refunded_twice() {
    let (answers, sums) = of(&[paid(1, "buyer"), refunded("a", 39_801)]);
    assert_eq!(answers, [Answer::Parked("SELF"), Answer::Parked("OVER_REFUND")]);
    assert_eq!((sums.sold, sums.refunded, sums.people.len()), (39_800, 0, 0));
}
