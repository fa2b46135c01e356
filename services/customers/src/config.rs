//! What may vary between two processes of customers.

use url::Url;

/// Customers: contacts, who follows them, and the live codes they come by.
#[derive(Debug, clap::Parser)]
#[command(name = "customers", version)]
pub struct Config {
    #[command(flatten)]
    pub settings: chassis::Settings,

    /// Where people reach the scan page: a QR code carries `<url>/c/<token>`
    #[arg(
        long,
        env = "SHEQUN_PUBLIC_URL",
        default_value = "http://localhost",
        value_name = "URL"
    )]
    pub public_url: Url,

    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve until stopped
    Serve,
    #[command(flatten)]
    Upkeep(outbox::Upkeep),
    /// Print the OpenAPI document
    Openapi,
}
