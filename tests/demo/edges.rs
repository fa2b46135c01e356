//! The two calls between services that must have carried something: counted at the one who answers.

use client::Api;
use testkit::Stack;

use crate::metrics::Metrics;
use crate::run::Run;
use crate::screen::count;

const METRIC: &str = "grpc_request_duration_seconds_count";
const SERVICE: &str = "shequn.customers.v1.CustomersService";
const OK: &str = "0";

/// Calls customers answered well.
#[derive(Clone, Copy)]
pub(crate) struct Calls {
    /// Asked by groups.
    get_contact: u64,
    /// Asked by broadcast.
    stream_recipients: u64,
}

impl Calls {
    pub(crate) async fn read(stack: &Stack, api: &Api) -> anyhow::Result<Self> {
        let metrics = Metrics::of(stack, api, "customers").await?;
        let calls = |method: &str| {
            metrics.sum(
                METRIC,
                &[("method", &format!("{SERVICE}/{method}")), ("status", OK)],
            )
        };
        Ok(Self {
            get_contact: calls("GetContact"),
            stream_recipients: calls("StreamRecipients"),
        })
    }
}

/// Fails the run when one of the edges carried nothing.
pub(crate) async fn check(run: &mut Run<'_>) -> anyhow::Result<()> {
    let (before, after) = (run.calls_before, Calls::read(&run.stack, &run.api).await?);
    for (edge, before, after) in [
        (
            "groups → customers, GetContact",
            before.get_contact,
            after.get_contact,
        ),
        (
            "broadcast → customers, StreamRecipients",
            before.stream_recipients,
            after.stream_recipients,
        ),
    ] {
        let calls = after.saturating_sub(before);
        run.checks
            .holds(calls > 0, || format!("gRPC edge {edge}: no call"));
        run.edges.push((edge, count(calls)));
    }
    Ok(())
}
