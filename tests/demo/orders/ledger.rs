//! The ledger as it stands: who earned what, and the trial balance.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde::Deserialize;

use crate::brand::Shop;
use crate::checks::Checks;
use crate::run::Run;

use super::expected::Sums;
use super::statement::{self, Statement};

/// The books after the last event.
pub(crate) struct Ledger {
    /// Account classes with the number of their accounts and their sum; debit +, credit −.
    pub(crate) classes: Vec<Class>,
    /// By currency.
    pub(crate) totals: Vec<Money>,
    /// Who earned, the most first.
    pub(crate) earners: Vec<Earner>,
    /// Of the top earner, in the month in which most moved.
    pub(crate) statement: Option<Statement>,
}

#[derive(Deserialize)]
pub(crate) struct Class {
    pub(crate) class: String,
    /// How many accounts there are.
    pub(crate) count: u64,
    pub(crate) balance: Money,
}

#[derive(Deserialize)]
pub(crate) struct Money {
    pub(crate) currency: String,
    pub(crate) minor: i64,
}

/// Somebody with commissions.
#[derive(Default)]
pub(crate) struct Earner {
    pub(crate) person: String,
    pub(crate) orders: usize,
    pub(crate) accrued: i64,
    pub(crate) reversed: i64,
}

#[derive(Deserialize)]
struct TrialBalance {
    totals: Vec<Money>,
    classes: Vec<Class>,
}

#[derive(Deserialize)]
struct Accrual {
    order: String,
    person: String,
    amount: Money,
    reversed: Money,
}

/// Reads the books.
pub(crate) async fn read(run: &mut Run<'_>, shop: &Shop) -> anyhow::Result<Ledger> {
    let token = shop.owner.token().await?;
    let balance = run
        .api
        .get("referral", "/v1/trial-balance")
        .token(&token)
        .ok()
        .await?;
    let balance: TrialBalance = serde_json::from_value(balance).context("the answer is no trial balance")?;
    let mut accruals = Vec::new();
    for accrual in run.api.all("referral", "/v1/accruals", &token).await? {
        accruals.push(serde_json::from_value(accrual).context("an item is no commission")?);
    }
    let earners = earners(accruals);
    let statement = match earners.first() {
        Some(top) => Some(statement::read(run, &token, top).await?),
        None => None,
    };
    Ok(Ledger {
        classes: balance.classes,
        totals: balance.totals,
        earners,
        statement,
    })
}

fn earners(accruals: Vec<Accrual>) -> Vec<Earner> {
    let mut people: BTreeMap<String, (Earner, BTreeSet<String>)> = BTreeMap::new();
    for accrual in accruals {
        let (earner, orders) = people.entry(accrual.person).or_default();
        earner.accrued += accrual.amount.minor;
        earner.reversed += accrual.reversed.minor;
        orders.insert(accrual.order);
    }
    let named = people.into_iter();
    let mut earners: Vec<Earner> = named
        .map(|(person, (earner, orders))| Earner {
            person,
            orders: orders.len(),
            ..earner
        })
        .collect();
    earners.sort_by_key(|earner| std::cmp::Reverse(earner.accrued - earner.reversed));
    earners
}

impl Ledger {
    /// The sum of a class; zero when there is none.
    fn class(&self, name: &str) -> i64 {
        self.classes
            .iter()
            .filter(|class| class.class == name)
            .map(|class| class.balance.minor)
            .sum()
    }

    /// Holds the books against what the file says.
    pub(crate) fn check(&self, checks: &mut Checks, sums: &Sums) {
        let earned: BTreeMap<&str, (i64, i64)> = self
            .earners
            .iter()
            .map(|earner| (&*earner.person, (earner.accrued, earner.reversed)))
            .collect();
        for (person, (accrued, reversed)) in &sums.people {
            let (found, taken) = earned.get(person.as_str()).copied().unwrap_or_default();
            checks.equal(format_args!("accrued to {person}"), *accrued, found);
            checks.equal(format_args!("reversed of {person}"), *reversed, taken);
        }
        checks.equal("people who earned", sums.people.len(), self.earners.len());
        let cost = sums.accrued() - sums.reversed();
        checks.equal(
            "CLR, paid less refunded",
            sums.sold - sums.refunded,
            self.class("CLR"),
        );
        checks.equal("MER, proceeds", sums.refunded - sums.sold, self.class("MER"));
        checks.equal("COM, accrued less reversed", cost, self.class("COM"));
        checks.equal(
            "HELD and AVAIL, owed to people",
            -cost,
            self.class("HELD") + self.class("AVAIL"),
        );
        for total in &self.totals {
            checks.equal(
                format_args!("trial balance in {}", total.currency),
                0,
                total.minor,
            );
        }
    }
}
