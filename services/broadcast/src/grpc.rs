//! What peers may ask.

use chassis::{Class, Problem};
use contracts::BroadcastId;
use contracts::broadcast::v1::broadcast_service_server::BroadcastService;
use contracts::broadcast::v1::{
    Broadcast, GetBroadcastRequest, GetBroadcastResponse, StreamProgressRequest, StreamProgressResponse,
};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tonic::{Request, Response, Status};

use crate::State;
use crate::broadcast::Progress;
use crate::ops;
use crate::watch::Look;

/// Those who show a tenant's mass messages beside their own: a contact's history, a member's sales.
const PEERS: [&str; 2] = ["customers", "referral"];

#[tonic::async_trait]
impl BroadcastService for State {
    async fn get_broadcast(
        &self,
        request: Request<GetBroadcastRequest>,
    ) -> Result<Response<GetBroadcastResponse>, Status> {
        let peer = chassis::grpc::peer(&request, &PEERS)?;
        let id = id(&request.get_ref().broadcast_id)?;
        let progress = ops::look_up(self, peer.tenant, id).await.map_err(Problem::from)?;
        Ok(Response::new(GetBroadcastResponse {
            broadcast: Some(progress.into()),
        }))
    }

    type StreamProgressStream = BoxStream<'static, Result<StreamProgressResponse, Status>>;

    async fn stream_progress(
        &self,
        request: Request<StreamProgressRequest>,
    ) -> Result<Response<Self::StreamProgressStream>, Status> {
        let peer = chassis::grpc::peer(&request, &PEERS)?;
        let id = id(&request.get_ref().broadcast_id)?;
        let following = self.watches.follow(self, peer.tenant, id).await;
        let looks = following.map_err(Problem::from)?.looks(None);
        let told = looks.map(|look| {
            Ok(StreamProgressResponse {
                broadcast: Some(look.into()),
            })
        });
        Ok(Response::new(told.boxed()))
    }
}

fn id(text: &str) -> Result<BroadcastId, Problem> {
    text.parse().map_err(|_| {
        Problem::new(Class::Invalid, "id_malformed", "broadcast_id is no uuid").field("broadcast_id")
    })
}

impl From<Look> for Broadcast {
    fn from(look: Look) -> Self {
        Self {
            broadcast_id: look.broadcast_id.to_string(),
            kind: look.kind.name().to_owned(),
            state: look.state.name().to_owned(),
            audience: look.audience.unsigned_abs(),
            outcomes: look.outcomes.by_name(),
        }
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
