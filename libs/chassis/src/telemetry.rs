//! What an operator reads afterwards: JSON lines on standard output, spans over OTLP, W3C trace context on the way in and out.

use std::sync::OnceLock;

use anyhow::Context as _;
use contracts::header;
use http::HeaderMap;
use opentelemetry::{
    Context, global,
    propagation::{Extractor, Injector},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::Settings;

/// Libraries whose own spans would drown ours, or trace the export of traces.
const UNTRACED: &[&str] = &[
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry_sdk",
    "reqwest",
    "tonic",
    "tower",
];

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Starts logs and traces, once however often it is called. Needs a runtime.
pub(crate) fn start(service: &'static str, settings: &Settings) -> anyhow::Result<()> {
    if PROVIDER.get().is_some() {
        return Ok(());
    }
    let provider = provider(service, settings)?;
    let lines = EnvFilter::try_new(&settings.log).context("SHEQUN_LOG is not a filter")?;
    let mut spans = Targets::new().with_default(tracing::Level::INFO);
    for library in UNTRACED {
        spans = spans.with_target(*library, tracing::level_filters::LevelFilter::OFF);
    }
    let traces = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("shequn"))
        .with_location(false)
        .with_threads(false)
        // Both cost at every poll: how long a span was idle, and a context that nobody asks for but by the span.
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(spans);
    let log = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_filter(lines);
    // Whoever set a subscriber before us, such as a test, keeps it.
    let _ = tracing_subscriber::registry().with(traces).with(log).try_init();
    global::set_text_map_propagator(TraceContextPropagator::new());
    let _ = PROVIDER.set(provider);
    Ok(())
}

/// Without an endpoint spans still get ids, so that traces continue through this process.
fn provider(service: &'static str, settings: &Settings) -> anyhow::Result<SdkTracerProvider> {
    let resource = Resource::builder().with_service_name(service).build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let Some(endpoint) = &settings.otlp_endpoint else {
        return Ok(builder.build());
    };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint.as_str())
        .build()
        .context("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used")?;
    Ok(builder.with_batch_exporter(exporter).build())
}

/// Sends the spans that wait; never fails, for the process is about to end.
pub(crate) async fn flush() {
    let Some(provider) = PROVIDER.get() else { return };
    let flushed = tokio::task::spawn_blocking(|| provider.force_flush()).await;
    if let Ok(Err(error)) = flushed {
        tracing::warn!(%error, "spans lost at exit");
    }
}

/// Makes `span` part of the trace the headers speak of, and writes the trace's id into its
/// `trace_id` field, so that each log line under it can be found from the trace.
pub(crate) fn continue_trace(span: &Span, headers: &HeaderMap) {
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&Incoming(headers)));
    // It fails only for a span that is disabled or already running; then there is nothing to join.
    let _ = span.set_parent(parent);
    let context = span.context();
    let trace_id = context.span().span_context().trace_id();
    span.record("trace_id", tracing::field::display(trace_id));
}

/// Writes the current trace context into the headers of a request to a peer.
pub fn inject(headers: &mut HeaderMap) {
    inject_context(&Span::current().context(), headers);
}

/// The current position in the trace, for carriers that are not HTTP.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    let mut headers = HeaderMap::new();
    inject(&mut headers);
    headers.get(header::TRACEPARENT)?.to_str().ok().map(str::to_owned)
}

/// Makes `span` part of the trace that `traceparent` speaks of.
pub fn set_parent(span: &Span, traceparent: Option<&str>) {
    let mut headers = HeaderMap::new();
    if let Some(value) = traceparent.and_then(|value| value.parse().ok()) {
        headers.insert(header::TRACEPARENT, value);
    }
    continue_trace(span, &headers);
}

fn inject_context(context: &Context, headers: &mut HeaderMap) {
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(context, &mut Outgoing(headers));
    });
}

struct Incoming<'a>(&'a HeaderMap);

impl Extractor for Incoming<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct Outgoing<'a>(&'a mut HeaderMap);

impl Injector for Outgoing<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(key), value.try_into()) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_continues_through_a_span() {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("request", trace_id = tracing::field::Empty);
            set_parent(&span, Some(PARENT));
            let traceparent = span.in_scope(current_traceparent).unwrap();
            assert_eq!(traceparent[..35], PARENT[..35]);
            assert_ne!(traceparent, PARENT);
        });
    }
}
