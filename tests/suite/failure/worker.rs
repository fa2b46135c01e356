//! A worker killed with messages in inboxes and no receipts: the inbox's own key makes the repetition no effect at all.
//! The other steps of a chunk are rows of the matrix, over a channel that can't dedupe for us.

use anyhow::ensure;
use serde_json::json;
use testkit::Set;

use crate::scene::Scene;

const CONTACTS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_messages_sent_and_no_receipt() -> anyhow::Result<()> {
    let mut set = Set::start_with("sent", &[("SHEQUN_LEASE_SECS", "3".to_owned())]).await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let contacts = scene.scan_many(CONTACTS).await?;
    set.terminate("broadcast-worker-2").await?;
    set.terminate("broadcast-worker-1").await?;
    set.run("broadcast-worker-1", Some("broadcast-after-send=1*return"))
        .await?;
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    scene.confirm_all(&broadcast, &contacts).await?;
    let status = set.died("broadcast-worker-1").await?;
    ensure!(!status.success(), "the worker ended without an abort: {status}");
    set.run("broadcast-worker-1", None).await?;
    let outcome = scene.finished(&broadcast).await?;
    ensure!(outcome["outcomes"]["delivered"] == CONTACTS, "{outcome}");
    scene.all_reached_once(&contacts).await
}
