//! A mass message under control: planned, paused, watched live, resumed, and proven.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{Stack, eventually};

use crate::scene::Scene;

const AUDIENCE: usize = 24;
const RATE_PER_S: usize = 8;

/// The stream of events that follow the last one seen, to its end.
async fn watch(scene: &Scene, broadcast: &str, last: Option<&str>) -> anyhow::Result<(StatusCode, String)> {
    let path = format!("/v1/broadcasts/{broadcast}/progress");
    let url = format!("{}{path}", scene.api.url("broadcast"));
    let mut ask = scene.api.http().get(url).bearer_auth(&scene.operator.token);
    if let Some(last) = last {
        ask = ask.header("last-event-id", last);
    }
    let answer = ask.timeout(Duration::from_secs(60)).send().await?;
    Ok((answer.status(), answer.text().await?))
}

/// Ids and data of events.
fn events(stream: &str) -> anyhow::Result<Vec<(String, Value)>> {
    let field = |event: &str, name: &str| {
        let mut lines = event.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned())
    };
    let told = stream.split("\n\n").filter(|event| event.contains("data:"));
    told.map(|event| {
        let (id, data) = (field(event, "id"), field(event, "data"));
        Ok((id.context("id")?, serde_json::from_str(&data.context("data")?)?))
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mass_message_is_paused_watched_resumed_and_proven() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 2).await?;
    let contacts = scene.scan_many(AUDIENCE).await?;
    let slowly = json!({"rate_per_s": RATE_PER_S, "priority": "urgent"});
    let broadcast = scene.broadcast(&scene.operator, "enterprise", slowly).await?;
    let post = async |verb: &str| {
        let path = format!("/v1/broadcasts/{broadcast}/{verb}");
        let ask = scene.api.post("broadcast", &path).token(&scene.operator.token);
        ask.json(&json!({})).ok().await
    };
    let control = async {
        scene.confirm_all(&broadcast, &contacts).await?;
        eventually(async || {
            let progress = scene.progress(&broadcast).await?;
            ensure!(progress["outcomes"]["delivered"] != 0, "{progress}");
            anyhow::Ok(())
        })
        .await?;
        let paused = post("pause").await?;
        ensure!(paused["state"] == "paused", "{paused}");
        tokio::time::sleep(Duration::from_secs(1)).await; // until when calls may start
        let paused = scene.progress(&broadcast).await?;
        ensure!(
            paused["outcomes"]["delivered"].as_u64() < Some(AUDIENCE as u64),
            "{paused}"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
        ensure!(scene.progress(&broadcast).await? == paused, "{paused}");
        let resumed = post("resume").await?;
        ensure!(resumed["state"] == "running", "{resumed}");
        scene.finished(&broadcast).await
    };
    let (seen, finished) = tokio::join!(watch(&scene, &broadcast, None), control);
    let (finished, seen) = (finished?, events(&seen?.1)?);
    ensure!(finished["outcomes"]["delivered"] == AUDIENCE, "{finished}");
    for two in seen.windows(2) {
        let [before, after] = [&two[0].1, &two[1].1].map(|look| &look["outcomes"]["delivered"]);
        ensure!(before.as_u64() <= after.as_u64(), "{before} {after}");
    }
    ensure!(seen.iter().any(|(_, look)| look["state"] == "paused"), "{seen:?}");
    let (last, look) = seen.last().context("no event")?;
    ensure!(
        look["state"] == "finished" && look["outcomes"] == finished["outcomes"],
        "{look}"
    );

    // Whoever comes back is told what is new, which may be nothing.
    let (status, rest) = watch(&scene, &broadcast, Some(&seen[0].0)).await?;
    ensure!(status == StatusCode::OK && events(&rest)?.len() == 1, "{rest}");
    let (status, _) = watch(&scene, &broadcast, Some(last)).await?;
    ensure!(status == StatusCode::NO_CONTENT, "{status}");
    scene.all_reached_once(&contacts).await?;
    is_proven(&scene, &broadcast, &finished).await
}

/// The export's rows are the report's counters, and the report's what was told all along.
async fn is_proven(scene: &Scene, broadcast: &str, finished: &Value) -> anyhow::Result<()> {
    let read = async |path: &str| {
        let path = format!("/v1/broadcasts/{broadcast}/{path}");
        let ask = scene.api.get("broadcast", &path).token(&scene.operator.token);
        ask.ok().await
    };
    let report = read("report").await?;
    ensure!(report["outcomes"] == finished["outcomes"], "{report}");
    ensure!(report["endings"][0]["recipients"] == AUDIENCE, "{report}");
    let rows = read("export?format=jsonl").await?;
    let rows = rows.as_str().context("lines")?;
    let delivered = rows
        .lines()
        .filter(|line| line.contains(r#""state":"delivered""#));
    ensure!(delivered.count() == AUDIENCE, "{rows}");
    let csv = read("export").await?;
    let csv = csv.as_str().context("lines")?;
    ensure!(csv.starts_with("contact_id,member_id,state,at\n"), "{csv}");
    ensure!(csv.lines().count() == 1 + AUDIENCE, "{csv}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_in_the_past_and_an_agents_urgency_are_refused_with_a_remedy() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 2).await?;
    for (extra, status, code, field) in [
        (
            json!({"send_at": "2020-01-01T09:00:00Z"}),
            StatusCode::BAD_REQUEST,
            "schedule_past",
            "send_at",
        ),
        (
            json!({"send_until": "2020-01-01T09:00:00Z"}),
            StatusCode::BAD_REQUEST,
            "schedule_past",
            "send_until",
        ),
        (
            json!({"send_at": "9999-01-01T09:00:00Z"}),
            StatusCode::BAD_REQUEST,
            "schedule_far",
            "send_at",
        ),
        (
            json!({"priority": "urgent"}),
            StatusCode::FORBIDDEN,
            "operator_needed",
            "priority",
        ),
    ] {
        let mut body = json!({
            "kind": "member", "title": "Spring", "text": "The spring colours are here",
            "audience": {"tags_any": ["sticker"]}, "channel": "inbox",
        });
        if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
            body.extend(extra);
        }
        let answer = eventually(async || {
            let ask = scene.api.post("broadcast", "/v1/broadcasts");
            let answer = ask.token(&scene.agents[0].token).json(&body).send().await?;
            // The news of the tenant may still be on its way.
            ensure!(answer.code() != "tenant_unverified", "{answer:?}");
            anyhow::Ok(answer)
        })
        .await?;
        ensure!(answer.status == status && answer.code() == code, "{answer:?}");
        ensure!(
            answer.body["field"] == field && answer.body["remedy"].is_string(),
            "{answer:?}"
        );
    }
    Ok(())
}
