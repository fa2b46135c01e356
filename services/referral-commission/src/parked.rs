//! A parked event as it is told.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use utoipa::ToSchema;

use crate::engine::{Event, EventDraft, EventId, OrderNo};

/// An event that is kept without (all of) its effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Parked {
    pub(crate) event_id: EventId,
    /// `KEY_CONFLICT`, `UNKNOWN_ORDER` (until the order's `order.paid` arrives), `UNKNOWN_SKU`, `NO_PLAN`,
    /// `OVER_REFUND`, `SELF` (the sale stands, the buyer earns nothing).
    pub(crate) code: String,
    pub(crate) order: OrderNo,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) parked_at: Timestamp,
    /// As it was sent, defaults filled in.
    #[schema(value_type = EventDraft)]
    pub(crate) event: Json<Event>,
}

/// Where a parked event stands in the list of all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) parked_at: Timestamp,
    pub(crate) event_id: String,
    pub(crate) code: String,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            parked_at: Timestamp::UNIX_EPOCH,
            event_id: String::new(),
            code: String::new(),
        }
    }
}

impl Parked {
    pub(crate) fn place(&self) -> Place {
        Place {
            parked_at: self.parked_at,
            event_id: self.event_id.to_string(),
            code: self.code.clone(),
        }
    }
}
