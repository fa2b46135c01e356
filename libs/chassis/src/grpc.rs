//! gRPC between peers: calls carry a service token, the trace and a deadline; servers let nobody in without one.

use std::{convert::Infallible, time::Duration};

use anyhow::Context;
use axum::{
    Json,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::get,
};
use contracts::TenantId;
use futures::StreamExt as _;
use http::{Uri, header::AUTHORIZATION};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    metadata::MetadataMap,
    service::Routes,
    transport::{Channel, Endpoint, Server},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use url::Url;

use crate::{
    Class, Clock, Health, Problem,
    auth::{Caller, JWKS_PATH, Jwks, Signer, Verifier, bearer},
    serve::{Protocol, observe},
    telemetry,
    tls::{self, Presented, Tls},
};

/// The largest message either side takes, which is also tonic's own default.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
const CONNECT_SECS_MAX: u64 = 1;
const CALL_SECS_MAX: u64 = 5;
/// A server's own patience, for callers that name no deadline. A stream may go on longer.
const ANSWER_SECS_MAX: u64 = 30;
const KEEPALIVE_SECS: u64 = 20;
const STREAMS_MAX: u32 = 256;
const HEALTH_SECS: u64 = 1;

/// Connections whose handshake is done and which nobody serves yet.
const CONNECTIONS_AHEAD_MAX: usize = 16;

/// What anybody may ask for: it knows nothing of tenants.
const OPEN: &[&str] = &[
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    JWKS_PATH,
];

/// A peer that calls for a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub service: String,
    pub tenant: TenantId,
}

/// A plain connection to a peer, made at first use and again whenever it breaks. A process asks its
/// [`Process`](crate::Process::channel) for one, which knows whether it has to be secured.
///
/// # Errors
/// When the URL is none that plain HTTP can carry.
pub fn channel(url: &Url) -> anyhow::Result<Channel> {
    tls::check_scheme(url, false)?;
    Ok(endpoint(url)?.connect_lazy())
}

/// The same, to whoever proves at that address to be the service `peer`.
pub(crate) fn secured_channel(url: &Url, peer: &str, tls: Tls) -> anyhow::Result<Channel> {
    tls::check_scheme(url, true)?;
    let peer = tls::name(peer)?;
    let connector = tower::service_fn(move |address: Uri| tls.clone().connect(peer.clone(), address));
    Ok(endpoint(url)?.connect_with_connector_lazy(connector))
}

fn endpoint(url: &Url) -> anyhow::Result<Endpoint> {
    let endpoint = Endpoint::from_shared(url.to_string())
        .with_context(|| format!("{url} is no address of a gRPC server"))?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(CONNECT_SECS_MAX))
        .http2_keep_alive_interval(Duration::from_secs(KEEPALIVE_SECS))
        .keep_alive_timeout(Duration::from_secs(CALL_SECS_MAX)))
}

/// A request to the peer `target` for `tenant`: with our token, the trace, and 5 s to answer.
/// For a stream that takes longer, set another timeout on the result.
#[must_use]
pub fn authorize<T>(message: T, signer: &Signer, target: &str, tenant: TenantId) -> tonic::Request<T> {
    let mut headers = http::HeaderMap::new();
    telemetry::inject(&mut headers);
    let mut request = tonic::Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    let token = signer.service_token(target, tenant, Clock::system().now());
    let bearer = format!("Bearer {token}")
        .parse()
        .expect("a token is base64url and dots");
    request.metadata_mut().insert(AUTHORIZATION.as_str(), bearer);
    request.set_timeout(Duration::from_secs(CALL_SECS_MAX));
    request
}

/// Who calls, when it is one of the services in `allowed`.
///
/// # Errors
/// `PERMISSION_DENIED` for everybody else.
pub fn peer<T>(request: &tonic::Request<T>, allowed: &[&str]) -> Result<Peer, Status> {
    match request.extensions().get::<Caller>() {
        Some(Caller::Service { service, tenant }) if allowed.contains(&service.as_str()) => Ok(Peer {
            service: service.clone(),
            tenant: *tenant,
        }),
        Some(_) => Err(Status::permission_denied(
            "this call is for certain services only",
        )),
        None => Err(Status::unauthenticated("there is no token")),
    }
}

/// Adds what every server has to a service's routes: authentication, health, reflection when
/// `dev`, the keys it publishes, and what surrounds each request.
pub(crate) fn routes(
    routes: Routes,
    verifier: Verifier,
    dev: bool,
    published: Option<watch::Receiver<Jwks>>,
) -> anyhow::Result<(Routes, HealthReporter)> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let mut routes = routes.add_service(health);
    if dev {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(contracts::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .context("cannot read the descriptors")?;
        routes = routes.add_service(reflection);
    }
    let mut router = routes.into_axum_router();
    if let Some(keys) = published {
        router = router.route(JWKS_PATH, get(publish).with_state(keys));
    }
    let router = router
        .layer(from_fn_with_state(verifier, authenticate))
        .layer(from_fn_with_state(Protocol::Grpc, observe));
    Ok((Routes::from(router), reporter))
}

/// The public keys of logins, as identity's API answers them.
async fn publish(State(keys): State<watch::Receiver<Jwks>>) -> Result<Json<Jwks>, Problem> {
    let keys = keys.borrow().clone();
    // An empty set would be kept as an answer, and all logins be refused for as long.
    if keys.keys.is_empty() {
        return Err(Problem::unavailable("no key has been made yet"));
    }
    Ok(Json(keys))
}

/// Serves until `stopping`, then lets every call in flight finish. Its caller sets the deadline.
pub(crate) async fn serve_grpc(
    listener: TcpListener,
    routes: Routes,
    tls: Option<Tls>,
    connection_age: Duration,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let (taken, mut connections) = mpsc::channel(CONNECTIONS_AHEAD_MAX);
    let taking_in = tls::take_in(listener, tls, taken, stopping.clone());
    let incoming = futures::stream::poll_fn(move |cx| connections.poll_recv(cx)).map(Ok::<_, Infallible>);
    let serving = Server::builder()
        .timeout(Duration::from_secs(ANSWER_SECS_MAX))
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(Duration::from_secs(KEEPALIVE_SECS)))
        // Calls in flight finish, however long. Tonic's grace (0.14.9) would cut them off without a word before.
        .max_connection_age(connection_age)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stopping.cancelled_owned());
    let ((), served) = tokio::join!(taking_in, serving);
    served.context("the gRPC server ended")
}

/// Tells the gRPC health service what readiness says, once a second.
pub(crate) async fn report_health(
    mut reporter: HealthReporter,
    health: Health,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(Duration::from_secs(HEALTH_SECS));
    while stopping.run_until_cancelled(tick.tick()).await.is_some() {
        let ready = health.report().await.is_ready();
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        reporter.set_service_status("", status).await;
    }
    reporter.set_service_status("", ServingStatus::NotServing).await;
    // Ends the streams of those who watch, which would hold up the drain.
    reporter.clear_service_status("").await;
    Ok(())
}

async fn authenticate(State(verifier): State<Verifier>, mut request: Request, next: Next) -> Response {
    if OPEN
        .iter()
        .any(|service| request.uri().path().starts_with(service))
    {
        return next.run(request).await;
    }
    let caller = match bearer(request.headers()) {
        Ok(token) => verifier.verify(token).await,
        Err(problem) => Err(problem),
    };
    let presented = request.extensions().get();
    match caller.and_then(|caller| proven(caller, presented)) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => Status::from(problem).into_http(),
    }
}

/// A service's token is of no use to whoever does not hold its certificate, too.
fn proven(caller: Caller, presented: Option<&Presented>) -> Result<Caller, Problem> {
    let Caller::Service { service, .. } = &caller else {
        return Ok(caller);
    };
    if presented.is_some_and(|presented| presented.is_of(service)) {
        return Ok(caller);
    }
    tracing::warn!(service, "a service's token came with another's certificate");
    Err(Problem::new(
        Class::Unauthenticated,
        "certificate_mismatch",
        "the token names another service than the connection's certificate",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::MemberId;

    fn from(caller: Option<Caller>) -> Result<Peer, tonic::Code> {
        let mut request = tonic::Request::new(());
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        peer(&request, &["groups"]).map_err(|status| status.code())
    }

    #[tokio::test]
    async fn no_keys_are_published_before_there_are_any() {
        let (sender, keys) = watch::channel(Jwks::default());
        let problem = publish(State(keys.clone())).await.unwrap_err();
        assert_eq!(problem.class, Class::Unavailable);
        let jwks = Jwks {
            keys: vec![crate::auth::SigningKey::from_seed("login-1", &[7; 32]).jwk()],
        };
        sender.send_replace(jwks.clone());
        assert_eq!(publish(State(keys)).await.unwrap().0, jwks);
    }

    #[test]
    fn only_a_named_service_is_a_peer() {
        let tenant = TenantId::new();
        let service = |name: &str| {
            Some(Caller::Service {
                service: name.to_owned(),
                tenant,
            })
        };
        assert_eq!(
            from(service("groups")),
            Ok(Peer {
                service: "groups".to_owned(),
                tenant
            })
        );
        assert_eq!(from(service("broadcast")), Err(tonic::Code::PermissionDenied));
        let owner = Caller::Member {
            tenant,
            member: MemberId::new(),
            role: crate::auth::Role::Owner,
        };
        assert_eq!(from(Some(owner)), Err(tonic::Code::PermissionDenied));
        assert_eq!(from(None), Err(tonic::Code::Unauthenticated));
    }
}
