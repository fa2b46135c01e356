//! Mass messages: confirmed by each sender, capped per contact (D74, D76, D77).

use anyhow::{Context as _, ensure};
use client::text;
use reqwest::StatusCode;
use serde_json::json;
use testkit::{Stack, eventually};

use crate::scene::{Contact, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_out_before_its_sender_confirms() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 2).await?;
    let contacts = scene.scan_many(20).await?;
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    let tasks = scene.tasks(&broadcast, &contacts).await?;
    // Only the member whose share it is may confirm it.
    let first = text(&tasks[0], "member_id")?;
    let other = scene
        .agents
        .iter()
        .find(|agent| agent.member_id != first)
        .context("another agent")?;
    let path = format!("/v1/tasks/{}/confirm", text(&tasks[0], "task_id")?);
    let refused = scene
        .api
        .post("broadcast", &path)
        .token(&other.token)
        .json(&json!({}))
        .send()
        .await?;
    ensure!(refused.status == StatusCode::NOT_FOUND, "{refused:?}");
    let owner = scene.agent(&first)?;
    scene
        .api
        .post("broadcast", &path)
        .token(&owner.token)
        .json(&json!({}))
        .ok()
        .await?;

    let share = tasks[0]["recipients"].as_u64().context("recipients")?;
    eventually(async || {
        let progress = scene.progress(&broadcast).await?;
        ensure!(
            progress["outcomes"]["delivered"].as_u64() == Some(share),
            "{progress}"
        );
        anyhow::Ok(())
    })
    .await?;
    for contact in contacts.iter().filter(|contact| contact.member_id != first) {
        let inbox = scene.inbox(contact).await?;
        ensure!(
            inbox.iter().all(|message| message["kind"] != "enterprise"),
            "{inbox:?}"
        );
    }
    scene.confirm_all(&broadcast, &contacts).await?;
    let outcome = scene.finished(&broadcast).await?;
    ensure!(outcome["outcomes"]["delivered"] == 20, "{outcome}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_enterprise_message_of_a_week_is_capped() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 2).await?;
    let contacts = scene.scan_many(12).await?;
    for expected in ["delivered", "capped"] {
        let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
        scene.confirm_all(&broadcast, &contacts).await?;
        let outcome = scene.finished(&broadcast).await?;
        ensure!(outcome["outcomes"][expected] == 12, "{outcome}");
    }
    scene.all_reached_once(&contacts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_reaches_her_own_contacts_once_a_day() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 2).await?;
    let contacts = scene.scan_many(16).await?;
    let agent = scene.agent(&contacts[0].member_id)?;
    let own: Vec<Contact> = contacts
        .iter()
        .filter(|contact| contact.member_id == agent.member_id)
        .cloned()
        .collect();
    for expected in ["delivered", "capped"] {
        let broadcast = scene.broadcast(agent, "member", json!({})).await?;
        scene.confirm_all(&broadcast, &own).await?;
        let outcome = scene.finished(&broadcast).await?;
        ensure!(
            outcome["outcomes"][expected] == own.len(),
            "{} of {outcome}",
            own.len()
        );
    }
    // The two caps are independent: the enterprise still reaches everybody.
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    scene.confirm_all(&broadcast, &contacts).await?;
    let outcome = scene.finished(&broadcast).await?;
    ensure!(outcome["outcomes"]["delivered"] == 16, "{outcome}");
    Ok(())
}
