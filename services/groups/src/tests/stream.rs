//! Peers read all groups, in pages, and only those of the tenant they act for.

use chassis::auth::Caller;
use contracts::groups::v1::groups_service_server::GroupsService as _;
use contracts::groups::v1::{
    StreamGroupsRequest, StreamGroupsResponse, StreamOwnersRequest, StreamSeatsRequest,
};
use contracts::packed::unpack;
use tokio_stream::StreamExt as _;

use super::*;

fn from<T>(service: &str, tenant: TenantId, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller::Service {
        service: service.to_owned(),
        tenant,
    });
    request
}

async fn pages(house: &House, tenant: TenantId, message: StreamGroupsRequest) -> Vec<StreamGroupsResponse> {
    let answer = house
        .state
        .stream_groups(from("broadcast", tenant, message))
        .await
        .unwrap();
    answer.into_inner().map(Result::unwrap).collect().await
}

#[tokio::test]
async fn all_groups_come_in_pages_and_a_broken_stream_goes_on() {
    let house = House::open().await;
    let series = house.open_series(5).await;
    let more = "
        insert into groups (tenant_id, group_id, kind, name, theme, benefit, greeting, capacity, opened_at)
        select $1, uuidv7(), 'external', 'g', 't', 'b', '', 5, now() from generate_series(1, 1200)";
    sqlx::query(more)
        .bind(house.operator.tenant.0)
        .execute(&house.database.superuser)
        .await
        .unwrap();

    let tenant = house.operator.tenant;
    let all = pages(&house, tenant, StreamGroupsRequest::default()).await;
    let sizes: Vec<_> = all.iter().map(|page| page.groups.len()).collect();
    assert_eq!(sizes, [500, 500, 201]);
    assert!(
        all.iter()
            .flat_map(|page| &page.groups)
            .is_sorted_by(|one, other| one.group_id < other.group_id)
    );

    let rest = StreamGroupsRequest {
        cursor: all[0].cursor.clone(),
        ..StreamGroupsRequest::default()
    };
    assert_eq!(pages(&house, tenant, rest).await, all[1..]);
    let of_series = StreamGroupsRequest {
        series_id: series.series_id.to_string(),
        ..StreamGroupsRequest::default()
    };
    let of_series = pages(&house, tenant, of_series).await;
    assert_eq!(of_series.len(), 1);
    assert_eq!(
        of_series[0].groups[0].group_id,
        series.current_group_id.to_string()
    );
    assert!(
        pages(&house, TenantId::new(), StreamGroupsRequest::default())
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn only_certain_peers_may_ask_and_ids_must_be_ids() {
    let house = House::open().await;
    let refused = async |service, message| {
        let request = from(service, house.operator.tenant, message);
        house.state.stream_groups(request).await.unwrap_err().code()
    };
    assert_eq!(
        refused("referral", StreamGroupsRequest::default()).await,
        tonic::Code::PermissionDenied
    );
    let cursor = StreamGroupsRequest {
        cursor: "x".to_owned(),
        ..StreamGroupsRequest::default()
    };
    assert_eq!(refused("broadcast", cursor).await, tonic::Code::InvalidArgument);
    let series = StreamGroupsRequest {
        series_id: "x".to_owned(),
        ..StreamGroupsRequest::default()
    };
    assert_eq!(refused("broadcast", series).await, tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn seats_of_many_groups_come_sorted_and_each_contact_once() {
    let house = House::open().await;
    let tenant = house.operator.tenant;
    // 9,000 in one group, every third of them in a second one with 3,000 others.
    let fill = "
        with groups as (
            insert into groups (tenant_id, group_id, kind, name, theme, benefit, greeting, capacity, opened_at)
            select $1, uuidv7(), 'external', 'g', 't', 'b', '', 20000, now() from generate_series(1, 2)
            returning group_id
        ), numbered as (select group_id, row_number() over (order by group_id) as nth from groups),
        people as (select uuidv7() as contact_id, n from generate_series(1, 12000) as n)
        insert into seat (tenant_id, group_id, contact_id, number, taken_at)
        select $1, group_id, contact_id, n, now() from numbered join people
          on (nth = 1 and n <= 9000) or (nth = 2 and (n > 9000 or n % 3 = 0))
        returning group_id, contact_id";
    // The groups and their seats come into being in one statement, so the foreign key has nothing to look up yet.
    let mut tx = house.database.superuser.begin().await.unwrap();
    sqlx::query("set local session_replication_role = replica")
        .execute(&mut *tx)
        .await
        .unwrap();
    let seats: Vec<(GroupId, ContactId)> = sqlx::query_as(fill)
        .bind(tenant.0)
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut groups: Vec<_> = seats.iter().map(|(group, _)| group.to_string()).collect();
    groups.sort();
    groups.dedup();

    let ask = async |tenant, group_ids: &[String], cursor: &str| {
        let request = StreamSeatsRequest {
            group_ids: group_ids.to_vec(),
            cursor: cursor.to_owned(),
        };
        let answer = house
            .state
            .stream_seats(from("broadcast", tenant, request))
            .await
            .unwrap();
        let pages = answer.into_inner().map(Result::unwrap);
        pages
            .map(|page| (unpack::<ContactId>(&page.contact_ids).unwrap(), page.cursor))
            .collect::<Vec<_>>()
            .await
    };
    let both = ask(tenant, &groups, "").await;
    assert_eq!(
        both.iter().map(|(page, _)| page.len()).collect::<Vec<_>>(),
        [10_000, 2_000]
    );
    let contacts: Vec<_> = both.iter().flat_map(|(page, _)| page).collect();
    assert!(contacts.is_sorted_by(|one, next| one < next));
    assert_eq!(ask(tenant, &groups, &both[0].1).await, both[1..]);
    assert_eq!(ask(tenant, &groups[..1], "").await[0].0.len(), 9_000);
    assert!(ask(tenant, &[], "").await.is_empty());
    assert!(ask(TenantId::new(), &groups, "").await.is_empty());

    let refused = async |group_ids| {
        let request = StreamSeatsRequest {
            group_ids,
            ..StreamSeatsRequest::default()
        };
        let answer = house.state.stream_seats(from("broadcast", tenant, request)).await;
        answer.unwrap_err().code()
    };
    assert_eq!(refused(vec!["x".to_owned()]).await, tonic::Code::InvalidArgument);
    assert_eq!(
        refused(vec![groups[0].clone(); 1_001]).await,
        tonic::Code::InvalidArgument
    );
}

#[tokio::test]
async fn owners_of_groups_come_in_pages_and_only_of_the_groups_asked_for() {
    let house = House::open().await;
    let tenant = house.operator.tenant;
    let (opener, other) = (house.operator.member, MemberId::new());
    let single = house.open_group(5).await;
    let series = house.open_series(1).await;
    for _ in 0..2 {
        let door = Door::Series(series.series_id);
        house.join(ContactId::new(), door).await.unwrap(); // the second opens the next group
    }
    let of_series: Vec<_> = house.groups(series.series_id).await;
    let open = async |what: serde_json::Value| {
        let command = serde_json::from_value(what).unwrap();
        let group = ops::open_group(&house.state, &house.operator, &key(), command).await;
        group.unwrap().group_id
    };
    let hers = open(serde_json::json!({
        "name": "g", "theme": "t", "benefit": "b", "kind": "external", "owner_id": other
    }))
    .await;
    let staff =
        open(serde_json::json!({ "name": "g", "theme": "t", "benefit": "b", "kind": "internal" })).await;
    // As a version before opens them: a group of its own has nobody then, one of a series the series' owner.
    let of_old = "update groups set owner_id = null where group_id = any($1)";
    sqlx::query(of_old)
        .bind(vec![single.group_id.0, of_series[1].group_id.0])
        .execute(&house.database.superuser)
        .await
        .unwrap();

    let ask = async |tenant, groups: &[GroupId], owned_by: &[MemberId], cursor: &str| {
        let request = StreamOwnersRequest {
            group_ids: groups.iter().map(ToString::to_string).collect(),
            owned_by: owned_by.iter().map(ToString::to_string).collect(),
            cursor: cursor.to_owned(),
        };
        let answer = house
            .state
            .stream_owners(from("broadcast", tenant, request))
            .await;
        let pages: Vec<_> = answer.unwrap().into_inner().map(Result::unwrap).collect().await;
        let owners = pages.iter().flat_map(|page| {
            let groups = unpack::<GroupId>(&page.group_ids).unwrap();
            groups
                .into_iter()
                .zip(unpack::<MemberId>(&page.owner_ids).unwrap())
        });
        owners.collect::<Vec<_>>()
    };
    let nobody = MemberId(Uuid::nil());
    let mut all = vec![(single.group_id, nobody), (hers, other)];
    all.extend(of_series.iter().map(|group| (group.group_id, opener)));
    all.sort();
    assert_eq!((all.len(), of_series.len()), (4, 2));
    assert_eq!(ask(tenant, &[], &[], "").await, all, "without the employees'");
    assert_eq!(ask(tenant, &[], &[], &all[0].0.to_string()).await, all[1..]);
    assert_eq!(ask(tenant, &[], &[other], "").await, [(hers, other)]);
    let openers: Vec<_> = all
        .iter()
        .copied()
        .filter(|(_, owner)| *owner == opener)
        .collect();
    assert_eq!(ask(tenant, &[], &[opener], "").await, openers);
    assert_eq!(
        ask(tenant, &[], &[opener], &openers[0].0.to_string()).await,
        openers[1..]
    );
    let unowned = of_series[1].group_id;
    assert_eq!(ask(tenant, &[unowned], &[other], "").await.len(), 2);
    assert_eq!(ask(tenant, &[unowned], &[opener], "").await, openers, "each once");
    let mut two = vec![(single.group_id, nobody), (hers, other)];
    two.sort();
    let named = [staff, single.group_id, GroupId::new()];
    assert_eq!(ask(tenant, &named, &[other], "").await, two, "named or hers");
    assert!(ask(TenantId::new(), &[], &[], "").await.is_empty());
    assert!(ask(TenantId::new(), &[hers], &[other], "").await.is_empty());

    let refused = async |service, group_ids: Vec<String>, owned_by| {
        let request = StreamOwnersRequest {
            group_ids,
            owned_by,
            ..StreamOwnersRequest::default()
        };
        let answer = house.state.stream_owners(from(service, tenant, request)).await;
        answer.unwrap_err().code()
    };
    let code = tonic::Code::InvalidArgument;
    assert_eq!(refused("broadcast", vec!["x".to_owned()], vec![]).await, code);
    assert_eq!(
        refused("broadcast", vec![hers.to_string(); 1_001], vec![]).await,
        code
    );
    assert_eq!(
        refused("broadcast", vec![], vec![other.to_string(); 101]).await,
        code
    );
    let denied = refused("referral", vec![], vec![]).await;
    assert_eq!(denied, tonic::Code::PermissionDenied);
}

#[tokio::test]
async fn owners_of_very_many_groups_come_in_pages_and_a_broken_stream_goes_on() {
    let house = House::open().await;
    let (tenant, owner) = (house.operator.tenant, MemberId::new());
    let more = "
        insert into groups (tenant_id, group_id, kind, name, theme, benefit, greeting, capacity, opened_at, owner_id)
        select $1, uuidv7(), 'external', 'g', 't', 'b', '', 5, now(), $2 from generate_series(1, 10001)";
    sqlx::query(more)
        .bind(tenant.0)
        .bind(owner.0)
        .execute(&house.database.superuser)
        .await
        .unwrap();
    let ask = async |owned_by: &[MemberId], cursor: &str| {
        let request = StreamOwnersRequest {
            owned_by: owned_by.iter().map(ToString::to_string).collect(),
            cursor: cursor.to_owned(),
            ..StreamOwnersRequest::default()
        };
        let answer = house
            .state
            .stream_owners(from("broadcast", tenant, request))
            .await;
        let pages = answer.unwrap().into_inner().map(Result::unwrap);
        pages.collect::<Vec<_>>().await
    };
    for owned_by in [vec![], vec![owner]] {
        let pages = ask(&owned_by, "").await;
        let groups: Vec<Vec<GroupId>> = pages
            .iter()
            .map(|page| unpack(&page.group_ids).unwrap())
            .collect();
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [10_000, 1]);
        assert!(groups.concat().is_sorted_by(|one, next| one < next));
        let owners: Vec<MemberId> = unpack(&pages[0].owner_ids).unwrap();
        assert!(owners.len() == 10_000 && owners.iter().all(|it| *it == owner));
        assert_eq!(ask(&owned_by, &pages[0].cursor).await, pages[1..]);
    }
}
