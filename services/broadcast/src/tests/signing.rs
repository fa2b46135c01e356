//! S11: signatures at a receiver, while the secret is being rotated, and in every attempt; over HTTP/2 where it is offered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, Version};
use contracts::{ContactId, RequestKey};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use super::scene::{Scene, command};
use super::ssrf::mailing;
use super::webhooks::admin;
use crate::broadcast::Kind;
use crate::channel::webhook::{Client, Directory};
use crate::error::Error;
use crate::grip::Grip;
use crate::ops;
use crate::pace::Pace;
use crate::webhook::{Receiver, RotateSecret, Secret, Webhook, signatures};

#[derive(Clone, Debug)]
struct Call {
    id: String,
    timestamp_secs: i64,
    signatures: Vec<String>,
    body: Bytes,
    version: Version,
}

impl Call {
    /// As a receiver does it that knows one secret.
    fn verifies(&self, secret: &Secret) -> bool {
        let expected = signatures(
            std::slice::from_ref(secret),
            &self.id,
            self.timestamp_secs,
            &self.body,
        );
        self.signatures.contains(&expected)
    }
}

type Calls = Arc<Mutex<Vec<Call>>>;

/// Refuses each message once, so that there are two attempts.
async fn receive(
    Shared(calls): Shared<Calls>,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let header = |name| headers[name].to_str().unwrap().to_owned();
    let call = Call {
        id: header("webhook-id"),
        timestamp_secs: header("webhook-timestamp").parse().unwrap(),
        signatures: header("webhook-signature")
            .split(' ')
            .map(str::to_owned)
            .collect(),
        body,
        version,
    };
    let mut calls = calls.lock().unwrap();
    let is_first = calls.iter().all(|earlier| earlier.id != call.id);
    calls.push(call);
    if is_first {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    }
}

/// Takes whatever comes.
async fn take(Shared(calls): Shared<Calls>, version: Version, headers: HeaderMap, body: Bytes) -> StatusCode {
    let _ = receive(Shared(calls), version, headers, body).await;
    StatusCode::OK
}

async fn receiver() -> (Calls, String) {
    let calls = Calls::default();
    let router = axum::Router::new().fallback(receive).with_state(calls.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    (calls, url)
}

async fn rotate(scene: &Scene, key: &str, overlap_secs: i64) -> Result<Webhook, Error> {
    let command: RotateSecret =
        serde_json::from_value(serde_json::json!({"overlap_secs": overlap_secs})).unwrap();
    let key = RequestKey {
        key: key.to_owned(),
        fingerprint: [0; 32],
    };
    ops::rotate_secret(&scene.state, admin(scene), &key, &command).await
}

/// What the receiver gets of one mass message to nine.
async fn run(scene: &Scene, calls: &Calls) -> Vec<Call> {
    calls.lock().unwrap().clear();
    scene.audience(9);
    let broadcast = scene
        .accept(command(Kind::Enterprise, "webhook"))
        .await
        .unwrap()
        .broadcast_id;
    scene.resolve().await;
    scene.confirm_all(broadcast).await;
    scene.send_all().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.delivered, 9);
    calls.lock().unwrap().clone()
}

#[tokio::test]
async fn s11_two_secrets_sign_while_one_is_rotated() {
    let scene = Scene::new(&[]).await;
    let (calls, url) = receiver().await;
    assert!(matches!(
        rotate(&scene, "none", 60).await,
        Err(Error::WebhookUnset)
    ));
    let first = ops::set_webhook(&scene.state, admin(&scene), &url)
        .await
        .unwrap()
        .secret
        .unwrap();
    let set_again = ops::set_webhook(&scene.state, admin(&scene), &format!("{url}?v=2"))
        .await
        .unwrap();
    assert_eq!(set_again.secret, None, "told once");
    let got = run(&scene, &calls).await;
    assert!(
        got.iter()
            .all(|call| call.verifies(&first) && call.signatures.len() == 1)
    );

    let rotated = rotate(&scene, "a", 60).await.unwrap();
    let second = rotated.secret.clone().unwrap();
    assert!(rotated.old_secret_until.unwrap() > rotated.secret_at);
    assert_eq!(
        rotate(&scene, "a", 60).await.unwrap(),
        rotated,
        "the same request, the same answer"
    );
    let got = run(&scene, &calls).await;
    assert!(
        got.iter()
            .all(|call| call.verifies(&first) && call.verifies(&second))
    );

    // A third one ends the first; two sign at most.
    let third = rotate(&scene, "b", 60).await.unwrap().secret.unwrap();
    assert_eq!(
        rotate(&scene, "a", 60).await.unwrap().secret,
        None,
        "what is overtaken is told no more"
    );
    let got = run(&scene, &calls).await;
    assert!(
        got.iter()
            .all(|call| call.verifies(&second) && call.verifies(&third) && !call.verifies(&first))
    );

    scene.force("update webhook set old_secret_until = now()").await;
    let got = run(&scene, &calls).await;
    assert!(
        got.iter()
            .all(|call| call.verifies(&third) && call.signatures.len() == 1)
    );

    // In wrong hands: over at once.
    let fourth = rotate(&scene, "c", 0).await.unwrap();
    assert_eq!(fourth.old_secret_until, None);
    let got = run(&scene, &calls).await;
    assert!(
        got.iter()
            .all(|call| call.verifies(&fourth.secret.clone().unwrap()) && !call.verifies(&third))
    );
    let audited = "select count(*) from audit_entry where action = 'webhook.secret_rotated'";
    assert_eq!(scene.count(audited).await, 3);
    let kept = "select count(*) from request where answer::text like '%whsec%'";
    assert_eq!(scene.count(kept).await, 0);
}

#[tokio::test]
async fn s11_every_attempt_has_the_same_id_and_a_time_of_its_own() {
    let scene = Scene::new(&[]).await;
    let (calls, url) = receiver().await;
    let secret = ops::set_webhook(&scene.state, admin(&scene), &url)
        .await
        .unwrap()
        .secret
        .unwrap();
    let began = scene.state.clock.now().as_second();
    let got = run(&scene, &calls).await;
    assert_eq!(got.len(), 18, "each is asked twice");
    let ids: std::collections::BTreeSet<_> = got.iter().map(|call| &call.id).collect();
    assert_eq!(ids.len(), 9);
    let ended = scene.state.clock.now().as_second();
    for call in &got {
        assert!(call.verifies(&secret));
        assert!(
            (began..=ended).contains(&call.timestamp_secs),
            "a replay is told by its age"
        );
        let replayed = Call {
            timestamp_secs: call.timestamp_secs + 600,
            ..call.clone()
        };
        assert!(!replayed.verifies(&secret), "and can't be made younger");
    }
}

#[tokio::test]
async fn http2_is_used_where_it_is_offered_over_one_connection() {
    let scene = Scene::new(&[]).await;
    let calls = Calls::default();
    let router = axum::Router::new().fallback(take).with_state(calls.clone());
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
            tokio::spawn(async move {
                let stream = TokioIo::new(acceptor.accept(stream).await.unwrap());
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(stream, service)
                    .await;
            });
        }
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Client::with(&scene.state, Directory::System, Some(tls)).unwrap();
    let receiver = Receiver {
        url: format!("https://localhost:{port}/"),
        secrets: vec![Secret::new()],
    };
    let mailing = mailing();
    let contacts: Vec<_> = (0..30).map(|_| ContactId::new()).collect();
    for contacts in [&contacts[..1], &contacts[1..]] {
        let delivered = client
            .at(&scene.state, mailing.tenant, Some(&receiver), false)
            .deliver(&mailing, contacts, Pace::free(), &Grip::firm())
            .await;
        assert_eq!(delivered.deliveries.len(), contacts.len());
    }
    let calls = calls.lock().unwrap();
    assert!(
        calls.iter().all(|call| call.version == Version::HTTP_2),
        "{calls:?}"
    );
    assert_eq!((calls.len(), connections.load(Ordering::SeqCst)), (30, 1));
}
