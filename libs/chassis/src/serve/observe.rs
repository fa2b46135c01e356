//! What surrounds every request of either protocol: its id, its span, its figures, and a net under panics.

use std::panic::AssertUnwindSafe;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use contracts::header;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, Method};
use tokio::time::Instant;
use tonic::Status;
use tracing::{Instrument, field::Empty};

use crate::{Problem, telemetry};

const REQUEST_ID_BYTES_MAX: usize = 128;
/// Route of requests that match none: real paths would make a metric per guess.
const UNMATCHED: &str = "unmatched";

tokio::task_local! {
    static REQUEST_ID: String;
}

/// The id of the request this task is serving.
pub(crate) fn request_id() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok()
}

/// What the request speaks, and so how failures are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

/// The middleware. Of the URL it keeps the route's template only: paths and queries hold personal data.
pub(crate) async fn observe(State(protocol): State<Protocol>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (route, method) = (route(protocol, &request), method(request.method()));
    let id = request_id_of(request.headers());
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        request_id = id,
        trace_id = Empty,
    );
    telemetry::continue_trace(&span, request.headers());
    let answer = REQUEST_ID.scope(id.clone(), answer(protocol, request, next));
    let mut response = answer.instrument(span.clone()).await;
    let status = status(protocol, &response);
    span.record("http.response.status_code", status);
    span.in_scope(|| record(protocol, route, method, status, began.elapsed().as_secs_f64()));
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(header::REQUEST_ID, id);
    }
    response
}

async fn answer(protocol: Protocol, request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let message = panic.downcast_ref::<&str>().copied();
            let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let problem = Problem::internal(format!("panic: {}", message.unwrap_or("of an unknown kind")));
            match protocol {
                Protocol::Http => problem.into_response(),
                Protocol::Grpc => Status::from(problem).into_http(),
            }
        }
    }
}

/// The client's own id when it can stand in a header and a log line, otherwise a new one.
fn request_id_of(headers: &HeaderMap) -> String {
    headers
        .get(header::REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(|id| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
        })
        .map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

fn route(protocol: Protocol, request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    match (protocol, matched) {
        (_, None) => UNMATCHED.to_owned(),
        (Protocol::Http, Some(template)) => template.to_owned(),
        // Tonic matches a whole service; its method is the rest of the path.
        (Protocol::Grpc, Some(_)) => request.uri().path().trim_start_matches('/').to_owned(),
    }
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// The protocol's own status number. A gRPC stream that fails later still counts as begun well.
fn status(protocol: Protocol, response: &Response) -> u16 {
    match protocol {
        Protocol::Http => response.status().as_u16(),
        Protocol::Grpc => Status::from_header_map(response.headers())
            .map_or(0, |status| u16::try_from(i32::from(status.code())).unwrap_or(0)),
    }
}

fn record(protocol: Protocol, route: String, method: &'static str, status: u16, secs: f64) {
    tracing::debug!(route, method, status, secs, "request answered");
    let status = status.to_string();
    match protocol {
        Protocol::Http => metrics::histogram!(
            "http_request_duration_seconds", "route" => route, "method" => method, "status" => status,
        )
        .record(secs),
        Protocol::Grpc => {
            // A method nobody implements is a guess, and so may be one that a stranger asks; guesses share one series.
            let guesses = [tonic::Code::Unimplemented, tonic::Code::Unauthenticated];
            let is_guess = guesses.iter().any(|code| status == (*code as i32).to_string());
            let method = if is_guess { UNMATCHED.to_owned() } else { route };
            metrics::histogram!("grpc_request_duration_seconds", "method" => method, "status" => status)
                .record(secs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_that_cannot_be_logged_is_replaced() {
        let with = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::REQUEST_ID, id.parse().unwrap());
            request_id_of(&headers)
        };
        assert_eq!(with("order-17"), "order-17");
        assert_ne!(with("two words"), "two words");
        assert_ne!(with(&"x".repeat(129)), "x".repeat(129));
        assert_eq!(request_id_of(&HeaderMap::new()).len(), 36);
    }
}
