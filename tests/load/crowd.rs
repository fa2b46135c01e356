//! A brand with as many contacts as a mass message needs: written into customers' tables at once, as an import of years
//! would have left them, because a million scans would take longer than everything that is measured.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use client::{Brand, Login, Staff, text};
use serde_json::{Value, json};
use sqlx::PgPool;
use testkit::{Stack, eventually};
use uuid::Uuid;

/// Whom every contact follows: two memberships each, so somebody has to choose (D75).
const AGENTS: usize = 2;
const RESOLVED: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(20);

pub(crate) struct Crowd {
    pub(crate) brand: Brand,
    pub(crate) staff: Staff,
    pub(crate) tenant: Uuid,
    pub(crate) superuser: PgPool,
}

impl Crowd {
    /// A verified brand whose members every service knows, without contacts.
    pub(crate) async fn found(stack: &Stack, superuser: &PgPool) -> anyhow::Result<Self> {
        let brand = Brand::verified(stack).await?;
        let staff = brand.staff(AGENTS).await?;
        let crowd = Self {
            tenant: brand.tenant_id.parse()?,
            brand,
            staff,
            superuser: superuser.clone(),
        };
        eventually(async || {
            let members = "select count(*) from customers.member where tenant_id = $1 and role = 'agent'";
            let tenants = "select count(*) from broadcast.tenant where tenant_id = $1";
            ensure!(
                crowd.count(members).await? == AGENTS as i64,
                "the members are not known yet"
            );
            ensure!(
                crowd.count(tenants).await? == 1,
                "the verification is not known yet"
            );
            anyhow::Ok(())
        })
        .await?;
        Ok(crowd)
    }

    async fn count(&self, sql: &'static str) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(sql)
            .bind(self.tenant)
            .fetch_one(&self.superuser)
            .await?)
    }

    /// Adds contacts, each following both agents and tagged, the last word now with this one, now with the other.
    /// The rows refer only to rows of the same statement's kind, so their foreign keys are not looked up one by one.
    pub(crate) async fn grow(&self, tag: &str, contacts: usize) -> anyhow::Result<()> {
        let agents: Vec<Uuid> = self
            .staff
            .agents
            .iter()
            .map(|agent| Ok(agent.member_id.parse()?))
            .collect::<anyhow::Result<_>>()?;
        let mut tx = self.superuser.begin().await?;
        sqlx::query("set local session_replication_role = replica")
            .execute(&mut *tx)
            .await?;
        let tag_id = Uuid::now_v7();
        sqlx::query("insert into customers.tag (tenant_id, tag_id, name) values ($1, $2, $3)")
            .bind(self.tenant)
            .bind(tag_id)
            .bind(tag)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "create temporary table fresh on commit drop as
             select uuidv7() as contact_id, n from generate_series(1, $1::int8) as n",
        )
        .bind(i64::try_from(contacts)?)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into customers.contact (tenant_id, contact_id, external_id, name, language, marketing,
               consent_basis, consent_version, consent_at, created_at)
             select $1, contact_id, $2 || '-' || n, '王 ' || n, 'zh', true, 'scan', 1, now(), now() from fresh",
        )
        .bind(self.tenant)
        .bind(tag)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into customers.follow (tenant_id, contact_id, member_id, state, add_way, code_id, channel,
               befriended_at, last_active_at)
             select $1, contact_id, member_id, 'active', 'live_code', $2, '', now(),
               now() - make_interval(secs => (n + turn) % cardinality($3))
             from fresh cross join unnest($3::uuid[]) with ordinality as agent (member_id, turn)",
        )
        .bind(self.tenant)
        .bind(Uuid::nil())
        .bind(&agents)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into customers.contact_tag (tenant_id, contact_id, tag_id) select $1, contact_id, $2 from fresh",
        )
        .bind(self.tenant)
        .bind(tag_id)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        // As its own clean-up would have done long ago.
        for table in ["contact", "follow", "contact_tag", "tag"] {
            let statement = format!("vacuum analyze customers.{table}");
            sqlx::query(sqlx::AssertSqlSafe(statement))
                .execute(&self.superuser)
                .await?;
        }
        Ok(())
    }

    /// Tokens end after ten minutes.
    pub(crate) async fn sign_in(&mut self) -> anyhow::Result<()> {
        let staff = std::iter::once(&mut self.staff.operator).chain(&mut self.staff.agents);
        for login in staff {
            login.token = self.brand.sign_in(&login.email).await?;
        }
        Ok(())
    }

    /// Where the brand's mass messages over `webhook` go.
    pub(crate) async fn set_webhook(&self, url: &str) -> anyhow::Result<()> {
        let api = &self.brand.api;
        let ask = api.put("broadcast", "/v1/webhook").token(&self.brand.owner.token);
        ask.json(&json!({ "url": url })).ok().await?;
        Ok(())
    }

    /// Posts a mass message of the brand to whoever has the tag, or to everybody.
    pub(crate) async fn post(&self, tag: Option<&str>, extra: &Value) -> anyhow::Result<Posted<'_>> {
        let mut body = json!({
            "kind": "enterprise", "title": "Spring", "channel": "webhook", "audience": {},
            "text": "The spring colours are here. Come and try them, tea is on us.",
        });
        if let Some(tag) = tag {
            body["audience"]["tags_any"] = json!([tag]);
        }
        if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
            body.extend(extra.clone());
        }
        let (api, posted) = (&self.brand.api, Instant::now());
        let ask = api
            .post("broadcast", "/v1/broadcasts")
            .token(&self.staff.operator.token);
        let answer = ask.json(&body).ok().await?;
        Ok(Posted {
            crowd: self,
            posted,
            id: text(&answer, "broadcast_id")?,
        })
    }

    /// One that was posted before.
    pub(crate) fn again(&self, id: String) -> Posted<'_> {
        Posted {
            crowd: self,
            posted: Instant::now(),
            id,
        }
    }
}

/// A mass message on its way.
pub(crate) struct Posted<'a> {
    crowd: &'a Crowd,
    pub(crate) posted: Instant,
    pub(crate) id: String,
}

impl Posted<'_> {
    pub(crate) async fn progress(&self) -> anyhow::Result<Value> {
        let path = format!("/v1/broadcasts/{}", self.id);
        let api = &self.crowd.brand.api;
        api.get("broadcast", &path)
            .token(&self.crowd.staff.operator.token)
            .ok()
            .await
    }

    /// How it would end.
    pub(crate) async fn forecast(&self) -> anyhow::Result<Value> {
        let path = format!("/v1/broadcasts/{}/forecast", self.id);
        let api = &self.crowd.brand.api;
        api.get("broadcast", &path)
            .token(&self.crowd.staff.operator.token)
            .ok()
            .await
    }

    /// Waits until its audience is resolved; every share of it: who has to confirm which task.
    pub(crate) async fn shares(&self) -> anyhow::Result<Vec<(&Login, String)>> {
        let progress = loop {
            let progress = self.progress().await?;
            if progress["state"] != "resolving" {
                break progress;
            }
            ensure!(self.posted.elapsed() < RESOLVED, "{progress}");
            tokio::time::sleep(LOOK).await;
        };
        let tasks = progress["tasks"].as_array().context("tasks")?;
        let shares = tasks.iter().map(|task| {
            let member = text(task, "member_id")?;
            let agents = &self.crowd.staff.agents;
            let agent = agents.iter().find(|agent| agent.member_id == member);
            Ok((agent.context("a share of nobody's")?, text(task, "task_id")?))
        });
        shares.collect()
    }

    /// Says yes for each of the agents.
    pub(crate) async fn confirm(&self, shares: &[(&Login, String)]) -> anyhow::Result<()> {
        let api = &self.crowd.brand.api;
        for (agent, task) in shares {
            let path = format!("/v1/tasks/{task}/confirm");
            let ask = api.post("broadcast", &path).token(&agent.token);
            ask.json(&json!({})).ok().await?;
        }
        Ok(())
    }

    /// How many recipients have a terminal state.
    pub(crate) async fn ended(&self) -> anyhow::Result<u64> {
        let sql = "select coalesce(sum(ended), 0) from broadcast.chunk where broadcast_id = $1";
        let ended: i64 = sqlx::query_scalar(sql)
            .bind(self.id.parse::<Uuid>()?)
            .fetch_one(&self.crowd.superuser)
            .await?;
        Ok(ended.unsigned_abs())
    }

    /// How many receipts say so.
    pub(crate) async fn receipts(&self, state: &str) -> anyhow::Result<u64> {
        let sql = "select count(*) from broadcast.receipt where tenant_id = $1 and broadcast_id = $2 and state = $3";
        let receipts: i64 = sqlx::query_scalar(sql)
            .bind(self.crowd.tenant)
            .bind(self.id.parse::<Uuid>()?)
            .bind(state)
            .fetch_one(&self.crowd.superuser)
            .await?;
        Ok(receipts.unsigned_abs())
    }
}
