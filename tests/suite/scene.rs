//! What most stories begin with: a verified brand, an agent, a live code, contacts who scan it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use async_nats::jetstream::{self, consumer::PullConsumer};
use client::{Api, Brand, Login, text};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use testkit::{Stack, eventually, eventually_within};

/// What a killed listener held comes again after the consumer's ack wait (10 s); a pull that died with
/// it can take the next delivery along.
const REDELIVERED: Duration = Duration::from_secs(60);
/// Inboxes that are read at the same moment.
const READERS: usize = 8;
pub(crate) const WELCOME: &str = "ようこそ！ 欢迎你～";

/// A brand ready to befriend contacts.
pub(crate) struct Scene {
    pub(crate) api: Api,
    pub(crate) brand: Brand,
    pub(crate) operator: Login,
    pub(crate) agents: Vec<Login>,
    pub(crate) code: String,
    pub(crate) bus: jetstream::Context,
}

/// Someone who scanned the code.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    pub(crate) id: String,
    pub(crate) external_id: String,
    pub(crate) token: String,
    pub(crate) member_id: String,
    pub(crate) first: bool,
}

impl Contact {
    /// Whom a scan was answered about.
    pub(crate) fn of(external_id: &str, scan: &Value) -> anyhow::Result<Self> {
        Ok(Self {
            id: text(scan, "contact_id")?,
            external_id: external_id.to_owned(),
            token: text(scan, "contact_token")?,
            member_id: text(&scan["member"], "member_id")?,
            first: scan["first"].as_bool().context("first")?,
        })
    }
}

impl Scene {
    pub(crate) async fn set(stack: &Stack, agents: usize) -> anyhow::Result<Self> {
        let brand = Brand::verified(stack).await?;
        let staff = brand.staff(agents).await?;
        let members: Vec<Value> = staff
            .agents
            .iter()
            .map(|agent| json!({"member_id": agent.member_id, "weight": 1}))
            .collect();
        let body =
            json!({"name": "parcel sticker", "members": members, "welcome": WELCOME, "tags": ["sticker"]});
        // The news of the verification and of the members is on its way to customers.
        let code = eventually(async || {
            brand
                .api
                .post("customers", "/v1/codes")
                .token(&staff.operator.token)
                .json(&body)
                .ok()
                .await
        })
        .await?;
        let code = text(&code, "token")?;
        Ok(Self {
            api: brand.api.clone(),
            brand,
            operator: staff.operator,
            agents: staff.agents,
            code,
            bus: stack.jetstream().await?,
        })
    }

    pub(crate) async fn scan(&self, external_id: &str) -> anyhow::Result<Contact> {
        let body = json!({"code": self.code, "external_id": external_id});
        let answer = self
            .api
            .post("customers", "/v1/scans")
            .key("")
            .json(&body)
            .ok()
            .await?;
        Contact::of(external_id, &answer)
    }

    pub(crate) async fn scan_many(&self, count: usize) -> anyhow::Result<Vec<Contact>> {
        let mut contacts = Vec::with_capacity(count);
        for n in 0..count {
            contacts.push(self.scan(&format!("wx-{n}")).await?);
        }
        Ok(contacts)
    }

    /// The messages in a contact's inbox.
    pub(crate) async fn inbox(&self, contact: &Contact) -> anyhow::Result<Vec<Value>> {
        let inbox = self
            .api
            .get("broadcast", "/v1/inbox?limit=100")
            .token(&contact.token)
            .ok()
            .await?;
        Ok(inbox["items"].as_array().context("items")?.clone())
    }

    /// Waits until every contact has its welcome, and checks that none has two.
    pub(crate) async fn all_welcomed_once(&self, contacts: &[Contact]) -> anyhow::Result<()> {
        self.all_told_once(contacts, "welcome", "CUSTOMERS", "broadcast-welcome")
            .await
    }

    /// The same of the greeting of their group.
    pub(crate) async fn all_greeted_once(&self, contacts: &[Contact]) -> anyhow::Result<()> {
        self.all_told_once(contacts, "greeting", "GROUPS", "broadcast-greeting")
            .await
    }

    /// The same of the enterprise's mass message.
    pub(crate) async fn all_reached_once(&self, contacts: &[Contact]) -> anyhow::Result<()> {
        self.all_told_once(contacts, "enterprise", "BROADCAST_WORK", "broadcast-worker")
            .await
    }

    /// Once all have it, a second one may still be on its way: a killed listener's event comes again.
    async fn all_told_once(
        &self,
        contacts: &[Contact],
        kind: &str,
        log: &str,
        durable: &str,
    ) -> anyhow::Result<()> {
        let all_are_told = stream::iter(contacts)
            .map(async |contact| {
                eventually_within(REDELIVERED, async || {
                    let count = self.count(contact, kind).await?;
                    ensure!(count > 0, "{} waits for the {kind}", contact.external_id);
                    anyhow::Ok(())
                })
                .await
            })
            .buffer_unordered(READERS);
        all_are_told.try_collect::<()>().await?;
        self.settled(log, durable).await?;
        let none_is_told_twice = stream::iter(contacts)
            .map(async |contact| {
                let count = self.count(contact, kind).await?;
                ensure!(count == 1, "{} has {count} times the {kind}", contact.external_id);
                anyhow::Ok(())
            })
            .buffer_unordered(READERS);
        none_is_told_twice.try_collect::<()>().await
    }

    async fn count(&self, contact: &Contact, kind: &str) -> anyhow::Result<usize> {
        let inbox = self.inbox(contact).await?;
        Ok(inbox.iter().filter(|message| message["kind"] == kind).count())
    }

    /// Waits until nothing that is in the stream now can come to the durable again. Others may use it, too: it need not
    /// be idle.
    async fn settled(&self, stream: &str, durable: &str) -> anyhow::Result<()> {
        let stream = self.bus.get_stream(stream).await?;
        let last = stream.cached_info().state.last_sequence;
        eventually_within(REDELIVERED, async || {
            let consumer: PullConsumer = stream
                .get_consumer(durable)
                .await
                .map_err(|error| anyhow!(error))?;
            let info = consumer.cached_info();
            let is_idle = info.num_pending == 0 && info.num_ack_pending == 0;
            ensure!(
                is_idle || info.ack_floor.stream_sequence >= last,
                "{durable} has not settled {last}: {info:?}"
            );
            anyhow::Ok(())
        })
        .await
    }

    /// Opens a series of groups that greets newcomers.
    pub(crate) async fn series(&self, capacity: u32) -> anyhow::Result<String> {
        let body = json!({
            "name": "花咲 VIP", "theme": "skin care", "benefit": "samples before the launch",
            "greeting": "Welcome to the group", "capacity": capacity,
        });
        let answer = eventually(async || {
            self.api
                .post("groups", "/v1/series")
                .token(&self.operator.token)
                .json(&body)
                .ok()
                .await
        })
        .await?;
        text(&answer, "series_id")
    }

    pub(crate) async fn join(&self, series: &str, contact: &Contact) -> anyhow::Result<Value> {
        let path = format!("/v1/series/{series}/join");
        self.api
            .post("groups", &path)
            .token(&contact.token)
            .json(&json!({}))
            .ok()
            .await
    }

    /// Posts a mass message to everybody the code tagged.
    pub(crate) async fn broadcast(&self, sender: &Login, kind: &str, extra: Value) -> anyhow::Result<String> {
        let mut body = json!({
            "kind": kind, "title": "Spring", "text": "The spring colours are here",
            "audience": {"tags_any": ["sticker"]}, "channel": "inbox",
        });
        if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
            body.extend(extra);
        }
        let answer = eventually(async || {
            self.api
                .post("broadcast", "/v1/broadcasts")
                .token(&sender.token)
                .json(&body)
                .ok()
                .await
        })
        .await?;
        text(&answer, "broadcast_id")
    }

    pub(crate) async fn progress(&self, broadcast: &str) -> anyhow::Result<Value> {
        let path = format!("/v1/broadcasts/{broadcast}");
        self.api
            .get("broadcast", &path)
            .token(&self.operator.token)
            .ok()
            .await
    }

    /// The shares of a mass message, once its audience is resolved: one per member whom the recipients follow.
    pub(crate) async fn tasks(&self, broadcast: &str, recipients: &[Contact]) -> anyhow::Result<Vec<Value>> {
        let senders: BTreeSet<&str> = recipients
            .iter()
            .map(|contact| contact.member_id.as_str())
            .collect();
        eventually(async || {
            let progress = self.progress(broadcast).await?;
            let tasks = progress["tasks"].as_array().context("tasks")?;
            let of: BTreeSet<&str> = tasks
                .iter()
                .filter_map(|task| task["member_id"].as_str())
                .collect();
            ensure!(
                of == senders && tasks.len() == senders.len(),
                "not of {senders:?}: {progress}"
            );
            anyhow::Ok(tasks.clone())
        })
        .await
    }

    /// The agent whose share it is, or with whom somebody is friends.
    pub(crate) fn agent(&self, member_id: &str) -> anyhow::Result<&Login> {
        let mut agents = self.agents.iter();
        agents
            .find(|agent| agent.member_id == member_id)
            .with_context(|| format!("{member_id} is no agent"))
    }

    /// Every sending member confirms her share.
    pub(crate) async fn confirm_all(&self, broadcast: &str, recipients: &[Contact]) -> anyhow::Result<()> {
        for task in self.tasks(broadcast, recipients).await? {
            let agent = self.agent(&text(&task, "member_id")?)?;
            let path = format!("/v1/tasks/{}/confirm", text(&task, "task_id")?);
            self.api
                .post("broadcast", &path)
                .token(&agent.token)
                .json(&json!({}))
                .ok()
                .await?;
        }
        Ok(())
    }

    /// Waits until the mass message is finished; its outcomes, which must sum to the audience.
    pub(crate) async fn finished(&self, broadcast: &str) -> anyhow::Result<Value> {
        let progress = eventually_within(Duration::from_secs(60), async || {
            let progress = self.progress(broadcast).await?;
            ensure!(progress["state"] == "finished", "{progress}");
            anyhow::Ok(progress)
        })
        .await?;
        let outcomes = progress["outcomes"].as_object().context("outcomes")?;
        let sum: u64 = outcomes.values().filter_map(Value::as_u64).sum();
        ensure!(Some(sum) == progress["audience"].as_u64(), "{progress}");
        Ok(progress)
    }
}
