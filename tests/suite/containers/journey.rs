//! The suite's journeys, unchanged, by this very program, on the set in containers.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::servers::Servers;

/// How long a journey that has to fail may wait for anything.
const PATIENCE: Duration = Duration::from_secs(3);

/// Journeys that start a set of their own, or take calls on an address that only this machine can reach.
const STAY_OUT: [&str; 3] = ["journeys::demo", "journeys::trace", "journeys::posts"];

/// All other journeys.
pub(super) async fn all(servers: &Servers) -> anyhow::Result<()> {
    let mut command = program(servers)?;
    command
        .args(["journeys::", "--test-threads", "4"])
        .args(STAY_OUT.iter().flat_map(|name| ["--skip", name]));
    let output = command.output().await?;
    let told = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{told}\n{said}");
    let result = told.lines().find(|line| line.starts_with("test result: ok. "));
    let result = result.with_context(|| format!("no result in {told}"))?;
    ensure!(!result.contains(" 0 passed"), "{result}");
    Ok(())
}

/// Runs one journey, which must not succeed, and say all of these words.
pub(super) async fn fails(servers: &Servers, journey: &str, words: &[&str]) -> anyhow::Result<()> {
    let mut command = program(servers)?;
    command
        .args(["--exact", journey])
        .env("SHEQUN_TEST_PATIENCE_SECS", PATIENCE.as_secs().to_string());
    let output = command.output().await?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(!output.status.success(), "{journey} succeeded: {told}");
    ensure!(told.contains("0 passed; 1 failed"), "{told}");
    for word in words {
        ensure!(told.contains(word), "{journey} says nothing of {word}: {told}");
    }
    Ok(())
}

fn program(servers: &Servers) -> anyhow::Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command
        .env("SHEQUN_TEST_STATE", servers.stack.state())
        .kill_on_drop(true);
    Ok(command)
}
