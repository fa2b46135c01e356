//! What a person may choose, on the command line or as `make demo NAME=value`.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use testkit::repository;

/// Starts Shequn and tells a cosmetics brand's first weeks through its public APIs; exit code 0
/// only if every figure reconciles.
#[derive(clap::Parser)]
#[command(name = "demo")]
pub(crate) struct Options {
    /// A CSV file of contacts: external_id,name and any of phone,birth_month,tags.
    #[arg(long, env = "CONTACTS", default_value_os_t = file("contacts.csv"))]
    pub(crate) contacts: PathBuf,
    /// A CSV file of orders: order,event,occurred_at,buyer,referrer,sku,qty,unit_price,refund,refund_amount.
    #[arg(long, env = "ORDERS", default_value_os_t = file("orders.csv"))]
    pub(crate) orders: PathBuf,
    /// Leave everything running.
    #[arg(long, env = "KEEP", num_args = 0..=1, default_value = "false", default_missing_value = "true",
        value_parser = FalseyValueParser::new())]
    pub(crate) keep: bool,
    /// The folder that holds the stack: data, logs, keys.
    #[arg(long, env = "STATE", default_value_os_t = repository().join(".shequn"))]
    pub(crate) state: PathBuf,
}

fn file(name: &str) -> PathBuf {
    repository().join("tests/demo").join(name)
}

impl Options {
    /// Whether the contacts are the ones that come with the demo.
    pub(crate) fn has_own_contacts(&self) -> bool {
        self.contacts != file("contacts.csv")
    }

    /// Whether the orders are the ones that come with the demo.
    pub(crate) fn has_own_orders(&self) -> bool {
        self.orders != file("orders.csv")
    }
}
