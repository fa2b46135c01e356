//! What the ledger must say, computed from the file alone and in integers: 398.00 → 150.00 + 10 %.
//!
//! An order's events count by their own time, in whatever order they arrive; a refund takes back
//! `round(C × refunded / paid)` of each commission in total.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::file::{Event, What};

/// The one product of the plan.
const SKU: &str = "PKG398";
/// To the referrer, for each.
const FIXED: i64 = 15_000;
/// To the closer, of what was paid.
const RATE_PPM: i64 = 100_000;
const PPM: i64 = 1_000_000;
/// When the plan begins: 2026-01-01T00:00:00+08:00.
const PLAN_FROM_SECOND: i64 = 1_767_196_800;

/// What the ledger answers to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    Posted,
    Replayed,
    /// Kept without (all of) its effect, with this code.
    Parked(&'static str),
}

/// Money of one order, or of all; minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) sold: i64,
    pub(crate) refunded: i64,
    /// By who earns: accrued and reversed.
    pub(crate) people: BTreeMap<String, (i64, i64)>,
}

impl Sums {
    pub(crate) fn accrued(&self) -> i64 {
        self.people.values().map(|(accrued, _)| accrued).sum()
    }

    pub(crate) fn reversed(&self) -> i64 {
        self.people.values().map(|(_, reversed)| reversed).sum()
    }

    fn add(&mut self, other: Self) {
        self.sold += other.sold;
        self.refunded += other.refunded;
        for (person, (accrued, reversed)) in other.people {
            let own = self.people.entry(person).or_default();
            *own = (own.0 + accrued, own.1 + reversed);
        }
    }
}

/// What the ledger must answer to each event in turn, and hold in the end.
pub(crate) fn of(events: &[Event]) -> (Vec<Answer>, Sums) {
    let mut orders: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    let answers = events
        .iter()
        .map(|event| arrive(orders.entry(&event.order).or_default(), event))
        .collect();
    let mut sums = Sums::default();
    for known in orders.values() {
        sums.add(judge(known).0);
    }
    (answers, sums)
}

/// Takes an event to what is known of its order.
fn arrive<'a>(known: &mut Vec<&'a Event>, event: &'a Event) -> Answer {
    if let Some(earlier) = known.iter().find(|earlier| earlier.id() == event.id()) {
        let is_same = (earlier.at, &earlier.what) == (event.at, &event.what);
        return if is_same {
            Answer::Replayed
        } else {
            Answer::Parked("KEY_CONFLICT")
        };
    }
    known.push(event);
    let (_, parked) = judge(known);
    parked
        .get(&event.id())
        .map_or(Answer::Posted, |code| Answer::Parked(code))
}

/// The money of one order, and which of its events are parked.
fn judge(known: &[&Event]) -> (Sums, BTreeMap<String, &'static str>) {
    let mut parked = BTreeMap::new();
    let Some(sale) = known.iter().find_map(|event| Sale::of(event)) else {
        for event in known {
            let code = match &event.what {
                What::Paid { sku, .. } if sku != SKU => "UNKNOWN_SKU",
                What::Paid { .. } => "NO_PLAN",
                What::Delivered | What::Refunded { .. } => "UNKNOWN_ORDER",
            };
            parked.insert(event.id(), code);
        }
        return (Sums::default(), parked);
    };
    let mut refunds: Vec<(Timestamp, String, i64)> = Vec::new();
    for event in known {
        if let What::Refunded { amount, .. } = event.what {
            refunds.push((event.at.max(sale.at), event.id(), amount));
        }
    }
    refunds.sort();
    let mut refunded = 0;
    for (_, id, amount) in refunds {
        if refunded + amount > sale.net {
            parked.insert(id, "OVER_REFUND");
        } else {
            refunded += amount;
        }
    }
    let mut sums = Sums {
        sold: sale.net,
        refunded,
        people: BTreeMap::new(),
    };
    match sale.referrer {
        Some(referrer) if referrer == sale.buyer => _ = parked.insert(sale.id, "SELF"),
        Some(referrer) if sale.net > 0 => _ = sums.people.insert(referrer.to_owned(), sale.earned(refunded)),
        _ => {}
    }
    (sums, parked)
}

/// A payment the plan accepts.
struct Sale<'a> {
    id: String,
    at: Timestamp,
    buyer: &'a str,
    referrer: Option<&'a str>,
    qty: i64,
    net: i64,
}

impl<'a> Sale<'a> {
    fn of(event: &'a Event) -> Option<Self> {
        let What::Paid {
            buyer,
            referrer,
            sku,
            qty,
            unit_price,
        } = &event.what
        else {
            return None;
        };
        let qty = i64::from(*qty);
        (sku == SKU && event.at.as_second() >= PLAN_FROM_SECOND).then(|| Self {
            id: event.id(),
            at: event.at,
            buyer,
            referrer: referrer.as_deref(),
            qty,
            net: qty * unit_price,
        })
    }

    /// Accrued, and reversed after so much was given back.
    fn earned(&self, refunded: i64) -> (i64, i64) {
        let commissions = [FIXED * self.qty, share(self.net, RATE_PPM, PPM)];
        let reversed = commissions.map(|commission| share(commission, refunded, self.net));
        (commissions.iter().sum(), reversed.iter().sum())
    }
}

/// `amount × part / whole`, rounded half up.
fn share(amount: i64, part: i64, whole: i64) -> i64 {
    let (amount, part, whole) = (i128::from(amount), i128::from(part), i128::from(whole));
    let rounded = (2 * amount * part + whole) / (2 * whole);
    // A share of money that fits is smaller than that money.
    i64::try_from(rounded).unwrap_or(i64::MAX)
}
