//! Words for each recipient through the running set: looked at before, written by a worker, streamed to the contact.

use anyhow::{Context as _, ensure};
use chassis::auth::Seals;
use client::text;
use contracts::BroadcastId;
use reqwest::Url;
use serde_json::{Value, json};
use testkit::Stack;

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn each_contact_reads_words_of_their_own() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 2).await?;
    let contacts = scene.scan_many(4).await?;
    let content = json!({
        "language": "zh",
        "variants": {
            "zh": {
                "text": "{{contact.name|亲}}，{{brand.season}}到了。{{member.alias}}",
                "attachments": [{"link": {"title": "{{brand.season}}", "url": "{{shop.link}}"}}]
            },
            "ja": {"text": "{{contact.name|お客}}様"}
        },
        "constants": [{"name": "season", "text": "春"}],
        "shop_url": "https://shop.example/serum"
    });
    let ids: Vec<_> = contacts.iter().map(|contact| &contact.id).collect();
    let preview = json!({"kind": "enterprise", "content": content, "contact_ids": ids});
    let ask = scene.api.post("broadcast", "/v1/broadcasts/preview");
    let previews = ask.token(&scene.operator.token).json(&preview).ok().await?;
    let previews = previews["items"].as_array().context("items")?;
    ensure!(
        previews.len() == 4 && previews.iter().all(|it| it["problem"].is_null()),
        "{previews:?}"
    );

    let extra = json!({"text": null, "content": content});
    let broadcast = scene.broadcast(&scene.operator, "enterprise", extra).await?;
    scene.confirm_all(&broadcast, &contacts).await?;
    let done = scene.finished(&broadcast).await?;
    ensure!(done["outcomes"]["delivered"] == 4, "{done}");

    let seals = Seals::load(
        "broadcast",
        stack.process("broadcast").env["SHEQUN_PEER_KEYS"].as_ref(),
    )?;
    for contact in &contacts {
        let inbox = scene.inbox(contact).await?;
        let is_it = |message: &&Value| message["kind"] == "enterprise";
        let message = inbox.iter().find(is_it).context("no mass message")?;
        let shown = previews
            .iter()
            .find(|it| it["contact_id"] == *contact.id)
            .context("no preview")?;
        ensure!(
            shown["said"]["text"] == message["text"],
            "{shown} was shown, and {message} came"
        );
        ensure!(text(message, "text")?.starts_with("亲，春到了。"), "{message}");
        let link = &message["attachments"][0]["link"];
        ensure!(link["title"] == "春", "{message}");
        let url: Url = text(link, "url")?.parse()?;
        let seal = url
            .query_pairs()
            .find(|(name, _)| name == "st")
            .context("no seal")?
            .1
            .into_owned();
        let [_, sealed, member, to] = seals
            .open("shop-link", &seal)
            .context("not sealed by broadcast")?;
        ensure!(
            BroadcastId(sealed).to_string() == broadcast && to.to_string() == contact.id,
            "{url}"
        );
        ensure!(member.to_string() == contact.member_id, "{url}");

        let ask = scene
            .api
            .get("broadcast", "/v1/inbox/stream?wait_secs=0")
            .token(&contact.token);
        let events = ask.ok().await?;
        let events = events.as_str().context("a stream is text")?;
        let id = text(message, "message_id")?;
        ensure!(
            events.contains(&id) && events.contains("event: message"),
            "{events}"
        );
        let last = events
            .lines()
            .filter_map(|line| line.strip_prefix("id: "))
            .next_back();
        let ask = scene
            .api
            .get("broadcast", "/v1/inbox/stream?wait_secs=0")
            .token(&contact.token);
        let rest = ask
            .header("last-event-id", last.context("no place")?)
            .ok()
            .await?;
        ensure!(
            !rest.as_str().is_some_and(|rest| rest.contains("data:")),
            "twice: {rest}"
        );
    }
    Ok(())
}
