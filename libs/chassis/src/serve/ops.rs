//! What the operator's machines ask: is it alive, is it ready, how is it doing.

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use http::{StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::{Health, metrics};

/// `/health/live`, `/health/ready` and `/metrics`.
pub(crate) fn router(health: Health, recorder: PrometheusHandle) -> Router {
    Router::new()
        .route("/health/live", get(async || "alive\n"))
        .route("/health/ready", get(ready).with_state(health.clone()))
        .route("/metrics", get(figures).with_state((health, recorder)))
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let report = health.report().await;
    let status = if report.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report))
}

async fn figures(State((health, recorder)): State<(Health, PrometheusHandle)>) -> impl IntoResponse {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (text, metrics::render(&recorder, &health.report().await))
}
