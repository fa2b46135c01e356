//! One trace from an HTTP request over gRPC and NATS to a handler, as an OTLP receiver sees it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use testkit::{Set, eventually};

use crate::scene::Scene;
use crate::spans::Spans;

/// By trace id, the spans as `service/name`.
fn traces(exports: Vec<ExportTraceServiceRequest>) -> BTreeMap<Vec<u8>, BTreeSet<String>> {
    let mut traces = BTreeMap::<_, BTreeSet<_>>::new();
    for resource in exports.into_iter().flat_map(|export| export.resource_spans) {
        let attributes = resource
            .resource
            .map(|resource| resource.attributes)
            .unwrap_or_default();
        let service = attributes
            .into_iter()
            .find(|attribute| attribute.key == "service.name")
            .and_then(|attribute| attribute.value?.value)
            .map_or_else(String::new, |value| match value {
                Value::StringValue(text) => text,
                other => format!("{other:?}"),
            });
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            traces
                .entry(span.trace_id)
                .or_default()
                .insert(format!("{service}/{}", span.name));
        }
    }
    traces
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_spans_http_grpc_nats_and_the_handler() -> anyhow::Result<()> {
    let (receiver, endpoint) = Spans::receive().await?;
    let set = Set::start_with("trace", &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).await?;
    let scene = Scene::set(set.stack(), 1).await?;
    let contact = scene.scan("wx-1").await?;
    let series = scene.series(10).await?;
    // HTTP at groups → gRPC at customers → GroupJoined over NATS → broadcast's handler.
    scene.join(&series, &contact).await?;
    eventually(async || {
        let traces = traces(receiver.received());
        let joined = traces
            .values()
            .find(|spans| {
                spans
                    .iter()
                    .any(|span| span.starts_with("groups/") && span.contains("join"))
            })
            .with_context(|| format!("no join among {traces:?}"))?;
        for service in ["groups/", "customers/", "broadcast/"] {
            ensure!(
                joined.iter().any(|span| span.starts_with(service)),
                "no {service} in {joined:?}"
            );
        }
        anyhow::Ok(())
    })
    .await
}
