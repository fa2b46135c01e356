//! Three listeners: the public API, gRPC for peers, and health and metrics for the operator.

mod accept;
mod observe;
mod ops;
mod part;

pub(crate) use self::{
    accept::{accept, serve_http},
    observe::{Protocol, observe, request_id},
    ops::router as ops_router,
    part::part,
};

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::Settings;

/// The three sockets, bound before anything is served, so that port 0 can be asked for and read back.
#[derive(Debug)]
pub struct Listeners {
    pub http: TcpListener,
    pub grpc: TcpListener,
    pub ops: TcpListener,
}

impl Listeners {
    /// Binds all three and logs where.
    ///
    /// # Errors
    /// When an address is taken or not ours.
    pub async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            http: bind("http", settings.http_listen).await?,
            grpc: bind("grpc", settings.grpc_listen).await?,
            ops: bind("ops", settings.ops_listen).await?,
        })
    }
}

/// Binds one socket and logs its real address.
pub(crate) async fn bind(name: &'static str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for {name}"))?;
    let address = listener.local_addr().context("a listener without an address")?;
    tracing::info!(listener = name, %address, "listening");
    Ok(listener)
}
