//! Where the tenant's own system takes mass messages.

use axum::extract;
use chassis::Problem;
use chassis::auth::{Admin, Staff};
use chassis::http::Json;

use crate::error::Error;
use crate::webhook::{SetWebhook, Webhook};
use crate::{State, ops, store};

/// Set the webhook
///
/// Mass messages over the channel `webhook` are posted there, one request each, with the header `webhook-id`: the same
/// in every attempt, so deduplicate by it.
#[utoipa::path(
    put, path = "/v1/webhook", tag = "webhook", request_body = SetWebhook, responses((status = 200, body = Webhook))
)]
pub(super) async fn set_webhook(
    extract::State(state): extract::State<State>,
    admin: Admin,
    Json(webhook): Json<SetWebhook>,
) -> Result<Json<Webhook>, Problem> {
    Ok(Json(ops::set_webhook(&state, admin, &webhook.url).await?))
}

/// Get the webhook
#[utoipa::path(get, path = "/v1/webhook", tag = "webhook", responses((status = 200, body = Webhook)))]
pub(super) async fn get_webhook(
    extract::State(state): extract::State<State>,
    staff: Staff,
) -> Result<Json<Webhook>, Problem> {
    let mut tx = state.db.read(staff.tenant).await?;
    let webhook = store::tenant::webhook(&mut *tx, staff.tenant).await?;
    Ok(Json(webhook.ok_or(Error::WebhookUnset)?))
}
