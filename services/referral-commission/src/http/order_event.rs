//! What happens to orders, told by the shop.

use axum::extract::State as Inject;
use axum::http::StatusCode;
use chassis::Problem;
use chassis::auth::Operator;
use chassis::http::Json;

use crate::State;
use crate::engine::EventDraft;
use crate::error::Error;
use crate::ops::{self, Outcome, Receipt};

/// Takes in what happened to an order. An event may be sent any number of times, and events in
/// any order: the same id or the same subject (an order's payment, delivery or void, a refund)
/// with the same content is `replayed`, with other content it is refused as `key_conflict`.
#[utoipa::path(
    post, path = "/v1/order-events", tag = "orders", request_body = EventDraft,
    responses(
        (status = 201, description = "posted", body = Receipt),
        (status = 200, description = "replayed, or parked with a code", body = Receipt),
    ),
)]
pub(super) async fn take_in_order_event(
    Inject(state): Inject<State>,
    operator: Operator,
    Json(body): Json<EventDraft>,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let event = body.check().map_err(Error::from)?;
    let receipt = ops::take_in(&state, operator, event).await?;
    metrics::counter!("referral_order_events_total", "outcome" => receipt.outcome.name()).increment(1);
    let status = if receipt.outcome == Outcome::Posted {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(receipt)))
}
