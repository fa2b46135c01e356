//! The money, without I/O: a plan and the events of one order in, postings out.
//!
//! Every number of the service comes from [`replay`], a function of values alone. The same events
//! give the same postings whatever the order of their arrival, and what a late event changes is
//! the [`difference`] between two replays.

mod event;
mod event_draft;
mod fault;
mod money;
mod name;
mod plan;
mod plan_draft;
mod posting;
mod replay;
mod reward;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod samples;

pub(crate) use event::{Claim, Event, What};
pub(crate) use event_draft::EventDraft;
pub(crate) use fault::{Fault, Flaw};
pub(crate) use name::{EventId, OrderNo, PersonId, RuleId, Sku};
pub(crate) use plan::Plan;
pub(crate) use plan_draft::PlanDraft;
pub(crate) use posting::{Change, Transaction, difference};
pub(crate) use replay::{Code, LineStanding, Replay, replay};
pub(crate) use reward::{Accrual, Why};
