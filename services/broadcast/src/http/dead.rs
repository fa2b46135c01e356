//! The dead: recipients whom the channel did not take.

use axum::extract;
use chassis::Problem;
use chassis::auth::{Operator, Staff};
use chassis::http::{IdempotencyKey, Json, Keyed, Listing, Page, Path, Query};
use contracts::BroadcastId;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::dead::{DeadRecipient, ReplayDead, Replayed};
use crate::failure::Failure;
use crate::{State, ops, store};

/// Which of the dead to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadQuery {
    /// Only those of this mass message.
    broadcast_id: Option<BroadcastId>,
    /// Only those that died of this.
    failure: Option<Failure>,
    /// How many items at most: 1 to 500, 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List the dead
///
/// Recipients that ended `dead`, each with what it died of, and whether it was replayed since. Newest first.
#[utoipa::path(
    get, path = "/v1/dead-recipients", tag = "broadcasts", params(DeadQuery),
    responses((status = 200, body = Listing<DeadRecipient>))
)]
pub(super) async fn list_dead_recipients(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Query(query): Query<DeadQuery>,
) -> Result<Json<Listing<DeadRecipient>>, Problem> {
    let page: Page<Uuid> = Page::new(query.limit, query.cursor.as_deref())?;
    let mut tx = state.db.read(staff.tenant).await?;
    let rows = store::dead::page(
        &mut *tx,
        staff.tenant,
        query.broadcast_id,
        query.failure,
        page.after,
        page.rows_max(),
    )
    .await?;
    Ok(Json(Listing::from_rows(rows, page.limit, |dead| {
        dead.dead_recipient_id
    })))
}

/// Replay the dead of a mass message
///
/// All of them or some, up to 10,000 a request: they are sent to again, under the same keys as before; caps and consent
/// are looked at anew. Who is not dead stays as it ended. A finished mass message runs again until they have their ends.
#[utoipa::path(
    post, path = "/v1/broadcasts/{broadcast_id}/replay", tag = "broadcasts",
    params(("broadcast_id" = BroadcastId, Path), IdempotencyKey), request_body = ReplayDead,
    responses((status = 200, body = Replayed))
)]
pub(super) async fn replay_dead(
    extract::State(state): extract::State<State>,
    operator: Operator,
    Path(broadcast): Path<BroadcastId>,
    request: Keyed<ReplayDead>,
) -> Result<Json<Replayed>, Problem> {
    let replayed = ops::replay_dead(&state, operator, &request.key, broadcast, &request.body).await?;
    Ok(Json(replayed))
}
