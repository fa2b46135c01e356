//! A plan as it is written: the JSON form of the plan file, and the checks that make it a [`Plan`].

use std::collections::BTreeSet;

use chassis::text::Text;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fault::{Fault, Flaw, within, wrong};
use super::money::{AMOUNT_MINOR_MAX, PPM};
use super::name::{RuleId, Sku};
use super::plan::{Payee, Plan, Reward, Rule, Version};

const VERSIONS_MAX: usize = 100;
const RULES_MAX: usize = 50;
const SKUS_MAX: usize = 2_000;
const HOLD_DAYS_MAX: u32 = 366;
const WINDOW_DAYS_MAX: u32 = 3_660;
const FIXED_MINOR_MAX: i64 = AMOUNT_MINOR_MAX / 1_000;
const DAY_SECS: i64 = 86_400;

/// A plan: what is paid to whom, versioned by the moment it takes effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "yunji-demo", "currency": "CNY", "zone": "Asia/Shanghai", "profile": "none",
    "version": [{
        "effective_from": "2026-01-01T00:00:00+08:00", "hold_days": 15,
        "attribution": {"window_days": 30, "touch": "last", "priority": ["code", "link", "qr"]},
        "rule": [
            {"id": "R1", "pays": "referrer", "fixed": 15000, "skus": ["PKG398"]},
            {"id": "R2", "pays": "closer", "rate_ppm": 100000, "base": "net_item_paid"},
        ],
    }],
    "sku": [{"id": "PKG398", "grants_right": false}],
}))]
pub(crate) struct PlanDraft {
    pub(crate) name: Text<64>,
    /// ISO 4217; all amounts are in its minor unit.
    #[schema(example = "CNY", min_length = 3, max_length = 3)]
    pub(crate) currency: String,
    /// Where days and months are cut: an IANA time zone.
    #[schema(example = "Asia/Shanghai")]
    pub(crate) zone: String,
    pub(crate) profile: Profile,
    /// Ascending by `effective_from`.
    #[schema(min_items = 1)]
    pub(crate) version: Vec<VersionDraft>,
    #[schema(min_items = 1)]
    pub(crate) sku: Vec<SkuDraft>,
}

/// The compliance profile a plan is checked against; only `none` so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    None,
    Default,
    CnStrict,
    Jp,
    Us,
}

/// The rules from a moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionDraft {
    #[schema(value_type = String, format = DateTime)]
    pub(crate) effective_from: Timestamp,
    /// Days of exactly 86,400 s between delivery and availability.
    #[schema(maximum = 366)]
    pub(crate) hold_days: u32,
    /// Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cap_ppm: Option<u32>,
    /// Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cap_mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attribution: Option<Attribution>,
    #[schema(min_items = 1)]
    pub(crate) rule: Vec<RuleDraft>,
    /// Not supported yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub(crate) rank: Vec<serde_json::Value>,
}

/// How a referrer is found for an order that names none; kept with the plan, without effect yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attribution {
    pub(crate) window_days: u32,
    pub(crate) touch: Touch,
    pub(crate) priority: Vec<Via>,
}

/// Which of several valid touches counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Touch {
    First,
    Last,
}

/// How a person came to the brand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Via {
    Code,
    Link,
    Qr,
}

/// One reward for one role: either `fixed` or `rate_ppm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleDraft {
    pub(crate) id: RuleId,
    pub(crate) pays: PaysDraft,
    /// Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rank: Option<String>,
    /// Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) levels: Option<u32>,
    /// Minor units per unit sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub(crate) fixed: Option<i64>,
    /// Parts per million of the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1_000_000)]
    pub(crate) rate_ppm: Option<u32>,
    /// `"net_item_paid"` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<Base>,
    /// The SKUs it applies to; all of the plan's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) skus: Option<Vec<Sku>>,
}

/// Whom a rule pays; `ancestor` is not supported yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PaysDraft {
    Referrer,
    Closer,
    Ancestor,
}

/// What a rate is taken of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Base {
    NetItemPaid,
    /// The same less what the named rules, which stand earlier, accrue on the line (R25).
    NetItemPaidMinus(Vec<RuleId>),
}

/// Something the plan knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SkuDraft {
    pub(crate) id: Sku,
    /// Whether buying it makes the buyer a member or gives a rank.
    #[serde(default)]
    pub(crate) grants_right: bool,
}

impl PlanDraft {
    /// The plan this draft describes.
    ///
    /// # Errors
    /// The first flaw, with the path of its field.
    pub(crate) fn check(&self) -> Result<Plan, Fault> {
        if self.currency.len() != 3 || !self.currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(wrong("currency", "is not an ISO 4217 code such as CNY"));
        }
        if TimeZone::get(&self.zone).is_err() {
            return Err(wrong("zone", "is not an IANA time zone such as Asia/Shanghai"));
        }
        if self.profile != Profile::None {
            return Err(Flaw::Unsupported("a profile other than \"none\"").at("profile"));
        }
        let skus = self.skus()?;
        within("version", self.version.len(), VERSIONS_MAX)?;
        let mut versions: Vec<Version> = Vec::with_capacity(self.version.len());
        for (at, draft) in self.version.iter().enumerate() {
            let field = format!("version[{at}]");
            if versions
                .last()
                .is_some_and(|last| last.effective_from >= draft.effective_from)
            {
                return Err(wrong(
                    format!("{field}.effective_from"),
                    "is not after the version before it",
                ));
            }
            versions.push(draft.check(&field, &skus)?);
        }
        Ok(Plan {
            name: self.name.to_string(),
            currency: self.currency.clone(),
            versions,
            skus,
        })
    }

    fn skus(&self) -> Result<BTreeSet<Sku>, Fault> {
        within("sku", self.sku.len(), SKUS_MAX)?;
        let mut skus = BTreeSet::new();
        for (at, sku) in self.sku.iter().enumerate() {
            if !skus.insert(sku.id.clone()) {
                return Err(wrong(format!("sku[{at}].id"), "stands there twice"));
            }
        }
        Ok(skus)
    }

    /// Whether this draft may replace an `earlier` one: what has taken effect by `now` stays word
    /// for word, and nothing new takes effect before it (I17).
    ///
    /// # Errors
    /// The first field that would alter the past.
    pub(crate) fn may_follow(&self, earlier: &Self, now: Timestamp) -> Result<(), Fault> {
        if self.currency != earlier.currency {
            return Err(Flaw::RewritesPast("the currency of a plan in force can't change").at("currency"));
        }
        let past = earlier
            .version
            .iter()
            .take_while(|version| version.effective_from <= now)
            .count();
        for at in 0..past {
            if self.version.get(at) != earlier.version.get(at) {
                let flaw = Flaw::RewritesPast("a version that has taken effect must stay as it is");
                return Err(flaw.at(format!("version[{at}]")));
            }
        }
        match self
            .version
            .iter()
            .skip(past)
            .position(|version| version.effective_from <= now)
        {
            Some(at) => Err(Flaw::RewritesPast("a new version must take effect in the future")
                .at(format!("version[{}].effective_from", past + at))),
            None => Ok(()),
        }
    }
}

impl VersionDraft {
    fn check(&self, field: &str, skus: &BTreeSet<Sku>) -> Result<Version, Fault> {
        for (present, name) in [
            (self.cap_ppm.is_some(), "cap_ppm"),
            (self.cap_mode.is_some(), "cap_mode"),
            (!self.rank.is_empty(), "rank"),
        ] {
            if present {
                return Err(Flaw::Unsupported(name).at(format!("{field}.{name}")));
            }
        }
        if self.hold_days > HOLD_DAYS_MAX {
            return Err(wrong(
                format!("{field}.hold_days"),
                format!("is more than {HOLD_DAYS_MAX} days"),
            ));
        }
        if let Some(attribution) = &self.attribution {
            attribution.check(&format!("{field}.attribution"))?;
        }
        within(&format!("{field}.rule"), self.rule.len(), RULES_MAX)?;
        let mut rules: Vec<Rule> = Vec::with_capacity(self.rule.len());
        for (at, draft) in self.rule.iter().enumerate() {
            let rule = draft.check(&format!("{field}.rule[{at}]"), skus, &rules)?;
            rules.push(rule);
        }
        Ok(Version {
            effective_from: self.effective_from,
            hold: SignedDuration::from_secs(i64::from(self.hold_days) * DAY_SECS),
            rules,
        })
    }
}

impl Attribution {
    fn check(&self, field: &str) -> Result<(), Fault> {
        if !(1..=WINDOW_DAYS_MAX).contains(&self.window_days) {
            let limits = format!("is not within 1 to {WINDOW_DAYS_MAX} days");
            return Err(wrong(format!("{field}.window_days"), limits));
        }
        let distinct: BTreeSet<_> = self.priority.iter().collect();
        if distinct.len() != self.priority.len() {
            return Err(wrong(format!("{field}.priority"), "names a way twice"));
        }
        Ok(())
    }
}

impl RuleDraft {
    fn check(&self, field: &str, skus: &BTreeSet<Sku>, earlier: &[Rule]) -> Result<Rule, Fault> {
        let pays = match self.pays {
            PaysDraft::Referrer => Payee::Referrer,
            PaysDraft::Closer => Payee::Closer,
            PaysDraft::Ancestor => {
                return Err(Flaw::Unsupported("pays = \"ancestor\"").at(format!("{field}.pays")));
            }
        };
        for (present, name) in [(self.rank.is_some(), "rank"), (self.levels.is_some(), "levels")] {
            if present {
                return Err(Flaw::Unsupported(name).at(format!("{field}.{name}")));
            }
        }
        if earlier.iter().any(|rule| rule.id == self.id) {
            return Err(wrong(format!("{field}.id"), "stands there twice"));
        }
        for (at, sku) in self.skus.iter().flatten().enumerate() {
            if !skus.contains(sku) {
                return Err(wrong(
                    format!("{field}.skus[{at}]"),
                    "is not among the plan's SKUs",
                ));
            }
        }
        Ok(Rule {
            id: self.id.clone(),
            pays,
            reward: self.reward(field, earlier)?,
            skus: self.skus.as_ref().map(|skus| skus.iter().cloned().collect()),
        })
    }

    fn reward(&self, field: &str, earlier: &[Rule]) -> Result<Reward, Fault> {
        match (self.fixed, self.rate_ppm) {
            (Some(_), Some(_)) => Err(wrong(format!("{field}.rate_ppm"), "can't stand beside `fixed`")),
            (None, None) => Err(wrong(format!("{field}.fixed"), "or `rate_ppm` is needed")),
            (Some(minor), None) if !(0..=FIXED_MINOR_MAX).contains(&minor) => Err(wrong(
                format!("{field}.fixed"),
                format!("is not within 0 to {FIXED_MINOR_MAX}"),
            )),
            (Some(_), None) if self.base.is_some() => {
                Err(wrong(format!("{field}.base"), "belongs to `rate_ppm` only"))
            }
            (Some(minor_per_unit), None) => Ok(Reward::Fixed { minor_per_unit }),
            (None, Some(ppm)) if i64::from(ppm) > PPM => Err(wrong(
                format!("{field}.rate_ppm"),
                "is more than the whole (1000000)",
            )),
            (None, Some(ppm)) => Ok(Reward::Rate {
                ppm,
                minus: self.minus(field, earlier)?,
            }),
        }
    }

    fn minus(&self, field: &str, earlier: &[Rule]) -> Result<Vec<RuleId>, Fault> {
        let Some(Base::NetItemPaidMinus(minus)) = &self.base else {
            return Ok(Vec::new());
        };
        let distinct: BTreeSet<_> = minus.iter().collect();
        let known = minus.iter().all(|id| earlier.iter().any(|rule| rule.id == *id));
        if distinct.len() != minus.len() || !known {
            let flaw = "names a rule twice, or one that does not stand before this one";
            return Err(wrong(format!("{field}.base.net_item_paid_minus"), flaw));
        }
        Ok(minus.clone())
    }
}

#[cfg(test)]
mod tests;
