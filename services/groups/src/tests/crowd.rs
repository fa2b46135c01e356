//! Many at one door: the last seat has one winner, the next group opens once, nobody waits in a circle.

use std::collections::HashMap;

use contracts::{ContactId, GroupId};
use futures::future::join_all;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_at_the_last_seat_one_gets_in() {
    let house = House::open().await;
    let group = house.open_group(500).await;
    house.fill(group.group_id, 499).await;

    let crowd = (0..1_000).map(|_| house.join(ContactId::new(), Door::Group(group.group_id)));
    let (seated, refused): (Vec<_>, Vec<_>) = join_all(crowd).await.into_iter().partition(Result::is_ok);

    assert_eq!((seated.len(), refused.len()), (1, 999));
    assert!(
        refused
            .iter()
            .all(|refusal| matches!(refusal, Err(Error::GroupFull)))
    );
    assert_eq!(seated[0].as_ref().unwrap().seat, 500);
    assert_eq!(house.group(group.group_id).await.seats_taken, 500);
    assert_eq!(house.count("select count(*) from seat").await, 500);
    assert_eq!(house.events("GroupJoined").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_at_a_series_all_sit_and_each_next_group_opens_once() {
    let house = House::open().await;
    let series = house.open_series(500).await;
    house.fill(series.current_group_id, 499).await;

    // Whom a slow machine turns away at the gate comes again, as the answer says.
    let crowd = (0..1_000).map(async |_| {
        let contact = ContactId::new();
        loop {
            match house.join(contact, Door::Series(series.series_id)).await {
                Err(Error::Crowded) => {}
                joined => break joined,
            }
        }
    });
    for joined in join_all(crowd).await {
        assert!(!joined.unwrap().already);
    }

    let groups = house.groups(series.series_id).await;
    let taken: Vec<_> = groups
        .iter()
        .map(|group| (group.number.unwrap(), group.seats_taken))
        .collect();
    assert_eq!(taken, [(1, 500), (2, 500), (3, 499)]);
    assert_eq!(groups[2].name, "s 3");
    let series = house.series(series.series_id).await;
    assert_eq!(
        (series.groups_opened, series.current_group_id),
        (3, groups[2].group_id)
    );
    assert_eq!(house.events("GroupOpened").await, 3);
    assert_eq!(house.events("GroupJoined").await, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_contact_at_every_door_sits_once() {
    let house = House::open().await;
    let series = house.open_series(3).await;
    let contact = ContactId::new();

    let doors = (0..40).map(|n| match n % 2 {
        0 => Door::Series(series.series_id),
        _ => Door::Group(series.current_group_id),
    });
    let joins = join_all(doors.map(|door| house.join(contact, door))).await;

    let joins: Vec<_> = joins.into_iter().map(Result::unwrap).collect();
    assert_eq!(joins.iter().filter(|joined| !joined.already).count(), 1);
    assert!(
        joins
            .iter()
            .all(|joined| joined.group_id == series.current_group_id && joined.seat == 1)
    );
    assert_eq!(house.group(series.current_group_id).await.seats_taken, 1);
    assert_eq!(house.events("GroupJoined").await, 1);
}

/// Joins by both doors and leaves, against each other, in groups of three seats.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_joins_and_leaves_keeps_the_books() {
    let house = House::open().await;
    let series = house.open_series(3).await;
    let contacts: Vec<_> = (0..12).map(|_| ContactId::new()).collect();

    let storm = (0..600_usize).map(|n| {
        let (house, contact) = (&house, contacts[n * 7 % contacts.len()]);
        async move {
            let groups = house.groups(series.series_id).await;
            let group_id = groups[n * 5 % groups.len()].group_id;
            match n % 3 {
                0 => house
                    .join(contact, Door::Series(series.series_id))
                    .await
                    .map(drop),
                1 => house.join(contact, Door::Group(group_id)).await.map(drop),
                _ => house.leave(contact, group_id).await.map(drop),
            }
        }
    });
    for outcome in join_all(storm).await {
        assert!(
            matches!(outcome, Ok(()) | Err(Error::GroupFull | Error::SeatUnknown)),
            "{outcome:?}"
        );
    }

    let seats: Vec<(GroupId, i64)> = sqlx::query_as("select group_id, count(*) from seat group by group_id")
        .fetch_all(&house.database.superuser)
        .await
        .unwrap();
    let seats: HashMap<_, _> = seats.into_iter().collect();
    let groups = house.groups(series.series_id).await;
    for (group, number) in groups.iter().zip(1..) {
        assert_eq!(
            i64::from(group.seats_taken),
            seats.get(&group.group_id).copied().unwrap_or_default()
        );
        assert_eq!(group.number, Some(number));
    }
    assert_eq!(
        house.series(series.series_id).await.groups_opened,
        groups.len() as i32
    );
    let twice = "select count(*) from (select from seat group by contact_id having count(*) > 1) twice";
    assert_eq!(house.count(twice).await, 0);
    let joined = house
        .count("select count(*) from seat_history where change <> 'left'")
        .await;
    let left = house
        .count("select count(*) from seat_history where change = 'left'")
        .await;
    assert_eq!(joined - left, seats.values().sum::<i64>());
    assert_eq!(
        (joined, left),
        (house.events("GroupJoined").await, house.events("GroupLeft").await)
    );
}
