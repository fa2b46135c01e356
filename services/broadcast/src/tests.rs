//! The operations on a real database, with customers and receivers played by the tests.

mod audience;
mod caps;
mod consent;
mod crash;
mod ending;
mod inbox;
mod interleaving;
mod pace;
mod pause;
mod peers;
mod report;
mod scene;
mod schedule;
mod shares;
mod watch;
mod webhooks;
