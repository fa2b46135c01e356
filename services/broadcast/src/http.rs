//! The public API of broadcast.

mod broadcast;
mod inbox;
mod progress;
mod rate;
mod task;
mod webhook;

use chassis::http::Api;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;

/// Every route.
pub(crate) fn api() -> Api<State> {
    Api::new("broadcast", env!("CARGO_PKG_VERSION")).private(
        OpenApiRouter::new()
            .routes(routes!(broadcast::start_broadcast, broadcast::list_broadcasts))
            .routes(routes!(broadcast::get_broadcast))
            .routes(routes!(progress::watch_broadcast))
            .routes(routes!(progress::report_broadcast))
            .routes(routes!(progress::export_broadcast))
            .routes(routes!(broadcast::cancel_broadcast))
            .routes(routes!(broadcast::pause_broadcast))
            .routes(routes!(broadcast::resume_broadcast))
            .routes(routes!(broadcast::reschedule_broadcast))
            .routes(routes!(broadcast::list_receipts))
            .routes(routes!(task::list_tasks))
            .routes(routes!(task::list_recipients))
            .routes(routes!(task::confirm_task))
            .routes(routes!(task::cancel_task))
            .routes(routes!(inbox::list_messages))
            .routes(routes!(inbox::read_message))
            .routes(routes!(rate::set_rate, rate::list_rates))
            .routes(routes!(webhook::set_webhook, webhook::get_webhook)),
    )
}
