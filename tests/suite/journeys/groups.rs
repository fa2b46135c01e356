//! Joining a series whose groups fill up (D1).

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use client::text;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use testkit::Stack;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_group_sends_the_next_contact_to_a_new_one() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 1).await?;
    let contacts = scene.scan_many(25).await?;
    let series = scene.series(10).await?;
    // All at once: seats, and the opening of the next group, are contended.
    let joined: Vec<_> = stream::iter(&contacts)
        .map(async |contact| scene.join(&series, contact).await)
        .buffer_unordered(16)
        .try_collect()
        .await?;
    let mut seats: BTreeMap<String, u32> = BTreeMap::new();
    for answer in &joined {
        *seats.entry(text(answer, "group_id")?).or_default() += 1;
    }
    let mut sizes: Vec<u32> = seats.values().copied().collect();
    sizes.sort_unstable();
    ensure!(sizes == [5, 10, 10], "{seats:?}");

    let again = scene.join(&series, &contacts[0]).await?;
    ensure!(again["already"] == true, "{again}");
    let list = format!("/v1/groups?series_id={series}");
    let groups = scene
        .api
        .get("groups", &list)
        .token(&scene.operator.token)
        .ok()
        .await?;
    ensure!(
        groups["items"].as_array().context("items")?.len() == 3,
        "{groups}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_is_greeted_once() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 1).await?;
    let contact = scene.scan("wx-1").await?;
    let series = scene.series(10).await?;
    for _ in 0..3 {
        scene.join(&series, &contact).await?;
    }
    scene.all_greeted_once(&[contact]).await
}
