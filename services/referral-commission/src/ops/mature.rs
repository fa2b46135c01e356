//! Maturing commissions whose hold has ended, on the database's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::TenantId;
use outbox::Actor;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::State;
use crate::engine::{Event, OrderNo, Plan, difference, replay};
use crate::error::Error;
use crate::store;
use crate::store::journal::Posting;
use crate::store::order::Locked;

const TENANTS_MAX: i64 = 100;
const ORDERS_MAX: i64 = 200;

/// Looks for due commissions until `stopping`, again at once while there are any.
pub(crate) async fn mature_until_stopped(state: State, poll: Duration, stopping: CancellationToken) {
    while !stopping.is_cancelled() {
        match mature_due(&state).await {
            Ok(0) => {}
            Ok(orders) => {
                tracing::info!(orders, "commissions matured");
                continue;
            }
            Err(error) => tracing::warn!(%error, "commissions not matured, tried again"),
        }
        stopping.run_until_cancelled(tokio::time::sleep(poll)).await;
    }
}

/// Matures at most a batch for each of some tenants; answers how many orders.
///
/// A tenant whose batch fails does not keep the others waiting.
pub(crate) async fn mature_due(state: &State) -> Result<usize, Error> {
    let mut everyone = state.db.begin_everyone().await?;
    let tenants = store::order::tenants_due(&mut *everyone, TENANTS_MAX).await?;
    drop(everyone);
    let mut matured = 0;
    for tenant_id in tenants {
        match mature_tenant(state, tenant_id).await {
            Ok(orders) => matured += orders,
            Err(error) => tracing::error!(%error, %tenant_id, "a tenant's commissions not matured"),
        }
    }
    Ok(matured)
}

/// A batch, or when it fails its orders one by one: one that can't mature does not keep the others from it.
async fn mature_tenant(state: &State, tenant_id: TenantId) -> Result<usize, Error> {
    match mature_batch(state, tenant_id, None).await {
        Ok(orders) => return Ok(orders),
        Err(error) => {
            tracing::warn!(%error, %tenant_id, "a batch not matured, its orders are tried one by one")
        }
    }
    let mut tx = state.db.read(tenant_id).await?;
    let due = store::order::due(&mut *tx, ORDERS_MAX).await?;
    drop(tx);
    let mut matured = 0;
    for order in &due {
        match mature_batch(state, tenant_id, Some(order)).await {
            Ok(orders) => matured += orders,
            Err(error) => {
                metrics::counter!("referral_orders_not_matured_total").increment(1);
                tracing::error!(%error, %tenant_id, %order, "an order's commissions not matured");
            }
        }
    }
    Ok(matured)
}

/// Cost: 9 round trips for up to 200 orders. Locks: the orders' rows, without waiting for any; then
/// the balance rows in the order of their names.
#[tracing::instrument(name = "referral.mature", skip_all, fields(%tenant_id))]
async fn mature_batch(state: &State, tenant_id: TenantId, only: Option<&OrderNo>) -> Result<usize, Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(tenant_id).await?;
    let due = store::order::lock_due(&mut *tx, only, ORDERS_MAX).await?;
    let orders: Vec<OrderNo> = due.iter().map(|order| order.order.clone()).collect();
    let mut events: BTreeMap<OrderNo, Vec<Event>> = BTreeMap::new();
    for received in store::event::of_orders(&mut *tx, &orders).await? {
        events
            .entry(received.content.order.clone())
            .or_default()
            .push(received.content.0);
    }
    let plans = plans(&mut tx, &due).await?;
    let postings: Vec<Posting> = due
        .iter()
        .filter_map(|order| mature(order, plans.get(&order.plan_id?)?, events.get(&order.order)?))
        .collect();
    store::journal::post(&mut tx, tenant_id, &postings, now).await?;
    for order in &due {
        tx.audit(Actor::System("mature"), "order.matured", &order.order);
    }
    tx.commit().await?;
    Ok(due.len())
}

async fn plans(tx: &mut outbox::Tx, due: &[Locked]) -> Result<BTreeMap<Uuid, Plan>, Error> {
    let plan_ids: Vec<Uuid> = due.iter().filter_map(|order| order.plan_id).collect();
    let drafts = store::plan::drafts(&mut **tx, &plan_ids).await?;
    drafts
        .into_iter()
        .map(|(id, draft)| Ok((id, draft.check().map_err(Error::stored)?)))
        .collect()
}

/// What time alone adds to an order's story.
fn mature(order: &Locked, plan: &Plan, events: &[Event]) -> Option<Posting> {
    let before = replay(plan, events, order.settled_before?);
    let after = replay(plan, events, order.settled_until);
    let transactions = difference(&before, &after);
    Some(Posting {
        order: order.order.clone(),
        currency: plan.currency.clone(),
        caused_by: None,
        transactions,
    })
}
