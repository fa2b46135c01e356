//! Events that come twice, late, or in another order than they happened.

use contracts::ContactId;
use serde_json::json;

use super::{
    DELIVERED_AT, House, PAID_AT, POSTED, REPLAYED, as_parked, books, delivered, event, paid, parked,
    refunded,
};
use crate::engine::{Code, PersonId, What};
use crate::error::Error;
use crate::{ops, store};

#[tokio::test]
async fn g22_the_same_event_counts_once_and_a_contradiction_is_refused() {
    let house = House::open().await;
    assert_eq!(house.take_in(paid("O-1")).await, POSTED);
    assert_eq!(house.take_in(paid("O-1")).await, REPLAYED);
    let mut under_another_id = paid("O-1");
    under_another_id.id = "again".parse().unwrap();
    assert_eq!(house.take_in(under_another_id).await, REPLAYED);

    let mut other = paid("O-1");
    other.id = "other".parse().unwrap();
    let What::Paid(sale) = &mut other.what else {
        unreachable!()
    };
    sale.lines[0].unit_price += 1;
    for _ in 0..2 {
        let refused = ops::take_in(&house.state, house.operator(), other.clone()).await;
        assert!(matches!(refused, Err(Error::KeyConflict)));
    }
    assert_eq!(house.parked().await, parked([("other", Code::KeyConflict)]));
    assert_eq!(
        house.audited("order_event").await,
        ["order_event.posted", "order_event.parked KEY_CONFLICT"]
    );
    assert_eq!(house.count("transaction").await, 1);
    assert_eq!(house.books().await["HELD:p1"], -18_980);
}

#[tokio::test]
async fn what_comes_before_the_payment_waits_for_it() {
    let house = House::open().await;
    let early = as_parked(Code::UnknownOrder);
    let refund = refunded("O-1", "r1", "2026-02-27T00:00:00Z", 10_000);
    assert_eq!(house.take_in(delivered("O-1", DELIVERED_AT)).await, early);
    assert_eq!(house.take_in(refund.clone()).await, early);
    assert_eq!(
        house.parked().await,
        parked([
            ("O-1-delivered", Code::UnknownOrder),
            ("O-1-r1", Code::UnknownOrder)
        ])
    );
    assert_eq!(house.books().await, books([]));

    assert_eq!(house.take_in(paid("O-1")).await, POSTED);
    assert_eq!(house.parked().await, []);
    let expected = [
        ("AVAIL:p1", -14_211),
        ("CLR", 29_800),
        ("COM", 14_211),
        ("MER", -29_800),
    ];
    assert_eq!(house.books().await, books(expected));
    assert_eq!(house.take_in(refund).await, REPLAYED);
    assert_eq!(
        house.audited("order_event").await,
        [
            "order_event.parked UNKNOWN_ORDER",
            "order_event.parked UNKNOWN_ORDER",
            "order_event.cleared UNKNOWN_ORDER",
            "order_event.cleared UNKNOWN_ORDER",
            "order_event.posted",
        ]
    );
    let told: Vec<String> = sqlx::query_scalar("select name from outbox order by seq")
        .fetch_all(&house.database.superuser)
        .await
        .unwrap();
    let name = |event: &str| format!("shequn.referral.v1.{event}");
    let (accrued, reversed) = (name("CommissionAccrued"), name("CommissionReversed"));
    assert_eq!(told, [accrued.clone(), accrued, reversed.clone(), reversed]);
}

#[tokio::test]
async fn an_earlier_refund_that_comes_late_takes_the_place_of_a_later_one() {
    let house = House::open().await;
    house.take_in(paid("O-1")).await;
    let later = refunded("O-1", "later", "2026-02-28T00:00:00Z", 30_000);
    assert_eq!(house.take_in(later).await, POSTED);
    let earlier = refunded("O-1", "earlier", "2026-02-27T00:00:00Z", 20_000);
    assert_eq!(house.take_in(earlier).await, POSTED);
    assert_eq!(house.parked().await, parked([("O-1-later", Code::OverRefund)]));
    assert_eq!(house.books().await["CLR"], 19_800);

    let too_much = refunded("O-1", "too-much", "2026-03-01T00:00:00Z", 19_801);
    assert_eq!(house.take_in(too_much).await, as_parked(Code::OverRefund));
    assert_eq!(house.books().await["CLR"], 19_800);
}

#[tokio::test]
async fn what_the_plan_does_not_allow_is_parked() {
    let house = House::open().await;
    let order = |order: &str, buyer: &str, sku: &str, at: &str| {
        event(json!({
            "id": order, "type": "order.paid", "occurred_at": at, "order": order, "buyer": buyer, "closer": "p1",
            "lines": [{"line": 1, "sku": sku, "qty": 1, "unit_price": 39_800}],
        }))
    };
    let own = house.take_in(order("own", "p1", "PKG398", PAID_AT)).await;
    assert_eq!(own, as_parked(Code::SelfReferral));
    let unknown = house.take_in(order("unknown", "b1", "OTHER", PAID_AT)).await;
    assert_eq!(unknown, as_parked(Code::UnknownSku));
    let early = house
        .take_in(order("early", "b1", "PKG398", "2025-06-01T00:00:00Z"))
        .await;
    assert_eq!(early, as_parked(Code::NoPlan));
    assert_eq!(
        house.take_in(delivered("early", DELIVERED_AT)).await,
        as_parked(Code::UnknownOrder)
    );
    assert_eq!(
        house.books().await,
        books([("CLR", 39_800), ("MER", -39_800)]),
        "only the own order is a sale"
    );
    assert_eq!(house.count("accrual").await, 0);
}

#[tokio::test]
async fn without_a_plan_nothing_is_taken_in() {
    let house = House::empty().await;
    let refused = ops::take_in(&house.state, house.operator(), paid("O-1")).await;
    assert!(matches!(refused, Err(Error::NoPlanYet)));
    assert_eq!(house.count("event_key").await, 0, "it can be sent again");
    house
        .publish("k", crate::publication::yunji_demo())
        .await
        .unwrap();
    assert_eq!(house.take_in(paid("O-1")).await, POSTED);
}

#[tokio::test]
async fn a_contact_nobody_told_of_is_waited_for() {
    let house = House::open().await;
    let contact_id = ContactId::new();
    let order = |order: &str, buyer: &str, referrer: &str| {
        event(json!({
            "id": order, "type": "order.paid", "occurred_at": PAID_AT, "order": order, "buyer": buyer,
            "referrer": referrer, "lines": [{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39_800}],
        }))
    };
    // She buys by her own link, once named by the contact's id and once by the tenant's.
    let own = order("O-1", &contact_id.to_string(), "p1");
    let refused = ops::take_in(&house.state, house.operator(), own.clone()).await;
    assert!(matches!(refused, Err(Error::PersonUnknown(_))));
    for table in ["event_key", "order_event", "transaction"] {
        assert_eq!(house.count(table).await, 0, "{table}");
    }

    let external: PersonId = "p1".parse().unwrap();
    let mut tx = house.state.db.begin(house.tenant_id).await.unwrap();
    store::person::put(&mut *tx, house.tenant_id, contact_id, &external)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(house.take_in(own).await, as_parked(Code::SelfReferral));

    // What a shop numbers itself is a person, and so is an external id that looks like a contact's.
    let shops = "5a3bb48e-4b8a-4d6c-9d6e-0d5f2f7a1c11";
    assert_eq!(house.take_in(order("O-2", shops, "p1")).await, POSTED);
    let alike: PersonId = ContactId::new().to_string().parse().unwrap();
    let mut tx = house.state.db.begin(house.tenant_id).await.unwrap();
    store::person::put(&mut *tx, house.tenant_id, ContactId::new(), &alike)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(house.take_in(order("O-3", "b1", alike.as_str())).await, POSTED);
    assert_eq!(house.books().await[&format!("HELD:{alike}")], -18_980);
}

#[tokio::test]
async fn an_order_keeps_the_plan_it_came_in_under() {
    let house = House::open().await;
    house.take_in(paid("O-1")).await;
    let mut next = crate::publication::yunji_demo();
    let mut version = next.version[0].clone();
    version.effective_from = "2099-01-01T00:00:00Z".parse().unwrap();
    version.hold_days = 0;
    next.version.push(version);
    assert_eq!(house.publish("k2", next.clone()).await.unwrap().revision, 2);
    assert_eq!(
        house.publish("k2", next.clone()).await.unwrap().revision,
        2,
        "the same request"
    );
    next.version[0].hold_days = 7;
    assert!(matches!(house.publish("k3", next).await, Err(Error::Fault(_))));
    house
        .take_in(refunded("O-1", "r1", "2026-02-27T00:00:00Z", 39_800))
        .await;
    assert_eq!(house.books().await, books([]));
}
