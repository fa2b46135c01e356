//! Operations on a real Postgres, with a stand-in for customers that knows every contact but one.

mod crowd;
mod door;
mod stream;

use std::net::SocketAddr;
use std::pin::Pin;

use chassis::Clock;
use chassis::auth::{Operator, Role, Signer};
use contracts::customers::v1::customers_service_server::{CustomersService, CustomersServiceServer};
use contracts::customers::v1::{
    Contact, GetAddresseesRequest, GetAddresseesResponse, GetContactRequest, GetContactResponse,
    StreamAudienceRequest, StreamAudienceResponse, StreamRecipientsRequest, StreamRecipientsResponse,
};
use contracts::{ContactId, GroupId, MemberId, RequestKey, SeriesId, TenantId};
use outbox::Database;
use testkit::{Stack, TestDatabase, database};
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::customers::Customers;
use crate::error::Error;
use crate::gate::Gate;
use crate::group::Group;
use crate::ops::{self, Door};
use crate::seat::{Applicant, Joined, Left};
use crate::series::Series;
use crate::{MIGRATOR, State, store};

/// The one contact that customers does not know.
const STRANGER: ContactId = ContactId(Uuid::nil());

struct AllButOne;

#[tonic::async_trait]
impl CustomersService for AllButOne {
    async fn get_contact(
        &self,
        request: Request<GetContactRequest>,
    ) -> Result<Response<GetContactResponse>, Status> {
        let contact_id = request.into_inner().contact_id;
        if contact_id == STRANGER.to_string() {
            return Err(Status::not_found("no such contact"));
        }
        let contact = Contact {
            contact_id,
            ..Contact::default()
        };
        Ok(Response::new(GetContactResponse {
            contact: Some(contact),
        }))
    }

    async fn get_addressees(
        &self,
        _: Request<GetAddresseesRequest>,
    ) -> Result<Response<GetAddresseesResponse>, Status> {
        Err(Status::unimplemented("groups asks for single contacts"))
    }

    type StreamAudienceStream = Pin<Box<dyn Stream<Item = Result<StreamAudienceResponse, Status>> + Send>>;

    async fn stream_audience(
        &self,
        _: Request<StreamAudienceRequest>,
    ) -> Result<Response<Self::StreamAudienceStream>, Status> {
        Err(Status::unimplemented("groups asks for single contacts"))
    }

    type StreamRecipientsStream =
        Pin<Box<dyn Stream<Item = Result<StreamRecipientsResponse, Status>> + Send>>;

    async fn stream_recipients(
        &self,
        _: Request<StreamRecipientsRequest>,
    ) -> Result<Response<Self::StreamRecipientsStream>, Status> {
        Err(Status::unimplemented("groups asks for single contacts"))
    }
}

async fn customers_server() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(CustomersServiceServer::new(AllButOne));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

async fn customers_at(address: SocketAddr) -> Customers {
    let stack = tokio::task::spawn_blocking(Stack::shared).await.unwrap().unwrap();
    let env = &stack.process("groups").env;
    let (own, peers) = (&env["SHEQUN_SIGNING_KEY"], &env["SHEQUN_PEER_KEYS"]);
    let signer = Signer::load("groups", own.as_ref(), peers.as_ref()).unwrap();
    let channel = chassis::grpc::channel(&format!("http://{address}").parse().unwrap()).unwrap();
    Customers::new(channel, signer)
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    free.local_addr().unwrap()
}

/// A verified tenant with an operator, on a schema of its own.
struct House {
    state: State,
    database: TestDatabase,
    operator: Operator,
}

impl House {
    async fn open() -> Self {
        let address = customers_server().await;
        Self::open_with_customers_at(address).await
    }

    async fn open_with_customers_at(address: SocketAddr) -> Self {
        let database = database("groups", async |url| outbox::migrate(&url, &MIGRATOR).await)
            .await
            .unwrap();
        let state = State {
            db: Database::new(database.pool.clone()),
            clock: Clock::system(),
            customers: customers_at(address).await,
            gate: Gate::new(8),
        };
        let operator = Operator {
            tenant: TenantId::new(),
            member: MemberId::new(),
            role: Role::Operator,
        };
        let house = Self {
            state,
            database,
            operator,
        };
        house.verify(operator.tenant).await;
        house
    }

    async fn verify(&self, tenant: TenantId) {
        let mut tx = self.state.db.begin(tenant).await.unwrap();
        store::tenant::verify(&mut *tx, tenant, self.state.clock.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    async fn open_group(&self, capacity: i32) -> Group {
        let command = serde_json::json!({
            "name": "g", "theme": "t", "benefit": "b", "capacity": capacity, "kind": "external"
        });
        let command = serde_json::from_value(command).unwrap();
        ops::open_group(&self.state, &self.operator, &key(), command)
            .await
            .unwrap()
    }

    async fn open_series(&self, capacity: i32) -> Series {
        let command = serde_json::json!({
            "name": "s", "theme": "t", "benefit": "b", "greeting": "hello", "capacity": capacity
        });
        let command = serde_json::from_value(command).unwrap();
        ops::open_series(&self.state, &self.operator, &key(), command)
            .await
            .unwrap()
    }

    async fn series(&self, series_id: SeriesId) -> Series {
        let mut tx = self.state.db.read(self.operator.tenant).await.unwrap();
        store::series::find(&mut *tx, series_id).await.unwrap().unwrap()
    }

    async fn group(&self, group_id: GroupId) -> Group {
        let mut tx = self.state.db.read(self.operator.tenant).await.unwrap();
        store::group::find(&mut *tx, group_id).await.unwrap().unwrap()
    }

    /// The groups of a series in their order.
    async fn groups(&self, series_id: SeriesId) -> Vec<Group> {
        let mut tx = self.state.db.read(self.operator.tenant).await.unwrap();
        store::group::page(&mut *tx, Some(series_id), GroupId(Uuid::nil()), 1_000)
            .await
            .unwrap()
    }

    /// The operator acting for a contact.
    fn applicant(&self, contact_id: ContactId) -> Applicant {
        Applicant {
            tenant_id: self.operator.tenant,
            contact_id,
            member_id: Some(self.operator.member),
        }
    }

    async fn join(&self, contact_id: ContactId, door: Door) -> Result<Joined, Error> {
        ops::join(&self.state, &self.applicant(contact_id), &key(), door).await
    }

    async fn leave(&self, contact_id: ContactId, group_id: GroupId) -> Result<Left, Error> {
        ops::leave(&self.state, &self.applicant(contact_id), &key(), group_id).await
    }

    /// Fills seats behind the operations' back, to get at a crowd's door quickly.
    async fn fill(&self, group_id: GroupId, seats: i32) {
        let fill = "
            with filled as (
              update groups set seats_taken = $2 where group_id = $1 returning tenant_id, group_id, series_id
            )
            insert into seat (tenant_id, group_id, contact_id, series_id, number, taken_at)
            select tenant_id, group_id, uuidv7(), series_id, n, now() from filled, generate_series(1, $2) n";
        sqlx::query(fill)
            .bind(group_id.0)
            .bind(seats)
            .execute(&self.database.superuser)
            .await
            .unwrap();
    }

    async fn count(&self, what: &'static str) -> i64 {
        sqlx::query_scalar(what)
            .fetch_one(&self.database.superuser)
            .await
            .unwrap()
    }

    async fn events(&self, name: &str) -> i64 {
        let count = "select count(*) from outbox where name = 'shequn.groups.v1.' || $1";
        sqlx::query_scalar(count)
            .bind(name)
            .fetch_one(&self.database.superuser)
            .await
            .unwrap()
    }
}

fn key() -> RequestKey {
    RequestKey {
        key: Uuid::now_v7().to_string(),
        fingerprint: [0; 32],
    }
}
