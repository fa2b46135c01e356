//! Real Postgres, real NATS, a real mail server and the real services for tests: the local stack, a database per
//! test, processes to kill, probes that wait for an event or a condition.

mod database;
mod dice;
mod eventually;
mod fuzz;
mod http;
mod mail_server;
mod probe;
mod set;
mod stack;

pub use database::{TestDatabase, database};
pub use dice::Dice;
pub use eventually::{eventually, eventually_within};
pub use fuzz::fuzz;
pub use http::http;
pub use mail_server::{Email, MailEvent, MailRule, MailServer};
pub use nix::sys::signal::Signal;
pub use probe::Probe;
pub use set::{READY, Set, succeed};
pub use stack::{Description, ProcessDescription, Stack, build_dir, repository, stack_py};
