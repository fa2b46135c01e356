//! A commission as it is told: who earned what on which line, by which rule, and why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::{Accrual, OrderNo, PersonId, RuleId, Why};

/// An exact amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Money {
    /// ISO 4217.
    pub(crate) currency: String,
    /// In the currency's minor unit.
    pub(crate) minor: i64,
}

/// One commission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Commission {
    pub(crate) order: OrderNo,
    pub(crate) line: u32,
    pub(crate) rule: RuleId,
    pub(crate) person: PersonId,
    /// As accrued when the order was paid.
    pub(crate) amount: Money,
    /// What refunds took back of it.
    pub(crate) reversed: Money,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) paid_at: Timestamp,
    pub(crate) why: Why,
}

/// Where a commission stands in the list of all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) order: String,
    pub(crate) line: i64,
    pub(crate) rule: String,
    pub(crate) person: String,
}

impl Commission {
    pub(crate) fn new(order: OrderNo, currency: &str, accrual: Accrual) -> Self {
        let money = |minor| Money {
            currency: currency.to_owned(),
            minor,
        };
        Self {
            order,
            line: accrual.line,
            rule: accrual.rule,
            person: accrual.person,
            amount: money(accrual.minor),
            reversed: money(accrual.reversed),
            paid_at: accrual.why.paid_at,
            why: accrual.why,
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            order: self.order.to_string(),
            line: self.line.into(),
            rule: self.rule.to_string(),
            person: self.person.to_string(),
        }
    }
}
