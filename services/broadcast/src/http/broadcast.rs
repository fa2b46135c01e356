//! Mass messages, for the staff.

use axum::extract;
use axum::http::StatusCode;
use chassis::Problem;
use chassis::auth::{Agent, Staff};
use chassis::http::{IdempotencyKey, Json, Keyed, Listing, PageQuery, Path, Query};
use contracts::BroadcastId;

use crate::broadcast::{AcceptBroadcast, Broadcast, Progress};
use crate::error::Error;
use crate::forecast::Forecast;
use crate::schedule::Schedule;
use crate::store::receipt::Receipt;
use crate::{State, ops, store};

/// Start a mass message
///
/// Of the kind `member`: by anybody who serves contacts, to their own. Of the kind `enterprise`: by operators, to the
/// contacts of the whole tenant, each by the member who was last in touch. With `post_in` it goes into groups instead: of
/// the kind `member` into those that whoever starts it owns, of the kind `enterprise` into any of the tenant's, each from
/// its owner. It is sent once each sending member has confirmed her share.
#[utoipa::path(
    post, path = "/v1/broadcasts", tag = "broadcasts", params(IdempotencyKey), request_body = AcceptBroadcast,
    responses((status = 202, body = Broadcast))
)]
pub(super) async fn start_broadcast(
    extract::State(state): extract::State<State>,
    agent: Agent,
    request: Keyed<AcceptBroadcast>,
) -> Result<(StatusCode, Json<Broadcast>), Problem> {
    let broadcast = ops::accept(&state, agent, &request.key, &request.body).await?;
    Ok((StatusCode::ACCEPTED, Json(broadcast)))
}

/// List mass messages
///
/// Newest first. Which groups a post names is told by the mass message itself.
#[utoipa::path(
    get, path = "/v1/broadcasts", tag = "broadcasts", params(PageQuery),
    responses((status = 200, body = Listing<Broadcast>))
)]
pub(super) async fn list_broadcasts(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Broadcast>>, Problem> {
    let page = query.page()?;
    let mut tx = state.db.read(staff.tenant).await?;
    let rows = store::broadcast::page(&mut *tx, staff.tenant, page.after, page.rows_max()).await?;
    Ok(Json(Listing::from_rows(rows, page.limit, |broadcast| {
        broadcast.broadcast_id
    })))
}

/// Get a mass message
///
/// With its progress: the audience, how it ended for how many, and the sending members' shares.
#[utoipa::path(
    get, path = "/v1/broadcasts/{broadcast_id}", tag = "broadcasts", params(("broadcast_id" = BroadcastId, Path)),
    responses((status = 200, body = Progress))
)]
pub(super) async fn get_broadcast(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Path(broadcast): Path<BroadcastId>,
) -> Result<Json<Progress>, Problem> {
    Ok(Json(ops::look_up(&state, staff.tenant, broadcast).await?))
}

/// Forecast a mass message
///
/// How it ends for how many if everybody confirms and nothing else changes, whose mass messages hold the caps in its
/// way, and what would reach more. For one whose audience is complete.
#[utoipa::path(
    get, path = "/v1/broadcasts/{broadcast_id}/forecast", tag = "broadcasts",
    params(("broadcast_id" = BroadcastId, Path)), responses((status = 200, body = Forecast))
)]
pub(super) async fn forecast_broadcast(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Path(broadcast): Path<BroadcastId>,
) -> Result<Json<Forecast>, Problem> {
    Ok(Json(ops::forecast(&state, staff.tenant, broadcast).await?))
}

/// Cancel a mass message
///
/// By whoever started it, or an operator. Who was not sent to within a second will not be.
#[utoipa::path(
    post, path = "/v1/broadcasts/{broadcast_id}/cancel", tag = "broadcasts",
    params(("broadcast_id" = BroadcastId, Path)), responses((status = 200, body = Progress))
)]
pub(super) async fn cancel_broadcast(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Path(broadcast): Path<BroadcastId>,
) -> Result<Json<Progress>, Problem> {
    Ok(Json(ops::cancel(&state, agent, broadcast).await?))
}

/// Pause a mass message
///
/// By whoever started it, or an operator. Who was not sent to within a second waits until it is resumed; members may
/// still confirm, and their time to do so still passes. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/v1/broadcasts/{broadcast_id}/pause", tag = "broadcasts",
    params(("broadcast_id" = BroadcastId, Path)), responses((status = 200, body = Progress))
)]
pub(super) async fn pause_broadcast(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Path(broadcast): Path<BroadcastId>,
) -> Result<Json<Progress>, Problem> {
    Ok(Json(ops::pause(&state, agent, broadcast).await?))
}

/// Resume a paused mass message
///
/// By whoever started it, or an operator. It goes on where it was paused. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/v1/broadcasts/{broadcast_id}/resume", tag = "broadcasts",
    params(("broadcast_id" = BroadcastId, Path)), responses((status = 200, body = Progress))
)]
pub(super) async fn resume_broadcast(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Path(broadcast): Path<BroadcastId>,
) -> Result<Json<Progress>, Problem> {
    Ok(Json(ops::resume(&state, agent, broadcast).await?))
}

/// Reschedule a mass message
///
/// By whoever started it, or an operator, before it has begun in any contact's zone: the whole of its schedule is replaced.
/// Members have as long to confirm as before.
#[utoipa::path(
    put, path = "/v1/broadcasts/{broadcast_id}/schedule", tag = "broadcasts",
    params(("broadcast_id" = BroadcastId, Path)), request_body = Schedule,
    responses((status = 200, body = Progress))
)]
pub(super) async fn reschedule_broadcast(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Path(broadcast): Path<BroadcastId>,
    Json(schedule): Json<Schedule>,
) -> Result<Json<Progress>, Problem> {
    let progress = ops::reschedule(&state, agent, broadcast, &schedule).await?;
    Ok(Json(progress))
}

/// List a mass message's receipts
///
/// One for each recipient for whom it has ended, by contact. 410 once they are forgotten, some months after its end; the
/// report stays.
#[utoipa::path(
    get, path = "/v1/broadcasts/{broadcast_id}/receipts", tag = "broadcasts",
    params(("broadcast_id" = BroadcastId, Path), PageQuery), responses((status = 200, body = Listing<Receipt>))
)]
pub(super) async fn list_receipts(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Path(broadcast): Path<BroadcastId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Receipt>>, Problem> {
    let page = query.page()?;
    let mut tx = state.db.read(staff.tenant).await?;
    if store::broadcast::find(&mut *tx, broadcast).await?.is_none() {
        return Err(Error::BroadcastUnknown.into());
    }
    ops::check_receipts(&mut tx, staff.tenant, broadcast).await?;
    let rows = store::receipt::page(&mut *tx, staff.tenant, broadcast, page.after, page.rows_max()).await?;
    Ok(Json(Listing::from_rows(rows, page.limit, |receipt| {
        receipt.contact_id
    })))
}
