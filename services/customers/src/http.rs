//! The public API of customers.

mod code;
mod contact;
mod import;
mod me;
mod scan;

use chassis::http::Api;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;

/// Every route; a scan is the only one that needs no token, since the code's token is the secret.
pub(crate) fn api() -> Api<State> {
    Api::new("customers", env!("CARGO_PKG_VERSION"))
        .public(OpenApiRouter::new().routes(routes!(scan::scan)))
        .private(
            OpenApiRouter::new()
                .routes(routes!(code::issue_code, code::list_codes))
                .routes(routes!(code::get_code))
                .routes(routes!(code::draw_code))
                .routes(routes!(contact::list_contacts))
                .routes(routes!(contact::get_contact))
                .routes(routes!(contact::tag_contact))
                .routes(routes!(contact::set_zone))
                .routes(routes!(contact::remark))
                .routes(routes!(contact::record_talk))
                .routes(routes!(import::get_import))
                .routes(routes!(import::list_rejections))
                .routes(routes!(me::get_me))
                .routes(routes!(me::change_consent))
                .routes(routes!(me::set_own_zone)),
        )
        .uploads(OpenApiRouter::new().routes(routes!(import::import_contacts)))
}
