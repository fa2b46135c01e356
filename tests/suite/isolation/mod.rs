//! The walls between tenants, callers, schemas and services (S1–S6 of the security tests): but for S6, every case is
//! generated from what is there — routes, RPCs, tables, NATS permissions — so that a new one is covered by itself.

mod bus;
pub(crate) mod clock;
mod database;
pub(crate) mod edges;
mod findings;
mod jwt;
mod keys;
mod logins;
mod mtls;
mod replica;
mod rotation;
mod routes;
mod rpc;
mod secrets;
mod sessions;
mod thing;
mod world;
