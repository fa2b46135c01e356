//! What is remembered: plans, people, events, orders, commissions, the ledger.

pub(crate) mod accrual;
pub(crate) mod event;
pub(crate) mod journal;
pub(crate) mod order;
pub(crate) mod parked;
pub(crate) mod person;
pub(crate) mod plan;
pub(crate) mod statement;
