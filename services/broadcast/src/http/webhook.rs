//! Where the tenant's own system takes mass messages.

use axum::extract;
use chassis::Problem;
use chassis::auth::{Admin, Staff};
use chassis::http::{IdempotencyKey, Json, Keyed};

use crate::error::Error;
use crate::webhook::{RotateSecret, SetWebhook, Webhook};
use crate::{State, ops, store};

/// Set the webhook
///
/// Mass messages over the channel `webhook` are posted there, one request each, signed as Standard Webhooks says. The
/// header `webhook-id` is the same in every attempt: deduplicate by it. `webhook-timestamp` is the attempt's: refuse what
/// is more than five minutes off. `webhook-signature` holds one signature, or two while a secret is being rotated: one
/// that verifies is enough. The first answer here tells the secret, no later one does.
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

/// Rotate the webhook's secret
///
/// Makes a new secret, which this answer alone tells. For `overlap_secs` calls carry a signature by the secret before as
/// well; rotating again meanwhile ends that one at once.
#[utoipa::path(
    post, path = "/v1/webhook/rotate", tag = "webhook", params(IdempotencyKey), request_body = RotateSecret,
    responses((status = 200, body = Webhook))
)]
pub(super) async fn rotate_secret(
    extract::State(state): extract::State<State>,
    admin: Admin,
    request: Keyed<RotateSecret>,
) -> Result<Json<Webhook>, Problem> {
    let webhook = ops::rotate_secret(&state, admin, &request.key, &request.body).await?;
    Ok(Json(webhook))
}

/// Get the webhook
///
/// Without its secret.
#[utoipa::path(get, path = "/v1/webhook", tag = "webhook", responses((status = 200, body = Webhook)))]
pub(super) async fn get_webhook(
    extract::State(state): extract::State<State>,
    staff: Staff,
) -> Result<Json<Webhook>, Problem> {
    let mut tx = state.db.read(staff.tenant).await?;
    let webhook = store::tenant::webhook(&mut *tx, staff.tenant).await?;
    Ok(Json(webhook.ok_or(Error::WebhookUnset)?))
}
