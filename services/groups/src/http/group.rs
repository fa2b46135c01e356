//! Groups over HTTP.

use axum::extract::State as Inject;
use axum::http::StatusCode;
use chassis::Problem;
use chassis::auth::{ContactOrOperator, Operator, Staff};
use chassis::http::{IdempotencyKey, Json, Keyed, Listing, Page, PageQuery, Path, Query};
use contracts::{ContactId, GroupId, SeriesId};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::State;
use crate::error::Error;
use crate::group::{Group, OpenGroup};
use crate::ops::{self, Door};
use crate::seat::{Applicant, ForContact, Joined, Left, Seat};
use crate::store;

/// Opens a group of its own, outside of any series.
#[utoipa::path(
    post, path = "/v1/groups", tag = "groups", params(IdempotencyKey), request_body = OpenGroup,
    responses((status = 201, body = Group)),
)]
pub(super) async fn open_group(
    Inject(state): Inject<State>,
    operator: Operator,
    Keyed { key, body }: Keyed<OpenGroup>,
) -> Result<(StatusCode, Json<Group>), Problem> {
    let group = ops::open_group(&state, &operator, &key, body).await?;
    Ok((StatusCode::CREATED, Json(group)))
}

/// Which groups are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct GroupsQuery {
    /// Only those of this series.
    series_id: Option<SeriesId>,
    /// How many items at most: 1 to 500, 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the tenant's groups, oldest first.
#[utoipa::path(
    get, path = "/v1/groups", tag = "groups", params(GroupsQuery),
    responses((status = 200, body = Listing<Group>)),
)]
pub(super) async fn list_groups(
    Inject(state): Inject<State>,
    staff: Staff,
    Query(query): Query<GroupsQuery>,
) -> Result<Json<Listing<Group>>, Problem> {
    let page = Page::<GroupId>::new(query.limit, query.cursor.as_deref())?;
    let after = page.after.unwrap_or(GroupId(Uuid::nil()));
    let mut tx = state.db.read(staff.tenant).await?;
    let rows = store::group::page(&mut *tx, query.series_id, after, page.rows_max()).await?;
    Ok(Json(Listing::from_rows(rows, page.limit, |group| group.group_id)))
}

/// Shows one group.
#[utoipa::path(
    get, path = "/v1/groups/{group_id}", tag = "groups", params(("group_id" = GroupId, Path)),
    responses((status = 200, body = Group)),
)]
pub(super) async fn get_group(
    Inject(state): Inject<State>,
    staff: Staff,
    Path(group_id): Path<GroupId>,
) -> Result<Json<Group>, Problem> {
    let mut tx = state.db.read(staff.tenant).await?;
    Ok(Json(find(&mut tx, group_id).await?))
}

/// Lists who sits in a group, in the order of the contacts' ids.
#[utoipa::path(
    get, path = "/v1/groups/{group_id}/contacts", tag = "groups",
    params(("group_id" = GroupId, Path), PageQuery), responses((status = 200, body = Listing<Seat>)),
)]
pub(super) async fn list_contacts(
    Inject(state): Inject<State>,
    staff: Staff,
    Path(group_id): Path<GroupId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Seat>>, Problem> {
    let page = query.page::<ContactId>()?;
    let after = page.after.unwrap_or(ContactId(Uuid::nil()));
    let mut tx = state.db.read(staff.tenant).await?;
    find(&mut tx, group_id).await?;
    let rows = store::seat::page(&mut *tx, group_id, after, page.rows_max()).await?;
    Ok(Json(Listing::from_rows(rows, page.limit, |seat| seat.contact_id)))
}

async fn find(tx: &mut outbox::Tx, group_id: GroupId) -> Result<Group, Error> {
    store::group::find(&mut **tx, group_id)
        .await?
        .ok_or(Error::GroupUnknown)
}

/// Takes a seat in this group, or is refused as `group_full`.
///
/// A contact that sits in it, or in another group of its series, is answered with the seat it has.
#[utoipa::path(
    post, path = "/v1/groups/{group_id}/join", tag = "groups",
    params(("group_id" = GroupId, Path), IdempotencyKey), request_body = ForContact,
    responses((status = 200, body = Joined)),
)]
pub(super) async fn join_group(
    Inject(state): Inject<State>,
    caller: ContactOrOperator,
    Path(group_id): Path<GroupId>,
    Keyed { key, body }: Keyed<ForContact>,
) -> Result<Json<Joined>, Problem> {
    let applicant = Applicant::parse(&caller, body.contact_id)?;
    Ok(Json(
        ops::join(&state, &applicant, &key, Door::Group(group_id)).await?,
    ))
}

/// Gives the contact's seat in this group back.
#[utoipa::path(
    post, path = "/v1/groups/{group_id}/leave", tag = "groups",
    params(("group_id" = GroupId, Path), IdempotencyKey), request_body = ForContact,
    responses((status = 200, body = Left)),
)]
pub(super) async fn leave_group(
    Inject(state): Inject<State>,
    caller: ContactOrOperator,
    Path(group_id): Path<GroupId>,
    Keyed { key, body }: Keyed<ForContact>,
) -> Result<Json<Left>, Problem> {
    let applicant = Applicant::parse(&caller, body.contact_id)?;
    Ok(Json(ops::leave(&state, &applicant, &key, group_id).await?))
}
