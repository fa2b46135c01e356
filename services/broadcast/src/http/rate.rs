//! How much a tenant may send in a second.

use axum::extract;
use chassis::Problem;
use chassis::auth::{Admin, Staff};
use chassis::http::Json;

use crate::pace::{AccountRate, AccountRates};
use crate::{State, ops, store};

/// Set a channel's rate
///
/// Over this channel no more is sent in a second, by all mass messages and workers together. A mass message's own rate
/// holds beside it.
#[utoipa::path(
    put, path = "/v1/rates", tag = "rates", request_body = AccountRate, responses((status = 200, body = AccountRate))
)]
pub(super) async fn set_rate(
    extract::State(state): extract::State<State>,
    admin: Admin,
    Json(rate): Json<AccountRate>,
) -> Result<Json<AccountRate>, Problem> {
    Ok(Json(ops::set_rate(&state, admin, &rate).await?))
}

/// List the rates
#[utoipa::path(get, path = "/v1/rates", tag = "rates", responses((status = 200, body = AccountRates)))]
pub(super) async fn list_rates(
    extract::State(state): extract::State<State>,
    staff: Staff,
) -> Result<Json<AccountRates>, Problem> {
    let mut tx = state.db.read(staff.tenant).await?;
    let items = store::account::rates(&mut *tx, staff.tenant).await?;
    Ok(Json(AccountRates { items }))
}
