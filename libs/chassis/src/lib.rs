//! What every process has: settings, telemetry, listeners, health, shutdown, pool, clock, problems,
//! and knowing who asks.

pub mod auth;
mod clock;
pub mod grpc;
pub mod health;
pub mod http;
mod metrics;
pub mod pool;
pub mod problem;
mod process;
mod serve;
mod settings;
pub mod telemetry;
pub mod text;
mod tls;

pub use self::{
    clock::Clock,
    health::{Health, Report},
    pool::pool,
    problem::{Class, Problem},
    process::Process,
    serve::Listeners,
    settings::{Settings, TlsSettings},
};

/// Of every process: where messages are sent, a tenth of the time is spent in an allocator, and this one takes half as long.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
