//! Parting from clients that keep their connection, while the process leaves.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderValue, Version, header::CONNECTION};
use tokio_util::sync::CancellationToken;

/// Once `leaving` fires, each answer over HTTP/1 asks for another connection: whoever balances connections would never
/// choose anew, and closing an idle one may cross with its next request. HTTP/2 parts without loss by itself (GOAWAY).
pub(crate) async fn part(State(leaving): State<CancellationToken>, request: Request, next: Next) -> Response {
    let parts_by_itself = request.version() >= Version::HTTP_2;
    let mut response = next.run(request).await;
    if leaving.is_cancelled() && !parts_by_itself {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}
