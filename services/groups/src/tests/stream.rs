//! Peers read all groups, in pages, and only those of the tenant they act for.

use chassis::auth::Caller;
use contracts::groups::v1::groups_service_server::GroupsService as _;
use contracts::groups::v1::{StreamGroupsRequest, StreamGroupsResponse};
use tokio_stream::StreamExt as _;

use super::*;

fn from(service: &str, tenant: TenantId, message: StreamGroupsRequest) -> Request<StreamGroupsRequest> {
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
