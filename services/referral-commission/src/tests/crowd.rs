//! Many at once: on one account, on one order, on one event.

use tokio::task::JoinSet;

use super::{DELIVERED_AT, House, books, delivered, paid, refunded};
use crate::engine::Event;
use crate::ops::{self, Outcome};

const POSTERS: usize = 32;

/// Every poster takes in its events one after another, all posters at once; none may fail.
async fn crowd(house: &House, events_of: impl Fn(usize) -> Vec<Event>) -> Vec<Outcome> {
    let mut posters = JoinSet::new();
    for poster in 0..POSTERS {
        let (state, operator, events) = (house.state.clone(), house.operator(), events_of(poster));
        posters.spawn(async move {
            let mut outcomes = Vec::new();
            for event in events {
                outcomes.push(ops::take_in(&state, operator, event).await.unwrap().outcome);
            }
            outcomes
        });
    }
    posters.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn i24_32_posters_on_one_hot_account() {
    const ORDERS: usize = 20;
    let house = House::open().await;
    let outcomes = crowd(&house, |poster| {
        (0..ORDERS).map(|n| paid(&format!("O-{poster}-{n}"))).collect()
    })
    .await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Posted));
    let orders = (POSTERS * ORDERS) as i64;
    assert_eq!(house.count("transaction").await, orders);
    let expected = [
        ("CLR", 39_800 * orders),
        ("MER", -39_800 * orders),
        ("COM", 18_980 * orders),
        ("HELD:p1", -18_980 * orders),
    ];
    assert_eq!(house.books().await, books(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn i04_the_same_events_from_everywhere_count_once() {
    let house = House::open().await;
    // Each poster begins elsewhere in the story.
    let story = |poster: usize| {
        let mut events = vec![
            paid("O-1"),
            delivered("O-1", DELIVERED_AT),
            refunded("O-1", "r1", "2026-02-27T00:00:00Z", 10_000),
            refunded("O-1", "r2", "2026-04-01T00:00:00Z", 9_000),
        ];
        events.rotate_left(poster % 4);
        events
    };
    let outcomes = crowd(&house, story).await;
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome != Outcome::Replayed)
            .count(),
        4
    );
    assert_eq!(house.parked().await, []);
    let books = house.books().await;
    assert_eq!(books["CLR"], 20_800);
    assert_eq!(books.get("HELD:p1"), None);
    // 15000 − round(15000 × 19000 / 39800) + 3980 − 1900
    assert_eq!(books["AVAIL:p1"], -(15_000 - 7_161 + 3_980 - 1_900));
}
