//! Commissions over HTTP.

use axum::extract::State as Inject;
use chassis::Problem;
use chassis::auth::Staff;
use chassis::http::{Json, Listing, Page, Query};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::commission::{Commission, Place};
use crate::engine::PersonId;
use crate::{State, store};

/// Which commissions are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AccrualsQuery {
    /// Only those of this person: external id, or contact id of a contact.
    #[param(value_type = Option<String>)]
    person: Option<PersonId>,
    /// How many items at most: 1 to 500, 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists commissions by order, line and rule, each with what was reversed of it and why it is what it is.
#[utoipa::path(
    get, path = "/v1/accruals", tag = "commissions", params(AccrualsQuery),
    responses((status = 200, body = Listing<Commission>)),
)]
pub(super) async fn list_accruals(
    Inject(state): Inject<State>,
    staff: Staff,
    Query(query): Query<AccrualsQuery>,
) -> Result<Json<Listing<Commission>>, Problem> {
    let page = Page::<Place>::new(query.limit, query.cursor.as_deref())?;
    let mut tx = state.db.read(staff.tenant).await?;
    let person = match query.person {
        Some(person) => Some(store::person::resolve(&mut *tx, person).await?),
        None => None,
    };
    let rows = store::accrual::page(&mut *tx, person.as_ref(), page.after.as_ref(), page.rows_max()).await?;
    Ok(Json(Listing::from_rows(rows, page.limit, Commission::place)))
}
