//! How many mass messages a contact may get.

use axum::extract;
use chassis::Problem;
use chassis::auth::{Operator, Staff};
use chassis::http::Json;

use crate::error::Error;
use crate::policy::{AHEAD_DAYS_MAX, CapPolicies, CapPolicy, SetCapPolicy};
use crate::{State, ops, store};

/// Set a limit
///
/// On how many mass messages a contact gets in a window, from a day on: of one member, of the tenant, or of all
/// together; or on how many posts a group gets. What was set for later days stays. A day that has begun keeps its limits.
#[utoipa::path(
    put, path = "/v1/cap-policies", tag = "policies", request_body = SetCapPolicy,
    responses((status = 200, body = CapPolicy))
)]
pub(super) async fn set_cap_policy(
    extract::State(state): extract::State<State>,
    operator: Operator,
    Json(policy): Json<SetCapPolicy>,
) -> Result<Json<CapPolicy>, Problem> {
    Ok(Json(ops::set_cap_policy(&state, operator, &policy).await?))
}

/// List the limits
///
/// Those of today and those set for later days.
#[utoipa::path(
    get, path = "/v1/cap-policies", tag = "policies", responses((status = 200, body = CapPolicies))
)]
pub(super) async fn list_cap_policies(
    extract::State(state): extract::State<State>,
    staff: Staff,
) -> Result<Json<CapPolicies>, Problem> {
    let mut tx = state.db.read(staff.tenant).await?;
    let today = store::policy::begun(&mut *tx, staff.tenant, 0.0).await?;
    let today = today.ok_or(Error::TenantUnverified)?;
    let rows_max = 4 * (AHEAD_DAYS_MAX + 1);
    let said = store::policy::list(&mut *tx, staff.tenant, today, rows_max).await?;
    Ok(Json(CapPolicies::complete(today, said)))
}
