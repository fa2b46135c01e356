//! Orders over HTTP.

use axum::extract::State as Inject;
use chassis::Problem;
use chassis::auth::Staff;
use chassis::http::{Json, Path};

use crate::State;
use crate::engine::{OrderNo, Plan, Replay, replay};
use crate::error::Error;
use crate::order::Order;
use crate::store;

/// Shows an order: its lines, its events, and who earned what by it.
#[utoipa::path(
    get, path = "/v1/orders/{order}", tag = "orders", params(("order" = String, Path)),
    responses((status = 200, body = Order)),
)]
pub(super) async fn get_order(
    Inject(state): Inject<State>,
    staff: Staff,
    Path(order): Path<OrderNo>,
) -> Result<Json<Order>, Problem> {
    let mut tx = state.db.read(staff.tenant).await?;
    let (plan_id, until) = store::order::find(&mut *tx, &order)
        .await?
        .ok_or(Error::OrderUnknown)?;
    let received = store::event::of_orders(&mut *tx, std::slice::from_ref(&order)).await?;
    let mut plan: Option<Plan> = None;
    if let Some(plan_id) = plan_id {
        let draft = store::plan::drafts(&mut *tx, &[plan_id]).await?.pop();
        plan = draft
            .map(|(_, draft)| draft.check())
            .transpose()
            .map_err(Error::stored)?;
    }
    let (events, arrivals): (Vec<_>, Vec<_>) = received
        .into_iter()
        .map(|received| (received.content.0, received.received_at))
        .unzip();
    let told = match &plan {
        Some(plan) => replay(plan, &events, until),
        None => Replay::waiting(&events),
    };
    Ok(Json(Order::tell(&order, plan.as_ref(), &events, &arrivals, told)))
}
