//! What a fault may cost: time, and nothing else. Each test breaks a set of its own.

mod delivery;
mod drill;
mod infra;
mod worker;
