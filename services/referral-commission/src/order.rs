//! An order as it is told: its lines, events and commissions.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::commission::Commission;
use crate::engine::{Code, Event, EventId, OrderNo, PersonId, Plan, Replay, Sku};

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderState {
    /// No `order.paid` was accepted; the other events wait for it.
    Unpaid,
    Paid,
    Delivered,
    /// Its commissions are available.
    Matured,
    /// Everything was given back, or the order was voided.
    Undone,
}

/// One order of the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Order {
    pub(crate) order: OrderNo,
    pub(crate) state: OrderState,
    pub(crate) currency: Option<String>,
    pub(crate) buyer: Option<PersonId>,
    pub(crate) referrer: Option<PersonId>,
    pub(crate) closer: Option<PersonId>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) paid_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) delivered_at: Option<Timestamp>,
    /// When its commissions become available.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) matures_at: Option<Timestamp>,
    pub(crate) lines: Vec<OrderLine>,
    /// In the order of their arrival.
    pub(crate) events: Vec<OrderEvent>,
    pub(crate) accruals: Vec<Commission>,
}

/// One line of an order, in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OrderLine {
    pub(crate) line: u32,
    pub(crate) sku: Sku,
    pub(crate) qty: u32,
    pub(crate) net_item_paid: i64,
    pub(crate) refunded: i64,
}

/// One event of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OrderEvent {
    pub(crate) id: EventId,
    pub(crate) r#type: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) occurred_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) received_at: Timestamp,
    /// Why it is parked, if it is.
    pub(crate) parked: Option<Code>,
}

impl Order {
    /// Tells an order that was replayed under `plan`, which it has once it was paid.
    pub(crate) fn tell(
        order: &OrderNo,
        plan: Option<&Plan>,
        events: &[Event],
        arrivals: &[Timestamp],
        replay: Replay,
    ) -> Self {
        let told = events
            .iter()
            .zip(arrivals)
            .map(|(event, received_at)| OrderEvent {
                id: event.id.clone(),
                r#type: event.kind().to_owned(),
                occurred_at: event.occurred_at,
                received_at: *received_at,
                parked: replay.code_of(&event.id),
            });
        let mut this = Self {
            order: order.clone(),
            state: OrderState::of(&replay),
            currency: plan.map(|plan| plan.currency.clone()),
            buyer: None,
            referrer: None,
            closer: None,
            paid_at: None,
            delivered_at: None,
            matures_at: None,
            lines: Vec::new(),
            events: told.collect(),
            accruals: Vec::new(),
        };
        let Some((standing, plan)) = replay.standing.zip(plan) else {
            return this;
        };
        this.closer = standing.sale.closer().cloned();
        this.buyer = Some(standing.sale.buyer);
        this.referrer = standing.sale.referrer;
        this.paid_at = Some(standing.paid_at);
        this.delivered_at = standing.delivered_at;
        this.matures_at = standing.matures_at;
        let line = |(line, standing): (u32, crate::engine::LineStanding)| OrderLine {
            line,
            sku: standing.sku,
            qty: standing.qty,
            net_item_paid: standing.net,
            refunded: standing.refunded,
        };
        this.lines = standing.lines.into_iter().map(line).collect();
        let commission = |accrual| Commission::new(order.clone(), &plan.currency, accrual);
        this.accruals = standing.accruals.into_iter().map(commission).collect();
        this
    }
}

impl OrderState {
    fn of(replay: &Replay) -> Self {
        match &replay.standing {
            None => Self::Unpaid,
            Some(standing) if standing.is_undone() => Self::Undone,
            Some(standing) if standing.is_matured => Self::Matured,
            Some(standing) if standing.delivered_at.is_some() => Self::Delivered,
            Some(_) => Self::Paid,
        }
    }
}
