//! S11: signatures at a receiver, while the secret is being rotated, and in every attempt.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use contracts::RequestKey;
use tokio::net::TcpListener;

use super::scene::{Scene, command};
use super::webhooks::admin;
use crate::broadcast::Kind;
use crate::error::Error;
use crate::ops;
use crate::webhook::{RotateSecret, Secret, Webhook, signatures};

#[derive(Clone, Debug)]
struct Call {
    id: String,
    timestamp_secs: i64,
    signatures: Vec<String>,
    body: Bytes,
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
async fn receive(Shared(calls): Shared<Calls>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name| headers[name].to_str().unwrap().to_owned();
    let call = Call {
        id: header("webhook-id"),
        timestamp_secs: header("webhook-timestamp").parse().unwrap(),
        signatures: header("webhook-signature")
            .split(' ')
            .map(str::to_owned)
            .collect(),
        body,
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
