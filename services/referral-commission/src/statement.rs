//! A statement: what a person's accounts held, what moved them, what they hold then.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::{OrderNo, PersonId, RuleId, Why};
use crate::error::Error;

/// From an instant inclusive to an instant exclusive; open where not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
}

/// What a person has been credited with, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Credit {
    /// Earned, not yet matured.
    pub(crate) held_minor: i64,
    /// Matured; below zero when the person owes.
    pub(crate) available_minor: i64,
}

/// One movement of one commission; what it gives is positive, what it takes negative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct StatementLine {
    /// When it took effect, which places it in a period.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) posted_at: Timestamp,
    /// `sale`, `refund`, `void`, `maturity`.
    pub(crate) kind: String,
    pub(crate) order: OrderNo,
    pub(crate) line: i64,
    pub(crate) rule: RuleId,
    pub(crate) held_minor: i64,
    pub(crate) available_minor: i64,
    pub(crate) why: Why,
}

/// A person's statement in one currency: opening + lines = closing (I21).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CurrencyStatement {
    pub(crate) currency: String,
    pub(crate) opening: Credit,
    pub(crate) lines: Vec<StatementLine>,
    pub(crate) closing: Credit,
}

/// A person's statement, each currency for itself (I20).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Statement {
    pub(crate) person: PersonId,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) to: Option<Timestamp>,
    pub(crate) currencies: Vec<CurrencyStatement>,
}

impl Period {
    pub(crate) fn new(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Self, Error> {
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            return Err(Error::PeriodEmpty);
        }
        // Nothing is older, and not every older instant can be asked of the database.
        let bounded = |instant: Timestamp| instant.max(Timestamp::UNIX_EPOCH);
        Ok(Self {
            from: from.map(bounded),
            to: to.map(bounded),
        })
    }
}

impl Statement {
    /// Adds the lines up.
    pub(crate) fn new(
        person: PersonId,
        period: Period,
        openings: Vec<(String, Credit)>,
        lines: Vec<(String, StatementLine)>,
    ) -> Self {
        let mut currencies: BTreeMap<String, CurrencyStatement> = BTreeMap::new();
        for (currency, opening) in openings {
            let statement = currencies.entry(currency).or_default();
            (statement.opening, statement.closing) = (opening, opening);
        }
        for (currency, line) in lines {
            let statement = currencies.entry(currency).or_default();
            statement.closing.held_minor += line.held_minor;
            statement.closing.available_minor += line.available_minor;
            statement.lines.push(line);
        }
        let named = currencies
            .into_iter()
            .map(|(currency, statement)| CurrencyStatement {
                currency,
                ..statement
            });
        Self {
            person,
            from: period.from,
            to: period.to,
            currencies: named.collect(),
        }
    }
}
