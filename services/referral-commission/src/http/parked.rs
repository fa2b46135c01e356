//! Parked events over HTTP.

use axum::extract::State as Inject;
use chassis::Problem;
use chassis::auth::Staff;
use chassis::http::{Json, Listing, PageQuery, Query};

use crate::parked::{Parked, Place};
use crate::{State, store};

/// Lists events that are kept without (all of) their effect, longest parked first, with the reason.
#[utoipa::path(
    get, path = "/v1/parked", tag = "orders", params(PageQuery),
    responses((status = 200, body = Listing<Parked>)),
)]
pub(super) async fn list_parked(
    Inject(state): Inject<State>,
    staff: Staff,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Parked>>, Problem> {
    let page = query.page::<Place>()?;
    let mut tx = state.db.read(staff.tenant).await?;
    let rows = store::parked::page(&mut *tx, page.after.as_ref(), page.rows_max()).await?;
    Ok(Json(Listing::from_rows(rows, page.limit, Parked::place)))
}
