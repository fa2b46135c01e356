//! A plan: the versioned rules that turn a paid order into commissions.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::name::{RuleId, Sku};

/// A plan that has been checked; made from a [`PlanDraft`](super::PlanDraft) and in no other way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) name: String,
    /// ISO 4217; every amount of the plan's orders is in its minor unit.
    pub(crate) currency: String,
    /// Ascending by `effective_from`, at least one.
    pub(super) versions: Vec<Version>,
    pub(super) skus: BTreeSet<Sku>,
}

/// The rules in force from some moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) effective_from: Timestamp,
    /// How long after delivery a commission stays held: exactly n × 86,400 s (R5).
    pub(crate) hold: SignedDuration,
    pub(crate) rules: Vec<Rule>,
}

/// One reward for one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    pub(crate) pays: Payee,
    pub(crate) reward: Reward,
    /// None: every SKU of the plan (R9).
    pub(crate) skus: Option<BTreeSet<Sku>>,
}

/// Who earns by a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Payee {
    /// Who brought the buyer.
    Referrer,
    /// Who closed the sale; the referrer unless the order says otherwise.
    Closer,
}

/// How much a rule pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reward {
    Fixed {
        minor_per_unit: i64,
    },
    /// Of the line's `net_item_paid`, less what the rules named by `minus` accrue on the line.
    Rate {
        ppm: u32,
        minus: Vec<RuleId>,
    },
}

impl Plan {
    /// The version in force at a moment: the latest that had started by then (I17, R36).
    #[must_use]
    pub(crate) fn version_at(&self, paid_at: Timestamp) -> Option<&Version> {
        self.versions
            .iter()
            .rev()
            .find(|version| version.effective_from <= paid_at)
    }

    #[must_use]
    pub(crate) fn sells(&self, sku: &Sku) -> bool {
        self.skus.contains(sku)
    }
}

impl Rule {
    pub(super) fn applies_to(&self, sku: &Sku) -> bool {
        self.skus.as_ref().is_none_or(|skus| skus.contains(sku))
    }
}
