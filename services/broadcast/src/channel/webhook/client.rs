//! Connections to all receivers: to public addresses alone, looked at when a connection is made and not before.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use contracts::TenantId;
use http::{Request, Uri};
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

const CONNECT_SECS_MAX: u64 = 3;
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
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(Duration::from_secs(IDLE_SECS_MAX))
            .build(connector);
        Self(client)
    }

    pub(super) async fn call(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, legacy::Error> {
        self.0.request(request).await
    }
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
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http() // whether plain http is a target at all is the target's to say
        .enable_all_versions()
        .wrap_connector(tcp);
    let bounded = ServiceBuilder::new()
        .timeout(Duration::from_secs(CONNECT_SECS_MAX))
        .service(https);
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
