//! Who asks over HTTP, and for what.

mod member;
mod session;
mod tenant;

use chassis::http::Api;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;

/// Every route; a new one is closed unless it is listed as public here.
pub(crate) fn api() -> Api<State> {
    let public = OpenApiRouter::new()
        .routes(routes!(tenant::register))
        .routes(routes!(session::log_in))
        .routes(routes!(session::refresh))
        .routes(routes!(session::log_out))
        .routes(routes!(session::log_in_reviewer))
        .routes(routes!(session::jwks));
    let private = OpenApiRouter::new()
        .routes(routes!(tenant::list_tenants))
        .routes(routes!(tenant::review))
        .routes(routes!(tenant::get_tenant))
        .routes(routes!(tenant::resubmit))
        .routes(routes!(member::join, member::list_members))
        .routes(routes!(member::get_member))
        .routes(routes!(member::leave));
    Api::new("identity", env!("CARGO_PKG_VERSION"))
        .public(public)
        .private(private)
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use crate::ops::{join::Join, log_in::LogIn, log_in_reviewer::LogInReviewer, refresh::Refresh};
    use crate::ops::{register::Register, resubmit::Resubmit, review::Review};

    #[test]
    fn the_examples_in_the_document_are_accepted() {
        fn parse<T: DeserializeOwned>(document: &serde_json::Value, name: &str) {
            let example = document["components"]["schemas"][name]["example"].clone();
            serde_json::from_value::<T>(example)
                .map(drop)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let document = serde_json::to_value(crate::document()).unwrap();
        parse::<Register>(&document, "Register");
        parse::<Review>(&document, "Review");
        parse::<Resubmit>(&document, "Resubmit");
        parse::<Join>(&document, "Join");
        parse::<LogIn>(&document, "LogIn");
        parse::<LogInReviewer>(&document, "LogInReviewer");
        parse::<Refresh>(&document, "Refresh");
    }
}
