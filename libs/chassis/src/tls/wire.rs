//! Connections between peers: taken in and made, secured when there is TLS to secure them with.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::Tls;
use super::material::names;
use crate::serve::accept;

/// Handshakes under way at once; who comes later waits in the kernel's queue.
const HANDSHAKES_MAX: usize = 256;
const HANDSHAKE_SECS_MAX: u64 = 5;

/// What a connection proves of who is at its other end.
#[derive(Clone)]
pub(crate) enum Presented {
    /// Nothing: it is plain.
    Nothing,
    /// The holder of this certificate, which one of our authorities signed.
    Certificate(Arc<CertificateDer<'static>>),
}

impl Presented {
    /// Whether a service is whom its token names. A plain connection leaves that to the token.
    pub(crate) fn is_of(&self, service: &str) -> bool {
        match self {
            Self::Nothing => true,
            Self::Certificate(certificate) => names(certificate, service),
        }
    }
}

/// A peer's connection to our gRPC listener.
pub(crate) struct Connection {
    io: Either<TcpStream, server::TlsStream<TcpStream>>,
    presented: Presented,
}

/// Takes in connections until `stopping`; each is on its way once its handshake is done.
pub(crate) async fn take_in(
    listener: TcpListener,
    tls: Option<Tls>,
    taken: mpsc::Sender<Connection>,
    stopping: CancellationToken,
) {
    let seats = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Some(accepted) = stopping.run_until_cancelled(accept(&listener, &seats)).await {
        let Some((stream, seat)) = accepted else { continue };
        let (tls, taken) = (tls.clone(), taken.clone());
        tokio::spawn(async move {
            let shaken = timeout(Duration::from_secs(HANDSHAKE_SECS_MAX), shake(stream, tls)).await;
            match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                // Nobody takes it any more at the end of the process.
                Ok(connection) => drop(taken.send(connection).await),
                Err(error) => {
                    metrics::counter!("tls_handshakes_refused_total").increment(1);
                    tracing::info!(%error, "a peer's connection is refused");
                }
            }
            drop(seat);
        });
    }
}

async fn shake(stream: TcpStream, tls: Option<Tls>) -> io::Result<Connection> {
    // Without it small answers wait for the peer's acknowledgement; failing to set it is no reason to stop.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return Ok(Connection {
            io: Either::Left(stream),
            presented: Presented::Nothing,
        });
    };
    let stream = TlsAcceptor::from(tls.server()).accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let own = shown.first().ok_or(io::ErrorKind::PermissionDenied)?.clone();
    Ok(Connection {
        io: Either::Right(stream),
        presented: Presented::Certificate(Arc::new(own)),
    })
}

impl Tls {
    /// Connects to whatever stands at an address, and makes sure that it is the service `name`.
    pub(crate) async fn connect(
        self,
        name: ServerName<'static>,
        address: Uri,
    ) -> io::Result<TokioIo<client::TlsStream<TcpStream>>> {
        let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, address.port_u16().unwrap_or(443))).await?;
        let _ = stream.set_nodelay(true);
        let stream = TlsConnector::from(self.client()).connect(name, stream).await?;
        Ok(TokioIo::new(stream))
    }
}

impl Connected for Connection {
    type ConnectInfo = Presented;

    fn connect_info(&self) -> Presented {
        self.presented.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
