//! When mass messages wait.

use axum::extract;
use chassis::Problem;
use chassis::auth::{Operator, Staff};
use chassis::http::Json;

use crate::quiet::{Hours, QuietHours};
use crate::{State, ops, store};

/// Set the quiet hours
///
/// In which no mass message is sent: it waits until they end, or is over if its own time ends before. They hold at once.
#[utoipa::path(
    put, path = "/v1/quiet-hours", tag = "policies", request_body = QuietHours,
    responses((status = 200, body = QuietHours))
)]
pub(super) async fn set_quiet_hours(
    extract::State(state): extract::State<State>,
    operator: Operator,
    Json(asked): Json<QuietHours>,
) -> Result<Json<QuietHours>, Problem> {
    Ok(Json(ops::set_quiet_hours(&state, operator, asked).await?))
}

/// See the quiet hours
#[utoipa::path(
    get, path = "/v1/quiet-hours", tag = "policies", responses((status = 200, body = QuietHours))
)]
pub(super) async fn get_quiet_hours(
    extract::State(state): extract::State<State>,
    staff: Staff,
) -> Result<Json<QuietHours>, Problem> {
    let mut tx = state.db.read(staff.tenant).await?;
    let found = store::quiet::find(&mut *tx, staff.tenant).await?;
    let hours = found.and_then(|(starts, ends)| {
        let (starts, ends) = (starts.parse().ok()?, ends.parse().ok()?);
        Some(Hours { starts, ends })
    });
    Ok(Json(QuietHours { hours }))
}
