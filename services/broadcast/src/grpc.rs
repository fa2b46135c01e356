//! What peers may ask.

use chassis::{Class, Problem};
use contracts::broadcast::v1::broadcast_service_server::BroadcastService;
use contracts::broadcast::v1::{Broadcast, GetBroadcastRequest, GetBroadcastResponse};
use tonic::{Request, Response, Status};

use crate::State;
use crate::broadcast::Progress;
use crate::ops;

/// Those who show a tenant's mass messages beside their own: a contact's history, a member's sales.
const PEERS: [&str; 2] = ["customers", "referral"];

#[tonic::async_trait]
impl BroadcastService for State {
    async fn get_broadcast(
        &self,
        request: Request<GetBroadcastRequest>,
    ) -> Result<Response<GetBroadcastResponse>, Status> {
        let peer = chassis::grpc::peer(&request, &PEERS)?;
        let id = request.get_ref().broadcast_id.parse().map_err(|_| {
            Problem::new(Class::Invalid, "id_malformed", "broadcast_id is no uuid").field("broadcast_id")
        })?;
        let progress = ops::look_up(self, peer.tenant, id).await.map_err(Problem::from)?;
        Ok(Response::new(GetBroadcastResponse {
            broadcast: Some(progress.into()),
        }))
    }
}

impl From<Progress> for Broadcast {
    fn from(progress: Progress) -> Self {
        Self {
            broadcast_id: progress.broadcast.broadcast_id.to_string(),
            kind: progress.broadcast.kind.name().to_owned(),
            state: progress.broadcast.state.name().to_owned(),
            audience: progress.audience.unsigned_abs(),
            outcomes: progress.outcomes.by_name(),
        }
    }
}
