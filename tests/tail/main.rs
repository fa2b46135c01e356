//! `make tail`: prints every event of a running stack as it happens, decoded.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, Message};
use clap::Parser;
use contracts::{DESCRIPTORS, EVENT_NAMES, header, stream_of};
use futures::stream::{StreamExt as _, select_all};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::json;
use testkit::{Stack, repository};

const REMEDY: &str = "no stack runs there; start one with `make up`";

/// Prints every event of a running stack, one JSON object a line.
#[derive(Parser)]
struct Arguments {
    /// The stack's state folder.
    #[arg(long, default_value_os_t = repository().join(".shequn"))]
    state: PathBuf,
    /// Also what happened before, from the streams' beginning.
    #[arg(long)]
    all: bool,
    /// Only events of this tenant.
    #[arg(long)]
    tenant: Option<uuid::Uuid>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let stack = Stack::at(&arguments.state).context(REMEDY)?;
    let user = &stack.description().nats.users["tail"];
    let client = ConnectOptions::with_user_and_password(user.user.clone(), user.password.clone())
        .custom_inbox_prefix(&user.inbox)
        .connect(&stack.description().nats.url)
        .await
        .context(REMEDY)?;
    let jetstream = jetstream::new(client);
    let names: BTreeSet<String> = EVENT_NAMES.iter().filter_map(|name| stream_of(name)).collect();
    let mut streams = Vec::new();
    for stream in names {
        let config = pull::Config {
            // The user may only create consumers with a name in the request's subject.
            name: Some(format!("tail-{}", uuid::Uuid::new_v4().simple())),
            deliver_policy: if arguments.all {
                DeliverPolicy::All
            } else {
                DeliverPolicy::New
            },
            // Acknowledged by being sent: nothing comes twice.
            ack_policy: AckPolicy::None,
            inactive_threshold: std::time::Duration::from_secs(30),
            ..pull::Config::default()
        };
        let consumer = jetstream
            .create_consumer_on_stream(config, &stream)
            .await
            .with_context(|| format!("stream {stream}: {REMEDY}"))?;
        streams.push(consumer.messages().await?);
    }
    let pool = DescriptorPool::decode(DESCRIPTORS)?;
    let mut events = select_all(streams);
    while let Some(message) = events.next().await {
        print(&pool, &message?, arguments.tenant)?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer of a command line")]
fn print(pool: &DescriptorPool, message: &Message, tenant: Option<uuid::Uuid>) -> anyhow::Result<()> {
    let header = |name: &str| {
        message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(name))
            .map(|value| value.as_str())
    };
    if tenant.is_some_and(|tenant| header(header::CE_TENANT) != Some(tenant.to_string().as_str())) {
        return Ok(());
    }
    let name = header(header::CE_TYPE).context("a message without a type")?;
    let descriptor = pool
        .get_message_by_name(name)
        .with_context(|| format!("{name} is no known event"))?;
    let event = DynamicMessage::decode(descriptor, message.payload.clone())?;
    println!(
        "{}",
        json!({"time": header(header::CE_TIME), "type": name, "data": event})
    );
    Ok(())
}
