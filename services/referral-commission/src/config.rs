//! What may vary between two processes of referral-commission.

/// Commission: plans, order events, the ledger, statements.
#[derive(Debug, clap::Parser)]
#[command(name = "referral-commission", version)]
pub struct Config {
    #[command(flatten)]
    pub settings: chassis::Settings,

    #[command(flatten)]
    pub knobs: Knobs,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve the API, gRPC and events, and mature commissions, until SIGTERM
    Serve,
    #[command(flatten)]
    Upkeep(outbox::Upkeep),
    /// Print the OpenAPI document
    Openapi,
}

/// What `serve` is told besides.
#[derive(Debug, clap::Args)]
pub struct Knobs {
    /// Seconds between two looks for commissions whose hold has ended
    #[arg(long, env = "SHEQUN_REFERRAL_MATURITY_POLL_SECS", default_value_t = 1, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub maturity_poll_secs: u64,
}
