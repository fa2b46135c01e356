//! The operations on a real database, with customers and receivers played by the tests.

mod audience;
mod cap_model;
mod caps;
mod consent;
mod crash;
mod ending;
mod forecast;
mod fuzz;
mod inbox;
mod interleaving;
mod lease_model;
mod opt_out;
mod pace;
mod pause;
mod peers;
mod policy;
mod quiet;
mod report;
mod scene;
mod schedule;
mod shares;
mod watch;
mod webhooks;
