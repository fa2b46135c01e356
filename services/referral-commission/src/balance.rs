//! The trial balance: every account, and proof that together they are zero.

use serde::Serialize;
use utoipa::ToSchema;

use crate::commission::Money;

/// One account; debit +, credit −.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AccountBalance {
    /// `CLR`, `MER`, `COM`, `HELD:<person>`, `AVAIL:<person>`.
    pub(crate) account: String,
    pub(crate) balance: Money,
}

/// The accounts of one class together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ClassBalance {
    /// `CLR`, `MER`, `COM`, `HELD`, `AVAIL`.
    pub(crate) class: String,
    /// How many accounts there are.
    pub(crate) count: i64,
    pub(crate) balance: Money,
}

/// Totals and classes over everything; accounts in pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct TrialBalance {
    /// By currency; zero, always.
    pub(crate) totals: Vec<Money>,
    pub(crate) classes: Vec<ClassBalance>,
    pub(crate) accounts: Vec<AccountBalance>,
    pub(crate) next_cursor: Option<String>,
}

/// The sum of each currency.
pub(crate) fn totals(classes: &[ClassBalance]) -> Vec<Money> {
    let mut totals: Vec<Money> = Vec::new();
    for ClassBalance { balance, .. } in classes {
        match totals.iter_mut().find(|total| total.currency == balance.currency) {
            Some(total) => total.minor += balance.minor,
            None => totals.push(balance.clone()),
        }
    }
    totals
}
