//! Taking in what happened to an order: once, whatever the order of arrival.
//!
//! The order's story is told twice, without and with the event, and the difference is posted.
//!
//! Cost: 10 to 15 round trips in one transaction, a fixed number whatever the order's lines. Locks,
//! in this sequence, each held to the commit: the event's keys, the order's row, and last the
//! balance rows in the order of their names. Orders of one tenant meet at its CLR, MER and COM rows
//! only, for one statement and the commit.

use std::collections::BTreeSet;

use chassis::auth::Operator;
use contracts::TenantId;
use jiff::{SignedDuration, Timestamp};
use outbox::Tx;
use serde::Serialize;
use utoipa::ToSchema;

use crate::State;
use crate::engine::{Accrual, Claim, Code, Event, Plan, Replay, What, difference, replay};
use crate::error::Error;
use crate::events;
use crate::store;
use crate::store::journal::Posting;
use crate::store::order::Locked;

const EVENTS_OF_ORDER_MAX: usize = 500;
const COMMISSIONS_OF_ORDER_MAX: usize = 500;
/// How far a shop's clock may be ahead of ours.
const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(5);

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It has its effect.
    Posted,
    /// It was there before; nothing happened.
    Replayed,
    /// It is kept, without (all of) its effect; the code says why.
    Parked,
}

impl Outcome {
    pub(crate) const ALL: [Self; 3] = [Self::Posted, Self::Replayed, Self::Parked];

    /// As in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Replayed => "replayed",
            Self::Parked => "parked",
        }
    }
}

/// The answer to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Receipt {
    pub(crate) outcome: Outcome,
    /// Why it is parked: `UNKNOWN_ORDER` (in effect as soon as the order's `order.paid` arrives),
    /// `UNKNOWN_SKU`, `NO_PLAN`, `OVER_REFUND`, or `SELF` (the sale is posted, the buyer earns nothing).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<Code>,
}

#[tracing::instrument(name = "referral.take_in", skip_all, fields(kind = event.kind()))]
pub(crate) async fn take_in(state: &State, operator: Operator, event: Event) -> Result<Receipt, Error> {
    let (now, tenant_id) = (state.clock.now(), operator.tenant);
    if event.occurred_at.duration_since(now) > AHEAD_MAX {
        return Err(Error::InTheFuture);
    }
    let mut tx = state.db.begin(tenant_id).await?;
    let fingerprint = event.fingerprint();
    let held = store::event::claim(&mut tx, tenant_id, &event.keys(), &fingerprint).await?;
    match Claim::judge(&fingerprint, &held) {
        Claim::New => {}
        Claim::Same => return repeat(tx, &event).await,
        Claim::Other => {
            let conflict = (&event, Code::KeyConflict);
            if store::parked::put(&mut *tx, tenant_id, &[conflict], now).await? > 0 {
                left_parked(&mut tx, operator, &[conflict]);
            }
            tx.commit().await?;
            return Err(Error::KeyConflict);
        }
    }
    let event = resolve(&mut tx, event).await?;
    let order = store::order::lock(&mut *tx, tenant_id, &event.order).await?;
    let mut events = load(&mut tx, &order).await?;
    if events.len() >= EVENTS_OF_ORDER_MAX {
        return Err(Error::OrderFull(EVENTS_OF_ORDER_MAX));
    }
    let terms = Terms::of(&mut tx, &order, &event).await?;

    let before = terms.tell(&events, order.settled_before.unwrap_or(order.settled_until));
    store::event::insert(&mut *tx, tenant_id, &event, now).await?;
    events.push(event);
    let after = terms.tell(&events, order.settled_until);
    check_size(events.last(), &after)?;

    park(&mut tx, operator, &events, [&before, &after], now).await?;
    let code = events.last().and_then(|event| after.code_of(&event.id));
    if let (Some(event), None) = (events.last(), code) {
        tx.audit(operator, "order_event.posted", &event.id);
    }
    if let Some((plan_id, plan)) = &terms.0 {
        let matures_at = after.standing.as_ref().and_then(|standing| standing.matures_at);
        store::order::keep_terms(&mut *tx, &order.order, Some(*plan_id), matures_at).await?;
        post(&mut tx, tenant_id, plan, &events, [&before, &after], now).await?;
    }
    tx.commit().await?;
    Ok(Receipt {
        outcome: if code.is_some() {
            Outcome::Parked
        } else {
            Outcome::Posted
        },
        code,
    })
}

/// The keys of a repetition stay claimed; nothing else happens.
async fn repeat(mut tx: Tx, event: &Event) -> Result<Receipt, Error> {
    let code = store::parked::code_of(&mut *tx, &event.id).await?;
    tx.commit().await?;
    Ok(Receipt {
        outcome: Outcome::Replayed,
        code,
    })
}

/// Contacts named by contact id become the person the tenant knows.
async fn resolve(tx: &mut Tx, mut event: Event) -> Result<Event, Error> {
    if let What::Paid(sale) = &mut event.what {
        for person in sale.people_mut() {
            *person = store::person::find(&mut **tx, person)
                .await?
                .ok_or_else(|| Error::PersonUnknown(person.clone()))?;
        }
    }
    Ok(event)
}

/// Bounds what one transaction posts: two entries a commission. What an accepted order leads to is never more.
fn check_size(latest: Option<&Event>, after: &Replay) -> Result<(), Error> {
    let commissions = after
        .standing
        .as_ref()
        .map_or(0, |standing| standing.accruals.len());
    if latest.is_some_and(Event::is_paid) && commissions > COMMISSIONS_OF_ORDER_MAX {
        return Err(Error::OrderTooLarge(COMMISSIONS_OF_ORDER_MAX));
    }
    Ok(())
}

async fn load(tx: &mut Tx, order: &Locked) -> Result<Vec<Event>, Error> {
    let received = store::event::of_orders(&mut **tx, std::slice::from_ref(&order.order)).await?;
    Ok(received.into_iter().map(|received| received.content.0).collect())
}

/// The plan an order stands under; none before its `order.paid`.
struct Terms(Option<(uuid::Uuid, Plan)>);

impl Terms {
    /// The publication in force when the order's `order.paid` comes in stays with the order.
    async fn of(tx: &mut Tx, order: &Locked, event: &Event) -> Result<Self, Error> {
        let (plan_id, draft) = match order.plan_id {
            Some(plan_id) => {
                let mut drafts = store::plan::drafts(&mut **tx, &[plan_id]).await?;
                drafts
                    .pop()
                    .ok_or_else(|| Error::stored("the plan of an order is gone"))?
            }
            None if event.is_paid() => {
                let in_force = store::plan::current(&mut **tx).await?.ok_or(Error::NoPlanYet)?;
                (in_force.plan_id, in_force.plan)
            }
            None => return Ok(Self(None)),
        };
        Ok(Self(Some((plan_id, draft.check().map_err(Error::stored)?))))
    }

    fn tell(&self, events: &[Event], until: Timestamp) -> Replay {
        match &self.0 {
            Some((_, plan)) => replay(plan, events, until),
            None => Replay::waiting(events),
        }
    }
}

/// Brings ledger, commissions and listeners from one story to the other.
async fn post(
    tx: &mut Tx,
    tenant_id: TenantId,
    plan: &Plan,
    events: &[Event],
    [before, after]: [&Replay; 2],
    now: Timestamp,
) -> Result<(), Error> {
    let Some(latest) = events.last() else {
        return Ok(());
    };
    let transactions = difference(before, after);
    let changes: Vec<_> = transactions
        .iter()
        .flat_map(|transaction| transaction.changes())
        .collect();
    let changed = changed_accruals(before, after);
    store::accrual::put(&mut **tx, tenant_id, &latest.order, &plan.currency, &changed).await?;
    let (accrued, reversed) = events::commissions(tenant_id, &latest.order, &plan.currency, &changes);
    outbox::record_all(tx, &accrued, now).await?;
    outbox::record_all(tx, &reversed, now).await?;
    let posting = Posting {
        order: latest.order.clone(),
        currency: plan.currency.clone(),
        caused_by: Some(latest.id.clone()),
        transactions,
    };
    // Last, because it takes the rows that everybody wants.
    store::journal::post(tx, tenant_id, &[posting], now).await?;
    Ok(())
}

fn changed_accruals<'a>(before: &Replay, after: &'a Replay) -> Vec<&'a Accrual> {
    let earlier = before
        .standing
        .as_ref()
        .map_or(&[][..], |standing| &standing.accruals);
    let accruals = after.standing.iter().flat_map(|standing| &standing.accruals);
    accruals.filter(|accrual| !earlier.contains(accrual)).collect()
}

/// Parks and clears what the event changed for itself and for others.
async fn park(
    tx: &mut Tx,
    operator: Operator,
    events: &[Event],
    [before, after]: [&Replay; 2],
    now: Timestamp,
) -> Result<(), Error> {
    let cleared: BTreeSet<_> = before.parked.difference(&after.parked).collect();
    store::parked::clear(&mut **tx, &cleared, now).await?;
    for (id, code) in cleared {
        tx.audit(operator, "order_event.cleared", id).note(code.as_str());
    }
    let newly: Vec<(&Event, Code)> = after
        .parked
        .difference(&before.parked)
        .filter_map(|(id, code)| {
            events
                .iter()
                .find(|event| event.id == *id)
                .map(|event| (event, *code))
        })
        .collect();
    store::parked::put(&mut **tx, operator.tenant, &newly, now).await?;
    left_parked(tx, operator, &newly);
    Ok(())
}

fn left_parked(tx: &mut Tx, operator: Operator, parked: &[(&Event, Code)]) {
    for (event, code) in parked {
        tx.audit(operator, "order_event.parked", &event.id)
            .note(code.as_str());
    }
}
