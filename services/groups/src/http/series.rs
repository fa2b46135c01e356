//! Series over HTTP.

use axum::extract::State as Inject;
use axum::http::StatusCode;
use chassis::Problem;
use chassis::auth::{ContactOrOperator, Operator, Staff};
use chassis::http::{IdempotencyKey, Json, Keyed, Listing, PageQuery, Path, Query};
use contracts::SeriesId;
use uuid::Uuid;

use crate::State;
use crate::error::Error;
use crate::ops::{self, Door};
use crate::seat::{Applicant, ForContact, Joined};
use crate::series::{OpenSeries, Series};
use crate::store;

/// Opens a series together with its first group.
///
/// When a group is full, the next one opens under the same name with the next number.
#[utoipa::path(
    post, path = "/v1/series", tag = "series", params(IdempotencyKey), request_body = OpenSeries,
    responses((status = 201, body = Series)),
)]
pub(super) async fn open_series(
    Inject(state): Inject<State>,
    operator: Operator,
    Keyed { key, body }: Keyed<OpenSeries>,
) -> Result<(StatusCode, Json<Series>), Problem> {
    let series = ops::open_series(&state, &operator, &key, body).await?;
    Ok((StatusCode::CREATED, Json(series)))
}

/// Lists the tenant's series, oldest first.
#[utoipa::path(
    get, path = "/v1/series", tag = "series", params(PageQuery),
    responses((status = 200, body = Listing<Series>)),
)]
pub(super) async fn list_series(
    Inject(state): Inject<State>,
    staff: Staff,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Series>>, Problem> {
    let page = query.page::<SeriesId>()?;
    let after = page.after.unwrap_or(SeriesId(Uuid::nil()));
    let mut tx = state.db.read(staff.tenant).await?;
    let rows = store::series::page(&mut *tx, after, page.rows_max()).await?;
    Ok(Json(Listing::from_rows(rows, page.limit, |series| {
        series.series_id
    })))
}

/// Shows one series.
#[utoipa::path(
    get, path = "/v1/series/{series_id}", tag = "series", params(("series_id" = SeriesId, Path)),
    responses((status = 200, body = Series)),
)]
pub(super) async fn get_series(
    Inject(state): Inject<State>,
    staff: Staff,
    Path(series_id): Path<SeriesId>,
) -> Result<Json<Series>, Problem> {
    let mut tx = state.db.read(staff.tenant).await?;
    let series = store::series::find(&mut *tx, series_id).await?;
    Ok(Json(series.ok_or(Error::SeriesUnknown)?))
}

/// Takes a seat in the group of the series that takes newcomers now.
///
/// When that group is full, the next one opens. A contact sits once in a series: who joins again
/// is answered with the seat it has.
#[utoipa::path(
    post, path = "/v1/series/{series_id}/join", tag = "series",
    params(("series_id" = SeriesId, Path), IdempotencyKey), request_body = ForContact,
    responses((status = 200, body = Joined)),
)]
pub(super) async fn join_series(
    Inject(state): Inject<State>,
    caller: ContactOrOperator,
    Path(series_id): Path<SeriesId>,
    Keyed { key, body }: Keyed<ForContact>,
) -> Result<Json<Joined>, Problem> {
    let applicant = Applicant::parse(&caller, body.contact_id)?;
    Ok(Json(
        ops::join(&state, &applicant, &key, Door::Series(series_id)).await?,
    ))
}
