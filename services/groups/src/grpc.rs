//! What peers ask groups.

use chassis::Problem;
use chassis::grpc::peer;
use contracts::groups::v1::{
    Group as GroupMessage, StreamGroupsRequest, StreamGroupsResponse, StreamOwnersRequest,
    StreamOwnersResponse, StreamSeatsRequest, StreamSeatsResponse, groups_service_server::GroupsService,
};
use contracts::packed::pack;
use contracts::{ContactId, GroupId, MemberId, SeriesId, TenantId};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use crate::State;
use crate::error::Error;
use crate::group::Group;
use crate::store;

const PEERS: &[&str] = &["broadcast"];
const PAGE_GROUPS_MAX: i64 = 500;
/// Groups whose seats may be asked for at once.
const SEATS_GROUPS_MAX: usize = 1_000;
const OWNERS_GROUPS_MAX: usize = 1_000;
const OWNERS_MEMBERS_MAX: usize = 100;
const PAGE_OWNERS_MAX: i64 = 10_000;
const PAGE_CONTACTS_MAX: usize = 10_000;
/// Contacts read at once: each read walks along all the groups, so it takes ten pages.
const READ_CONTACTS_MAX: usize = 100_000;
/// Pages read ahead of a slow peer.
const PAGES_AHEAD_MAX: usize = 2;

type Page = Result<StreamGroupsResponse, Status>;

#[tonic::async_trait]
impl GroupsService for State {
    type StreamGroupsStream = ReceiverStream<Page>;

    async fn stream_groups(
        &self,
        request: Request<StreamGroupsRequest>,
    ) -> Result<Response<Self::StreamGroupsStream>, Status> {
        let tenant_id = peer(&request, PEERS)?.tenant;
        let request = request.into_inner();
        let series_id = optional("series_id", &request.series_id)?;
        let after = optional("cursor", &request.cursor)?.unwrap_or(GroupId(uuid::Uuid::nil()));
        let (pages, stream) = mpsc::channel(PAGES_AHEAD_MAX);
        tokio::spawn(send_pages(self.clone(), tenant_id, series_id, after, pages).in_current_span());
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    type StreamSeatsStream = ReceiverStream<Result<StreamSeatsResponse, Status>>;

    async fn stream_seats(
        &self,
        request: Request<StreamSeatsRequest>,
    ) -> Result<Response<Self::StreamSeatsStream>, Status> {
        let tenant_id = peer(&request, PEERS)?.tenant;
        let request = request.into_inner();
        let groups = ids("group_ids", &request.group_ids, SEATS_GROUPS_MAX)?;
        let after = optional("cursor", &request.cursor)?.unwrap_or(ContactId(uuid::Uuid::nil()));
        let (pages, stream) = mpsc::channel(PAGES_AHEAD_MAX);
        tokio::spawn(send_seats(self.clone(), tenant_id, groups, after, pages).in_current_span());
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    type StreamOwnersStream = ReceiverStream<Result<StreamOwnersResponse, Status>>;

    async fn stream_owners(
        &self,
        request: Request<StreamOwnersRequest>,
    ) -> Result<Response<Self::StreamOwnersStream>, Status> {
        let tenant_id = peer(&request, PEERS)?.tenant;
        let request = request.into_inner();
        let named = (
            ids("group_ids", &request.group_ids, OWNERS_GROUPS_MAX)?,
            ids("owned_by", &request.owned_by, OWNERS_MEMBERS_MAX)?,
        );
        let after = optional("cursor", &request.cursor)?.unwrap_or(GroupId(uuid::Uuid::nil()));
        let (pages, stream) = mpsc::channel(PAGES_AHEAD_MAX);
        tokio::spawn(send_owners(self.clone(), tenant_id, named, after, pages).in_current_span());
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Each page is a transaction of its own, until the last one or until the peer is gone.
async fn send_owners(
    state: State,
    tenant_id: TenantId,
    (groups, owned_by): (Vec<GroupId>, Vec<MemberId>),
    mut after: GroupId,
    pages: mpsc::Sender<Result<StreamOwnersResponse, Status>>,
) {
    loop {
        let owners = match read_owners(&state, tenant_id, &groups, &owned_by, after).await {
            Ok(owners) => owners,
            Err(error) => {
                // Nobody is left to tell when the peer is gone.
                let _ = pages.send(Err(Problem::from(error).into())).await;
                return;
            }
        };
        let Some((last, _)) = owners.last() else { return };
        after = *last;
        let is_last = (owners.len() as i64) < PAGE_OWNERS_MAX;
        let (groups, owners): (Vec<_>, Vec<_>) = owners
            .into_iter()
            .map(|(group, owner)| (group, owner.unwrap_or(MemberId(uuid::Uuid::nil()))))
            .unzip();
        let message = StreamOwnersResponse {
            group_ids: pack(&groups),
            owner_ids: pack(&owners),
            cursor: after.to_string(),
        };
        if pages.send(Ok(message)).await.is_err() || is_last {
            return;
        }
    }
}

async fn read_owners(
    state: &State,
    tenant_id: TenantId,
    groups: &[GroupId],
    owned_by: &[MemberId],
    after: GroupId,
) -> Result<Vec<(GroupId, Option<MemberId>)>, Error> {
    let mut tx = state.db.read(tenant_id).await?;
    Ok(store::group::owners(&mut *tx, groups, owned_by, after, PAGE_OWNERS_MAX).await?)
}

/// Reads ten pages at a time, each read a transaction of its own, until the last one or until the peer is gone.
async fn send_seats(
    state: State,
    tenant_id: TenantId,
    groups: Vec<GroupId>,
    mut after: ContactId,
    pages: mpsc::Sender<Result<StreamSeatsResponse, Status>>,
) {
    loop {
        let contacts = match read_seats(&state, tenant_id, &groups, after).await {
            Ok(contacts) => contacts,
            Err(error) => {
                // Nobody is left to tell when the peer is gone.
                let _ = pages.send(Err(Problem::from(error).into())).await;
                return;
            }
        };
        for page in contacts.chunks(PAGE_CONTACTS_MAX) {
            after = page.last().copied().unwrap_or(after);
            let message = StreamSeatsResponse {
                contact_ids: pack(page),
                cursor: after.to_string(),
            };
            if pages.send(Ok(message)).await.is_err() {
                return;
            }
        }
        if contacts.len() < READ_CONTACTS_MAX {
            return;
        }
    }
}

async fn read_seats(
    state: &State,
    tenant_id: TenantId,
    groups: &[GroupId],
    after: ContactId,
) -> Result<Vec<ContactId>, Error> {
    let mut tx = state.db.read(tenant_id).await?;
    Ok(store::seat::contacts(&mut *tx, groups, after, READ_CONTACTS_MAX as i64).await?)
}

/// Reads page after page, each in a transaction of its own, until the last one or until the peer
/// is gone.
async fn send_pages(
    state: State,
    tenant_id: TenantId,
    series_id: Option<SeriesId>,
    mut after: GroupId,
    pages: mpsc::Sender<Page>,
) {
    loop {
        let page = match read_page(&state, tenant_id, series_id, after).await {
            Ok(page) => page,
            Err(error) => {
                // Nobody is left to tell when the peer is gone.
                let _ = pages.send(Err(Problem::from(error).into())).await;
                return;
            }
        };
        let Some(last) = page.last() else { return };
        after = last.group_id;
        let is_last = (page.len() as i64) < PAGE_GROUPS_MAX;
        let groups = page.into_iter().map(GroupMessage::from).collect();
        let message = StreamGroupsResponse {
            groups,
            cursor: after.to_string(),
        };
        if pages.send(Ok(message)).await.is_err() || is_last {
            return;
        }
    }
}

async fn read_page(
    state: &State,
    tenant_id: TenantId,
    series_id: Option<SeriesId>,
    after: GroupId,
) -> Result<Vec<Group>, Error> {
    let mut tx = state.db.read(tenant_id).await?;
    Ok(store::group::page(&mut *tx, series_id, after, PAGE_GROUPS_MAX).await?)
}

/// Ids, not too many of them.
fn ids<T: std::str::FromStr>(field: &str, texts: &[String], ids_max: usize) -> Result<Vec<T>, Status> {
    if texts.len() > ids_max {
        let detail = format!("{field} names more than {ids_max}");
        return Err(Status::invalid_argument(detail));
    }
    let refusal = |_| Status::invalid_argument(format!("{field} holds what is no id"));
    let ids: Result<_, _> = texts.iter().map(|id| id.parse()).collect();
    ids.map_err(refusal)
}

/// An id that may be left empty.
fn optional<T: std::str::FromStr>(field: &str, text: &str) -> Result<Option<T>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let refusal = |_| Status::invalid_argument(format!("{field} is neither empty nor one we gave out"));
    text.parse().map(Some).map_err(refusal)
}

impl From<Group> for GroupMessage {
    fn from(group: Group) -> Self {
        Self {
            group_id: group.group_id.to_string(),
            series_id: group.series_id.map(|id| id.to_string()).unwrap_or_default(),
            name: group.name,
            capacity: group.capacity.unsigned_abs(),
            seats_taken: group.seats_taken.unsigned_abs(),
        }
    }
}
