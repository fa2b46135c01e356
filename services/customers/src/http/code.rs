//! Live codes, for the staff.

use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chassis::Problem;
use chassis::auth::{Operator, Staff};
use chassis::http::{IdempotencyKey, Json, Keyed, Listing, Page, PageQuery, Path, Query};
use contracts::CodeId;

use crate::code::{self, Code, NewCode};
use crate::error::Error;
use crate::{State, ops, store};

/// Issue a live code
///
/// For one member or several: each person who scans it is assigned to one of them by weight, and stays with them.
#[utoipa::path(
    post, path = "/v1/codes", tag = "codes", params(IdempotencyKey), request_body = NewCode,
    responses((status = 201, body = Code))
)]
pub(super) async fn issue_code(
    extract::State(state): extract::State<State>,
    operator: Operator,
    request: Keyed<NewCode>,
) -> Result<(StatusCode, Json<Code>), Problem> {
    let code = ops::issue_code::issue_code(&state, operator, &request.key, request.body).await?;
    Ok((StatusCode::CREATED, Json(code)))
}

/// List the live codes
///
/// Oldest first.
#[utoipa::path(
    get, path = "/v1/codes", tag = "codes", params(PageQuery), responses((status = 200, body = Listing<Code>))
)]
pub(super) async fn list_codes(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Code>>, Problem> {
    let page = query.page()?;
    let mut tx = state.database.read(staff.tenant).await?;
    let codes = store::code::list(&mut *tx, None, &page).await?;
    Ok(Json(Listing::from_rows(codes, page.limit, |code| code.code_id)))
}

/// Get a live code
#[utoipa::path(
    get, path = "/v1/codes/{code_id}", tag = "codes", params(("code_id" = CodeId, Path)),
    responses((status = 200, body = Code))
)]
pub(super) async fn get_code(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Path(code_id): Path<CodeId>,
) -> Result<Json<Code>, Problem> {
    Ok(Json(find(&state, staff, code_id).await?))
}

/// Get a live code's picture
///
/// A QR code that carries the address of the scan page.
#[utoipa::path(
    get, path = "/v1/codes/{code_id}/qr.svg", tag = "codes", params(("code_id" = CodeId, Path)),
    responses((status = 200, body = String, content_type = "image/svg+xml"))
)]
pub(super) async fn draw_code(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Path(code_id): Path<CodeId>,
) -> Result<Response, Problem> {
    let code = find(&state, staff, code_id).await?;
    let picture = code::qr_svg(&state.public_url, &code.token).map_err(Error::from)?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], picture).into_response())
}

async fn find(state: &State, staff: Staff, code_id: CodeId) -> Result<Code, Error> {
    let mut tx = state.database.read(staff.tenant).await?;
    let codes = store::code::list(
        &mut *tx,
        Some(code_id),
        &Page {
            limit: 1,
            after: None,
        },
    )
    .await?;
    codes.into_iter().next().ok_or(Error::CodeUnknown)
}
