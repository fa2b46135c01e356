//! Double entry: what a transaction moves between accounts, balanced by construction.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use super::name::{EventId, PersonId, RuleId};
use super::replay::Replay;

/// A ledger account; debit +, credit −.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Account {
    /// Money on its way from buyers.
    Clearing,
    /// The merchant's proceeds.
    Merchant,
    /// What commissions cost.
    Commission,
    /// Owed to a person, not yet matured.
    Held(PersonId),
    /// Owed to a person, matured; a debit is what the person owes (A12).
    Available(PersonId),
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clearing => f.write_str("CLR"),
            Self::Merchant => f.write_str("MER"),
            Self::Commission => f.write_str("COM"),
            Self::Held(person) => write!(f, "HELD:{person}"),
            Self::Available(person) => write!(f, "AVAIL:{person}"),
        }
    }
}

/// The commission an entry belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) line: u32,
    pub(crate) rule: RuleId,
}

/// The entries of one transaction. They sum to zero, because [`transfer`](Self::transfer) is the
/// only way in (I01).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entries(BTreeMap<(Account, Option<Part>), i64>);

impl Entries {
    pub(super) fn transfer(&mut self, debit: &Account, credit: &Account, part: Option<&Part>, minor: i64) {
        self.add(debit, part, minor);
        self.add(credit, part, -minor);
    }

    fn add(&mut self, account: &Account, part: Option<&Part>, minor: i64) {
        *self.0.entry((account.clone(), part.cloned())).or_default() += minor;
    }

    /// Entries that move something, sorted by account.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Account, Option<&Part>, i64)> {
        let moving = self.0.iter().filter(|(_, minor)| **minor != 0);
        moving.map(|((account, part), minor)| (account, part.as_ref(), *minor))
    }

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn minus(mut self, other: &Self) -> Self {
        for (account, part, minor) in other.iter() {
            self.add(account, part, -minor);
        }
        self
    }
}

/// Why money moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Sale,
    Refund,
    Void,
    Maturity,
}

impl Kind {
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Refund => "refund",
            Self::Void => "void",
            Self::Maturity => "maturity",
        }
    }
}

/// A balanced set of entries at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) kind: Kind,
    /// The event it follows from; none for a maturity, which follows from time.
    pub(crate) event: Option<EventId>,
    /// When it took effect, which is not when it was posted.
    pub(crate) at: Timestamp,
    pub(crate) entries: Entries,
}

/// What a transaction gives to a person (+) or takes back (−) by one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) person: PersonId,
    pub(crate) rule: RuleId,
    pub(crate) minor: i64,
}

impl Transaction {
    /// Commissions accrued and reversed; a maturity, which only moves them on, has none.
    #[must_use]
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes: BTreeMap<(&PersonId, &RuleId), i64> = BTreeMap::new();
        for (account, part, minor) in self.entries.iter() {
            if let (Account::Held(person) | Account::Available(person), Some(part)) = (account, part) {
                *changes.entry((person, &part.rule)).or_default() -= minor;
            }
        }
        let moved = changes.into_iter().filter(|(_, minor)| *minor != 0);
        moved
            .map(|((person, rule), minor)| Change {
                person: person.clone(),
                rule: rule.clone(),
                minor,
            })
            .collect()
    }
}

/// What must be posted so that a ledger that holds `before` holds `after`.
///
/// Nothing that stands is changed: where a late event gives an earlier one another effect, the
/// difference is a further transaction at that earlier moment.
#[must_use]
pub(crate) fn difference(before: &Replay, after: &Replay) -> Vec<Transaction> {
    let key = |transaction: &Transaction| (transaction.kind, transaction.event.clone());
    let mut standing: BTreeMap<_, &Transaction> = before
        .transactions
        .iter()
        .map(|transaction| (key(transaction), transaction))
        .collect();
    let mut missing = Vec::new();
    for transaction in &after.transactions {
        let mut transaction = transaction.clone();
        if let Some(earlier) = standing.remove(&key(&transaction)) {
            transaction.entries = transaction.entries.minus(&earlier.entries);
        }
        missing.push(transaction);
    }
    // What no longer has an effect (a refund that turned out to be one too many) is taken back.
    for undone in standing.into_values() {
        missing.push(Transaction {
            entries: Entries::default().minus(&undone.entries),
            ..undone.clone()
        });
    }
    missing.retain(|transaction| !transaction.entries.is_empty());
    missing
}
