//! What the operations do to a real Postgres, as the role that runs.

use std::sync::Arc;

use chassis::Clock;
use chassis::auth::{Admin, Caller, Reviewer, Role};
use chassis::http::Origin;
use contracts::identity::v1::identity_service_server::IdentityService;
use contracts::identity::v1::{self as wire, GetTenantRequest};
use contracts::{MemberId, RequestKey, TenantId};
use futures::future::join_all;
use outbox::Database;
use secrecy::SecretString;
use serde_json::{Value, json};
use testkit::TestDatabase;
use uuid::Uuid;

use crate::config::Limits;
use crate::error::Error;
use crate::keys::Keys;
use crate::member::{Member, MemberState};
use crate::ops::register::Registered;
use crate::ops::rotate_keys::{Rotation, load, rotate_keys};
use crate::ops::{join, leave, log_in, log_out, refresh, register, review};
use crate::seal::{Seal, SealError};
use crate::session::Tokens;
use crate::tenant::TenantState;
use crate::{MIGRATOR, State, store};

mod session;

const PASSWORD: &str = "a river in the spring";

/// A state on a database of one's own, with a key to sign with.
struct Bench {
    state: State,
    database: TestDatabase,
}

async fn bench() -> Bench {
    let database = testkit::database("identity", async |url: String| {
        outbox::migrate(&url, &MIGRATOR).await
    });
    let database = database.await.unwrap();
    let limits = Limits {
        password_hashes_max: 2,
        login_failures_per_account_max: 3,
        login_failures_per_address_max: 100,
        proxies: None,
        login_failures_max: 100,
    };
    let db = Database::new(database.pool.clone());
    let state = State::new(db, Clock::system(), seal("s"), Keys::new(), limits);
    state
        .keys
        .reload(&state.db, &state.seal, state.clock.now())
        .await
        .unwrap();
    Bench { state, database }
}

fn seal(secret: &str) -> Arc<Seal> {
    Arc::new(Seal::new(&SecretString::from(secret.repeat(32))).unwrap())
}

fn key(name: &str) -> RequestKey {
    RequestKey {
        key: name.to_owned(),
        fingerprint: [7; 32],
    }
}

fn new_key() -> RequestKey {
    key(&Uuid::now_v7().to_string())
}

/// A body as it comes through the door.
fn body<T: serde::de::DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).unwrap()
}

impl Bench {
    async fn register(&self, slug: &str, key: &RequestKey) -> Result<Registered, Error> {
        let owner = json!({"email": "owner@hanasaki.example", "name": "王 雅婷", "password": PASSWORD});
        let command = json!({"slug": slug, "name": "花咲", "licence_number": "L-1", "owner": owner});
        register::register(&self.state, key, body(command)).await
    }

    /// A brand and its owner.
    async fn brand(&self, slug: &str) -> Admin {
        let registered = self.register(slug, &new_key()).await.unwrap();
        let (tenant, member) = (registered.tenant.tenant_id, registered.owner.member_id);
        Admin {
            tenant,
            member,
            role: Role::Owner,
        }
    }

    async fn join(&self, by: Admin, email: &str, role: &str) -> Result<Member, Error> {
        let command = json!({"email": email, "name": "李娜", "role": role, "password": PASSWORD});
        join::join(&self.state, by, &new_key(), body(command)).await
    }

    async fn log_in(&self, slug: &str, email: &str, password: &str) -> Result<Tokens, Error> {
        let command = json!({"tenant": slug, "email": email, "password": password});
        log_in::log_in(&self.state, &Origin::default(), body(command)).await
    }

    async fn refresh(&self, token: &str) -> Result<Tokens, Error> {
        refresh::refresh(&self.state, body(json!({"refresh_token": token}))).await
    }

    async fn review(&self, tenant: TenantId, decision: &str) -> Result<TenantState, Error> {
        let caller = Reviewer {
            reviewer: Uuid::now_v7(),
        };
        let command = body(json!({"decision": decision, "reason": "licence looked up"}));
        review::review(&self.state, caller, &new_key(), tenant, command)
            .await
            .map(|tenant| tenant.state)
    }

    /// Rows of a query, as superuser.
    async fn see(&self, query: &'static str) -> Vec<String> {
        sqlx::query_scalar(query)
            .fetch_all(&self.database.superuser)
            .await
            .unwrap()
    }
}

fn refresh_token(tokens: &Tokens) -> String {
    serde_json::to_value(tokens).unwrap()["refresh_token"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_registration_happens_once_and_whole() {
    let bench = bench().await;
    let key = new_key();
    let (first, second) = (
        bench.register("hanasaki", &key).await,
        bench.register("hanasaki", &key).await,
    );
    assert_eq!(
        first.unwrap().tenant,
        second.unwrap().tenant,
        "the same key replays the answer"
    );

    let other = RequestKey {
        fingerprint: [8; 32],
        ..key
    };
    assert!(matches!(
        bench.register("hanasaki", &other).await,
        Err(Error::KeyReused)
    ));
    assert!(matches!(
        bench.register("hanasaki", &new_key()).await,
        Err(Error::SlugTaken)
    ));

    assert_eq!(
        bench.see("select slug || ' ' || state from tenant").await,
        ["hanasaki pending"]
    );
    assert_eq!(
        bench.see("select role || ' ' || alias from member").await,
        ["owner 王 雅婷"]
    );
    assert_eq!(
        bench
            .see("select action from audit_entry where subject_kind = 'tenant'")
            .await,
        ["tenant.registered"]
    );
    assert_eq!(
        bench.see("select name from outbox order by seq").await,
        [
            "shequn.identity.v1.TenantRegistered",
            "shequn.identity.v1.MemberJoined"
        ]
    );
}

#[tokio::test]
async fn nothing_secret_is_readable_in_the_database() {
    let bench = bench().await;
    bench.brand("hanasaki").await;
    let fingerprints = bench.see("select encode(fingerprint, 'hex') from request").await;
    assert_ne!(
        fingerprints,
        [data_encoding::HEXLOWER.encode(&[7; 32])],
        "a guess can't be tried on it"
    );
    let licences = bench
        .see("select encode(sealed_licence, 'escape') from tenant")
        .await;
    assert!(!licences[0].contains("L-1"));
    let hashes = bench.see("select password_hash from member").await;
    assert!(hashes[0].starts_with("$argon2id$"));
}

#[tokio::test]
async fn a_tenant_is_decided_once_and_the_decision_stays() {
    let bench = bench().await;
    let tenant = bench.brand("hanasaki").await.tenant;
    let decisions =
        join_all(["verified", "rejected", "verified"].map(|word| bench.review(tenant, word))).await;
    assert_eq!(decisions.iter().filter(|decision| decision.is_ok()).count(), 1);
    assert!(matches!(
        bench.review(TenantId::new(), "verified").await,
        Err(Error::TenantUnknown)
    ));
    assert_eq!(
        bench
            .see("select note from audit_entry where actor_kind = 'reviewer'")
            .await,
        ["licence looked up"]
    );

    for statement in [
        "update audit_entry set note = 'another'",
        "delete from audit_entry",
        "truncate audit_entry",
    ] {
        let mut tx = bench.state.db.begin(tenant).await.unwrap();
        let denied = sqlx::query(statement).execute(&mut *tx).await.unwrap_err();
        assert!(
            denied.to_string().contains("permission denied"),
            "{statement}: {denied}"
        );
    }
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let bench = bench().await;
    let (ours, theirs) = (bench.brand("hanasaki").await, bench.brand("yunhe").await);
    let mut tx = bench.state.db.read(ours.tenant).await.unwrap();
    assert!(
        store::member::by_id(&mut *tx, theirs.member)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store::tenant::by_id(&mut *tx, theirs.tenant)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(store::member::list(&mut *tx, None, 10).await.unwrap().len(), 1);
    drop(tx);
    assert!(matches!(
        leave::leave(&bench.state, ours, theirs.member).await,
        Err(Error::MemberUnknown)
    ));
    let mut everyone = bench.state.db.begin_everyone().await.unwrap();
    assert!(
        store::member::list(&mut *everyone, None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_peer_learns_of_the_tenant_it_acts_for() {
    let bench = bench().await;
    let tenant = bench.brand("hanasaki").await.tenant;
    bench.review(tenant, "verified").await.unwrap();
    let ask = async |caller: Caller| {
        let mut request = tonic::Request::new(GetTenantRequest {});
        request.extensions_mut().insert(caller);
        bench
            .state
            .get_tenant(request)
            .await
            .map(|answer| answer.into_inner().tenant.unwrap())
    };
    let peer = |tenant| Caller::Service {
        service: "groups".to_owned(),
        tenant,
    };
    let answer = ask(peer(tenant)).await.unwrap();
    assert_eq!(
        (answer.state(), answer.zone.as_str()),
        (wire::TenantState::Verified, "Asia/Shanghai")
    );
    assert_eq!(
        ask(peer(TenantId::new())).await.unwrap_err().code(),
        tonic::Code::NotFound
    );
    let member = Caller::Member {
        tenant,
        member: MemberId::new(),
        role: Role::Owner,
    };
    assert_eq!(
        ask(member).await.unwrap_err().code(),
        tonic::Code::PermissionDenied
    );
}

#[tokio::test]
async fn of_two_owners_who_leave_at_once_one_stays() {
    let bench = bench().await;
    let first = bench.brand("hanasaki").await;
    let second = bench
        .join(first, "second@hanasaki.example", "owner")
        .await
        .unwrap()
        .member_id;
    let left = join_all([first.member, second].map(|member| leave::leave(&bench.state, first, member))).await;
    assert_eq!(
        left.iter()
            .filter(|outcome| matches!(outcome, Err(Error::LastOwner)))
            .count(),
        1
    );
    assert_eq!(
        bench.see("select state from member order by state").await,
        ["active", "left"]
    );
}

#[tokio::test]
async fn who_left_is_out_and_the_address_is_free_again() {
    let bench = bench().await;
    let owner = bench.brand("hanasaki").await;
    let agent = bench
        .join(owner, "Agent@hanasaki.example", "agent")
        .await
        .unwrap();
    let taken = bench.join(owner, "agent@hanasaki.example", "agent").await;
    assert!(matches!(taken, Err(Error::EmailTaken)));

    let tokens = bench
        .log_in("hanasaki", "agent@hanasaki.example", PASSWORD)
        .await
        .unwrap();
    for _ in 0..2 {
        let left = leave::leave(&bench.state, owner, agent.member_id).await.unwrap();
        assert_eq!(left.state, MemberState::Left);
    }
    let events = "select key from outbox where name = 'shequn.identity.v1.MemberLeft'";
    assert_eq!(
        bench.see(events).await,
        [agent.member_id.to_string()],
        "once, though asked twice"
    );
    let refreshed = bench.refresh(&refresh_token(&tokens)).await;
    assert!(matches!(refreshed, Err(Error::RefreshTokenInvalid)));
    let again = bench.log_in("hanasaki", "agent@hanasaki.example", PASSWORD).await;
    assert!(matches!(again, Err(Error::CredentialsWrong)));

    let back = bench
        .join(owner, "agent@hanasaki.example", "operator")
        .await
        .unwrap();
    assert_ne!(back.member_id, agent.member_id);
}
