//! Lets a request through to private routes only with a valid token, and tells them who asks.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, header};

use super::Verifier;
use crate::problem::{Class, Problem};

/// For `axum::middleware::from_fn_with_state`: puts the `Caller` into the request, or answers 401.
///
/// # Errors
/// When there is no valid token, or no key to check it with can be had.
pub async fn authenticate(
    State(verifier): State<Verifier>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let caller = verifier.verify(bearer(request.headers())?).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// The bearer token of a request.
///
/// # Errors
/// When there is none, more than one, or another scheme.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(token_missing)?;
    if values.next().is_some() {
        return Err(Problem::new(
            Class::Unauthenticated,
            "token_ambiguous",
            "there is more than one authorization header",
        ));
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or_else(token_missing)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(token_missing())
    }
}

pub(super) fn token_missing() -> Problem {
    Problem::new(
        Class::Unauthenticated,
        "token_missing",
        "this needs a bearer token",
    )
    .field("Authorization")
    .remedy("send `Authorization: Bearer <token>`")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn token(values: &[&'static str]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        bearer(&headers).map(str::to_owned).map_err(|problem| {
            assert_eq!(problem.class, Class::Unauthenticated);
            problem.code
        })
    }

    #[test]
    fn one_bearer_token_is_taken() {
        assert_eq!(token(&["Bearer abc"]).as_deref(), Ok("abc"));
        assert_eq!(token(&["bearer  abc"]).as_deref(), Ok("abc"));
    }

    #[test]
    fn anything_else_is_not() {
        assert_eq!(token(&[]), Err("token_missing"));
        assert_eq!(token(&["abc"]), Err("token_missing"));
        assert_eq!(token(&["Basic YTpi"]), Err("token_missing"));
        assert_eq!(token(&["Bearer a", "Bearer b"]), Err("token_ambiguous"));
    }
}
