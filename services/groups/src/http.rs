//! What operators, members and contacts ask groups over HTTP.

mod group;
mod own;
mod series;

use chassis::http::Api;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;

/// Every route; all of them need a token.
pub(crate) fn api() -> Api<State> {
    let routes = OpenApiRouter::new()
        .routes(routes!(series::open_series, series::list_series))
        .routes(routes!(series::get_series))
        .routes(routes!(series::join_series))
        .routes(routes!(group::open_group, group::list_groups))
        .routes(routes!(group::get_group))
        .routes(routes!(group::list_contacts))
        .routes(routes!(group::join_group))
        .routes(routes!(group::leave_group))
        .routes(routes!(own::list_own_groups));
    Api::new("Shequn groups", env!("CARGO_PKG_VERSION")).private(routes)
}

/// The OpenAPI document.
#[must_use]
pub fn document() -> OpenApi {
    api().document()
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use crate::{group::OpenGroup, seat::ForContact, series::OpenSeries};

    #[test]
    fn the_examples_in_the_document_are_accepted() {
        fn parse<T: DeserializeOwned>(document: &serde_json::Value, name: &str) {
            let example = document["components"]["schemas"][name]["example"].clone();
            serde_json::from_value::<T>(example)
                .map(drop)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let document = serde_json::to_value(super::document()).unwrap();
        parse::<OpenGroup>(&document, "OpenGroup");
        parse::<OpenSeries>(&document, "OpenSeries");
        parse::<ForContact>(&document, "ForContact");
    }
}
