//! What people do while the set is restarted: each at a bounded rate, until the first request that fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{bail, ensure};
use client::{PASSWORD, text};
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval};
use uuid::Uuid;

use super::balancer::{Balancer, Client};
use crate::scene::{Contact, Scene, WELCOME};

const VISITORS: usize = 4;
const VISIT: Duration = Duration::from_millis(100);
const ORDER: Duration = Duration::from_millis(100);
const POST: Duration = Duration::from_millis(250);
const SIGN_IN: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(200);
const LOOKS_MAX: usize = 100;
const WAVE: Duration = Duration::from_millis(1_500);
/// Mass messages that go out meanwhile, each to its own few: the enterprise may write to a person once a week.
const WAVES: usize = 8;
const WAVE_CONTACTS: usize = 12;
const SEATS: u32 = 50;
/// 150.00 for bringing the buyer, 39.80 for closing.
const COMMISSION_MINOR: i64 = 18_980;
pub(super) const REFERRER: &str = "wx-referrer";

/// Where the load goes, and when it ends.
pub(super) struct Load<'a> {
    balancer: &'a Balancer,
    scene: &'a Scene,
    pub(super) series: String,
    waves: Vec<Vec<Contact>>,
    ended: AtomicBool,
}

/// What was acknowledged.
#[derive(Default)]
pub(super) struct Done {
    /// Scanned, joined the series, read their groups.
    pub(super) visitors: Vec<Contact>,
    /// Recipients of a mass message.
    pub(super) reached: Vec<Contact>,
    pub(super) broadcasts: Vec<String>,
    pub(super) earned_minor: i64,
    /// By kind of work: requests, and how many of them had to be sent again after a 503.
    pub(super) requests: BTreeMap<&'static str, (usize, usize)>,
}

impl<'a> Load<'a> {
    /// Whatever must be there before: a series, a plan, the recipients of the mass messages.
    pub(super) async fn prepare(balancer: &'a Balancer, scene: &'a Scene) -> anyhow::Result<Self> {
        let plans = scene.api.post("referral", "/v1/plans/yunji-demo");
        plans
            .token(&scene.brand.owner.token)
            .json(&json!({}))
            .ok()
            .await?;
        let waves = try_join_all((0..WAVES).map(async |wave| {
            let members = [json!({"member_id": scene.agents[0].member_id, "weight": 1})];
            let body = json!({"name": "wave", "members": members, "welcome": WELCOME, "tags": [tag(wave)]});
            let codes = scene.api.post("customers", "/v1/codes");
            let code = codes.token(&scene.operator.token).json(&body).ok().await?;
            let mut contacts = Vec::new();
            for n in 0..WAVE_CONTACTS {
                let external_id = format!("wx-{}-{n}", tag(wave));
                let body = json!({"code": code["token"], "external_id": external_id});
                let scan = scene.api.post("customers", "/v1/scans").key("").json(&body);
                contacts.push(Contact::of(&external_id, &scan.ok().await?)?);
            }
            anyhow::Ok(contacts)
        }))
        .await?;
        Ok(Self {
            balancer,
            scene,
            series: scene.series(SEATS).await?,
            waves,
            ended: AtomicBool::new(false),
        })
    }

    pub(super) fn contacts(&self) -> impl Iterator<Item = &Contact> {
        self.waves.iter().flatten()
    }

    /// No task begins anything new.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// All of it at once, until the end.
    pub(super) async fn run(&self) -> anyhow::Result<Done> {
        let visits = try_join_all((0..VISITORS).map(|visitor| self.visit(visitor)));
        let (visits, orders, posts, sign_ins, waves) =
            tokio::try_join!(visits, self.order(), self.post(), self.sign_in(), self.wave())?;
        let mut all = Done::default();
        for done in visits.into_iter().chain([orders, posts, sign_ins, waves]) {
            all.visitors.extend(done.visitors);
            all.reached.extend(done.reached);
            all.broadcasts.extend(done.broadcasts);
            all.earned_minor += done.earned_minor;
            for (kind, (asked, retried)) in done.requests {
                let sum = all.requests.entry(kind).or_default();
                *sum = (sum.0 + asked, sum.1 + retried);
            }
        }
        Ok(all)
    }

    async fn goes_on(&self, tick: &mut Interval) -> bool {
        tick.tick().await;
        !self.ended.load(Ordering::Relaxed)
    }

    /// A newcomer scans the sticker, joins the series, looks at their groups.
    async fn visit(&self, visitor: usize) -> anyhow::Result<Done> {
        let (mut client, mut done) = (Client::of(self.balancer), Done::default());
        let mut tick = every(VISIT);
        let join = format!("/v1/series/{}/join", self.series);
        while self.goes_on(&mut tick).await {
            let external_id = format!("wx-visitor-{visitor}-{}", done.visitors.len());
            let scan = json!({"code": self.scene.code, "external_id": external_id});
            let answer = client
                .ask("customers", |api| {
                    api.post("customers", "/v1/scans").key("").json(&scan)
                })
                .await?;
            let contact = Contact::of(&external_id, &answer.ok()?)?;
            let (key, token) = (key(), &contact.token);
            let seat = client
                .ask("groups", |api| {
                    api.post("groups", &join).key(&key).token(token).json(&json!({}))
                })
                .await?;
            seat.ok()?;
            let groups = client
                .ask("groups", |api| api.get("groups", "/v1/me/groups").token(token))
                .await?
                .ok()?;
            ensure!(groups["items"].as_array().map(Vec::len) == Some(1), "{groups}");
            done.visitors.push(contact);
        }
        Ok(done.of("scans, joins and reads of groups", &client))
    }

    /// The shop tells of a paid order.
    async fn order(&self) -> anyhow::Result<Done> {
        let (mut client, mut done) = (Client::of(self.balancer), Done::default());
        let mut tick = every(ORDER);
        while self.goes_on(&mut tick).await {
            let event = paid(&format!("load-{}", client.asked), "wx-buyer");
            let token = &self.scene.operator.token;
            let answer = client
                .ask("referral", |api| {
                    api.post("referral", "/v1/order-events").token(token).json(&event)
                })
                .await?;
            answer.ok()?;
            done.earned_minor += COMMISSION_MINOR;
        }
        Ok(done.of("orders", &client))
    }

    /// An operator makes mass messages that are for nobody yet.
    async fn post(&self) -> anyhow::Result<Done> {
        let mut client = Client::of(self.balancer);
        let mut tick = every(POST);
        while self.goes_on(&mut tick).await {
            self.posted(&mut client, "nobody").await?;
            let token = &self.scene.operator.token;
            let series = client
                .ask("groups", |api| api.get("groups", "/v1/series").token(token))
                .await?;
            series.ok()?;
        }
        Ok(Done::default().of("mass messages made", &client))
    }

    /// Somebody signs in and looks at the staff.
    async fn sign_in(&self) -> anyhow::Result<Done> {
        let mut client = Client::of(self.balancer);
        let mut tick = every(SIGN_IN);
        let brand = &self.scene.brand;
        let login = json!({"tenant": brand.slug, "email": brand.owner.email, "password": PASSWORD});
        while self.goes_on(&mut tick).await {
            let answer = client
                .ask("identity", |api| api.post("identity", "/v1/login").json(&login))
                .await?;
            let token = text(&answer.ok()?, "access_token")?;
            let members = client
                .ask("identity", |api| api.get("identity", "/v1/members").token(&token))
                .await?;
            members.ok()?;
        }
        Ok(Done::default().of("logins and reads of members", &client))
    }

    /// Mass messages go out, confirmed by their sender.
    async fn wave(&self) -> anyhow::Result<Done> {
        let (mut client, mut done) = (Client::of(self.balancer), Done::default());
        let mut tick = every(WAVE);
        for (wave, contacts) in self.waves.iter().enumerate() {
            if !self.goes_on(&mut tick).await {
                break;
            }
            let broadcast = self.posted(&mut client, &tag(wave)).await?;
            let task = self.task(&mut client, &broadcast).await?;
            let (key, token) = (key(), &self.scene.agents[0].token);
            let path = format!("/v1/tasks/{task}/confirm");
            let confirmed = client
                .ask("broadcast", |api| {
                    api.post("broadcast", &path)
                        .key(&key)
                        .token(token)
                        .json(&json!({}))
                })
                .await?;
            confirmed.ok()?;
            done.reached.extend(contacts.iter().cloned());
            done.broadcasts.push(broadcast);
        }
        Ok(done.of("mass messages sent", &client))
    }

    /// The share of the only sender, once the audience is resolved.
    async fn task(&self, client: &mut Client<'_>, broadcast: &str) -> anyhow::Result<String> {
        let (path, token) = (format!("/v1/broadcasts/{broadcast}"), &self.scene.operator.token);
        let mut tick = every(LOOK);
        for _ in 0..LOOKS_MAX {
            tick.tick().await;
            let asked = client.ask("broadcast", |api| api.get("broadcast", &path).token(token));
            if let Ok(task) = text(&asked.await?.ok()?["tasks"][0], "task_id") {
                return Ok(task);
            }
        }
        bail!("the audience of {broadcast} is still being resolved")
    }

    async fn posted(&self, client: &mut Client<'_>, tag: &str) -> anyhow::Result<String> {
        let body = json!({
            "kind": "enterprise", "title": "Spring", "text": "The spring colours are here",
            "audience": {"tags_any": [tag]}, "channel": "inbox",
        });
        let (key, token) = (key(), &self.scene.operator.token);
        let answer = client
            .ask("broadcast", |api| {
                api.post("broadcast", "/v1/broadcasts")
                    .key(&key)
                    .token(token)
                    .json(&body)
            })
            .await?;
        text(&answer.ok()?, "broadcast_id")
    }
}

impl Done {
    fn of(mut self, kind: &'static str, client: &Client<'_>) -> Self {
        self.requests.insert(kind, (client.asked, client.retried));
        self
    }
}

/// An order that the referrer brought and closed.
pub(super) fn paid(order: &str, buyer: &str) -> Value {
    json!({
        "id": format!("event-{order}"), "type": "order.paid", "occurred_at": "2026-03-01T10:00:00+08:00",
        "order": order, "buyer": buyer, "referrer": REFERRER,
        "lines": [{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39800}],
    })
}

fn tag(wave: usize) -> String {
    format!("wave-{wave}")
}

fn key() -> String {
    Uuid::now_v7().to_string()
}

/// Late is late: what a pause delayed is not caught up with.
fn every(period: Duration) -> Interval {
    let mut tick = interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}
