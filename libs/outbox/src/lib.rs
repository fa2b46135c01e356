//! Postgres to JetStream and back: events are recorded in the operation's transaction, relayed
//! at least once, and handled so that each is in effect once.

mod audit;
mod bus;
mod consume;
mod crash;
mod database;
pub mod dead_letters;
mod figures;
mod inbox;
mod lanes;
mod link;
mod migrate;
mod prune;
mod reconcile;
mod record;
mod relay;
pub mod request;

pub use audit::{Actor, Entry};
pub use bus::{Bus, BusError};
pub use consume::{Handler, HandlerError, consume};
pub use crash::{crash_point, crash_point_of, is_mutant};
pub use database::{Database, Tx};
pub use link::{Link, Upkeep};
pub use migrate::{MigrateError, migrate};
pub use record::{RecordError, record, record_all};
pub use relay::relay;
