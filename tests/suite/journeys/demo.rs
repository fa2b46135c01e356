//! The main job as a person starts it: `make demo`'s program, on a stack of its own.

use anyhow::{Context as _, ensure};
use testkit::{Stack, build_dir, repository};
use tokio::process::Command;

/// Both calls between services that the story cannot do without.
const EDGES: [&str; 2] = [
    "groups → customers, GetContact",
    "broadcast → customers, StreamRecipients",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_brands_first_weeks_reconcile_and_use_every_edge() -> anyhow::Result<()> {
    let stack = tokio::task::spawn_blocking(|| Stack::private("demo")).await??;
    let output = Command::new(build_dir()?.join("demo"))
        .arg("--state")
        .arg(stack.state())
        .env_remove("CONTACTS")
        .env_remove("ORDERS")
        .env_remove("KEEP")
        .current_dir(repository())
        .kill_on_drop(true)
        .output()
        .await?;
    let told = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{told}\n{said}", output.status);
    for edge in EDGES {
        let line = told.lines().find(|line| line.contains(edge));
        let line = line.with_context(|| format!("the report does not tell of {edge}:\n{told}"))?;
        let calls: String = line[line.find(edge).unwrap_or(0) + edge.len()..]
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        ensure!(calls.parse::<u64>().unwrap_or(0) > 0, "{line}");
    }
    Ok(())
}
