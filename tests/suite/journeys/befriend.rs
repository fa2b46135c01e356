//! Scan → befriend → welcome (D31, D63, D65).

use std::collections::BTreeMap;

use anyhow::ensure;
use client::text;
use contracts::customers::v1::{ContactBefriended, FollowMoved};
use futures::future::try_join_all;
use serde_json::json;
use testkit::{Probe, Stack, eventually};

use crate::scene::{Scene, WELCOME};

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_befriends_and_welcomes_exactly_once() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 3).await?;
    let mut probe = Probe::<ContactBefriended>::start(&stack, scene.brand.tenant_id.parse()?).await?;
    let contact = scene.scan("wx-1").await?;
    ensure!(contact.first, "{contact:?}");
    let event = probe.next().await?;
    ensure!(
        (&event.contact_id, &event.member_id) == (&contact.id, &contact.member_id),
        "{event:?}"
    );
    scene.all_welcomed_once(std::slice::from_ref(&contact)).await?;
    let inbox = scene.inbox(&contact).await?;
    ensure!(inbox[0]["text"] == WELCOME, "{inbox:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn scanning_again_shows_the_same_member_even_at_once() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 5).await?;
    let mut seen = BTreeMap::new();
    for n in 0..20 {
        let external_id = format!("wx-{n}");
        let scans = try_join_all((0..5).map(|_| scene.scan(&external_id))).await?;
        ensure!(scans.iter().filter(|scan| scan.first).count() == 1, "{scans:?}");
        ensure!(
            scans.iter().all(|scan| scan.member_id == scans[0].member_id),
            "{scans:?}"
        );
        seen.insert(external_id, scans[0].clone());
    }
    for (external_id, before) in &seen {
        let again = scene.scan(external_id).await?;
        ensure!(
            again.member_id == before.member_id && !again.first,
            "{before:?} {again:?}"
        );
    }
    let contacts: Vec<_> = seen.into_values().collect();
    scene.all_welcomed_once(&contacts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_of_a_member_who_left_moves_each_contact_once() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 3).await?;
    let contacts = scene.scan_many(12).await?;
    let leaver = &contacts[0].member_id;
    let path = format!("/v1/members/{leaver}/leave");
    scene
        .api
        .post("identity", &path)
        .token(&scene.brand.owner.token)
        .json(&json!({}))
        .ok()
        .await?;
    eventually(async || {
        let scan = scene.scan(&contacts[0].external_id).await?;
        ensure!(scan.member_id != *leaver, "customers has not heard of it yet");
        anyhow::Ok(())
    })
    .await?;
    let mut heirs = BTreeMap::new();
    for before in &contacts {
        let first = scene.scan(&before.external_id).await?;
        let second = scene.scan(&before.external_id).await?;
        ensure!(first.member_id == second.member_id, "{first:?} {second:?}");
        if before.member_id == *leaver {
            heirs.insert(first.id, first.member_id);
        } else {
            ensure!(first.member_id == before.member_id, "{before:?} {first:?}");
        }
    }
    let moves = moves(&stack, &scene).await?;
    ensure!(moves.iter().all(|(from, ..)| from == leaver), "{moves:?}");
    let moved: BTreeMap<_, _> = moves
        .iter()
        .map(|(_, contact, to)| (contact.clone(), to.clone()))
        .collect();
    ensure!(
        moved == heirs && moves.len() == heirs.len(),
        "{moves:?} {heirs:?}"
    );
    Ok(())
}

/// Every move the tenant has been told of by now: from whom, which contact, to whom.
async fn moves(stack: &Stack, scene: &Scene) -> anyhow::Result<Vec<(String, String, String)>> {
    let tenant = scene.brand.tenant_id.parse()?;
    // The news of somebody who scans now is behind all of theirs.
    let last = scene.scan("wx-last").await?;
    let mut befriended = Probe::<ContactBefriended>::start(stack, tenant).await?;
    while befriended.next().await?.contact_id != last.id {}
    let moves = Probe::<FollowMoved>::start(stack, tenant).await?.so_far().await?;
    let told = |moved: FollowMoved| (moved.from_member_id, moved.contact_id, moved.to_member_id);
    Ok(moves.into_iter().map(told).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_contact_of_two_members_is_one_person() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 2).await?;
    let mut codes = Vec::new();
    for agent in &scene.agents {
        let body = json!({"name": "personal", "members": [{"member_id": agent.member_id, "weight": 1}]});
        let code = scene
            .api
            .post("customers", "/v1/codes")
            .token(&scene.operator.token)
            .json(&body)
            .ok()
            .await?;
        codes.push(text(&code, "token")?);
    }
    let mut ids = Vec::new();
    for code in &codes {
        let body = json!({"code": code, "external_id": "wx-both"});
        ids.push(text(
            &scene.api.post("customers", "/v1/scans").json(&body).ok().await?,
            "contact_id",
        )?);
    }
    ensure!(ids[0] == ids[1], "{ids:?}");
    let path = format!("/v1/contacts/{}", ids[0]);
    let contact = scene
        .api
        .get("customers", &path)
        .token(&scene.operator.token)
        .ok()
        .await?;
    ensure!(
        contact["follows"].as_array().map(Vec::len) == Some(2),
        "{contact}"
    );
    Ok(())
}
