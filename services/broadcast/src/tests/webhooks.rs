//! The channel to a tenant's own system.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use chassis::auth::{Admin, Role};
use serde_json::Value;
use tokio::net::TcpListener;

use super::scene::{Scene, command};
use crate::broadcast::{Kind, Progress};
use crate::ops;

/// What is answered to a call, the n-th for one message.
type Answer = dyn Fn(&Value, usize) -> Response + Send + Sync;

/// What a receiver got, and how it answers.
#[derive(Clone)]
pub(super) struct Receiver {
    pub(super) calls: Arc<Mutex<BTreeMap<String, Vec<Value>>>>,
    answer: Arc<Answer>,
}

impl Receiver {
    pub(super) async fn start(
        answer: impl Fn(&Value, usize) -> Response + Send + Sync + 'static,
    ) -> (Self, String) {
        let receiver = Self {
            calls: Arc::default(),
            answer: Arc::new(answer),
        };
        let router = axum::Router::new().fallback(receive).with_state(receiver.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        (receiver, url)
    }

    /// One that takes everything.
    pub(super) async fn taking() -> (Self, String) {
        Self::start(|_, _| StatusCode::NO_CONTENT.into_response()).await
    }

    /// The body of its only call.
    pub(super) fn only(&self) -> Value {
        assert_eq!(self.calls(), 1);
        let calls = self.calls.lock().unwrap();
        calls.values().flatten().next().unwrap().clone()
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.lock().unwrap().values().map(Vec::len).sum()
    }
}

async fn receive(
    Shared(receiver): Shared<Receiver>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    assert_eq!(body["id"], id);
    let n = {
        let mut calls = receiver.calls.lock().unwrap();
        let calls = calls.entry(id).or_default();
        calls.push(body.clone());
        calls.len()
    };
    (receiver.answer)(&body, n)
}

pub(super) fn admin(scene: &Scene) -> Admin {
    Admin {
        tenant: scene.tenant,
        member: scene.members[0],
        role: Role::Admin,
    }
}

impl Scene {
    pub(super) async fn set_webhook(&self, url: &str) {
        ops::set_webhook(&self.state, admin(self), url).await.unwrap();
    }
}

pub(super) async fn run(scene: &Scene, url: &str) -> Progress {
    scene.set_webhook(url).await;
    let broadcast = scene
        .accept(command(Kind::Enterprise, "webhook"))
        .await
        .unwrap()
        .broadcast_id;
    scene.resolve().await;
    scene.confirm_all(broadcast).await;
    scene.send_all().await;
    scene.end().await;
    scene.check_books().await;
    scene.progress(broadcast).await
}

#[tokio::test]
async fn each_recipient_is_one_call() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(180);
    let (receiver, url) = Receiver::start(|_, _| StatusCode::NO_CONTENT.into_response()).await;
    let done = run(&scene, &url).await;
    assert_eq!((done.outcomes.delivered, done.outcomes.opted_out), (162, 18));
    let calls = receiver.calls.lock().unwrap();
    assert_eq!(calls.len(), 162);
    assert!(calls.values().all(|calls| calls.len() == 1));
    let body = calls
        .values()
        .flatten()
        .find(|body| body["contact_id"] == contacts[0].to_string())
        .unwrap();
    assert_eq!(body["tenant"], scene.tenant.to_string());
    assert_eq!(body["member_id"], scene.members[0].to_string());
    assert_eq!(body["broadcast_id"], done.broadcast.broadcast_id.to_string());
    assert_eq!(
        (&body["kind"], &body["text"]),
        (&"enterprise".into(), &"The serum is in.".into())
    );
    assert!(body["sent_at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_receiver_that_is_busy_is_asked_again() {
    let scene = Scene::new(&[]).await;
    scene.audience(9);
    let (receiver, url) = Receiver::start(|_, n| match n {
        1 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")]).into_response(),
        2 => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    assert_eq!(run(&scene, &url).await.outcomes.delivered, 9);
    assert_eq!(receiver.calls(), 27);
}

#[tokio::test]
async fn a_refusal_is_the_end() {
    let scene = Scene::new(&[]).await;
    scene.audience(9);
    let moved = |_: &Value, _| (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]).into_response();
    let (receiver, url) = Receiver::start(moved).await;
    assert_eq!(run(&scene, &url).await.outcomes.dead, 9);
    assert_eq!(receiver.calls(), 9, "a redirect is a refusal");
}

#[tokio::test]
async fn without_a_usable_webhook_there_is_no_channel() {
    let scene = Scene::new(&[]).await;
    scene.audience(9);
    let (_receiver, url) = Receiver::start(|_, _| StatusCode::OK.into_response()).await;
    ops::set_webhook(&scene.state, admin(&scene), &url).await.unwrap();
    let broadcast = scene
        .accept(command(Kind::Enterprise, "webhook"))
        .await
        .unwrap()
        .broadcast_id;
    scene.resolve().await;
    scene.confirm_all(broadcast).await;
    scene.force("delete from webhook").await;
    scene.send_all().await;
    scene.end().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.no_channel, 9);
    assert_eq!(scene.count("select count(*) from cap").await, 0);
}
