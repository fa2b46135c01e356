//! Imports of contacts, for operators.

use std::io;

use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, StatusCode, header};
use chassis::Problem;
use chassis::auth::{Operator, Staff};
use chassis::http::{IdempotencyKey, Json, Listing, PageQuery, Path, Query};
use contracts::ImportId;
use futures::TryStreamExt as _;
use serde::Deserialize;
use tokio_util::io::StreamReader;
use tracing::Instrument as _;
use utoipa::IntoParams;

use crate::error::Error;
use crate::import::{Import, ImportReport, Rejection};
use crate::{State, ops, store};

/// How to import.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ImportQuery {
    /// Report what would happen and write no contact.
    #[serde(default)]
    dry_run: bool,
}

/// Import contacts from a CSV file
///
/// UTF-8, at most 256 MiB and 500,000 rows. The first line names the columns in any order: `external_id`, `name`, and any of
/// `phone` (+81 or +86), `email`, `birth_month` (`YYYY-MM`), `tags` (separated by `;`) and `zone` (a name of the IANA database, such
/// as `Asia/Tokyo`). A person who exists is updated: empty fields leave what is known, tags are added. Rows that can't be
/// taken are reported, the rest goes on. Batches of 500 rows are written as they come: an import that fails keeps those
/// written, and can be sent again under the same key.
#[utoipa::path(
    post, path = "/v1/imports", tag = "imports", params(ImportQuery, IdempotencyKey),
    request_body(
        content = String, content_type = "text/csv",
        example = json!("external_id,name,phone,email,birth_month,tags\nwx-1,李小红,138 0013 8000,li@example.cn,1990-02,vip;mama\n")
    ),
    responses((status = 201, body = ImportReport))
)]
pub(super) async fn import_contacts(
    extract::State(state): extract::State<State>,
    operator: Operator,
    IdempotencyKey(key): IdempotencyKey,
    Query(query): Query<ImportQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<ImportReport>), Problem> {
    expect_csv(&headers)?;
    let body = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    // A task of its own: if the client hangs up, it reads the end of the body and notes the failure.
    let import = async move {
        ops::import_contacts::import_contacts(&state, operator, &key, query.dry_run, body).await
    };
    let report = tokio::spawn(import.in_current_span())
        .await
        .map_err(Error::from)??;
    Ok((StatusCode::CREATED, Json(report)))
}

fn expect_csv(headers: &HeaderMap) -> Result<(), Error> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    if essence.eq_ignore_ascii_case("text/csv") {
        Ok(())
    } else {
        Err(Error::NotCsv)
    }
}

/// Get an import
///
/// With its progress while it runs.
#[utoipa::path(
    get, path = "/v1/imports/{import_id}", tag = "imports", params(("import_id" = ImportId, Path)),
    responses((status = 200, body = Import))
)]
pub(super) async fn get_import(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Path(import_id): Path<ImportId>,
) -> Result<Json<Import>, Problem> {
    let mut tx = state.database.read(staff.tenant).await?;
    let import = store::import::find(&mut *tx, import_id)
        .await?
        .ok_or(Error::ImportUnknown)?;
    Ok(Json(import))
}

/// List the rejected rows of an import
///
/// By line.
#[utoipa::path(
    get, path = "/v1/imports/{import_id}/rows", tag = "imports", params(("import_id" = ImportId, Path), PageQuery),
    responses((status = 200, body = Listing<Rejection>))
)]
pub(super) async fn list_rejections(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Path(import_id): Path<ImportId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Rejection>>, Problem> {
    let page = query.page()?;
    let mut tx = state.database.read(staff.tenant).await?;
    store::import::find(&mut *tx, import_id)
        .await?
        .ok_or(Error::ImportUnknown)?;
    let rejections = store::import::rejections(&mut *tx, import_id, &page).await?;
    Ok(Json(Listing::from_rows(rejections, page.limit, |rejection| {
        rejection.line
    })))
}
