//! One order, told from the beginning: its events in the order of their happening, the
//! transactions they give, and what is refused on the way.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event::{Event, Line, Refund, Sale, What};
use super::money::share;
use super::name::{EventId, Sku};
use super::plan::{Plan, Version};
use super::posting::{Account, Entries, Kind, Transaction};
use super::reward::{Accrual, Cast, evaluate};

/// Why an event is parked: kept, visible, and without (all of) its effect (R10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Code {
    /// Its id or its business key is held by an event with other content.
    KeyConflict,
    /// A line's SKU is not in the plan: no sale, no commission.
    UnknownSku,
    /// The order has no accepted `order.paid`; takes effect when one arrives.
    UnknownOrder,
    /// Paid before the plan's first version.
    NoPlan,
    /// More would be given back than was paid.
    OverRefund,
    /// The buyer is the referrer or the closer; the sale stands, that person earns nothing.
    #[serde(rename = "SELF")]
    SelfReferral,
}

impl Code {
    const ALL: [Self; 6] = [
        Self::KeyConflict,
        Self::UnknownSku,
        Self::UnknownOrder,
        Self::NoPlan,
        Self::OverRefund,
        Self::SelfReferral,
    ];

    /// As it is written everywhere outside.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::KeyConflict => "KEY_CONFLICT",
            Self::UnknownSku => "UNKNOWN_SKU",
            Self::UnknownOrder => "UNKNOWN_ORDER",
            Self::NoPlan => "NO_PLAN",
            Self::OverRefund => "OVER_REFUND",
            Self::SelfReferral => "SELF",
        }
    }

    /// The code written so.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

/// The outcome of an order's events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replay {
    /// None while no `order.paid` is accepted.
    pub(crate) standing: Option<Standing>,
    /// In the order of their effect; those that move nothing are left out.
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) parked: BTreeSet<(EventId, Code)>,
}

/// How an order stands after its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) sale: Sale,
    pub(crate) paid_at: Timestamp,
    pub(crate) lines: BTreeMap<u32, LineStanding>,
    pub(crate) accruals: Vec<Accrual>,
    pub(crate) delivered_at: Option<Timestamp>,
    /// When its commissions become available.
    pub(crate) matures_at: Option<Timestamp>,
    pub(crate) is_matured: bool,
    pub(crate) is_voided: bool,
}

/// How a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LineStanding {
    pub(crate) sku: Sku,
    pub(crate) qty: u32,
    /// `net_item_paid`
    pub(crate) net: i64,
    pub(crate) refunded: i64,
}

/// Tells an order's story up to `until`: commissions whose hold ends by then have matured.
///
/// The order of `events` does not matter (I06): they take effect at max(own time, `paid_at`),
/// ties broken by id, maturity before events of its instant (R2, R6).
#[must_use]
pub(crate) fn replay(plan: &Plan, events: &[Event], until: Timestamp) -> Replay {
    let mut replay = Replay::default();
    let Some((paid, sale, version)) = accept(plan, events, &mut replay) else {
        replay.park_others(events);
        return replay;
    };
    let paid_at = paid.occurred_at;
    if Cast::of(sale).is_self_referral() {
        replay.parked.insert((paid.id.clone(), Code::SelfReferral));
    }
    let accruals = evaluate(plan, version, paid_at, sale);
    let mut standing = Standing::new(sale, paid_at, accruals);
    replay.push(Kind::Sale, Some(paid), paid_at, standing.sold());

    let mut rest: Vec<(Timestamp, &Event)> = events
        .iter()
        .filter(|event| !event.is_paid())
        .map(|event| (event.occurred_at.max(paid_at), event))
        .collect();
    rest.sort_by(|(at, event), (other_at, other)| (at, &event.id).cmp(&(other_at, &other.id)));
    for (at, event) in rest {
        standing.mature(at.min(until), &mut replay);
        match &event.what {
            What::Paid(_) => {}
            What::Delivered => {
                standing.delivered_at = Some(at);
                // The limit on hold days keeps this far from the end of time.
                standing.matures_at = Some(at.saturating_add(version.hold).unwrap_or(Timestamp::MAX));
            }
            What::Refunded(refund) => match standing.refund(refund) {
                Some(entries) => replay.push(Kind::Refund, Some(event), at, entries),
                None => _ = replay.parked.insert((event.id.clone(), Code::OverRefund)),
            },
            What::Voided { .. } => {
                let entries = standing.void();
                replay.push(Kind::Void, Some(event), at, entries);
            }
        }
    }
    standing.mature(until, &mut replay);
    replay.standing = Some(standing);
    replay
}

/// The sale the plan accepts, if there is one (R9, R41).
fn accept<'a>(
    plan: &'a Plan,
    events: &'a [Event],
    replay: &mut Replay,
) -> Option<(&'a Event, &'a Sale, &'a Version)> {
    let (paid, sale) = events.iter().find_map(|event| match &event.what {
        What::Paid(sale) => Some((event, sale)),
        _ => None,
    })?;
    if !sale.lines.iter().all(|line| plan.sells(&line.sku)) {
        replay.parked.insert((paid.id.clone(), Code::UnknownSku));
        return None;
    }
    let Some(version) = plan.version_at(paid.occurred_at) else {
        replay.parked.insert((paid.id.clone(), Code::NoPlan));
        return None;
    };
    Some((paid, sale, version))
}

impl Replay {
    fn push(&mut self, kind: Kind, event: Option<&Event>, at: Timestamp, entries: Entries) {
        if !entries.is_empty() {
            let event = event.map(|event| event.id.clone());
            self.transactions.push(Transaction {
                kind,
                event,
                at,
                entries,
            });
        }
    }

    /// The story while no `order.paid` came: whatever came waits for it.
    #[must_use]
    pub(crate) fn waiting(events: &[Event]) -> Self {
        let mut replay = Self::default();
        replay.park_others(events);
        replay
    }

    /// Without an accepted sale nothing else has an effect (R6, R9).
    fn park_others(&mut self, events: &[Event]) {
        let others = events.iter().filter(|event| !event.is_paid());
        self.parked
            .extend(others.map(|event| (event.id.clone(), Code::UnknownOrder)));
    }

    /// The code an event is parked with.
    #[must_use]
    pub(crate) fn code_of(&self, id: &EventId) -> Option<Code> {
        self.parked
            .iter()
            .find(|(parked, _)| parked == id)
            .map(|(_, code)| *code)
    }
}

impl Standing {
    fn new(sale: &Sale, paid_at: Timestamp, accruals: Vec<Accrual>) -> Self {
        let standing = |line: &Line| LineStanding {
            sku: line.sku.clone(),
            qty: line.qty,
            net: line.net(),
            refunded: 0,
        };
        Self {
            sale: sale.clone(),
            paid_at,
            lines: sale
                .lines
                .iter()
                .map(|line| (line.line, standing(line)))
                .collect(),
            accruals,
            delivered_at: None,
            matures_at: None,
            is_matured: false,
            is_voided: false,
        }
    }

    /// Whether nothing of the sale is left.
    #[must_use]
    pub(crate) fn is_undone(&self) -> bool {
        let nothing_left = self.lines.values().all(|line| line.refunded == line.net);
        self.is_voided || (nothing_left && self.lines.values().any(|line| line.net > 0))
    }

    /// Sale Dr CLR Cr MER; accrual Dr COM Cr HELD.
    fn sold(&self) -> Entries {
        let mut entries = Entries::default();
        let net = self.lines.values().map(|line| line.net).sum();
        entries.transfer(&Account::Clearing, &Account::Merchant, None, net);
        for accrual in &self.accruals {
            let held = Account::Held(accrual.person.clone());
            entries.transfer(&Account::Commission, &held, Some(&accrual.part()), accrual.minor);
        }
        entries
    }

    /// Dr HELD Cr AVAIL, once, when the hold has ended by `at`.
    fn mature(&mut self, at: Timestamp, replay: &mut Replay) {
        let Some(matures_at) = self.matures_at.filter(|due| *due <= at && !self.is_matured) else {
            return;
        };
        self.is_matured = true;
        let mut entries = Entries::default();
        for accrual in &self.accruals {
            let held = Account::Held(accrual.person.clone());
            let available = Account::Available(accrual.person.clone());
            entries.transfer(
                &held,
                &available,
                Some(&accrual.part()),
                accrual.minor - accrual.reversed,
            );
        }
        replay.push(Kind::Maturity, None, matures_at, entries);
    }

    /// None when a line would give back more than was paid for it: refused whole (I09, R28).
    fn refund(&mut self, refund: &Refund) -> Option<Entries> {
        let mut amounts: BTreeMap<u32, i64> = BTreeMap::new();
        for line in &refund.lines {
            let sum = amounts.entry(line.line).or_default();
            *sum = sum.saturating_add(line.amount);
        }
        let fits = |(number, amount): (&u32, &i64)| {
            let left = self.lines.get(number).map_or(0, |line| line.net - line.refunded);
            *amount <= left
        };
        if self.is_voided || !amounts.iter().all(fits) {
            return None;
        }
        Some(self.give_back(&amounts))
    }

    /// Gives back whatever is left (R21).
    fn void(&mut self) -> Entries {
        self.is_voided = true;
        let left = self
            .lines
            .iter()
            .map(|(number, line)| (*number, line.net - line.refunded))
            .collect();
        self.give_back(&left)
    }

    /// Refund Dr MER Cr CLR; reversal Dr HELD or AVAIL Cr COM, by cumulative target.
    fn give_back(&mut self, amounts: &BTreeMap<u32, i64>) -> Entries {
        let mut entries = Entries::default();
        entries.transfer(
            &Account::Merchant,
            &Account::Clearing,
            None,
            amounts.values().sum(),
        );
        for (number, line) in &mut self.lines {
            line.refunded += amounts.get(number).unwrap_or(&0);
        }
        for accrual in &mut self.accruals {
            // A line that accrues has a net above zero (R26).
            let line = &self.lines[&accrual.line];
            let target = share(accrual.minor, line.refunded, line.net);
            let person = accrual.person.clone();
            let payable = if self.is_matured {
                Account::Available(person)
            } else {
                Account::Held(person)
            };
            let reversal = target - accrual.reversed;
            entries.transfer(&payable, &Account::Commission, Some(&accrual.part()), reversal);
            accrual.reversed = target;
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_one_way() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(Code::named(code.as_str()), Some(code));
        }
    }
}
