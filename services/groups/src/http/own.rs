//! A contact's own groups over HTTP.

use axum::extract::State as Inject;
use chassis::Problem;
use chassis::auth::ContactSelf;
use chassis::http::{Json, Listing, PageQuery, Query};
use contracts::GroupId;
use uuid::Uuid;

use crate::State;
use crate::seat::OwnGroup;
use crate::store;

/// Lists the groups in which the contact that asks has a seat.
#[utoipa::path(
    get, path = "/v1/me/groups", tag = "me", params(PageQuery),
    responses((status = 200, body = Listing<OwnGroup>)),
)]
pub(super) async fn list_own_groups(
    Inject(state): Inject<State>,
    own: ContactSelf,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<OwnGroup>>, Problem> {
    let page = query.page::<GroupId>()?;
    let after = page.after.unwrap_or(GroupId(Uuid::nil()));
    let mut tx = state.db.read(own.tenant).await?;
    let rows = store::seat::page_of_contact(&mut *tx, own.contact, after, page.rows_max()).await?;
    Ok(Json(Listing::from_rows(rows, page.limit, |group| group.group_id)))
}
