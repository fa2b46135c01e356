//! Links in messages.

use axum::extract;
use axum::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, LOCATION, REFERRER_POLICY};
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use chassis::Problem;
use chassis::http::Path;

use crate::click::{Token, is_bot};
use crate::{State, ops};

/// Follow a link of a message
///
/// Leads to where its mass message's content says, to the shop with who was sent there by whom. Nothing in the address
/// itself is a target. The first time of each contact and link is noted, of contacts who have not withdrawn their consent;
/// programs that say so, and prefetching, are counted apart.
#[utoipa::path(
    get, path = "/l/{token}", tag = "links", params(("token" = String, Path)),
    responses((status = 302, description = "on to the page", headers(("location" = String, description = "https"))))
)]
pub(super) async fn follow_link(
    extract::State(state): extract::State<State>,
    method: Method,
    headers: HeaderMap,
    Path(token): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let token: Token = token.parse()?;
    let url = ops::follow(&state, &token, is_bot(&method, &headers)).await?;
    let headers = [
        (LOCATION, url),
        (CACHE_CONTROL, "no-store".to_owned()),
        (REFERRER_POLICY, "no-referrer".to_owned()),
        (HeaderName::from_static("x-robots-tag"), "noindex".to_owned()),
    ];
    Ok((StatusCode::FOUND, headers))
}
