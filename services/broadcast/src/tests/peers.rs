//! What peers get to know.

use chassis::auth::Caller;
use contracts::TenantId;
use contracts::broadcast::v1::GetBroadcastRequest;
use contracts::broadcast::v1::broadcast_service_server::BroadcastService as _;
use tonic::{Code, Request};

use super::scene::Scene;
use crate::broadcast::Kind;

#[tokio::test]
async fn a_peer_asks_for_its_own_tenant_only() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let done = scene.run(Kind::Enterprise).await;
    let ask = async |service: &str, tenant: TenantId, broadcast_id: String| {
        let mut request = Request::new(GetBroadcastRequest { broadcast_id });
        request.extensions_mut().insert(Caller::Service {
            service: service.to_owned(),
            tenant,
        });
        scene
            .state
            .get_broadcast(request)
            .await
            .map(|answer| answer.into_inner().broadcast.unwrap())
    };
    let id = done.broadcast.broadcast_id.to_string();
    let told = ask("customers", scene.tenant, id.clone()).await.unwrap();
    assert_eq!(
        (told.kind.as_str(), told.state.as_str(), told.audience),
        ("enterprise", "finished", 30)
    );
    assert_eq!(
        (
            told.outcomes.len(),
            told.outcomes["delivered"],
            told.outcomes["opted_out"]
        ),
        (12, 27, 3)
    );

    let code = |answer: Result<_, tonic::Status>| {
        answer
            .map(|_: contracts::broadcast::v1::Broadcast| ())
            .unwrap_err()
            .code()
    };
    assert_eq!(
        code(ask("customers", TenantId::new(), id.clone()).await),
        Code::NotFound
    );
    assert_eq!(
        code(ask("groups", scene.tenant, id).await),
        Code::PermissionDenied
    );
    assert_eq!(
        code(ask("customers", scene.tenant, "1".to_owned()).await),
        Code::InvalidArgument
    );
}
