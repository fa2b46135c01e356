//! Broadcast killed under a request: what was not kept never was, what was kept is found by whoever asks again.

use anyhow::{Context as _, ensure};
use client::{Answer, text};
use serde_json::{Value, json};
use sqlx::PgPool;
use testkit::{Set, eventually};

use crate::scene::Scene;

const CONTACTS: usize = 24;
const CHUNK_ATTEMPTS: usize = 5;

/// It dies at `point` under a request, is started again, and is asked the same.
async fn asks_again(
    set: &mut Set,
    point: &str,
    ask: impl AsyncFn() -> anyhow::Result<Answer>,
) -> anyhow::Result<Value> {
    set.terminate("broadcast").await?;
    set.run("broadcast", Some(&format!("{point}=1*return"))).await?;
    let cut = ask().await;
    ensure!(cut.is_err(), "{point} is passed: {cut:?}");
    let status = set.died("broadcast").await?;
    ensure!(!status.success(), "broadcast ended without an abort: {status}");
    set.run("broadcast", None).await?;
    ask().await?.ok()
}

async fn count(set: &Set, statement: &'static str) -> anyhow::Result<i64> {
    let database = PgPool::connect(&set.stack().description().postgres.superuser_url).await?;
    Ok(sqlx::query_scalar(statement).fetch_one(&database).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_a_confirmation() -> anyhow::Result<()> {
    let mut set = Set::start("confirm").await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let contacts = scene.scan_many(CONTACTS).await?;
    scene.all_welcomed_once(&contacts).await?;
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    let tasks = scene.tasks(&broadcast, &contacts).await?;
    let mut left_out = 0;
    let points = ["broadcast-confirming", "broadcast-confirmed"];
    for (task, point) in tasks.iter().zip(points) {
        let member = text(task, "member_id")?;
        let token = &scene.agent(&member)?.token;
        let path = format!("/v1/tasks/{}/confirm", text(task, "task_id")?);
        let hers = contacts.iter().find(|contact| contact.member_id == member);
        let body = json!({"deselect": [hers.context("a share of nobody")?.id]});
        left_out += 1;
        let ask = async || {
            let ask = scene.api.post("broadcast", &path).token(token);
            ask.json(&body).send().await
        };
        let task = asks_again(&mut set, point, ask).await?;
        ensure!(task["state"] == "confirmed", "{task}");
    }
    let outcomes = scene.finished(&broadcast).await?["outcomes"].clone();
    ensure!(outcomes["deselected"] == left_out, "{outcomes}");
    ensure!(outcomes["delivered"] == CONTACTS - left_out, "{outcomes}");
    let told = "select count(*) from broadcast.outbox where name like '%BroadcastConfirmed'";
    ensure!(count(&set, told).await? == left_out as i64);
    let audited = "select count(*) from broadcast.audit_entry where action = 'task.confirmed'";
    ensure!(count(&set, audited).await? == left_out as i64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_a_way_out() -> anyhow::Result<()> {
    let mut set = Set::start("way-out").await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let contacts = scene.scan_many(CONTACTS).await?;
    scene.all_welcomed_once(&contacts).await?;
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    scene.tasks(&broadcast, &contacts).await?;
    let points = ["broadcast-opting-out", "broadcast-opted-out"];
    for (contact, point) in contacts.iter().zip(points) {
        let link = scene
            .api
            .get("broadcast", "/v1/opt-out-link")
            .token(&contact.token);
        let link = text(&link.ok().await?, "opt_out_url")?;
        let token = link.rsplit('/').next().unwrap_or_default();
        let path = format!("/v1/opt-out/{token}");
        asks_again(&mut set, point, async || {
            scene.api.post("broadcast", &path).key("").send().await
        })
        .await?;
    }
    // Customers hears of each once, and broadcast holds to it at once.
    let told = "select count(*) from broadcast.outbox where name like '%ContactOptedOut'";
    ensure!(count(&set, told).await? == 2);
    eventually(async || {
        let heard = "select count(*) from customers.inbox
            where handled_at is not null and consumer like 'customers-%' and event_id in (
              select event_id from broadcast.outbox where name like '%ContactOptedOut')";
        let heard = count(&set, heard).await?;
        ensure!(heard == 2, "customers has heard of {heard}");
        anyhow::Ok(())
    })
    .await?;
    scene.confirm_all(&broadcast, &contacts).await?;
    let outcomes = scene.finished(&broadcast).await?["outcomes"].clone();
    ensure!(outcomes["opted_out"] == 2, "{outcomes}");
    ensure!(outcomes["delivered"] == CONTACTS - 2, "{outcomes}");
    scene.all_reached_once(&contacts[2..]).await
}

/// A chunk that kills whoever claims it is dead after five attempts; once the cause is mended it is replayed, in two
/// requests, each of which is cut off by a crash.
#[tokio::test(flavor = "multi_thread")]
async fn killed_under_the_replay_of_a_poison_chunk() -> anyhow::Result<()> {
    let env = [("SHEQUN_LEASE_SECS", "3"), ("SHEQUN_WORKER_CHUNKS_MAX", "1")];
    let env = env.map(|(name, value)| (name, value.to_owned()));
    let mut set = Set::start_with("replay", &env).await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let contacts = scene.scan_many(CONTACTS).await?;
    let (worker, poison) = ("broadcast-worker-1", Some("broadcast-poison-chunk=return(0)"));
    set.terminate("broadcast-worker-2").await?;
    set.terminate(worker).await?;
    set.run(worker, poison).await?;
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    scene.confirm_all(&broadcast, &contacts).await?;
    for _ in 0..CHUNK_ATTEMPTS {
        let status = set.died(worker).await?;
        ensure!(!status.success(), "the worker ended without an abort: {status}");
        set.run(worker, poison).await?;
    }
    let outcomes = scene.finished(&broadcast).await?["outcomes"].clone();
    ensure!(!set.has_died(worker), "a sixth attempt");
    let path = format!("/v1/dead-recipients?broadcast_id={broadcast}");
    let dead = scene.api.all("broadcast", &path, &scene.operator.token).await?;
    ensure!(outcomes["dead"] == dead.len() && !dead.is_empty(), "{outcomes}");
    ensure!(outcomes["delivered"] == CONTACTS - dead.len(), "{outcomes}");
    ensure!(dead.iter().all(|it| it["failure"] == "stuck"), "{dead:?}");

    set.terminate(worker).await?;
    set.run(worker, None).await?;
    let path = format!("/v1/broadcasts/{broadcast}/replay");
    let all = dead.len();
    let mut delivered = CONTACTS - all;
    for (key, point, body, replayed) in [
        (
            "one-of-them",
            "broadcast-replaying",
            json!({"contact_ids": [dead[0]["contact_id"]]}),
            1,
        ),
        ("the-rest", "broadcast-replayed", json!({}), all - 1),
    ] {
        let ask = async || {
            let ask = scene.api.post("broadcast", &path).token(&scene.operator.token);
            ask.key(key).json(&body).send().await
        };
        let answer = asks_again(&mut set, point, ask).await?;
        ensure!(answer["replayed"] == replayed, "{answer}, not {replayed}");
        delivered += replayed;
        // Of a chunk that is being sent nobody is replayed.
        eventually(async || {
            let outcomes = scene.finished(&broadcast).await?["outcomes"].clone();
            ensure!(outcomes["delivered"] == delivered, "{outcomes}, not {delivered}");
            anyhow::Ok(())
        })
        .await?;
    }
    ensure!(delivered == CONTACTS, "{delivered}");
    let receipts = "select count(*) from broadcast.receipt";
    ensure!(count(&set, receipts).await? == CONTACTS as i64);
    let audited = "select count(*) from broadcast.audit_entry where action = 'broadcast.replayed'";
    ensure!(count(&set, audited).await? == 2);
    scene.all_reached_once(&contacts).await
}
