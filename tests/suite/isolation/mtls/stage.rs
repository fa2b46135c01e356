//! Identity and customers with TLS beside the shared set, and callers of customers' that show this or that.

use std::net::SocketAddr;
use std::sync::Arc;

use contracts::TenantId;
use contracts::customers::v1::customers_service_client::CustomersServiceClient;
use contracts::customers::v1::{GetContactRequest, StreamAudienceRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use testkit::Stack;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};
use tower::service_fn;

use super::authority::{Authority, Pair};
use super::door::Door;
use super::replica::Replica;
use crate::isolation::keys::Keyring;
use crate::scene::{Contact, Scene};

/// The set's own tenants and tokens, and identity and customers with TLS.
pub(super) struct Stage {
    pub(super) stack: Stack,
    keyring: Keyring,
    pub(super) scene: Scene,
    pub(super) contact: Contact,
    pub(super) ours: Authority,
    identity: Replica,
    pub(super) customers: Replica,
}

impl Stage {
    pub(super) async fn set() -> anyhow::Result<Self> {
        let stack = tokio::task::spawn_blocking(Stack::shared).await??;
        let ours = Authority::new()?;
        let identity = Replica::start(&stack, "identity", &ours.sign("identity")?, &ours, &[]).await?;
        let customers = ours.sign("customers")?;
        let customers = Replica::start(
            &stack,
            "customers",
            &customers,
            &ours,
            &[keys_from(identity.grpc())],
        )
        .await?;
        // It has the keys of logins then, from identity over TLS.
        customers.answers(200).await?;
        let scene = Scene::set(&stack, 1).await?;
        Ok(Self {
            keyring: Keyring::load(&stack)?,
            contact: scene.scan("wx-mtls").await?,
            scene,
            stack,
            ours,
            identity,
            customers,
        })
    }

    fn tenant(&self) -> anyhow::Result<TenantId> {
        Ok(self.scene.brand.tenant_id.parse()?)
    }

    /// A caller of customers' who shows this certificate and the token of `service`.
    pub(super) fn caller(&self, shown: Option<&Pair>, service: &str) -> anyhow::Result<Caller> {
        let channel = dial(self.customers.grpc(), self.ours.client(shown)?)?;
        self.caller_on(channel, service)
    }

    pub(super) fn caller_on(&self, channel: Channel, service: &str) -> anyhow::Result<Caller> {
        Ok(Caller {
            customers: CustomersServiceClient::new(channel),
            token: self.keyring.service(service, "customers", self.tenant()?),
            contact_id: self.contact.id.clone(),
        })
    }

    /// Groups with TLS, whose customers are behind a door.
    pub(super) async fn groups(&self, door: &Door, pair: &Pair) -> anyhow::Result<Replica> {
        let customers = ("SHEQUN_CUSTOMERS_GRPC", format!("https://{}", door.address));
        let env = [keys_from(self.identity.grpc()), customers];
        let groups = Replica::start(&self.stack, "groups", pair, &self.ours, &env).await?;
        groups.answers(200).await?;
        Ok(groups)
    }
}

pub(super) fn keys_from(identity: SocketAddr) -> (&'static str, String) {
    ("SHEQUN_IDENTITY_URL", format!("https://{identity}"))
}

pub(super) struct Caller {
    customers: CustomersServiceClient<Channel>,
    pub(super) token: String,
    contact_id: String,
}

impl Caller {
    fn with_token<T>(&self, message: T) -> anyhow::Result<Request<T>> {
        let mut request = Request::new(message);
        let bearer = format!("Bearer {}", self.token).parse()?;
        request.metadata_mut().insert("authorization", bearer);
        Ok(request)
    }

    pub(super) async fn get_contact(&mut self) -> anyhow::Result<Result<(), Status>> {
        let contact_id = self.contact_id.clone();
        let request = self.with_token(GetContactRequest { contact_id })?;
        Ok(self.customers.get_contact(request).await.map(drop))
    }

    pub(super) async fn stream_audience(&mut self) -> anyhow::Result<Result<(), Status>> {
        let request = self.with_token(StreamAudienceRequest::default())?;
        Ok(self.customers.stream_audience(request).await.map(drop))
    }
}

/// To customers at an address, with whatever a client shows.
pub(super) fn dial(to: SocketAddr, client: Arc<ClientConfig>) -> anyhow::Result<Channel> {
    let connector = service_fn(move |_: Uri| {
        let client = client.clone();
        async move { shake(to, client).await.map(TokioIo::new) }
    });
    Ok(Endpoint::from_shared(format!("https://{to}"))?.connect_with_connector_lazy(connector))
}

pub(super) async fn shake(
    to: SocketAddr,
    client: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to).await?;
    let name = ServerName::try_from("customers").map_err(std::io::Error::other)?;
    TlsConnector::from(client).connect(name, stream).await
}

pub(super) fn code(answer: &Result<(), Status>) -> Code {
    answer.as_ref().map_or_else(Status::code, |()| Code::Ok)
}
