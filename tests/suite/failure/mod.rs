//! What a fault may cost: time, and nothing else. Each test breaks a set of its own.

mod asked;
mod checker;
mod delivery;
mod drill;
mod infra;
mod mail;
mod matrix;
mod proxy;
mod sink;
mod worker;
