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

/// Of every process. A worker that sends spent a quarter of its time in glibc's allocator and in moving memory, and spends an
/// eighth with this one (perf, in the midst of `broadcast_webhook_per_s`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
