//! What a person may choose, on the command line or as `make demo NAME=value`.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use testkit::repository;

/// Starts Shequn and tells a cosmetics brand's first weeks through its public APIs; exit code 0
/// only if every figure reconciles.
#[derive(clap::Parser)]
#[command(name = "demo")]
pub(crate) struct Options {
    /// A CSV file of contacts: external_id,name and any of phone,email,birth_month,tags.
    #[arg(long, env = "CONTACTS", default_value_os_t = file("contacts.csv"))]
    pub(crate) contacts: PathBuf,
    /// A CSV file of orders: order,event,occurred_at,buyer,referrer,sku,qty,unit_price,refund,refund_amount.
    #[arg(long, env = "ORDERS", default_value_os_t = file("orders.csv"))]
    pub(crate) orders: PathBuf,
    /// Leave everything running.
    #[arg(long, env = "KEEP", num_args = 0..=1, default_value = "false", default_missing_value = "true",
        value_parser = FalseyValueParser::new())]
    pub(crate) keep: bool,
    /// The folder that holds the stack: data, logs, keys; `.shequn`, or a folder in it for containers.
    #[arg(long, env = "STATE")]
    state: Option<PathBuf>,
    /// What everything runs as.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) stack: Kind,
}

/// How the stack runs.
#[derive(clap::ValueEnum, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Processes of this machine.
    #[default]
    Local,
    /// Containers of `deploy/compose.yaml`.
    Compose,
}

fn file(name: &str) -> PathBuf {
    repository().join("tests/demo").join(name)
}

impl Options {
    pub(crate) fn state(&self) -> PathBuf {
        let default = match self.stack {
            Kind::Local => ".shequn",
            Kind::Compose => ".shequn/compose",
        };
        self.state.clone().unwrap_or_else(|| repository().join(default))
    }

    /// Whether the contacts are the ones that come with the demo.
    pub(crate) fn has_own_contacts(&self) -> bool {
        self.contacts != file("contacts.csv")
    }

    /// Whether the orders are the ones that come with the demo.
    pub(crate) fn has_own_orders(&self) -> bool {
        self.orders != file("orders.csv")
    }
}
