//! What a request's body and key are parsed into, or the problem that says what is wrong with them.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use contracts::RequestKey;
use contracts::header::IDEMPOTENCY_KEY;
use http::request::Parts;
use http::{Extensions, HeaderMap, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;

use super::json::decode;
use crate::auth::Caller;
use crate::problem::{Class, Problem};

const KEY_BYTES_MAX: usize = 128;

/// A JSON body, in requests and answers.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        expect_json(request.headers())?;
        decode(&read(request, state).await?).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The `Idempotency-Key` of a request, behind its caller's name: nobody is answered with what somebody else was told.
/// Name it in `params(IdempotencyKey)` of the route's document.
#[derive(Clone, Debug, PartialEq, Eq, IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub struct IdempotencyKey(
    /// Makes a repetition of this request replay its answer: 1 to 128 visible ASCII characters.
    #[param(min_length = 1, max_length = 128)]
    pub String,
);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        idempotency_key(&parts.headers, &parts.extensions).map(Self)
    }
}

/// A JSON body that is acted on once, however often its caller sends it under the same key.
#[derive(Clone, Debug)]
pub struct Keyed<T> {
    pub key: RequestKey,
    pub body: T,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Keyed<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let key = idempotency_key(request.headers(), request.extensions())?;
        expect_json(request.headers())?;
        let asked = format!("{}\n{}\n", request.method(), request.uri().path());
        let bytes = read(request, state).await?;
        let fingerprint = Sha256::new_with_prefix(asked)
            .chain_update(&bytes)
            .finalize()
            .into();
        Ok(Self {
            key: RequestKey { key, fingerprint },
            body: decode(&bytes)?,
        })
    }
}

fn idempotency_key(headers: &HeaderMap, extensions: &Extensions) -> Result<String, Problem> {
    let asked_as = extensions
        .get()
        .map_or_else(|| "anybody".to_owned(), Caller::subject);
    let invalid = |code, detail| {
        Problem::new(Class::Invalid, code, detail)
            .field("Idempotency-Key")
            .remedy("send one key of 1 to 128 visible ASCII characters, such as a UUID, and the same again when you repeat the request")
    };
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Err(invalid(
            "idempotency_key_missing",
            "this request needs an idempotency key",
        ));
    };
    let bytes = value.as_bytes();
    let fits = (1..=KEY_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(key) if fits && values.next().is_none() => Ok(format!("{asked_as} {key}")),
        _ => Err(invalid(
            "idempotency_key_malformed",
            "the idempotency key can't be used",
        )),
    }
}

fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(
        Class::UnsupportedMedia,
        "content_type_not_json",
        "this route reads JSON only",
    )
    .field("Content-Type")
    .remedy("send `Content-Type: application/json`"))
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
                Class::TooLarge,
                "body_too_large",
                "the body is larger than this route takes",
            )
            .remedy("send less at once"),
            _ => Problem::new(
                Class::Invalid,
                "body_unreadable",
                "the body ended before it was complete",
            )
            .remedy("send the request again")
            .caused_by(rejection),
        })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use contracts::{ContactId, TenantId};

    use super::*;

    fn request(headers: &[(&str, &str)], uri: &str, body: &str) -> Request {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::from(body.to_owned())).unwrap()
    }

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

    async fn keyed(headers: &[(&str, &str)], uri: &str, body: &str) -> Result<RequestKey, Problem> {
        Keyed::<serde_json::Value>::from_request(request(headers, uri, body), &())
            .await
            .map(|keyed| keyed.key)
    }

    #[tokio::test]
    async fn only_json_is_read() {
        for headers in [
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "application/jsonx")],
        ] {
            let problem = Json::<serde_json::Value>::from_request(request(headers, "/", "1"), &())
                .await
                .unwrap_err();
            assert_eq!(
                (problem.class, problem.code),
                (Class::UnsupportedMedia, "content_type_not_json")
            );
        }
        assert_eq!(
            Json::<u8>::from_request(request(&[JSON], "/", "1"), &())
                .await
                .unwrap()
                .0,
            1
        );
    }

    #[tokio::test]
    async fn too_large_a_body_is_413() {
        let body = format!("\"{}\"", "x".repeat(3 * 1024 * 1024));
        let problem = Json::<String>::from_request(request(&[JSON], "/", &body), &())
            .await
            .unwrap_err();
        assert_eq!((problem.class, problem.code), (Class::TooLarge, "body_too_large"));
    }

    #[tokio::test]
    async fn a_key_must_be_there_and_usable() {
        let missing = keyed(&[JSON], "/", "1").await.unwrap_err();
        assert_eq!(missing.code, "idempotency_key_missing");
        assert_eq!(missing.field.as_deref(), Some("Idempotency-Key"));
        let long = "k".repeat(129);
        for key in ["", "a b", "ключ", "a\tb", &long] {
            let problem = keyed(&[JSON, ("idempotency-key", key)], "/", "1")
                .await
                .unwrap_err();
            assert_eq!(problem.code, "idempotency_key_malformed", "{key:?}");
        }
        let twice = [JSON, ("idempotency-key", "a"), ("idempotency-key", "b")];
        assert_eq!(
            keyed(&twice, "/", "1").await.unwrap_err().code,
            "idempotency_key_malformed"
        );
    }

    #[tokio::test]
    async fn the_fingerprint_tells_what_was_asked() {
        let headers = [JSON, ("idempotency-key", "k")];
        let first = keyed(&headers, "/v1/codes", "{}").await.unwrap();
        assert_eq!(first.key, "anybody k");
        assert_eq!(keyed(&headers, "/v1/codes", "{}").await.unwrap(), first);
        assert_ne!(
            keyed(&headers, "/v1/codes", "{ }").await.unwrap().fingerprint,
            first.fingerprint
        );
        assert_ne!(
            keyed(&headers, "/v1/plans", "{}").await.unwrap().fingerprint,
            first.fingerprint
        );
    }

    #[tokio::test]
    async fn callers_do_not_share_keys() {
        let asked_by = async |contact: ContactId| {
            let mut request = request(&[JSON, ("idempotency-key", "k")], "/v1/codes", "{}");
            request.extensions_mut().insert(Caller::Contact {
                tenant: TenantId::new(),
                contact,
            });
            Keyed::<serde_json::Value>::from_request(request, &())
                .await
                .unwrap()
                .key
        };
        let (one, other) = (ContactId::new(), ContactId::new());
        assert_eq!(asked_by(one).await, asked_by(one).await);
        assert_ne!(asked_by(one).await, asked_by(other).await);
    }

    #[test]
    fn the_document_names_the_header() {
        let parameters = IdempotencyKey::into_params(|| None);
        let parameter = serde_json::to_value(&parameters[0]).unwrap();
        assert_eq!(
            (&parameter["name"], &parameter["in"]),
            (&"Idempotency-Key".into(), &"header".into())
        );
        assert_eq!(parameter["schema"]["maxLength"], 128);
    }
}
