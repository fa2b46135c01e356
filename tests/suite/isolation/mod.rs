//! The walls between tenants, callers, schemas and services (S1–S5 of the security tests): every case is
//! generated from what is there — routes, RPCs, tables, NATS permissions — so that a new one is covered by itself.

mod bus;
mod database;
pub(crate) mod edges;
mod findings;
mod keys;
mod routes;
mod rpc;
mod thing;
mod world;
