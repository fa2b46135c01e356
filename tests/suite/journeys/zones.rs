//! Contacts of two time zones through the running set: where they live is said, and each hears by their own clock.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use testkit::{Stack, eventually_within};

use crate::scene::Scene;

/// What clocks in a zone show in half an hour.
#[expect(clippy::disallowed_methods, reason = "a test is its own clock")]
fn in_half_an_hour(zone: &str) -> anyhow::Result<String> {
    let at = jiff::Timestamp::now() + SignedDuration::from_mins(30);
    let shown = TimeZone::get(zone)?.to_datetime(at);
    Ok(shown.strftime("%Y-%m-%dT%H:%M").to_string())
}

/// The zone an hour further east; such zones count hours to the west.
fn further_east(zone: &str) -> anyhow::Result<String> {
    let west: i8 = zone.strip_prefix("Etc/GMT").context("another zone")?.parse()?;
    Ok(format!("Etc/GMT{:+}", west - 1))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_contact_hears_by_their_own_clock() -> anyhow::Result<()> {
    let scene = Scene::set(&Stack::shared()?, 2).await?;
    let contacts = scene.scan_many(4).await?;
    let east = further_east(&scene.brand.zone)?;
    let (own, known) = (&contacts[0], &contacts[1]);
    let put = async |path: &str, token: &str| {
        let ask = scene.api.put("customers", path).key("").token(token);
        ask.json(&json!({"zone": east})).ok().await
    };
    put("/v1/me/zone", &own.token).await?;
    let agent = scene.agent(&known.member_id)?;
    put(&format!("/v1/contacts/{}/zone", known.id), &agent.token).await?;
    let ask = scene.api.get("customers", "/v1/me").token(&known.token);
    let me = ask.ok().await?;
    ensure!(me["zone"] == *east, "{me}");

    // Ahead for the brand, past for those two.
    let local = in_half_an_hour(&scene.brand.zone)?;
    let extra = json!({"send_at_local": local});
    let broadcast = scene.broadcast(&scene.operator, "enterprise", extra).await?;
    scene.confirm_all(&broadcast, &contacts).await?;
    eventually_within(Duration::from_secs(60), async || {
        let progress = scene.progress(&broadcast).await?;
        ensure!(progress["send_at_local"] == *local, "{progress}");
        ensure!(progress["outcomes"]["delivered"] == 2, "{progress}");
        anyhow::Ok(())
    })
    .await?;
    for contact in &contacts {
        let inbox = scene.inbox(contact).await?;
        let has_it = inbox
            .iter()
            .any(|message: &Value| message["kind"] == "enterprise");
        let is_east = [&own.id, &known.id].contains(&&contact.id);
        ensure!(has_it == is_east, "{}: {inbox:?}", contact.id);
    }

    let path = format!("/v1/broadcasts/{broadcast}/schedule");
    let ask = scene
        .api
        .put("broadcast", &path)
        .key("")
        .token(&scene.operator.token);
    let refused = ask.json(&json!({})).answer().await?;
    ensure!(refused.status == 409, "it has begun: {}", refused.body);
    let path = format!("/v1/broadcasts/{broadcast}/cancel");
    let ask = scene.api.post("broadcast", &path).token(&scene.operator.token);
    ask.json(&json!({})).ok().await?;
    eventually_within(Duration::from_secs(60), async || {
        let progress = scene.progress(&broadcast).await?;
        ensure!(progress["outcomes"]["cancelled"] == 2, "{progress}");
        anyhow::Ok(())
    })
    .await
}
