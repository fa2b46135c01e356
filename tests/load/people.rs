//! Contacts in a crowd, each with the token that a scan is answered with.

use anyhow::{Context as _, ensure};
use client::text;
use serde_json::Value;
use testkit::{Stack, eventually_within};
use tokio::task::JoinSet;

use std::time::Duration;

use crate::http::{Connection, Request};
use crate::scene::Scene;

const CONNECTIONS: usize = 16;
const HEARD: Duration = Duration::from_secs(60);

pub(crate) struct Person {
    pub(crate) external_id: String,
    pub(crate) contact_id: String,
    pub(crate) token: String,
}

/// Scans until there are so many, then waits until every service has heard of them.
pub(crate) async fn scan(scene: &Scene, stack: &Stack, count: usize) -> anyhow::Result<Vec<Person>> {
    let mut lanes = JoinSet::new();
    for lane in 0..CONNECTIONS {
        let mut connection = Connection::open(&scene.customers_url).await?;
        let scans: Vec<(String, String)> = (lane..count)
            .step_by(CONNECTIONS)
            .map(|n| format!("half-load-{n}"))
            .map(|id| (scene.scan(&id), id))
            .collect();
        lanes.spawn(async move {
            let mut people = Vec::with_capacity(scans.len());
            for (body, external_id) in scans {
                let request = Request {
                    method: "POST",
                    path: "/v1/scans",
                    body: &body,
                    ..Request::default()
                };
                let (status, answer) = connection.ask(request).await?;
                ensure!(status == 200, "a scan was answered {status}");
                let answer: Value = serde_json::from_slice(answer)?;
                people.push(Person {
                    external_id,
                    contact_id: text(&answer, "contact_id")?,
                    token: text(&answer, "contact_token")?,
                });
            }
            anyhow::Ok(people)
        });
    }
    let mut people = Vec::with_capacity(count);
    while let Some(lane) = lanes.join_next().await {
        people.extend(lane??);
    }
    heard(scene, stack).await?;
    Ok(people)
}

/// Waits until every event of every service is in effect with who listens.
pub(crate) async fn heard(scene: &Scene, stack: &Stack) -> anyhow::Result<()> {
    use futures::TryStreamExt as _;
    let admin = stack.jetstream().await?;
    eventually_within(HEARD, async || {
        let left = scene.unpublished().await?;
        ensure!(left == 0, "{left} events are not published yet");
        let mut streams = admin.streams();
        while let Some(stream) = streams.try_next().await? {
            let stream = admin.get_stream(&stream.config.name).await?;
            let mut consumers = stream.consumers();
            while let Some(consumer) = consumers.try_next().await? {
                let left = consumer.num_pending + consumer.num_ack_pending as u64;
                ensure!(left == 0, "{}: {left} messages to go", consumer.name);
            }
        }
        anyhow::Ok(())
    })
    .await
    .context("the listeners")
}
