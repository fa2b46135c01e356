//! The gate before a join: a thousand may come at once, a few go through at a time, in the order they came.
//!
//! Joins of one group wait for each other in any case, for its row. Waiting here instead costs
//! neither a connection nor a peer's time, so the deadlines behind the gate measure work.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::Error;

/// Less than a request's own time limit, so that who waited in vain is told so.
const WAIT_MAX: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn new(at_once_max: u32) -> Self {
        Self(Arc::new(Semaphore::new(at_once_max as usize)))
    }

    /// Waits for a turn, which lasts until the permit is dropped.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        match timeout(WAIT_MAX, Arc::clone(&self.0).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            // Nobody closes the gate; if somebody did, nobody would get through.
            Ok(Err(_)) | Err(_) => Err(Error::Crowded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_vain_is_told_so() {
        let gate = Gate::new(1);
        let permit = gate.turn().await.unwrap();
        assert!(matches!(gate.turn().await, Err(Error::Crowded)));
        drop(permit);
        assert!(gate.turn().await.is_ok());
    }
}
