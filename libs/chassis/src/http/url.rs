//! What the parts of a request's address are parsed into.

use axum::extract::FromRequestParts;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::{bounded, unquoted};
use crate::problem::{Class, Problem};

/// The variable parts of the path.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(path) => Ok(Self(path.0)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => Err(path_problem(error.into_kind())),
            Err(error) => Err(Problem::internal(error)),
        }
    }
}

fn path_problem(kind: ErrorKind) -> Problem {
    let malformed = |detail: String| Problem::new(Class::Invalid, "path_malformed", bounded(&detail));
    match kind {
        ErrorKind::WrongNumberOfParameters { .. } | ErrorKind::UnsupportedType { .. } => {
            Problem::internal(kind.to_string())
        }
        ErrorKind::DeserializeError { key, value, message } => {
            malformed(unquoted(&message).replace(&value, "…")).field(key)
        }
        ErrorKind::ParseErrorAtKey { key, .. } | ErrorKind::InvalidUtf8InPathParam { key } => {
            malformed(format!("`{key}` in the path is malformed")).field(key)
        }
        ErrorKind::Message(message) => malformed(unquoted(&message)),
        _ => malformed("a part of the path is malformed".to_owned()),
    }
}

/// The parameters after the question mark; unknown ones are refused when `T` denies unknown fields.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|rejection| query_problem(&rejection.body_text()))
    }
}

/// Axum says `…: <parameter>: <what is wrong>`.
fn query_problem(text: &str) -> Problem {
    let text = text
        .strip_prefix("Failed to deserialize query string: ")
        .unwrap_or(text);
    let (field, detail) = text.split_once(": ").unwrap_or(("", text));
    let quoted = detail.split('`').nth(1).unwrap_or_default();
    let problem = |code, field: &str| {
        let problem = Problem::new(Class::Invalid, code, bounded(&unquoted(detail)));
        if field.is_empty() {
            problem
        } else {
            problem.field(bounded(field))
        }
    };
    if detail.starts_with("unknown field") {
        problem("unknown_parameter", quoted).remedy("leave it out, or check its spelling")
    } else if detail.starts_with("missing field") {
        problem("missing_parameter", quoted).remedy("add it")
    } else {
        problem("invalid_parameter", field)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use contracts::ContactId;
    use http::Request;
    use serde::Deserialize;
    use tower::ServiceExt;

    use super::*;
    use crate::problem::Body;

    async fn ask(uri: &str) -> Result<(), Body> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only parsing is looked at")]
        struct Filter {
            tag: String,
            limit: Option<u32>,
        }
        let router: Router = Router::new()
            .route("/one/{contact_id}", get(async |Path(_): Path<ContactId>| ()))
            .route("/two/{a}/{b}", get(async |Path(_): Path<(ContactId, u8)>| ()))
            .route("/list", get(async |Query(_): Query<Filter>| ()));
        let response = router
            .oneshot(Request::get(uri).body(axum::body::Body::empty()).unwrap())
            .await
            .unwrap();
        if response.status() == 200 {
            return Ok(());
        }
        assert_eq!(response.status(), 400);
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        Err(serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn ids_in_paths_are_typed() {
        ask(&format!("/one/{}", ContactId::new())).await.unwrap();
        for uri in ["/one/7", "/one/%FF", "/two/x/1"] {
            assert_eq!(ask(uri).await.unwrap_err().code, "path_malformed", "{uri}");
        }
    }

    #[tokio::test]
    async fn parameters_are_known_and_typed() {
        ask("/list?tag=vip&limit=5").await.unwrap();
        for (uri, code, field) in [
            ("/list?tag=vip&limit=many", "invalid_parameter", "limit"),
            ("/list?tag=vip&limit=-1", "invalid_parameter", "limit"),
            ("/list?tag=vip&lmit=5", "unknown_parameter", "lmit"),
            ("/list?limit=5", "missing_parameter", "tag"),
        ] {
            let problem = ask(uri).await.unwrap_err();
            assert_eq!(
                (problem.code.as_str(), problem.field.as_deref()),
                (code, Some(field)),
                "{}",
                problem.detail
            );
        }
    }
}
