//! The same words into groups and to their contacts: a post in each group, from its owner, beside everybody's message (D85).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use client::text;
use serde_json::{Value, json};
use testkit::{Stack, eventually};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::scene::Scene;

const CONTACTS: usize = 5;

type Calls = Arc<Mutex<Vec<Value>>>;

fn told(calls: &Calls) -> MutexGuard<'_, Vec<Value>> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The brand's own system: takes every call, and remembers it.
async fn receiver() -> anyhow::Result<(Calls, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/posts", listener.local_addr()?);
    let calls = Calls::default();
    let kept = calls.clone();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(take(connection, kept.clone()));
        }
    });
    Ok((calls, url))
}

async fn take(connection: TcpStream, calls: Calls) -> anyhow::Result<()> {
    let mut connection = BufReader::new(connection);
    let mut bytes = 0;
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await?;
        match line.trim_end().to_lowercase().split_once(": ") {
            Some(("content-length", length)) => bytes = length.parse()?,
            _ if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; bytes];
    connection.read_exact(&mut body).await?;
    told(&calls).push(serde_json::from_slice(&body)?);
    let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    Ok(connection.write_all(answer).await?)
}

/// A post in all groups, confirmed by their owner; its end.
async fn post(scene: &Scene, groups: usize) -> anyhow::Result<Value> {
    let everywhere = json!({"post_in": {}, "audience": null, "channel": "webhook"});
    let broadcast = scene.broadcast(&scene.operator, "enterprise", everywhere).await?;
    let task = eventually(async || {
        let progress = scene.progress(&broadcast).await?;
        progress["tasks"][0]["task_id"]
            .as_str()
            .context("no task")
            .map(str::to_owned)
    })
    .await?;
    let owner = &scene.agents[0].token;
    let read = async |path: &str| scene.api.get("broadcast", path).token(owner).ok().await;
    let shown = read(&format!("/v1/tasks/{task}/preview")).await?;
    ensure!(
        shown["items"][0]["said"]["text"] == "The spring colours are here",
        "{shown}"
    );
    let forecast = read(&format!("/v1/broadcasts/{broadcast}/forecast")).await?;
    let path = format!("/v1/tasks/{task}/confirm");
    let confirmed = scene
        .api
        .post("broadcast", &path)
        .token(owner)
        .json(&json!({}))
        .ok()
        .await?;
    ensure!(
        confirmed["to"] == "groups" && confirmed["recipients"] == groups,
        "{confirmed}"
    );
    let end = scene.finished(&broadcast).await?;
    ensure!(end["outcomes"] == forecast["outcomes"], "{end}, not {forecast}");
    Ok(end)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_one_delivery_per_group() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 1).await?;
    let contacts = scene.scan_many(CONTACTS).await?;
    let (calls, url) = receiver().await?;
    let admin = &scene.brand.owner.token;
    let webhook = scene.api.put("broadcast", "/v1/webhook").token(admin);
    webhook.json(&json!({"url": url})).ok().await?;
    let owner = &scene.agents[0].member_id;
    let body = json!({
        "name": "花咲", "theme": "skin care", "benefit": "samples first", "capacity": 2, "owner_id": owner,
    });
    let series = scene
        .api
        .post("groups", "/v1/series")
        .token(&scene.operator.token);
    let series = text(&series.json(&body).ok().await?, "series_id")?;
    let mut groups = BTreeSet::new();
    for contact in &contacts {
        groups.insert(text(&scene.join(&series, contact).await?, "group_id")?);
    }
    ensure!(groups.len() == 3, "{groups:?}");

    let end = post(&scene, groups.len()).await?;
    ensure!(end["audience"] == 3 && end["outcomes"]["delivered"] == 3, "{end}");
    let called = told(&calls).clone();
    let posted: BTreeSet<String> = called
        .iter()
        .map(|call| text(call, "group_id"))
        .collect::<Result<_, _>>()?;
    ensure!(called.len() == 3 && posted == groups, "{called:?}");
    ensure!(
        called.iter().all(|call| call["member_id"] == owner.as_str()),
        "{called:?}"
    );
    ensure!(
        called.iter().all(|call| call.get("contact_id").is_none()),
        "{called:?}"
    );

    // Its contacts have lost nothing by it; the groups have had theirs of the day.
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    scene.confirm_all(&broadcast, &contacts).await?;
    let outcome = scene.finished(&broadcast).await?;
    ensure!(outcome["outcomes"]["delivered"] == CONTACTS, "{outcome}");
    scene.all_reached_once(&contacts).await?;
    let second = post(&scene, groups.len()).await?;
    ensure!(second["outcomes"]["capped"] == 3, "{second}");
    ensure!(told(&calls).len() == 3, "a second post of the day");
    Ok(())
}
