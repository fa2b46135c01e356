//! The public APIs as the suite, the demo and the benchmarks use them: plain HTTP and JSON, no
//! type of a service.

mod api;
mod brand;

pub use api::{Answer, Api, Ask};
pub use brand::{Brand, Login, PASSWORD, Staff, register, reviewer_token, text};
