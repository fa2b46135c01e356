//! A process that serves a few routes on free ports, and the keys it needs.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use base64::{Engine, prelude::*};
use chassis::{
    Listeners, Process, Settings,
    auth::{ContactSelf, Jwks, KeySource, Signer},
    http::{Api, Json},
};
use clap::Parser;
use reqwest::{Client, StatusCode};
use serde_json::json;
use tokio::{sync::Notify, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The first key pair of RFC 8032, section 7.1.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

#[derive(Clone, Default)]
pub(crate) struct State {
    pub(crate) entered: Arc<Notify>,
    pub(crate) released: Arc<Notify>,
}

#[derive(serde::Deserialize, serde::Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
}

#[utoipa::path(post, path = "/v1/notes", request_body = Note, responses((status = 200, body = Note)))]
async fn note(Json(note): Json<Note>) -> axum::Json<Note> {
    axum::Json(note)
}

#[utoipa::path(get, path = "/v1/slow", responses((status = 200)))]
async fn slow(axum::extract::State(state): axum::extract::State<State>) -> &'static str {
    state.entered.notify_one();
    state.released.notified().await;
    "done"
}

#[utoipa::path(get, path = "/v1/panic", responses((status = 200)))]
async fn panics() {
    panic!("a secret");
}

#[utoipa::path(get, path = "/v1/me", responses((status = 200)))]
async fn me(contact: ContactSelf) -> String {
    contact.contact.to_string()
}

#[utoipa::path(post, path = "/v1/imports", responses((status = 200)))]
async fn import(body: axum::body::Body) -> String {
    use http_body_util::BodyExt;
    body.collect().await.map_or_else(
        |error| error.to_string(),
        |body| body.to_bytes().len().to_string(),
    )
}

pub(crate) fn api() -> Api<State> {
    Api::new("test", "1")
        .public(
            OpenApiRouter::new()
                .routes(routes!(note))
                .routes(routes!(slow))
                .routes(routes!(panics)),
        )
        .private(OpenApiRouter::new().routes(routes!(me)))
        .uploads(OpenApiRouter::new().routes(routes!(import)))
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    settings: Settings,
}

/// Writes the key files of a service `customers` and returns the settings that name them.
pub(crate) fn settings(dev: bool) -> anyhow::Result<Settings> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(uuid::Uuid::now_v7().to_string());
    std::fs::create_dir_all(&folder)?;
    let der = [hex("302e020100300506032b657004220420")?, hex(SEED)?].concat();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64_STANDARD.encode(der)
    );
    std::fs::write(folder.join("key.pem"), pem)?;
    let key = json!({
        "kid": "customers-1", "kty": "OKP", "crv": "Ed25519", "x": BASE64_URL_SAFE_NO_PAD.encode(hex(PUBLIC)?),
        "use": "sig", "alg": "EdDSA", "iss": "customers",
    });
    std::fs::write(folder.join("peers.json"), json!({ "keys": [key] }).to_string())?;
    let mut settings = Command::try_parse_from(["customers", "--log", "error"])?.settings;
    settings.signing_key = folder.join("key.pem");
    settings.peer_keys = folder.join("peers.json");
    settings.dev = dev;
    Ok(settings)
}

fn hex(text: &str) -> anyhow::Result<Vec<u8>> {
    Ok(data_encoding::HEXLOWER.decode(text.as_bytes())?)
}

/// A process that serves, seen from outside.
pub(crate) struct Running {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) state: State,
    pub(crate) signer: Signer,
    pub(crate) leaving: CancellationToken,
    pub(crate) stopping: CancellationToken,
    pub(crate) last: CancellationToken,
    pub(crate) served: JoinHandle<anyhow::Result<()>>,
    pub(crate) client: Client,
}

impl Running {
    pub(crate) async fn start(dev: bool) -> anyhow::Result<Self> {
        Self::start_with(dev, |_| ()).await
    }

    pub(crate) async fn start_with(dev: bool, prepare: impl FnOnce(&Process)) -> anyhow::Result<Self> {
        Self::start_of(settings(dev)?, prepare).await
    }

    pub(crate) async fn start_of(settings: Settings, prepare: impl FnOnce(&Process)) -> anyhow::Result<Self> {
        // Identity has published a key set, be it an empty one.
        let (_, keys) = tokio::sync::watch::channel(Jwks::default());
        let process = Process::start_with("customers", &settings, KeySource::Local(keys))?;
        prepare(&process);
        let state = State::default();
        let api = api().router(state.clone(), process.verifier.clone())?;
        let listeners = Listeners::bind(&settings).await?;
        Ok(Self {
            http: listeners.http.local_addr()?,
            grpc: listeners.grpc.local_addr()?,
            ops: listeners.ops.local_addr()?,
            state,
            signer: process.signer.clone(),
            leaving: process.leaving(),
            stopping: process.stopping(),
            last: process.last(),
            served: tokio::spawn(process.serve_on(listeners, api, Routes::default())),
            client: Client::new(),
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub(crate) async fn channel(&self) -> anyhow::Result<tonic::transport::Channel> {
        chassis::grpc::channel(&format!("http://{}", self.grpc).parse()?)
    }

    pub(crate) async fn get_ops(&self, path: &str) -> anyhow::Result<(StatusCode, String)> {
        let response = self
            .client
            .get(format!("http://{}{path}", self.ops))
            .send()
            .await?;
        Ok((response.status(), response.text().await?))
    }

    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.stopping.cancel();
        timeout(Duration::from_secs(10), self.served)
            .await
            .context("the process did not end")??
    }
}
