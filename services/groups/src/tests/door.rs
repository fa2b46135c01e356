//! Who gets in, who does not, and what is remembered of it.

use chassis::{Class, Problem};
use outbox::request::RequestError;

use super::*;

#[tokio::test]
async fn a_contact_that_joins_again_keeps_its_seat() {
    let house = House::open().await;
    let series = house.open_series(1).await;
    let contact = ContactId::new();
    let first = house.join(contact, Door::Series(series.series_id)).await.unwrap();
    assert_eq!(
        (first.group_name.as_str(), first.seat, first.already),
        ("s 1", 1, false)
    );
    let second = house
        .join(ContactId::new(), Door::Series(series.series_id))
        .await
        .unwrap();
    assert_eq!((second.group_name.as_str(), second.seat), ("s 2", 1));

    let again = Joined {
        already: true,
        ..first.clone()
    };
    assert_eq!(
        house.join(contact, Door::Series(series.series_id)).await.unwrap(),
        again
    );
    assert_eq!(
        house.join(contact, Door::Group(first.group_id)).await.unwrap(),
        again
    );
    // The other group of the same series answers with the seat the contact has.
    assert_eq!(
        house.join(contact, Door::Group(second.group_id)).await.unwrap(),
        again
    );
    assert_eq!(house.events("GroupJoined").await, 2);
}

#[tokio::test]
async fn who_leaves_gives_the_seat_back() {
    let house = House::open().await;
    let group = house.open_group(1).await;
    let (one, other) = (ContactId::new(), ContactId::new());
    house.join(one, Door::Group(group.group_id)).await.unwrap();
    assert!(matches!(
        house.join(other, Door::Group(group.group_id)).await,
        Err(Error::GroupFull)
    ));
    assert!(matches!(
        house.leave(other, group.group_id).await,
        Err(Error::SeatUnknown)
    ));
    house.leave(one, group.group_id).await.unwrap();
    assert!(matches!(
        house.leave(one, group.group_id).await,
        Err(Error::SeatUnknown)
    ));
    assert_eq!(house.group(group.group_id).await.seats_taken, 0);
    assert_eq!(
        house.join(other, Door::Group(group.group_id)).await.unwrap().seat,
        1
    );
    assert_eq!(house.events("GroupLeft").await, 1);
}

#[tokio::test]
async fn history_says_who_brought_whom_and_cannot_be_changed() {
    let house = House::open().await;
    let series = house.open_series(2).await;
    let contact = ContactId::new();
    let own = Applicant {
        member_id: None,
        ..house.applicant(contact)
    };
    let joined = ops::join(&house.state, &own, &key(), Door::Series(series.series_id))
        .await
        .unwrap();
    house.leave(contact, joined.group_id).await.unwrap();
    house.join(contact, Door::Group(joined.group_id)).await.unwrap();

    let history: Vec<(String, Option<MemberId>)> =
        sqlx::query_as("select change, member_id from seat_history order by seat_history_id")
            .fetch_all(&house.database.superuser)
            .await
            .unwrap();
    let member = Some(house.operator.member);
    let expected = [
        ("joined_series", None),
        ("left", member),
        ("joined_group", member),
    ];
    assert_eq!(
        history,
        expected.map(|(change, member)| (change.to_owned(), member))
    );

    for forbidden in [
        "update seat_history set member_id = null",
        "delete from seat_history",
    ] {
        let mut tx = house.state.db.begin(house.operator.tenant).await.unwrap();
        let error = sqlx::query(forbidden).execute(&mut *tx).await.unwrap_err();
        assert_eq!(
            error.as_database_error().unwrap().code().unwrap(),
            "42501",
            "{forbidden}"
        );
    }
}

#[tokio::test]
async fn a_contact_unknown_to_customers_gets_no_seat() {
    let house = House::open().await;
    let group = house.open_group(5).await;
    let refusal = house
        .join(STRANGER, Door::Group(group.group_id))
        .await
        .unwrap_err();
    assert!(matches!(refusal, Error::ContactUnknown));
    assert_eq!(house.group(group.group_id).await.seats_taken, 0);
}

#[tokio::test]
async fn without_customers_a_join_is_unavailable_and_leaves_nothing() {
    let house = House::open_with_customers_at(nobody().await).await;
    let group = house.open_group(5).await;
    let requests = house.count("select count(*) from request").await;
    let refusal = house
        .join(ContactId::new(), Door::Group(group.group_id))
        .await
        .unwrap_err();
    let problem = Problem::from(refusal);
    assert_eq!(
        (problem.class, problem.retry_after_secs),
        (Class::Unavailable, Some(1))
    );
    assert_eq!(house.group(group.group_id).await.seats_taken, 0);
    assert_eq!(house.count("select count(*) from request").await, requests);
}

#[tokio::test]
async fn an_answer_that_was_given_stands_without_customers() {
    let mut house = House::open().await;
    let group = house.open_group(5).await;
    let (key, applicant) = (key(), house.applicant(ContactId::new()));
    let door = Door::Group(group.group_id);
    let first = ops::join(&house.state, &applicant, &key, door).await.unwrap();
    house.state.customers = customers_at(nobody().await).await;
    assert_eq!(
        ops::join(&house.state, &applicant, &key, door).await.unwrap(),
        first
    );
    let other = RequestKey {
        fingerprint: [1; 32],
        ..key
    };
    let refusal = ops::join(&house.state, &applicant, &other, door).await;
    assert!(matches!(refusal, Err(Error::Request(RequestError::OtherBody))));
}

#[tokio::test]
async fn behind_a_customers_that_hangs_nobody_waits_for_long() {
    // It takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let house = House::open_with_customers_at(silent.local_addr().unwrap()).await;
    let group = house.open_group(100).await;
    let began = std::time::Instant::now();
    let crowd = (0..60).map(|_| house.join(ContactId::new(), Door::Group(group.group_id)));
    for refusal in futures::future::join_all(crowd).await {
        assert_eq!(Problem::from(refusal.unwrap_err()).class, Class::Unavailable);
    }
    // In turns of 8 it would be eight time-outs of 2 s.
    assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
}

#[tokio::test]
async fn employees_sit_among_themselves() {
    let house = House::open().await;
    let command = serde_json::json!({ "name": "g", "theme": "t", "benefit": "b", "kind": "internal" });
    let command = serde_json::from_value(command).unwrap();
    let group = ops::open_group(&house.state, &house.operator, &key(), command)
        .await
        .unwrap();
    assert_eq!(group.capacity, 2_000);
    let refusal = house.join(ContactId::new(), Door::Group(group.group_id)).await;
    assert!(matches!(refusal, Err(Error::GroupInternal)));
}

#[tokio::test]
async fn the_policy_of_the_day_bounds_a_new_group() {
    let house = House::open().await;
    sqlx::query("insert into capacity_profile values ('external', now() + interval '1 day', 5, 'tomorrow')")
        .execute(&house.database.superuser)
        .await
        .unwrap();
    let today = house.state.clock.now();
    let terms = async |at| {
        let mut tx = house.state.db.read(house.operator.tenant).await.unwrap();
        store::tenant::terms(&mut *tx, crate::group::GroupKind::External, at)
            .await
            .unwrap()
    };
    let days = |days: i64| jiff::SignedDuration::from_hours(24 * days);
    assert_eq!(terms(today).await.seats_max, Some(500));
    assert_eq!(terms(today + days(2)).await.seats_max, Some(5));
    assert_eq!(terms(today - days(36_500)).await.seats_max, None);
}

#[tokio::test]
async fn an_unverified_tenant_opens_nothing_and_a_foreign_one_sees_nothing() {
    let house = House::open().await;
    let series = house.open_series(5).await;
    let joined = house
        .join(ContactId::new(), Door::Series(series.series_id))
        .await
        .unwrap();

    let stranger = Operator {
        tenant: TenantId::new(),
        ..house.operator
    };
    let command = serde_json::json!({ "name": "s", "theme": "t", "benefit": "b" });
    let open = async || {
        let command = serde_json::from_value(command.clone()).unwrap();
        ops::open_series(&house.state, &stranger, &key(), command).await
    };
    assert!(matches!(open().await, Err(Error::TenantUnverified)));
    house.verify(stranger.tenant).await;
    assert!(open().await.is_ok());

    let contact = Applicant {
        tenant_id: stranger.tenant,
        ..house.applicant(ContactId::new())
    };
    let join = async |door| ops::join(&house.state, &contact, &key(), door).await;
    assert!(matches!(
        join(Door::Series(series.series_id)).await,
        Err(Error::SeriesUnknown)
    ));
    assert!(matches!(
        join(Door::Group(joined.group_id)).await,
        Err(Error::GroupUnknown)
    ));
    let left = ops::leave(&house.state, &contact, &key(), joined.group_id).await;
    assert!(matches!(left, Err(Error::SeatUnknown)));
}

#[tokio::test]
async fn a_repeated_request_is_answered_and_not_done_again() {
    let house = House::open().await;
    let group = house.open_group(5).await;
    let (key, applicant) = (key(), house.applicant(ContactId::new()));
    let door = Door::Group(group.group_id);
    let first = ops::join(&house.state, &applicant, &key, door).await.unwrap();
    assert_eq!(
        ops::join(&house.state, &applicant, &key, door).await.unwrap(),
        first
    );
    assert!(!first.already);
    let other = RequestKey {
        fingerprint: [1; 32],
        ..key
    };
    let refusal = ops::join(&house.state, &applicant, &other, door).await;
    assert!(matches!(refusal, Err(Error::Request(RequestError::OtherBody))));
    assert_eq!(house.group(group.group_id).await.seats_taken, 1);
}
