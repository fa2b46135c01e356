//! Accepting HTTP connections within limits, and letting them finish.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::http::client::Remote;

const CONNECTIONS_MAX: usize = 4_096;
/// A client that sends its next headers later than this only holds a connection.
const HEADER_SECS_MAX: u64 = 30;
const HTTP2_STREAMS_MAX: u32 = 256;
const ACCEPT_RETRY_MILLIS: u64 = 50;

/// Serves until `stopping`, then lets every request in flight finish. Its caller sets the deadline.
pub(crate) async fn serve_http(listener: TcpListener, router: Router, stopping: CancellationToken) {
    let (connections, seats) = (TaskTracker::new(), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    // Lets axum prepare the router once instead of per request.
    let router: Router = router.with_state(());
    while let Some(accepted) = stopping.run_until_cancelled(accept(&listener, &seats)).await {
        let Some((stream, seat)) = accepted else { continue };
        let (router, stopping) = (router.clone(), stopping.clone());
        connections.spawn(async move {
            serve_connection(stream, router, stopping).await;
            drop(seat);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// One connection, once a seat is free for it; none when it failed.
pub(crate) async fn accept(
    listener: &TcpListener,
    seats: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let seat = seats.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, seat)),
        Err(error) => {
            // A client that gave up, or no file descriptor left: the next moment may be better.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MILLIS)).await;
            None
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Router, stopping: CancellationToken) {
    // Its first byte is under no other limit: the timer of headers starts with it.
    let first_byte = tokio::time::timeout(Duration::from_secs(HEADER_SECS_MAX), stream.readable());
    if !matches!(stopping.run_until_cancelled(first_byte).await, Some(Ok(Ok(())))) {
        return;
    }
    // Without it small answers wait for the client's acknowledgement; failing to set it is no reason to stop.
    let _ = stream.set_nodelay(true);
    let remote = stream.peer_addr().ok().map(|address| Remote(address.ip()));
    let service = router
        .map_request(move |mut request: http::Request<hyper::body::Incoming>| {
            if let Some(remote) = remote {
                request.extensions_mut().insert(remote);
            }
            request.map(Body::new)
        })
        .map_err(|never: Infallible| match never {});
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEADER_SECS_MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .keep_alive_interval(Duration::from_secs(30));
    let mut connection =
        pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    let outcome = tokio::select! {
        outcome = &mut connection => outcome,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error, "connection ended early");
    }
}
