//! A plan as a tenant published it: the newest is in force for the orders that come in.

use contracts::MemberId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::engine::{Fault, PlanDraft};

/// The plan of the source: 398 yuan → 150 yuan to the referrer, 10 % to the closer (D86).
const YUNJI_DEMO: &str = include_str!("../plans/yunji-demo.json");

/// One publication of the tenant's plan; it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Publication {
    pub(crate) plan_id: Uuid,
    /// 1 for the first, then counted on; orders keep the revision they came in under.
    pub(crate) revision: i32,
    #[schema(value_type = PlanDraft)]
    pub(crate) plan: Json<PlanDraft>,
    pub(crate) published_by: MemberId,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) published_at: Timestamp,
}

impl Publication {
    /// What follows on `earlier`, the publication in force.
    pub(crate) fn after(
        earlier: Option<&Self>,
        plan: PlanDraft,
        published_by: MemberId,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        plan.check()?;
        if let Some(earlier) = earlier {
            plan.may_follow(&earlier.plan, now)?;
        }
        Ok(Self {
            plan_id: Uuid::now_v7(),
            revision: earlier.map_or(1, |earlier| earlier.revision + 1),
            plan: Json(plan),
            published_by,
            published_at: now,
        })
    }
}

/// The plan that ships with the service.
pub(crate) fn yunji_demo() -> PlanDraft {
    serde_json::from_str(YUNJI_DEMO).expect("the shipped plan is a plan: a test reads it")
}
