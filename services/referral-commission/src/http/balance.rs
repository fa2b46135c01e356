//! The trial balance over HTTP.

use axum::extract::State as Inject;
use chassis::Problem;
use chassis::auth::Staff;
use chassis::http::{Json, Listing, PageQuery, Query};

use crate::balance::{TrialBalance, totals};
use crate::{State, store};

/// Shows every account's balance, debit + and credit −. `totals` (zero, always) and `classes` are
/// over everything; `accounts` come in pages.
#[utoipa::path(
    get, path = "/v1/trial-balance", tag = "ledger", params(PageQuery),
    responses((status = 200, body = TrialBalance)),
)]
pub(super) async fn get_trial_balance(
    Inject(state): Inject<State>,
    staff: Staff,
    Query(query): Query<PageQuery>,
) -> Result<Json<TrialBalance>, Problem> {
    let page = query.page::<(String, String)>()?;
    let mut tx = state.db.read(staff.tenant).await?;
    store::freeze(&mut *tx).await?;
    let classes = store::journal::classes(&mut *tx).await?;
    let rows = store::journal::accounts(&mut *tx, page.after.as_ref(), page.rows_max()).await?;
    let Listing {
        items: accounts,
        next_cursor,
    } = Listing::from_rows(rows, page.limit, |row| {
        (row.account.clone(), row.balance.currency.clone())
    });
    Ok(Json(TrialBalance {
        totals: totals(&classes),
        classes,
        accounts,
        next_cursor,
    }))
}
