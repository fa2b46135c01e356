//! A brand with a crowd of contacts and the mass messages of a row, from their start to what the API says of their end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use client::{Api, Brand, Login, text};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;
use testkit::{eventually, eventually_within};
use uuid::Uuid;

use super::stage::{Stage, now};
use crate::failure::checker::{Account, Progress};

const ASKED_AT_ONCE: usize = 4;
const GLANCE: Duration = Duration::from_secs(2);
/// A service that was killed is away for a while, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Contacts that follow both agents.
#[derive(Clone)]
pub(crate) struct Crowd {
    pub(crate) api: Api,
    pub(crate) tenant: Uuid,
    pub(crate) account: String,
    pub(crate) zone: TimeZone,
    pub(crate) operator: Login,
    pub(crate) agents: Vec<Login>,
    pub(crate) contacts: Vec<Uuid>,
    pub(crate) started: Vec<Started>,
}

/// A mass message under way.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) id: Uuid,
    /// When a cancellation was answered.
    pub(crate) stops: Vec<(Timestamp, Option<Timestamp>)>,
}

/// What to start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mass {
    Enterprise,
    /// By the first agent, or the second.
    Member(usize),
}

impl Crowd {
    /// A verified brand; the contacts are written to the tables at once, for an import would tell everybody of each.
    pub(crate) async fn gather(stage: &Stage, contacts: usize) -> anyhow::Result<Self> {
        let brand = Brand::verified(stage.set.stack()).await?;
        let staff = brand.staff(2).await?;
        let tenant: Uuid = brand.tenant_id.parse()?;
        let members: Vec<Uuid> = staff
            .agents
            .iter()
            .map(|agent| agent.member_id.parse())
            .collect::<Result<_, _>>()?;
        eventually_within(PATIENCE, async || {
            let known = "select count(*) from customers.member where tenant_id = $1 and member_id = any($2)";
            let known: i64 = sqlx::query_scalar(known)
                .bind(tenant)
                .bind(&members)
                .fetch_one(&stage.tables)
                .await?;
            ensure!(known == 2, "customers has heard of {known} agents");
            anyhow::Ok(())
        })
        .await?;
        let contacts = people(&stage.tables, tenant, &members, contacts).await?;
        let account = brand.slug.clone();
        let webhook = json!({"url": stage.sink.url(&account)});
        eventually_within(PATIENCE, async || {
            let put = stage
                .api
                .put("broadcast", "/v1/webhook")
                .token(&brand.owner.token);
            put.json(&webhook).ok().await
        })
        .await?;
        Ok(Self {
            api: stage.api.clone(),
            tenant,
            account,
            zone: TimeZone::get(&brand.zone)?,
            operator: staff.operator,
            agents: staff.agents,
            contacts,
            started: vec![],
        })
    }

    /// Posts a mass message to everybody under this key, however often it takes.
    pub(crate) async fn post(&self, mass: Mass, rate_per_s: usize, key: &str) -> anyhow::Result<Uuid> {
        let (kind, starter) = match mass {
            Mass::Enterprise => ("enterprise", &self.operator),
            Mass::Member(agent) => ("member", &self.agents[agent]),
        };
        let body = json!({
            "kind": kind, "title": "Spring", "text": "The spring colours are here", "channel": "webhook",
            "audience": {"tags_any": ["crowd"]}, "rate_per_s": rate_per_s,
        });
        let answer = eventually_within(PATIENCE, async || {
            let post = self.api.post("broadcast", "/v1/broadcasts").token(&starter.token);
            post.key(key).json(&body).ok().await
        })
        .await?;
        Ok(text(&answer, "broadcast_id")?.parse()?)
    }

    /// The same, resolved and confirmed: it is being sent.
    pub(crate) async fn start(&mut self, mass: Mass, rate_per_s: usize) -> anyhow::Result<Uuid> {
        let id = self.post(mass, rate_per_s, &Uuid::now_v7().to_string()).await?;
        self.adopt(id).await?;
        Ok(id)
    }

    /// What was posted counts, and is confirmed.
    pub(crate) async fn adopt(&mut self, id: Uuid) -> anyhow::Result<()> {
        self.started.push(Started { id, stops: vec![] });
        self.confirm(id).await
    }

    pub(crate) async fn start_all(&mut self, masses: &[Mass], rate_per_s: usize) -> anyhow::Result<()> {
        let posts = masses
            .iter()
            .map(|mass| async { self.post(*mass, rate_per_s, &Uuid::now_v7().to_string()).await });
        let ids = futures::future::try_join_all(posts).await?;
        let started = ids.iter().map(|id| Started {
            id: *id,
            stops: vec![],
        });
        self.started.extend(started);
        futures::future::try_join_all(ids.iter().map(|id| self.confirm(*id))).await?;
        Ok(())
    }

    /// Waits for the whole audience and confirms every share.
    pub(crate) async fn confirm(&self, id: Uuid) -> anyhow::Result<()> {
        let resolved = eventually_within(PATIENCE, async || {
            let progress = self.progress(id).await?;
            ensure!(progress["state"] == "running", "{progress}");
            anyhow::Ok(progress)
        })
        .await?;
        for task in resolved["tasks"].as_array().context("tasks")? {
            let member = text(task, "member_id")?;
            let agent = self.agents.iter().find(|agent| agent.member_id == member);
            let agent = agent.context("a share of nobody")?;
            let path = format!("/v1/tasks/{}/confirm", text(task, "task_id")?);
            eventually_within(PATIENCE, async || {
                let post = self.api.post("broadcast", &path).token(&agent.token);
                post.json(&json!({})).ok().await
            })
            .await?;
        }
        Ok(())
    }

    pub(crate) async fn progress(&self, id: Uuid) -> anyhow::Result<Value> {
        let ask = self.api.get("broadcast", &format!("/v1/broadcasts/{id}"));
        ask.token(&self.operator.token).ok().await
    }

    /// The same, without patience.
    pub(crate) async fn glance(&self, id: Uuid) -> anyhow::Result<Value> {
        let ask = self.api.get("broadcast", &format!("/v1/broadcasts/{id}"));
        ask.token(&self.operator.token).timeout(GLANCE).send().await?.ok()
    }

    /// Cancels one, and notes when it was answered.
    pub(crate) async fn cancel(&mut self, index: usize) -> anyhow::Result<()> {
        self.stop(index, "cancel").await
    }

    /// The same of a pause.
    pub(crate) async fn pause(&mut self, index: usize) -> anyhow::Result<()> {
        self.stop(index, "pause").await
    }

    /// It may go on from the moment that it is asked to.
    pub(crate) async fn resume(&mut self, index: usize) -> anyhow::Result<()> {
        if let Some(stop) = self.started[index].stops.last_mut() {
            stop.1 = Some(now());
            self.told_to(index, "resume").await?;
        }
        Ok(())
    }

    async fn stop(&mut self, index: usize, verb: &str) -> anyhow::Result<()> {
        // It may have come to its end just before.
        if self.told_to(index, verb).await? {
            self.started[index].stops.push((now(), None));
        }
        Ok(())
    }

    async fn told_to(&self, index: usize, verb: &str) -> anyhow::Result<bool> {
        let path = format!("/v1/broadcasts/{}/{verb}", self.started[index].id);
        let ask = self.api.post("broadcast", &path).token(&self.operator.token);
        let answer = ask.json(&json!({})).answer().await?;
        let is_over = answer.status == StatusCode::CONFLICT;
        ensure!(answer.status.is_success() || is_over, "{answer:?}");
        Ok(!is_over)
    }

    /// Every mass message with what was told of it while it ran.
    pub(crate) async fn accounts(
        &self,
        told: &BTreeMap<Uuid, Vec<Progress>>,
    ) -> anyhow::Result<Vec<Account>> {
        stream::iter(&self.started)
            .map(|started| async {
                let mut progress = told.get(&started.id).cloned().unwrap_or_default();
                progress.push(parse(&self.progress(started.id).await?)?);
                anyhow::Ok(Account {
                    broadcast: started.id,
                    snapshot: self.contacts.iter().copied().collect::<BTreeSet<_>>(),
                    progress,
                    receipts: self.receipts(started.id).await?,
                    stops: started.stops.clone(),
                })
            })
            .buffered(ASKED_AT_ONCE)
            .try_collect()
            .await
    }

    pub(crate) async fn receipts(&self, id: Uuid) -> anyhow::Result<Vec<(Uuid, String)>> {
        let path = format!("/v1/broadcasts/{id}/receipts");
        let receipts =
            eventually(async || self.api.all("broadcast", &path, &self.operator.token).await).await?;
        receipts
            .iter()
            .map(|receipt| Ok((text(receipt, "contact_id")?.parse()?, text(receipt, "state")?)))
            .collect()
    }
}

/// Audience and outcomes as the API tells them.
pub(crate) fn parse(progress: &Value) -> anyhow::Result<Progress> {
    let outcomes = progress["outcomes"].as_object().context("outcomes")?;
    Ok(Progress {
        audience: progress["audience"].as_u64().context("audience")?,
        outcomes: outcomes
            .iter()
            .filter_map(|(end, count)| Some((end.clone(), count.as_u64()?)))
            .collect(),
    })
}

async fn people(tables: &PgPool, tenant: Uuid, members: &[Uuid], count: usize) -> anyhow::Result<Vec<Uuid>> {
    let mut contacts: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
    contacts.sort_unstable();
    let mut tx = tables.begin().await?;
    sqlx::query(
        "insert into customers.contact (tenant_id, contact_id, external_id, name, language, marketing, consent_basis,
           consent_version, consent_at, created_at)
         select $1, id, 'wx-' || id, '', 'zh', true, 'import', 0, now(), now() from unnest($2::uuid[]) as id",
    )
    .bind(tenant)
    .bind(&contacts)
    .execute(&mut *tx)
    .await?;
    // Each was last in touch with one of the two: the enterprise's mass message comes from both.
    sqlx::query(
        "insert into customers.follow (tenant_id, contact_id, member_id, state, add_way, code_id, channel, befriended_at,
           last_active_at)
         select $1, id, member, 'active', 'live_code', $1, '', now(), now() - random() * interval '1 day'
         from unnest($2::uuid[]) as id cross join unnest($3::uuid[]) as member",
    )
    .bind(tenant)
    .bind(&contacts)
    .bind(members)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "with named as (insert into customers.tag (tenant_id, tag_id, name) values ($1, $1, 'crowd') returning tag_id)
         insert into customers.contact_tag (tenant_id, contact_id, tag_id)
         select $1, id, tag_id from unnest($2::uuid[]) as id cross join named",
    )
    .bind(tenant)
    .bind(&contacts)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(contacts)
}
