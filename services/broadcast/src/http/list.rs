//! Lists of contacts, for operators.

use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, StatusCode, header};
use chassis::Problem;
use chassis::auth::Operator;
use chassis::http::{IdempotencyKey, Json};

use crate::State;
use crate::error::Error;
use crate::list::ContactList;
use crate::ops;

/// Make a list of contacts from a file
///
/// One contact's id a line, under the header `contact_id` or none: at most 1,000,000. A line that is no id refuses the whole
/// file and is named. The list can be an audience, or an exception of one, for 90 days.
#[utoipa::path(
    post, path = "/v1/contact-lists", tag = "contact-lists", params(IdempotencyKey),
    request_body(
        content = String, content_type = "text/csv",
        example = json!("contact_id\n0199a3f0-7c1e-7d7a-9f64-3b1c5a0e2d11\n")
    ),
    responses((status = 201, body = ContactList))
)]
pub(super) async fn make_list(
    extract::State(state): extract::State<State>,
    operator: Operator,
    IdempotencyKey(key): IdempotencyKey,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<ContactList>), Problem> {
    expect_csv(&headers)?;
    let list = ops::make_list(&state, operator, key, body).await?;
    Ok((StatusCode::CREATED, Json(list)))
}

fn expect_csv(headers: &HeaderMap) -> Result<(), Error> {
    let named = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = named
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    match essence.trim().eq_ignore_ascii_case("text/csv") {
        true => Ok(()),
        false => Err(Error::NotCsv),
    }
}
