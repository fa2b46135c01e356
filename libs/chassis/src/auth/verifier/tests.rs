//! Whose keys may sign what.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Json, Router, routing::get};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use contracts::{ContactId, MemberId, TenantId};
use uuid::Uuid;

use super::*;
use crate::auth::{Claims, Role, Signer, SigningKey};

/// A file that goes with the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("chassis-{}", Uuid::now_v7()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn key(kid: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(kid, &[seed; 32])
}

fn jwks(key: &SigningKey) -> Jwks {
    Jwks {
        keys: vec![key.jwk()],
    }
}

fn peers(keys: &[(&str, &SigningKey)]) -> TempFile {
    let keys = keys.iter().map(|(service, key)| {
        let mut jwk = key.jwk();
        jwk.iss = Some((*service).to_owned());
        jwk
    });
    TempFile::new(&serde_json::to_string(&Jwks { keys: keys.collect() }).unwrap())
}

/// As `openssl genpkey -algorithm ed25519` writes it.
fn pem(seed: u8) -> TempFile {
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend([seed; 32]);
    let text = BASE64_STANDARD.encode(der);
    TempFile::new(&format!(
        "-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
    ))
}

fn member(key: &SigningKey) -> String {
    key.sign(&Claims::member(
        TenantId::new(),
        MemberId::new(),
        Role::Agent,
        Clock::system().now(),
    ))
}

fn verifier(peers: &TempFile, source: KeySource) -> Verifier {
    // As a process does at its start; the second one is refused, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Verifier::new("customers", &peers.0, source, Clock::system()).unwrap()
}

fn local(keys: Jwks) -> (watch::Sender<Jwks>, KeySource) {
    let (sender, receiver) = watch::channel(keys);
    (sender, KeySource::Local(receiver))
}

#[tokio::test]
async fn a_signer_is_believed_by_a_peer() {
    let (groups, customers) = (key("groups-1", 3), key("customers-1", 4));
    let peers = peers(&[("groups", &groups), ("customers", &customers)]);
    let (_keep, source) = local(Jwks::default());
    let verifier = verifier(&peers, source);
    let (tenant, contact, now) = (TenantId::new(), ContactId::new(), Clock::system().now());

    let signer = Signer::load("groups", &pem(3).0, &peers.0).unwrap();
    let caller = verifier
        .verify(&signer.service_token("customers", tenant, now))
        .await
        .unwrap();
    assert_eq!(
        caller,
        Caller::Service {
            service: "groups".to_owned(),
            tenant
        }
    );
    assert!(
        verifier
            .verify(&signer.service_token("broadcast", tenant, now))
            .await
            .is_err()
    );
    assert!(
        verifier
            .verify(&signer.contact_token(tenant, contact, now))
            .await
            .is_err()
    );

    let signer = Signer::load("customers", &pem(4).0, &peers.0).unwrap();
    let caller = verifier
        .verify(&signer.contact_token(tenant, contact, now))
        .await
        .unwrap();
    assert_eq!(caller, Caller::Contact { tenant, contact });
}

#[tokio::test]
async fn keys_that_are_none_stop_the_start() {
    let groups = key("groups-1", 3);
    let listed = peers(&[("groups", &groups)]);
    for (service, seed) in [("groups", 9), ("customers", 3)] {
        let error = Signer::load(service, &pem(seed).0, &listed.0).err().unwrap();
        assert!(error.to_string().contains("not among the peer keys"), "{error}");
    }
    assert!(Signer::load("groups", &TempFile::new("key").0, &listed.0).is_err());
    assert!(Signer::load("groups", &PathBuf::from("nowhere"), &listed.0).is_err());
    let short = r#"{"keys":[{"kid":"a","kty":"OKP","crv":"Ed25519","x":"AAAA","iss":"groups"}]}"#;
    let twice = peers(&[("groups", &groups), ("customers", &groups)]);
    let nobodys = TempFile::new(&serde_json::to_string(&jwks(&groups)).unwrap());
    for file in [TempFile::new(short), TempFile::new("{}"), twice, nobodys] {
        assert!(Verifier::new("customers", &file.0, local(Jwks::default()).1, Clock::system()).is_err());
    }
}

#[tokio::test]
async fn identity_itself_knows_its_keys() {
    let (old, new) = (key("login-1", 5), key("login-2", 6));
    let (keys, source) = local(jwks(&old));
    let verifier = verifier(&peers(&[]), source);
    assert!(verifier.ready().is_ok());
    assert!(verifier.verify(&member(&old)).await.is_ok());
    keys.send_replace(jwks(&new));
    assert!(verifier.verify(&member(&new)).await.is_ok());
    let problem = verifier.verify(&member(&old)).await.unwrap_err();
    assert_eq!(
        (problem.class, problem.code),
        (Class::Unauthenticated, "token_invalid")
    );
}

#[tokio::test]
async fn an_expired_token_says_so() {
    let login = key("login-1", 5);
    let verifier = verifier(&peers(&[]), local(jwks(&login)).1);
    let then = Clock::system().now() - jiff::SignedDuration::from_hours(1);
    let token = login.sign(&Claims::reviewer(Uuid::now_v7(), then));
    let problem = verifier.verify(&token).await.unwrap_err();
    assert_eq!(
        (problem.class, problem.code),
        (Class::Unauthenticated, "token_expired")
    );
}

#[tokio::test]
async fn a_published_key_never_stands_for_a_peer() {
    let (groups, impostor) = (key("groups-1", 3), key("groups-1", 66));
    let verifier = verifier(&peers(&[("groups", &groups)]), local(jwks(&impostor)).1);
    assert!(verifier.verify(&member(&impostor)).await.is_err());
}

/// Identity's published keys, and how often they were asked for.
async fn publish(jwks: Jwks) -> (Url, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answer = get(async move || {
        count.fetch_add(1, Ordering::SeqCst);
        Json(jwks)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let router = Router::new().route("/.well-known/jwks.json", answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

#[tokio::test]
async fn published_keys_are_fetched_once_for_many_requests() {
    let login = key("login-1", 5);
    let (url, asked) = publish(jwks(&login)).await;
    let verifier = verifier(&peers(&[]), KeySource::Http(url));
    assert!(verifier.ready().is_err());
    let token = member(&login);
    let answers = futures::future::join_all((0..20).map(|_| verifier.verify(&token))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(verifier.ready().is_ok());
    // Key ids made up by strangers don't make us ask again at once.
    for _ in 0..20 {
        let problem = verifier.verify(&member(&key("made-up", 7))).await.unwrap_err();
        assert_eq!(problem.class, Class::Unauthenticated);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn without_identity_a_login_is_unavailable_but_peers_are_heard() {
    let groups = key("groups-1", 3);
    let peers = peers(&[("groups", &groups)]);
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{closed}").parse().unwrap();
    let verifier = verifier(&peers, KeySource::Http(url));
    for _ in 0..2 {
        let problem = verifier.verify(&member(&key("login-1", 5))).await.unwrap_err();
        assert_eq!(
            (problem.class, problem.retry_after_secs),
            (Class::Unavailable, Some(1))
        );
    }
    let now = Clock::system().now();
    let token = groups.sign(&Claims::service("groups", "customers", TenantId::new(), now));
    assert!(verifier.verify(&token).await.is_ok());
}

#[tokio::test]
async fn keys_are_kept_fresh_until_the_process_stops() {
    let (url, asked) = publish(jwks(&key("login-1", 5))).await;
    let verifier = verifier(&peers(&[]), KeySource::Http(url));
    let stopping = CancellationToken::new();
    let keeping = tokio::spawn(verifier.clone().keep_fresh(stopping.clone()));
    while verifier.ready().is_err() {
        tokio::task::yield_now().await;
    }
    stopping.cancel();
    keeping.await.unwrap().unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
