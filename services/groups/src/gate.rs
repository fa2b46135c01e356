//! The gate before a join: a thousand may come at once, a few go through at a time, in the order they came.
//!
//! Joins of one group wait for each other in any case, for its row. Waiting here instead costs
//! neither a connection nor a peer's time, so the deadlines behind the gate measure work.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::error::Error;

/// Less than a request's own time limit, so that who waited in vain is told so.
const WAIT_MAX: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub(crate) struct Gate {
    turns: Arc<Semaphore>,
    turned_away: Arc<Notify>,
}

impl Gate {
    pub(crate) fn new(at_once_max: u32) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once_max as usize)),
            turned_away: Arc::default(),
        }
    }

    /// Waits for a turn, which lasts until the permit is dropped.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        tokio::select! {
            biased;
            // Nobody closes the gate; if somebody did, nobody would get through.
            turn = Arc::clone(&self.turns).acquire_owned() => turn.map_err(|_| Error::Crowded),
            () = self.turned_away.notified() => Err(Error::Crowded),
            () = sleep(WAIT_MAX) => Err(Error::Crowded),
        }
    }

    /// Sends everybody away who waits: what they wait for would fail as well, and each after the time it takes to.
    pub(crate) fn turn_away(&self) {
        self.turned_away.notify_waiters();
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

    #[tokio::test]
    async fn who_is_turned_away_may_come_again() {
        let gate = Gate::new(1);
        let permit = gate.turn().await.unwrap();
        let (waited, ()) = tokio::join!(gate.turn(), async { gate.turn_away() });
        assert!(matches!(waited, Err(Error::Crowded)));
        drop(permit);
        assert!(gate.turn().await.is_ok());
    }
}
