//! Logging in, staying logged in, logging out; and the keys that tell real tokens.

use axum::extract::State as Given;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use chassis::Problem;
use chassis::auth::Jwks;
use chassis::http::{Json, Origin};

use crate::State;
use crate::error::Error;
use crate::ops;
use crate::ops::log_in::LogIn;
use crate::ops::log_in_reviewer::LogInReviewer;
use crate::ops::refresh::Refresh;
use crate::session::Tokens;

/// A cache in between may hold the keys this long, well below the time a new one is announced.
const JWKS_MAX_AGE: &str = "public, max-age=60";

/// Tokens stay out of every cache.
type Fresh<T> = ([(axum::http::HeaderName, &'static str); 1], Json<T>);

fn fresh<T>(answer: T) -> Fresh<T> {
    ([(CACHE_CONTROL, "no-store")], Json(answer))
}

/// Logs a member in: an access token for ten minutes, and a refresh token. What is wrong with a
/// refused login is not said; too many of them are answered with 429.
#[utoipa::path(post, path = "/v1/login", tag = "session", request_body = LogIn,
    responses((status = 200, description = "logged in", body = Tokens)))]
pub(crate) async fn log_in(
    Given(state): Given<State>,
    origin: Origin,
    Json(body): Json<LogIn>,
) -> Result<Fresh<Tokens>, Problem> {
    Ok(fresh(ops::log_in::log_in(&state, &origin, body).await?))
}

/// Takes a refresh token and gives new tokens. It is good once: shown again, it ends the session.
#[utoipa::path(post, path = "/v1/token/refresh", tag = "session", request_body = Refresh,
    responses((status = 200, description = "new tokens", body = Tokens)))]
pub(crate) async fn refresh(
    Given(state): Given<State>,
    Json(body): Json<Refresh>,
) -> Result<Fresh<Tokens>, Problem> {
    Ok(fresh(ops::refresh::refresh(&state, body).await?))
}

/// Ends the session a refresh token belongs to. Access tokens end by themselves.
#[utoipa::path(post, path = "/v1/logout", tag = "session", request_body = Refresh,
    responses((status = 204, description = "nothing is left of the session")))]
pub(crate) async fn log_out(
    Given(state): Given<State>,
    Json(body): Json<Refresh>,
) -> Result<StatusCode, Problem> {
    ops::log_out::log_out(&state, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Logs a platform reviewer in, for ten minutes.
#[utoipa::path(post, path = "/v1/reviewers/login", tag = "session", request_body = LogInReviewer,
    responses((status = 200, description = "logged in", body = Tokens)))]
pub(crate) async fn log_in_reviewer(
    Given(state): Given<State>,
    origin: Origin,
    Json(body): Json<LogInReviewer>,
) -> Result<Fresh<Tokens>, Problem> {
    Ok(fresh(
        ops::log_in_reviewer::log_in_reviewer(&state, &origin, body).await?,
    ))
}

/// The public keys of access tokens, as a JSON Web Key Set.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "session",
    responses((status = 200, description = "the keys in use, about to be, or lately", body = Jwks)))]
pub(crate) async fn jwks(Given(state): Given<State>) -> Result<impl IntoResponse, Problem> {
    let keys = state.keys.published().borrow().clone();
    // Before the first key is made: an empty set would be kept as an answer, and all logins be
    // refused for as long.
    if keys.keys.is_empty() {
        return Err(Error::NoSigningKey.into());
    }
    Ok(([(CACHE_CONTROL, JWKS_MAX_AGE)], Json(keys)))
}
