//! Tests only: a state on a database of its own, with a verified tenant, members and codes.

use chassis::auth::{Agent, Operator, Role, Signer};
use chassis::{Clock, Problem};
use contracts::identity::v1::{MemberJoined, MemberLeft};
use contracts::{CodeId, Envelope, Event, MemberId, RequestKey, TenantId};
use outbox::{Database, Handler};
use testkit::{Stack, TestDatabase};
use tokio_util::sync::CancellationToken;

use crate::code::{Code, CodeMember, NewCode};
use crate::contact::ExternalId;
use crate::error::Error;
use crate::ops::scan::{Scan, Scanned};
use crate::{MIGRATOR, State, ops, store};

pub(crate) struct Scene {
    pub(crate) state: State,
    pub(crate) tenant: TenantId,
    test: TestDatabase,
}

impl Scene {
    /// A verified tenant without members.
    pub(crate) async fn new() -> Self {
        let test = testkit::database("customers", async |url| outbox::migrate(&url, &MIGRATOR).await)
            .await
            .unwrap();
        let stack = Stack::shared().unwrap();
        let env = &stack.process("customers").env;
        let signer = Signer::load(
            "customers",
            env["SHEQUN_SIGNING_KEY"].as_ref(),
            env["SHEQUN_PEER_KEYS"].as_ref(),
        )
        .unwrap();
        let state = State {
            database: Database::new(test.pool.clone()),
            clock: Clock::system(),
            signer,
            public_url: "http://localhost".parse().unwrap(),
            stopping: CancellationToken::new(),
        };
        let scene = Self {
            state,
            tenant: TenantId::new(),
            test,
        };
        scene.verify(scene.tenant).await;
        scene
    }

    pub(crate) async fn verify(&self, tenant: TenantId) {
        let mut tx = self.state.database.begin(tenant).await.unwrap();
        store::member::tenant_verified(&mut *tx, tenant, self.state.clock.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// Handles an event as the bus would deliver it.
    pub(crate) async fn hear<E: Event>(&self, event: E)
    where
        State: Handler<E>,
    {
        let envelope = Envelope::new(&event, self.state.clock.now()).unwrap();
        let mut tx = self.state.database.begin(envelope.tenant_id).await.unwrap();
        self.state.handle(&mut tx, event, &envelope).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn member(&self, alias: &str) -> MemberId {
        let member = MemberId::new();
        self.joins(member, alias).await;
        member
    }

    pub(crate) async fn joins(&self, member: MemberId, alias: &str) {
        let (tenant_id, member_id) = (self.tenant.to_string(), member.to_string());
        self.hear(MemberJoined {
            tenant_id,
            member_id,
            alias: alias.to_owned(),
            role: "agent".to_owned(),
        })
        .await;
    }

    pub(crate) async fn leaves(&self, member: MemberId) {
        let (tenant_id, member_id) = (self.tenant.to_string(), member.to_string());
        self.hear(MemberLeft {
            tenant_id,
            member_id,
            left_at: None,
        })
        .await;
    }

    pub(crate) fn operator(&self) -> Operator {
        Operator {
            tenant: self.tenant,
            member: MemberId::new(),
            role: Role::Operator,
        }
    }

    pub(crate) fn agent(&self, member: MemberId) -> Agent {
        Agent {
            tenant: self.tenant,
            member,
            role: Role::Agent,
        }
    }

    /// A code of the members, with welcome, state and tags.
    pub(crate) async fn code(&self, members: &[MemberId], tags: &[&str]) -> Code {
        let members = members
            .iter()
            .map(|&member_id| CodeMember { member_id, weight: 1 })
            .collect();
        let new = NewCode {
            name: "parcel sticker".parse().unwrap(),
            members,
            welcome: Some("你好！".parse().unwrap()),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            state: Some("parcel".parse().unwrap()),
        };
        ops::issue_code::issue_code(&self.state, self.operator(), &key("code"), new)
            .await
            .unwrap()
    }

    pub(crate) async fn try_scan(&self, token: &str, person: &str) -> Result<Scanned, Error> {
        ops::scan::scan(&self.state, &scan(token, person)).await
    }

    pub(crate) async fn scan(&self, code: &Code, person: &str) -> Scanned {
        self.try_scan(&code.token, person).await.unwrap()
    }

    /// Many friends of a member at once, past the operation.
    pub(crate) async fn befriend_many(&self, member: MemberId, code_id: CodeId, people: i32) {
        sqlx::query(
            "with person as (
                 insert into contact (tenant_id, contact_id, external_id, name, language, marketing, consent_basis,
                                      consent_version, consent_at, created_at)
                 select $1, uuidv7(), 'many-' || gen_random_uuid(), '', '', true, 'scan', 1, now(), now()
                 from generate_series(1, $4) returning contact_id
             )
             insert into follow (tenant_id, contact_id, member_id, state, add_way, code_id, channel, befriended_at,
                                 last_active_at)
             select $1, contact_id, $2, 'active', 'live_code', $3, '', now(), now() from person",
        )
        .bind(self.tenant)
        .bind(member)
        .bind(code_id)
        .bind(people)
        .execute(&self.test.superuser)
        .await
        .unwrap();
    }

    /// Every event of a type recorded so far, in order.
    pub(crate) async fn events<E: Event>(&self) -> Vec<E> {
        let payloads: Vec<Vec<u8>> =
            sqlx::query_scalar("select payload from outbox where name = $1 order by seq")
                .bind(E::full_name())
                .fetch_all(&self.test.superuser)
                .await
                .unwrap();
        payloads
            .iter()
            .map(|payload| E::decode(payload.as_slice()).unwrap())
            .collect()
    }

    /// How many rows a table has, of all tenants.
    pub(crate) async fn rows(&self, table: &str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        sqlx::query_scalar(count)
            .fetch_one(&self.test.superuser)
            .await
            .unwrap()
    }
}

pub(crate) fn scan(token: &str, person: &str) -> Scan {
    let external_id: ExternalId = person.parse().unwrap();
    Scan {
        code: token.parse().unwrap(),
        external_id,
        name: None,
        language: None,
    }
}

/// A request key nobody else has.
pub(crate) fn key(what: &str) -> RequestKey {
    RequestKey {
        key: format!("{what}-{}", uuid::Uuid::now_v7()),
        fingerprint: [7; 32],
    }
}

/// What a client is told.
pub(crate) fn code_of(error: Error) -> &'static str {
    Problem::from(error).code
}
