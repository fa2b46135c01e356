//! `make tail` on the set all tests share.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use testkit::Stack;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::scene::Scene;

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn tail_prints_the_events_of_a_tenant_decoded() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let scene = Scene::set(&stack, 1).await?;
    let mut tail = Command::new(env!("CARGO_BIN_EXE_tail"))
        .arg("--state")
        .arg(stack.state())
        .args(["--all", "--tenant", &scene.brand.tenant_id])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let contact = scene.scan("wx-1").await?;
    let mut lines = BufReader::new(tail.stdout.take().context("stdout")?).lines();
    let told = async {
        while let Some(line) = lines.next_line().await? {
            let event: Value = serde_json::from_str(&line)?;
            let data = &event["data"];
            ensure!(
                data["tenantId"] == *scene.brand.tenant_id,
                "another tenant's: {line}"
            );
            if event["type"] == "shequn.customers.v1.ContactBefriended" {
                ensure!(data["contactId"] == *contact.id, "{line}");
                return Ok(());
            }
        }
        anyhow::bail!("it ended")
    };
    tokio::time::timeout(DEADLINE, told)
        .await
        .context("nothing is told of the contact")?
}

#[tokio::test]
async fn tail_without_a_stack_says_so_and_starts_none() -> anyhow::Result<()> {
    let state = testkit::repository().join(".shequn/nobody");
    let output = Command::new(env!("CARGO_BIN_EXE_tail"))
        .arg("--state")
        .arg(&state)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains("make up"), "{said}");
    ensure!(!state.exists(), "it made {}", state.display());
    Ok(())
}
