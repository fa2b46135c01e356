//! The public API of broadcast.

mod broadcast;
mod click;
mod dead;
mod inbox;
mod list;
mod opt_out;
mod policy;
mod preview;
mod progress;
mod quiet;
mod rate;
mod task;
mod webhook;

use chassis::http::Api;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;

/// Every route; the way out of marketing and other links of messages need no token, since they are signed.
pub(crate) fn api() -> Api<State> {
    let public = OpenApiRouter::new()
        .routes(routes!(opt_out::show_opt_out, opt_out::opt_out))
        .routes(routes!(click::follow_link));
    let uploads = OpenApiRouter::new().routes(routes!(list::make_list));
    Api::new("broadcast", env!("CARGO_PKG_VERSION"))
        .public(public)
        .uploads(uploads)
        .private(
            OpenApiRouter::new()
                .routes(routes!(broadcast::start_broadcast, broadcast::list_broadcasts))
                .routes(routes!(preview::preview_broadcast))
                .routes(routes!(broadcast::get_broadcast))
                .routes(routes!(progress::watch_broadcast))
                .routes(routes!(progress::report_broadcast))
                .routes(routes!(progress::export_broadcast))
                .routes(routes!(broadcast::forecast_broadcast))
                .routes(routes!(broadcast::cancel_broadcast))
                .routes(routes!(broadcast::pause_broadcast))
                .routes(routes!(broadcast::resume_broadcast))
                .routes(routes!(broadcast::reschedule_broadcast))
                .routes(routes!(broadcast::list_receipts))
                .routes(routes!(dead::list_dead_recipients))
                .routes(routes!(dead::replay_dead))
                .routes(routes!(task::list_tasks))
                .routes(routes!(task::list_recipients))
                .routes(routes!(preview::preview_task))
                .routes(routes!(task::confirm_task))
                .routes(routes!(task::cancel_task))
                .routes(routes!(inbox::list_messages))
                .routes(routes!(inbox::stream_messages))
                .routes(routes!(inbox::read_message))
                .routes(routes!(opt_out::get_opt_out_link))
                .routes(routes!(opt_out::get_link_key, opt_out::rotate_link_key))
                .routes(routes!(quiet::set_quiet_hours, quiet::get_quiet_hours))
                .routes(routes!(policy::set_cap_policy, policy::list_cap_policies))
                .routes(routes!(rate::set_rate, rate::list_rates))
                .routes(routes!(webhook::set_webhook, webhook::get_webhook))
                .routes(routes!(webhook::rotate_secret)),
        )
}
