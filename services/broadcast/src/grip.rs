//! A worker's grip on the chunk it sends: renewed by a pulse, and looked at before every call.
//!
//! Time here is the machine's monotonic clock, counted from before the database was asked: a wrong wall clock changes
//! nothing, and a worker that was stopped for a minute sees at once that its lease is over.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::State;
use crate::broadcast::State as BroadcastState;
use crate::chunk::Lease;
use crate::error::Error;
use crate::ops::Claim;
use crate::store;

/// What the timer can't tell apart: a call that is due within it is not waited for.
const TIMER_TICK: Duration = Duration::from_millis(1);

/// Why no further call may be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Released {
    /// The mass message was cancelled.
    Cancelled,
    /// The mass message is paused.
    Paused,
    /// This process is to end.
    Draining,
    /// The window whose caps were taken is over.
    WindowOver,
    /// The lease is, or may be, somebody else's.
    Lost,
}

#[derive(Clone, Copy)]
struct Hold {
    sure_until: Instant,
    released: Option<Released>,
}

pub(crate) struct Grip {
    hold: watch::Receiver<Hold>,
    window_end: Instant,
    _pulse: AbortOnDropHandle<()>,
}

impl Grip {
    /// Holds on to a claimed chunk until dropped.
    pub(crate) fn hold(state: &State, claim: &Claim, draining: CancellationToken) -> Self {
        let sure_until = claim.since + state.knobs.lease();
        let (sender, hold) = watch::channel(Hold {
            sure_until,
            released: None,
        });
        let pulse = Pulse {
            state: state.clone(),
            lease: claim.lease,
            sender,
        };
        Self {
            hold,
            window_end: claim.since + claim.send_for,
            _pulse: AbortOnDropHandle::new(tokio::spawn(pulse.run(draining))),
        }
    }

    /// A grip that is gone already.
    #[cfg(test)]
    pub(crate) fn released_as(why: Released) -> Self {
        let now = Instant::now();
        let (_, hold) = watch::channel(Hold {
            sure_until: now,
            released: Some(why),
        });
        Self {
            hold,
            window_end: now,
            _pulse: AbortOnDropHandle::new(tokio::spawn(async {})),
        }
    }

    /// A grip that nothing loosens for a minute.
    #[cfg(test)]
    pub(crate) fn firm() -> Self {
        let in_a_minute = Instant::now() + std::time::Duration::from_secs(60);
        let (sender, hold) = watch::channel(Hold {
            sure_until: in_a_minute,
            released: None,
        });
        let pulse = async move {
            sender.closed().await;
        };
        Self {
            hold,
            window_end: in_a_minute,
            _pulse: AbortOnDropHandle::new(tokio::spawn(pulse)),
        }
    }

    /// None while calls may be started.
    pub(crate) fn released(&self) -> Option<Released> {
        let (hold, now) = (*self.hold.borrow(), Instant::now());
        hold.released
            .or_else(|| (now >= hold.sure_until).then_some(Released::Lost))
            .or_else(|| (now >= self.window_end).then_some(Released::WindowOver))
    }

    /// Waits until then, or shorter when there is nothing to wait for any more.
    pub(crate) async fn wait_until(&self, at: Instant) -> Option<Released> {
        if Instant::now() + TIMER_TICK < at {
            let mut hold = self.hold.clone();
            tokio::select! {
                () = sleep_until(at.min(self.window_end).into()) => {}
                _ = hold.wait_for(|hold| hold.released.is_some()) => {}
            }
        }
        self.released()
    }
}

struct Pulse {
    state: State,
    lease: Lease,
    sender: watch::Sender<Hold>,
}

impl Pulse {
    async fn run(self, draining: CancellationToken) {
        let released = loop {
            tokio::select! {
                () = draining.cancelled() => break Released::Draining,
                () = tokio::time::sleep(self.state.knobs.pulse()) => {}
            }
            let asked = Instant::now();
            match self.beat().await {
                Ok(Some(BroadcastState::Running)) => {
                    let sure_until = asked + self.state.knobs.lease();
                    self.sender.send_modify(|hold| hold.sure_until = sure_until);
                }
                Ok(Some(BroadcastState::Paused)) => break Released::Paused,
                Ok(Some(_)) => break Released::Cancelled,
                Ok(None) => break Released::Lost,
                // The grip lapses by itself when this goes on.
                Err(error) => tracing::warn!(error = error.chain(), "lease not renewed"),
            }
        };
        self.sender.send_modify(|hold| hold.released = Some(released));
    }

    async fn beat(&self) -> Result<Option<BroadcastState>, Error> {
        let mut tx = self.state.db.begin(self.lease.chunk.tenant).await?;
        let lease_secs = self.state.knobs.lease().as_secs_f64();
        let state = store::lease::renew(&mut *tx, self.lease, lease_secs).await?;
        tx.commit().await?;
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grip(lease: Duration, window: Duration) -> (watch::Sender<Hold>, Grip) {
        let now = Instant::now();
        let (sender, hold) = watch::channel(Hold {
            sure_until: now + lease,
            released: None,
        });
        let pulse = AbortOnDropHandle::new(tokio::spawn(std::future::pending()));
        (
            sender,
            Grip {
                hold,
                window_end: now + window,
                _pulse: pulse,
            },
        )
    }

    #[tokio::test]
    async fn a_grip_lapses_without_a_pulse_and_with_its_window() {
        let (minute, nothing) = (Duration::from_secs(60), Duration::ZERO);
        let (_alive, held) = grip(minute, minute);
        assert_eq!(held.released(), None);
        let (_alive, lapsed) = grip(nothing, minute);
        assert_eq!(lapsed.released(), Some(Released::Lost));
        let (_alive, over) = grip(minute, nothing);
        assert_eq!(over.released(), Some(Released::WindowOver));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_release() {
        let minute = Duration::from_secs(60);
        let (sender, held) = grip(minute, minute);
        let waits = held.wait_until(Instant::now() + minute);
        sender.send_modify(|hold| hold.released = Some(Released::Cancelled));
        assert_eq!(waits.await, Some(Released::Cancelled));
        assert_eq!(held.wait_until(Instant::now()).await, Some(Released::Cancelled));
    }
}
