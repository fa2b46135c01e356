//! Scanning, the one thing anybody may do.

use axum::extract;
use chassis::Problem;
use chassis::http::Json;

use crate::ops::scan::{Scan, Scanned};
use crate::{State, ops};

/// Scan a live code
///
/// Makes the person a contact and a friend of the member the code shows them, and welcomes them once. The same
/// person scanning again sees the same member and is not welcomed again, so this can be repeated at will.
#[utoipa::path(post, path = "/v1/scans", tag = "scans", request_body = Scan, responses((status = 200, body = Scanned)))]
pub(super) async fn scan(
    extract::State(state): extract::State<State>,
    Json(scan): Json<Scan>,
) -> Result<Json<Scanned>, Problem> {
    Ok(Json(ops::scan::scan(&state, &scan).await?))
}
