//! S9: identity's keys rotate under load, and identity may be away: no valid token is refused, and none outlives its key.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chassis::auth::{Claims, Role, SigningKey};
use client::{Answer, Api, PASSWORD, text};
use contracts::MemberId;
use futures::future::try_join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{READY, Set, eventually_within};
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::clock::TestClock;
use super::keys::now;
use super::replica::figure;
use crate::scene::{Contact, Scene};

/// Where a member may go with a token that identity signed.
const PLACES: [(&str, &str); 4] = [
    ("customers", "/v1/contacts"),
    ("groups", "/v1/groups"),
    ("broadcast", "/v1/broadcasts"),
    ("referral", "/v1/plans"),
];
/// Where a contact may, with a token that customers signed.
const CONTACTS_PLACE: (&str, &str) = ("broadcast", "/v1/inbox");
const JWKS: &str = "/.well-known/jwks.json";
const CLIENTS: usize = 4;
const STEP_SECS: i64 = 60;
/// A token lives ten minutes: so many steps after its own it is still good.
const STEPS_ALIVE: usize = 9;
/// Until a key that is announced for 15 minutes has signed for longer than its predecessor's tokens live.
const STEPS: usize = 30;
const HOUR_SECS: i64 = 3_600;
/// A key id that nobody knows makes a verifier ask again, at most this often.
const ASK_AGAIN_SECS: i64 = 30;
/// Each process of identity reads the keys anew every 15 s.
const RELOADED: Duration = Duration::from_secs(40);

/// The set, a brand on it, and somebody who is logged in.
struct Stage {
    set: Set,
    clock: TestClock,
    scene: Scene,
    contact: Contact,
    refresh_token: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_valid_token_is_refused_while_keys_rotate_or_identity_is_away() -> anyhow::Result<()> {
    let clock = TestClock::new()?;
    let set = Set::start_with("rotation", &[clock.env()]).await?;
    let scene = Scene::set(set.stack(), 1).await?;
    let contact = scene.scan("wx-rotation").await?;
    let mut stage = Stage {
        set,
        clock,
        scene,
        contact,
        refresh_token: String::new(),
    };
    stage.log_in().await?;
    stage.strangers_keys_are_asked_for_seldom().await?;
    stage.a_rotation_is_not_noticed().await?;
    stage.a_withdrawn_key_takes_its_tokens_along().await?;
    stage.identity_is_away().await
}

impl Stage {
    fn api(&self) -> &Api {
        &self.scene.api
    }

    /// A token of the owner's; the refresh token that came with it is kept.
    async fn log_in(&mut self) -> anyhow::Result<String> {
        let brand = &self.scene.brand;
        let body = json!({"tenant": brand.slug, "email": brand.owner.email, "password": PASSWORD});
        let answer = self.api().post("identity", "/v1/login").json(&body).ok().await?;
        self.keep(&answer)
    }

    async fn renew(&mut self) -> anyhow::Result<String> {
        let body = json!({"refresh_token": self.refresh_token});
        let answer = self
            .api()
            .post("identity", "/v1/token/refresh")
            .key("")
            .json(&body)
            .ok()
            .await?;
        self.keep(&answer)
    }

    fn keep(&mut self, answer: &Value) -> anyhow::Result<String> {
        self.refresh_token = text(answer, "refresh_token")?;
        text(answer, "access_token")
    }

    async fn published(&self) -> anyhow::Result<Vec<String>> {
        let jwks = self.api().get("identity", JWKS).ok().await?;
        let keys = jwks["keys"].as_array().context("keys")?;
        keys.iter().map(|key| text(key, "kid")).collect()
    }

    /// `identity keys rotate`, as an operator does.
    async fn rotate(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let (name, file) = self.clock.env();
        let mut command = self.set.stack().command("identity")?;
        command.args(["keys", "rotate"]).args(arguments).env(name, file);
        testkit::succeed(command).await
    }

    /// Waits until identity publishes what `holds` of the ids of its keys.
    async fn publishes(&self, holds: impl Fn(&[String]) -> bool) -> anyhow::Result<Vec<String>> {
        eventually_within(RELOADED, async || {
            let kids = self.published().await?;
            ensure!(holds(&kids), "{kids:?}");
            anyhow::Ok(kids)
        })
        .await
    }

    /// What a token of a made-up key is answered, at every place.
    async fn made_up(&self) -> anyhow::Result<Vec<Answer>> {
        let key = SigningKey::from_seed(format!("made-up-{}", Uuid::now_v7()), &[9; 32]);
        let tenant = self.scene.brand.tenant_id.parse()?;
        let token = key.sign(&Claims::member(tenant, MemberId::new(), Role::Owner, now()));
        everywhere(self.api(), &token).await
    }

    /// How often identity was asked for its keys.
    async fn asked(&self) -> anyhow::Result<u64> {
        let url = format!("{}/metrics", self.set.stack().process("identity").url("ops"));
        figure(
            &url,
            "http_request_duration_seconds_count",
            &format!("route=\"{JWKS}\""),
        )
        .await
    }

    /// Tokens with made-up keys: each verifier asks once, and again after 30 s.
    async fn strangers_keys_are_asked_for_seldom(&mut self) -> anyhow::Result<()> {
        for _ in 0..2 {
            self.clock.forward(ASK_AGAIN_SECS + 1)?;
            let before = self.asked().await?;
            for _ in 0..20 {
                for answer in self.made_up().await? {
                    ensure!(answer.status == StatusCode::UNAUTHORIZED, "{answer:?}");
                }
            }
            let asked = self.asked().await? - before;
            ensure!(
                asked == PLACES.len() as u64,
                "{} verifiers asked {asked} times",
                PLACES.len()
            );
        }
        Ok(())
    }

    /// A new key is announced, signs, and takes over, while clients go on.
    async fn a_rotation_is_not_noticed(&mut self) -> anyhow::Result<()> {
        let old = self.published().await?;
        self.rotate(&[]).await?;
        let token = self.log_in().await?;
        let load = Load::start(self.api(), token);
        let both = self.publishes(|kids| kids.len() == 2).await?;
        ensure!(both.contains(&old[0]), "{both:?} lacks {old:?}");
        let mut alive = VecDeque::new();
        let mut signers = Vec::new();
        for _ in 0..STEPS {
            self.clock.forward(STEP_SECS)?;
            let token = self.renew().await?;
            load.tokens.send_replace(token.clone());
            signers.push(kid(&token)?);
            alive.push_back(token);
            if alive.len() > STEPS_ALIVE {
                alive.pop_front();
            }
            for token in &alive {
                let_in_everywhere(self.api(), token).await?;
            }
        }
        load.end().await?;
        signers.dedup();
        ensure!(
            signers.len() == 2 && signers[0] == old[0],
            "signed by {signers:?}"
        );
        // The old key stays for an hour after its last token.
        self.clock.forward(2 * HOUR_SECS)?;
        self.publishes(|kids| *kids == signers[1..]).await?;
        let token = self.log_in().await?;
        let_in_everywhere(self.api(), &token).await
    }

    /// The tokens of a withdrawn key are good nowhere as soon as its successor was seen there.
    async fn a_withdrawn_key_takes_its_tokens_along(&mut self) -> anyhow::Result<()> {
        let old = self.log_in().await?;
        self.clock.forward(ASK_AGAIN_SECS + 1)?;
        let_in_everywhere(self.api(), &old).await?;
        self.rotate(&["--withdraw"]).await?;
        let withdrawn = kid(&old)?;
        self.publishes(|kids| kids.len() == 1 && kids[0] != withdrawn)
            .await?;
        let at_identity = self
            .api()
            .get("identity", "/v1/tenant")
            .token(&old)
            .send()
            .await?;
        ensure!(at_identity.code() == "token_invalid", "{at_identity:?}");
        let new = self.renew().await?;
        let_in_everywhere(self.api(), &new).await?;
        for answer in everywhere(self.api(), &old).await? {
            let is_over = answer.status == StatusCode::UNAUTHORIZED && answer.code() == "token_invalid";
            ensure!(is_over, "the withdrawn key's: {answer:?}");
        }
        Ok(())
    }

    /// Ten minutes without identity are nothing; after an hour nobody can tell whose keys are right.
    async fn identity_is_away(&mut self) -> anyhow::Result<()> {
        self.clock.forward(ASK_AGAIN_SECS + 1)?;
        // The verifiers' keys are from now.
        self.made_up().await?;
        let token = self.log_in().await?;
        self.set.kill("identity").await?;
        for _ in 0..9 {
            self.clock.forward(STEP_SECS)?;
            let_in_everywhere(self.api(), &token).await?;
        }
        // A key that only identity could know of is no reason to log anybody out.
        for answer in self.made_up().await? {
            ensure!(answer.status == StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        }
        self.clock.forward(2 * STEP_SECS)?;
        for answer in everywhere(self.api(), &token).await? {
            ensure!(answer.code() == "token_expired", "{answer:?}");
        }
        self.a_contact_is_let_in().await?;

        // A token that is still good when the keys are no longer.
        self.set.run("identity", None).await?;
        self.clock.forward(HOUR_SECS - 15 * STEP_SECS)?;
        let token = self.log_in().await?;
        self.set.kill("identity").await?;
        let_in_everywhere(self.api(), &token).await?;
        self.clock.forward(8 * STEP_SECS)?;
        for answer in everywhere(self.api(), &token).await? {
            ensure!(answer.status == StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        }
        self.a_contact_is_let_in().await?;
        self.set
            .all_answer(StatusCode::SERVICE_UNAVAILABLE, READY)
            .await?;
        self.set.run("identity", None).await?;
        let_in_everywhere(self.api(), &token).await?;
        for (service, _) in PLACES {
            self.set.ready(service).await?;
        }
        Ok(())
    }

    /// Their tokens are customers' own: identity has no part in them.
    async fn a_contact_is_let_in(&self) -> anyhow::Result<()> {
        let (service, path) = CONTACTS_PLACE;
        let ask = self.api().get(service, path).token(&self.contact.token);
        ask.ok().await.map(drop)
    }
}

/// Clients who never stop asking with the token of the hour.
struct Load {
    tokens: watch::Sender<String>,
    stopping: Arc<AtomicBool>,
    clients: JoinSet<anyhow::Result<()>>,
    asked: Arc<AtomicUsize>,
}

impl Load {
    fn start(api: &Api, token: String) -> Self {
        let (tokens, _) = watch::channel(token);
        let (stopping, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (api, tokens) = (api.clone(), tokens.subscribe());
            let (stopping, asked) = (stopping.clone(), asked.clone());
            clients.spawn(async move {
                while !stopping.load(Ordering::Relaxed) {
                    let token = tokens.borrow().clone();
                    let_in_everywhere(&api, &token).await?;
                    asked.fetch_add(PLACES.len(), Ordering::Relaxed);
                }
                Ok(())
            });
        }
        Self {
            tokens,
            stopping,
            clients,
            asked,
        }
    }

    #[expect(clippy::print_stdout, reason = "the count belongs to the test's output")]
    async fn end(mut self) -> anyhow::Result<()> {
        self.stopping.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client??;
        }
        let asked = self.asked.load(Ordering::Relaxed);
        println!("{asked} requests under the rotation, none refused");
        ensure!(asked >= 1_000, "only {asked} requests are no load");
        Ok(())
    }
}

async fn everywhere(api: &Api, token: &str) -> anyhow::Result<Vec<Answer>> {
    let asks = PLACES.map(|(service, path)| api.get(service, path).token(token).send());
    try_join_all(asks).await
}

/// A client that is told to come back comes back: a busy service refuses for now, and no token.
async fn let_in_everywhere(api: &Api, token: &str) -> anyhow::Result<()> {
    let asks = PLACES.map(|(service, path)| api.get(service, path).token(token).ok());
    try_join_all(asks).await.map(drop)
}

/// Which key signed it.
fn kid(token: &str) -> anyhow::Result<String> {
    let header = token.split('.').next().unwrap_or_default();
    let header: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header)?)?;
    text(&header, "kid")
}
