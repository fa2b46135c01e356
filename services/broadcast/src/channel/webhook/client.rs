//! Connections to all receivers: to public addresses alone, looked at when a connection is made and not before.

use std::error::Error as _;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use contracts::TenantId;
use h2::Reason;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt as _;
use tokio::net::TcpStream;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder};

use super::Webhook;
use crate::State;
use crate::channel::account::Accounts;
use crate::ops::Claim;
use crate::webhook::{Receiver, Target, is_public};

/// Of all the receiver's addresses together, and TLS with it.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// A connection that nothing comes from is looked at as often, and given up after so long: its calls time out, but one of
/// HTTP/2 is shared, and would be used again and again.
const LOOK_AFTER: Duration = Duration::from_secs(15);
const SILENT_MAX: Duration = Duration::from_secs(30);
const LOOKS_MAX: u32 = 3;
const PING_MAX: Duration = Duration::from_secs(10);
/// A call the receiver says it has not looked at is made again at once.
const UNSEEN_MAX: usize = 2;
/// Of an HTTP/2 answer's headers; HTTP/1 has a bound of its own, 100 headers.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Connections that nobody uses, kept for a receiver: what one process needs at once.
const IDLE_CONNECTIONS_MAX: usize = 64;
const IDLE_SECS_MAX: u64 = 60;

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Connector = BoxCloneSyncService<Uri, Stream, BoxError>;

/// HTTP/2 where a receiver offers it, else connections that are used again. No proxy, no redirect, nothing unpacked.
/// It is hyper's own and not reqwest's: of what a call costs, reqwest's layers were the largest part.
#[derive(Clone)]
pub(super) struct Http(legacy::Client<Connector, Full<Bytes>>);

impl Http {
    fn new(directory: Option<Directory>, tls: ClientConfig) -> Self {
        let connector = match directory {
            Some(directory) => connector(
                HttpConnector::new_with_resolver(PublicHosts(Arc::new(directory))),
                tls,
            ),
            None => connector(HttpConnector::new(), tls),
        };
        let client = legacy::Client::builder(TokioExecutor::new())
            .http2_max_header_list_size(HEADER_BYTES_MAX)
            .http2_keep_alive_interval(LOOK_AFTER)
            .http2_keep_alive_timeout(PING_MAX)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(Duration::from_secs(IDLE_SECS_MAX))
            .build(connector);
        Self(client)
    }

    pub(super) async fn call(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        let mut unseen = 0;
        loop {
            match self.0.request(request.clone()).await {
                Err(error) if unseen < UNSEEN_MAX && is_unseen(&error) => unseen += 1,
                answered => return answered,
            }
        }
    }
}

/// Whether the receiver may have seen the call: it has not without a connection, and where it says so.
pub(super) fn is_handed(error: &legacy::Error) -> bool {
    !error.is_connect() && !is_unseen(error)
}

/// HTTP/2 tells which calls were not looked at, as when a connection has served as many as it is to serve (RFC 9113, 8.7).
fn is_unseen(error: &legacy::Error) -> bool {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let mut told = causes.filter_map(|cause| cause.downcast_ref::<h2::Error>());
    told.any(|error| {
        let is_goodbye = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
        let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        error.is_remote() && (is_goodbye || is_refused)
    })
}

/// Connects, with TLS if the URL says so, in bounded time.
fn connector<R>(mut tcp: HttpConnector<R>, tls: ClientConfig) -> Connector
where
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>> + Clone + Send + Sync + 'static,
    <HttpConnector<R> as Service<Uri>>::Error: Into<BoxError>,
    <HttpConnector<R> as Service<Uri>>::Future: Send,
{
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_MAX));
    tcp.set_keepalive(Some(LOOK_AFTER));
    tcp.set_keepalive_interval(Some(LOOK_AFTER));
    tcp.set_keepalive_retries(Some(LOOKS_MAX));
    tcp.set_tcp_user_timeout(Some(SILENT_MAX));
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http() // whether plain http is a target at all is the target's to say
        .enable_all_versions()
        .wrap_connector(tcp);
    let bounded = ServiceBuilder::new().timeout(CONNECT_MAX).service(https);
    BoxCloneSyncService::new(bounded)
}

/// What is called, and how it does.
pub(crate) struct Client {
    http: Http,
    accounts: Accounts,
}

impl Client {
    pub(crate) fn new(state: &State) -> anyhow::Result<Self> {
        Self::with(state, Directory::System, None)
    }

    /// With names told by `directory`, and certificates trusted as `tls` says, if it does.
    pub(crate) fn with(
        state: &State,
        directory: Directory,
        tls: Option<ClientConfig>,
    ) -> anyhow::Result<Self> {
        let tls = match tls {
            Some(tls) => tls,
            None => ClientConfig::with_platform_verifier()?,
        };
        Ok(Self {
            http: Http::new((!state.dev).then_some(directory), tls),
            accounts: Accounts::default(),
        })
    }

    /// The webhook for a claimed chunk.
    pub(crate) fn to<'a>(&'a self, state: &'a State, claim: &'a Claim) -> Webhook<'a> {
        let (tenant, receiver) = (claim.mailing.tenant, claim.receiver.as_ref());
        self.at(state, tenant, receiver, claim.is_trial())
    }

    /// The tenant's webhook; one that is missing, or may not be called, has no way to anybody.
    pub(crate) fn at<'a>(
        &'a self,
        state: &'a State,
        tenant: TenantId,
        receiver: Option<&'a Receiver>,
        is_trial: bool,
    ) -> Webhook<'a> {
        let parsed = |receiver: &'a Receiver| Some((Target::parse(&receiver.url, state.dev).ok()?, receiver));
        let (target, secrets) = match receiver.and_then(parsed) {
            Some((target, receiver)) => (Some(target), receiver.secrets.as_slice()),
            None => (None, [].as_slice()),
        };
        let account = self.accounts.of(tenant, &state.knobs);
        Webhook {
            state,
            http: &self.http,
            target,
            secrets,
            account,
            is_trial,
        }
    }
}

/// Who tells a name's addresses.
pub(crate) enum Directory {
    System,
    /// Of each name the answers, of which a look takes the next; the last one stays.
    #[cfg(test)]
    Told(std::sync::Mutex<std::collections::HashMap<String, Vec<Vec<IpAddr>>>>),
}

impl Directory {
    async fn look(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        match self {
            Self::System => Ok(tokio::net::lookup_host((name, 0))
                .await?
                .map(|address| address.ip())
                .collect()),
            #[cfg(test)]
            Self::Told(names) => {
                let mut names = names.lock().unwrap();
                let answers = names.get_mut(name).expect("a name of the test's");
                Ok(if answers.len() > 1 {
                    answers.remove(0)
                } else {
                    answers[0].clone()
                })
            }
        }
    }
}

/// Resolves names to their addresses, if every one of them is public: a name that points inside as well is none to
/// trust. The connection is made to what this returns, so a name can't point elsewhere between the look and the connect;
/// addresses in the URL itself are looked at when it is parsed, for every chunk.
#[derive(Clone)]
struct PublicHosts(Arc<Directory>);

impl Service<Name> for PublicHosts {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let directory = self.0.clone();
        Box::pin(async move {
            let found = directory.look(name.as_str()).await?;
            if found.is_empty() || !found.iter().copied().all(is_public) {
                return Err(std::io::Error::other(
                    "the host has no public address, or others as well",
                ));
            }
            let addresses: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(addresses.into_iter())
        })
    }
}
