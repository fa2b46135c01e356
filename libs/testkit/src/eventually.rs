//! Waiting for a condition with a deadline, instead of sleeping and hoping.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(20);
/// Bounds every wait, in seconds, for whoever runs tests that have to fail.
const PATIENCE: &str = "SHEQUN_TEST_PATIENCE_SECS";
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Tries until `attempt` succeeds, for 20 s at most.
///
/// # Errors
/// The last failure, once the time is over.
pub async fn eventually<T, E: Debug>(attempt: impl AsyncFnMut() -> Result<T, E>) -> anyhow::Result<T> {
    eventually_within(DEADLINE, attempt).await
}

/// Tries until `attempt` succeeds, for `limit` at most.
///
/// # Errors
/// The last failure, once the time is over.
pub async fn eventually_within<T, E: Debug>(
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let patience = std::env::var(PATIENCE).ok().and_then(|secs| secs.parse().ok());
    let limit = patience.map_or(limit, |secs| limit.min(Duration::from_secs(secs)));
    let deadline = Instant::now() + limit;
    let mut pause = PAUSE_FIRST;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => {
                anyhow::bail!("not within {limit:?}: {error:?}")
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
