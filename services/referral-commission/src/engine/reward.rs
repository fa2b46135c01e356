//! Who earns what on a paid order, and why.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event::{Line, Sale};
use super::money::{PPM, share};
use super::name::{PersonId, RuleId, Sku};
use super::plan::{Payee, Plan, Reward, Rule, Version};
use super::posting::Part;

/// One commission: a (line, rule, person) of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accrual {
    pub(crate) line: u32,
    pub(crate) rule: RuleId,
    pub(crate) person: PersonId,
    /// As accrued at `paid_at`, always above zero.
    pub(crate) minor: i64,
    /// Taken back so far, 0 to `minor`.
    pub(crate) reversed: i64,
    pub(crate) why: Why,
}

/// The trace of one amount; evaluating it again gives the amount (I18).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Why {
    /// Name of the plan, and which of its versions was in force at `paid_at`.
    pub(crate) plan: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) version: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) paid_at: Timestamp,
    pub(crate) rule: RuleId,
    pub(crate) pays: Payee,
    pub(crate) sku: Sku,
    pub(crate) net_item_paid: i64,
    #[serde(flatten)]
    pub(crate) calculation: Calculation,
}

/// How an amount was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Calculation {
    /// `minor_per_unit` × `qty`
    Fixed { minor_per_unit: i64, qty: u32 },
    /// `base` × `ppm` ÷ 1,000,000, half-up; `base` is `net_item_paid` less what the rules in
    /// `minus` accrue on the line, never below zero.
    Rate { ppm: u32, base: i64, minus: Vec<RuleId> },
}

impl Why {
    /// The amount this trace explains.
    #[must_use]
    pub(crate) fn minor(&self) -> i64 {
        match &self.calculation {
            Calculation::Fixed { minor_per_unit, qty } => minor_per_unit * i64::from(*qty),
            Calculation::Rate { ppm, base, .. } => share(*base, i64::from(*ppm), PPM),
        }
    }
}

impl Accrual {
    /// What its ledger entries carry.
    pub(super) fn part(&self) -> Part {
        Part {
            line: self.line,
            rule: self.rule.clone(),
        }
    }
}

/// The people in the roles of an order.
pub(super) struct Cast<'a> {
    sale: &'a Sale,
}

impl<'a> Cast<'a> {
    pub(super) fn of(sale: &'a Sale) -> Self {
        Self { sale }
    }

    /// Nobody earns on their own order (I14, R16).
    pub(super) fn is_self_referral(&self) -> bool {
        [self.sale.referrer.as_ref(), self.sale.closer()]
            .into_iter()
            .flatten()
            .any(|p| *p == self.sale.buyer)
    }

    /// Who earns in a role: nobody when nobody was found, or when that is the buyer.
    fn earner(&self, role: Payee) -> Option<&'a PersonId> {
        let person = match role {
            Payee::Referrer => self.sale.referrer.as_ref(),
            Payee::Closer => self.sale.closer(),
        };
        person.filter(|person| **person != self.sale.buyer)
    }
}

/// The commissions of an order, by line and then in the order of the rules.
pub(super) fn evaluate(plan: &Plan, version: &Version, paid_at: Timestamp, sale: &Sale) -> Vec<Accrual> {
    let cast = Cast::of(sale);
    let mut accruals = Vec::new();
    // A line without net earns nothing by any rule (R26).
    for line in sale.lines.iter().filter(|line| line.net() > 0) {
        let mut on_line: BTreeMap<&RuleId, i64> = BTreeMap::new();
        for rule in version.rules.iter().filter(|rule| rule.applies_to(&line.sku)) {
            let Some(person) = cast.earner(rule.pays) else {
                continue;
            };
            let why = Why {
                plan: plan.name.clone(),
                version: version.effective_from,
                paid_at,
                rule: rule.id.clone(),
                pays: rule.pays,
                sku: line.sku.clone(),
                net_item_paid: line.net(),
                calculation: calculation(rule, line, &on_line),
            };
            let minor = why.minor();
            on_line.insert(&rule.id, minor);
            if minor > 0 {
                let (rule, person) = (rule.id.clone(), person.clone());
                accruals.push(Accrual {
                    line: line.line,
                    rule,
                    person,
                    minor,
                    reversed: 0,
                    why,
                });
            }
        }
    }
    accruals
}

fn calculation(rule: &Rule, line: &Line, on_line: &BTreeMap<&RuleId, i64>) -> Calculation {
    match &rule.reward {
        Reward::Fixed { minor_per_unit } => Calculation::Fixed {
            minor_per_unit: *minor_per_unit,
            qty: line.qty,
        },
        Reward::Rate { ppm, minus } => {
            let taken: i64 = minus.iter().filter_map(|rule| on_line.get(rule)).sum();
            let base = (line.net() - taken).max(0);
            Calculation::Rate {
                ppm: *ppm,
                base,
                minus: minus.clone(),
            }
        }
    }
}
