//! A mass message: accepted, split among the members who send it, confirmed by each of them, and what is to be expected.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use client::text;
use serde::Deserialize;
use serde_json::json;
use testkit::eventually_within;

use crate::brand::{Session, Shop, once_known};
use crate::run::Run;
use crate::stickers::TAG;

use super::DESELECTED;

/// Half a million contacts are an audience, too.
const RESOLVED: Duration = Duration::from_secs(120);

/// How far it is.
#[derive(Deserialize)]
pub(crate) struct Progress {
    pub(crate) broadcast_id: String,
    pub(crate) title: String,
    pub(crate) state: String,
    pub(crate) audience: u64,
    /// Recipients by terminal state.
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) tasks: Vec<Task>,
}

/// One member's share of it.
#[derive(Deserialize)]
pub(crate) struct Task {
    task_id: String,
    member_id: String,
    recipients: u64,
}

/// How it was to end, and how it ended.
pub(crate) struct Sent {
    pub(crate) title: String,
    pub(crate) forecast: BTreeMap<String, u64>,
    pub(crate) outcomes: BTreeMap<String, u64>,
}

/// What a mass message will come to.
#[derive(Deserialize)]
pub(crate) struct Forecast {
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// Whose mass messages are in its way.
    pub(crate) holders: Vec<Holder>,
}

/// One of those.
#[derive(Deserialize)]
pub(crate) struct Holder {
    pub(crate) broadcast_id: String,
    pub(crate) recipients: u64,
}

impl Forecast {
    pub(crate) async fn read(run: &Run<'_>, shop: &Shop, id: &str) -> anyhow::Result<Self> {
        let path = format!("/v1/broadcasts/{id}/forecast");
        let ask = run.api.get("broadcast", &path);
        let answer = ask.token(&shop.operator.token().await?).ok().await?;
        serde_json::from_value(answer).context("the answer is no forecast")
    }
}

impl Progress {
    pub(crate) async fn read(run: &Run<'_>, shop: &Shop, id: &str) -> anyhow::Result<Self> {
        let path = format!("/v1/broadcasts/{id}");
        let answer = run
            .api
            .get("broadcast", &path)
            .token(&shop.operator.token().await?)
            .ok()
            .await?;
        serde_json::from_value(answer).context("the answer is no mass message")
    }

    /// Recipients with a terminal state.
    pub(crate) fn settled(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// The states somebody is in.
    pub(crate) fn by_state(&self) -> String {
        let some = self.outcomes.iter().filter(|(_, recipients)| **recipients > 0);
        some.map(|(state, recipients)| format!("{state} {recipients}"))
            .collect::<Vec<_>>()
            .join(" · ")
    }

    pub(crate) fn sent(self, forecast: Forecast) -> Sent {
        Sent {
            title: self.title,
            forecast: forecast.outcomes,
            outcomes: self.outcomes,
        }
    }
}

/// Starts it, and waits until it is split among its senders.
pub(crate) async fn accept(
    run: &Run<'_>,
    shop: &Shop,
    (title, words): (&str, &str),
    rate_per_s: usize,
    held_out_ppm: u32,
) -> anyhow::Result<Progress> {
    let body = json!({
        "kind": "enterprise",
        "title": title,
        "text": words,
        "audience": {"tags_any": [TAG]},
        "channel": "inbox",
        "rate_per_s": rate_per_s,
        "held_out_ppm": held_out_ppm,
    });
    let _bar = run.screen.spinner("Finding the audience of the mass message");
    let token = shop.operator.token().await?;
    let accepted = once_known(|| {
        run.api
            .post("broadcast", "/v1/broadcasts")
            .token(&token)
            .json(&body)
    })
    .await?;
    let id = text(&accepted, "broadcast_id")?;
    eventually_within(RESOLVED, async || {
        let progress = Progress::read(run, shop, &id).await?;
        ensure!(
            progress.state != "resolving",
            "the audience of {title} is still being resolved"
        );
        Ok(progress)
    })
    .await
}

/// Holds it, or lets it go on: `pause`, `resume`.
pub(crate) async fn control(run: &Run<'_>, shop: &Shop, id: &str, verb: &str) -> anyhow::Result<()> {
    let ask = run.api.post("broadcast", &format!("/v1/broadcasts/{id}/{verb}"));
    ask.token(&shop.operator.token().await?).ok().await.map(drop)
}

/// Every sender confirms her share; the first who has more than `spare` recipients takes some off
/// her list. Answers those.
pub(crate) async fn confirm(
    run: &mut Run<'_>,
    shop: &Shop,
    progress: &Progress,
    spare: usize,
) -> anyhow::Result<BTreeSet<String>> {
    let mut left_out = BTreeSet::new();
    for agent in &shop.agents {
        let Some(task) = progress
            .tasks
            .iter()
            .find(|task| task.member_id == agent.member_id)
        else {
            continue;
        };
        let token = agent.token().await?;
        let own = own_task(run, agent, task).await?;
        run.checks.equal(
            "a sender's own view of her share",
            task.recipients,
            own.recipients,
        );
        let path = format!("/v1/tasks/{}", task.task_id);
        let mut deselect = Vec::new();
        if left_out.is_empty() && task.recipients > spare as u64 {
            let recipients = run
                .api
                .all("broadcast", &format!("{path}/recipients"), &token)
                .await?;
            let open = recipients.iter().filter(|recipient| recipient["state"].is_null());
            for recipient in open.take(DESELECTED) {
                deselect.push(text(recipient, "contact_id")?);
            }
            left_out.extend(deselect.iter().cloned());
        }
        let confirm = run
            .api
            .post("broadcast", &format!("{path}/confirm"))
            .token(&token);
        confirm.json(&json!({"deselect": deselect})).ok().await?;
    }
    Ok(left_out)
}

/// The task as it waits in the sender's own list.
async fn own_task(run: &Run<'_>, agent: &Session, task: &Task) -> anyhow::Result<Task> {
    let tasks = run
        .api
        .all("broadcast", "/v1/tasks?state=waiting", &agent.token().await?)
        .await?;
    let own = tasks
        .into_iter()
        .find(|own| own["task_id"] == task.task_id.as_str());
    let own = own.with_context(|| format!("task {} does not wait for its sender", task.task_id))?;
    serde_json::from_value(own).context("the answer is no task")
}
