//! A tenant's staff.

use axum::extract::State as Given;
use axum::http::StatusCode;
use chassis::Problem;
use chassis::auth::{Admin, Staff};
use chassis::http::{IdempotencyKey, Json, Keyed, Listing, PageQuery, Path, Query};
use contracts::MemberId;

use crate::State;
use crate::error::Error;
use crate::member::Member;
use crate::ops;
use crate::ops::join::Join;
use crate::store;

/// Adds a member to the caller's tenant, with a role that is not above the caller's own.
#[utoipa::path(post, path = "/v1/members", tag = "member", params(IdempotencyKey), request_body = Join,
    responses((status = 201, description = "the new member", body = Member)))]
pub(crate) async fn join(
    Given(state): Given<State>,
    caller: Admin,
    Keyed { key, body }: Keyed<Join>,
) -> Result<(StatusCode, Json<Member>), Problem> {
    Ok((
        StatusCode::CREATED,
        Json(ops::join::join(&state, caller, &key, body).await?),
    ))
}

/// Lists the members of the caller's tenant, the oldest first, those who left included.
#[utoipa::path(get, path = "/v1/members", tag = "member", params(PageQuery),
    responses((status = 200, description = "a page", body = Listing<Member>)))]
pub(crate) async fn list_members(
    Given(state): Given<State>,
    caller: Staff,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Member>>, Problem> {
    let page = query.page::<MemberId>()?;
    let mut tx = state.db.read(caller.tenant).await?;
    let rows = store::member::list(&mut *tx, page.after, page.rows_max()).await?;
    Ok(Json(Listing::from_rows(rows, page.limit, |member| {
        member.member_id
    })))
}

/// One member of the caller's tenant.
#[utoipa::path(get, path = "/v1/members/{member_id}", tag = "member", params(("member_id" = MemberId, Path)),
    responses((status = 200, description = "the member", body = Member)))]
pub(crate) async fn get_member(
    Given(state): Given<State>,
    caller: Staff,
    Path(member_id): Path<MemberId>,
) -> Result<Json<Member>, Problem> {
    let mut tx = state.db.read(caller.tenant).await?;
    let member = store::member::by_id(&mut *tx, member_id).await?;
    Ok(Json(member.ok_or(Error::MemberUnknown)?))
}

/// A member leaves: no login any more, the sessions end, and nothing is assigned to them. Asked
/// again, it answers the same. The last owner can't leave.
#[utoipa::path(post, path = "/v1/members/{member_id}/leave", tag = "member",
    params(("member_id" = MemberId, Path)),
    responses((status = 200, description = "the member, gone", body = Member)))]
pub(crate) async fn leave(
    Given(state): Given<State>,
    caller: Admin,
    Path(member_id): Path<MemberId>,
) -> Result<Json<Member>, Problem> {
    Ok(Json(ops::leave::leave(&state, caller, member_id).await?))
}
