//! What operators and auditors ask referral-commission over HTTP.

mod accrual;
mod balance;
mod order;
mod order_event;
mod parked;
mod plan;
mod statement;

use chassis::http::Api;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;

/// Every route; all of them need a token.
pub(crate) fn api() -> Api<State> {
    let routes = OpenApiRouter::new()
        .routes(routes!(plan::publish_plan, plan::list_plans))
        .routes(routes!(plan::adopt_yunji_demo))
        .routes(routes!(order_event::take_in_order_event))
        .routes(routes!(order::get_order))
        .routes(routes!(accrual::list_accruals))
        .routes(routes!(statement::get_statement))
        .routes(routes!(balance::get_trial_balance))
        .routes(routes!(parked::list_parked));
    Api::new("Shequn referral-commission", env!("CARGO_PKG_VERSION")).private(routes)
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> OpenApi {
    api().document()
}
