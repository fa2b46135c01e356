//! What may vary between two processes of groups.

use url::Url;

/// Groups: communities, their series and their seats.
#[derive(Debug, clap::Parser)]
#[command(name = "groups", version)]
pub struct Config {
    #[command(flatten)]
    pub(crate) settings: chassis::Settings,

    #[command(flatten)]
    pub(crate) knobs: Knobs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Serve the API, gRPC and events until SIGTERM
    Serve,
    #[command(flatten)]
    Upkeep(outbox::Upkeep),
    /// Print the OpenAPI document
    Openapi,
}

/// What `serve` is told besides.
#[derive(Debug, clap::Args)]
pub(crate) struct Knobs {
    /// gRPC address of customers, which knows the contacts
    #[arg(
        long,
        env = "SHEQUN_CUSTOMERS_GRPC",
        default_value = "http://127.0.0.1:50051",
        value_name = "URL"
    )]
    pub(crate) customers_grpc: Url,

    /// Joins that run at the same moment; the others wait for their turn. Keep it below the pool's connections,
    /// so that a crowd at one group's door leaves some to everybody else
    #[arg(long, env = "SHEQUN_GROUPS_JOINS_AT_ONCE_MAX", default_value_t = 8, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) joins_at_once_max: u32,
}
