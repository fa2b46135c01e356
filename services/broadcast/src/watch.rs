//! Watching mass messages live: while somebody watches one, this process looks at it once a tick, for all who do.
//!
//! Followers see counters that never go back: all get what one looker saw, in its order, and whoever comes back from
//! another process says what she saw last and is told nothing older.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::{BroadcastId, TenantId};
use futures::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::State;
use crate::broadcast::{Kind, State as BroadcastState};
use crate::error::Error;
use crate::outcome::Outcomes;
use crate::store;

/// Streams of one process, and of one tenant in it.
const STREAMS_MAX: usize = 256;
const STREAMS_OF_TENANT_MAX: usize = 64;
/// About as long as a token is good. Whoever is still there comes back with the last id.
const STREAM_SECS_MAX: u64 = 600;
const TICK: Duration = Duration::from_millis(500);

/// How far a mass message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Look {
    pub broadcast_id: BroadcastId,
    pub kind: Kind,
    pub state: BroadcastState,
    /// Recipients; grows while the audience is being resolved.
    pub audience: i64,
    /// Recipients by terminal state.
    pub outcomes: Outcomes,
}

impl Look {
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            audience: self.audience,
            ended: self.outcomes.total(),
            state: self.state,
        }
    }
}

/// What a follower saw last: the id of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    audience: i64,
    ended: i64,
    state: BroadcastState,
}

impl Mark {
    /// Whether this says something that a follower who saw `last` does not know.
    fn is_news_after(&self, last: Option<Self>) -> bool {
        last.is_none_or(|last| *self != last && self.audience >= last.audience && self.ended >= last.ended)
    }
}

impl Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.audience, self.ended, self.state.name())
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '-');
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or(());
        let (audience, ended) = (number()?, number()?);
        let state = parts.next().and_then(BroadcastState::named).ok_or(())?;
        Ok(Self {
            audience,
            ended,
            state,
        })
    }
}

/// What this process watches for whom.
#[derive(Clone)]
pub(crate) struct Watches {
    looks: Arc<Mutex<BTreeMap<BroadcastId, watch::Sender<Look>>>>,
    places: Arc<Mutex<BTreeMap<TenantId, usize>>>,
    /// Streams end when the process leaves: their followers go elsewhere.
    leaving: CancellationToken,
}

/// One of the streams a process may have.
pub(crate) struct Place {
    places: Arc<Mutex<BTreeMap<TenantId, usize>>>,
    tenant: TenantId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let left = places.get(&self.tenant).map_or(0, |taken| taken - 1);
        match left {
            0 => places.remove(&self.tenant),
            left => places.insert(self.tenant, left),
        };
    }
}

/// A follower's view of one mass message.
pub(crate) struct Following {
    looks: watch::Receiver<Look>,
    leaving: CancellationToken,
    until: Instant,
    _place: Place,
}

impl Watches {
    pub(crate) fn new(leaving: CancellationToken) -> Self {
        Self {
            looks: Arc::default(),
            places: Arc::default(),
            leaving,
        }
    }

    /// A place for one more stream of the tenant.
    pub(crate) fn place(&self, tenant: TenantId) -> Result<Place, Error> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = places.get(&tenant).copied().unwrap_or_default();
        if of_tenant >= STREAMS_OF_TENANT_MAX || places.values().sum::<usize>() >= STREAMS_MAX {
            return Err(Error::StreamsBusy);
        }
        places.insert(tenant, of_tenant + 1);
        Ok(Place {
            places: Arc::clone(&self.places),
            tenant,
        })
    }

    /// Follows a mass message of the tenant. Whoever is the first makes this process look at it.
    pub(crate) async fn follow(
        &self,
        state: &State,
        tenant: TenantId,
        broadcast: BroadcastId,
    ) -> Result<Following, Error> {
        let place = self.place(tenant)?;
        let first = look(state, tenant, broadcast).await?;
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = match looks.get(&broadcast) {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, receiver) = watch::channel(first);
                looks.insert(broadcast, sender);
                tokio::spawn(self.clone().keep_looking(state.clone(), tenant, broadcast));
                receiver
            }
        };
        drop(looks);
        Ok(Following {
            looks: receiver,
            leaving: self.leaving.clone(),
            until: Instant::now() + Duration::from_secs(STREAM_SECS_MAX),
            _place: place,
        })
    }

    /// Looks once a tick until nobody follows or it is over.
    async fn keep_looking(self, state: State, tenant: TenantId, broadcast: BroadcastId) {
        loop {
            tokio::select! {
                () = self.leaving.cancelled() => {}
                () = tokio::time::sleep(TICK) => {}
            }
            let seen = look(&state, tenant, broadcast).await;
            let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(sender) = looks.get(&broadcast) else {
                return;
            };
            match seen {
                Ok(look) => {
                    sender.send_if_modified(|last| {
                        let is_news = look.mark().is_news_after(Some(last.mark()));
                        if is_news {
                            *last = look;
                        }
                        is_news
                    });
                }
                Err(error) => tracing::warn!(error = error.chain(), "progress not seen, it is tried again"),
            }
            let is_over = sender.borrow().state.is_over();
            if is_over || sender.receiver_count() == 0 || self.leaving.is_cancelled() {
                looks.remove(&broadcast);
                return;
            }
        }
    }

    /// Mass messages that are looked at.
    #[cfg(test)]
    pub(crate) fn watched(&self) -> usize {
        self.looks.lock().unwrap().len()
    }
}

async fn look(state: &State, tenant: TenantId, broadcast: BroadcastId) -> Result<Look, Error> {
    let mut tx = state.db.read(tenant).await?;
    // The counters first: a state seen before them could be over while they are not.
    let tally = store::chunk::tally(&mut *tx, broadcast).await?;
    let found = store::broadcast::standing(&mut *tx, broadcast)
        .await?
        .ok_or(Error::BroadcastUnknown)?;
    let (kind, state_then) = found;
    let is_settled = !state_then.is_over() || tally.outcomes.total() == tally.audience;
    let tally = match is_settled {
        true => tally,
        false => store::chunk::tally(&mut *tx, broadcast).await?,
    };
    Ok(Look {
        broadcast_id: broadcast,
        kind,
        state: state_then,
        audience: tally.audience,
        outcomes: tally.outcomes,
    })
}

impl Following {
    /// Whether there is nothing to tell any more to whoever saw `last`.
    pub(crate) fn is_told(&self, last: Option<Mark>) -> bool {
        let look = *self.looks.borrow();
        look.state.is_over() && Some(look.mark()) == last
    }

    /// What there is to see, from what was seen last to the end.
    pub(crate) fn looks(self, last: Option<Mark>) -> impl Stream<Item = Look> + Send {
        stream::unfold((self, last, false), |(mut following, last, is_over)| async move {
            loop {
                if is_over {
                    return None;
                }
                let look = *following.looks.borrow_and_update();
                if look.mark().is_news_after(last) {
                    return Some((look, (following, Some(look.mark()), look.state.is_over())));
                }
                if look.state.is_over() {
                    return None;
                }
                tokio::select! {
                    changed = following.looks.changed() => changed.ok()?,
                    () = sleep_until(following.until) => return None,
                    () = following.leaving.cancelled() => return None,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> impl Strategy<Value = BroadcastState> {
        prop::sample::select(BroadcastState::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn a_mark_is_read_as_it_is_written(audience in 0i64.., ended in 0i64.., state in state()) {
            let mark = Mark { audience, ended, state };
            prop_assert_eq!(mark.to_string().parse(), Ok(mark));
        }

        #[test]
        fn anything_else_is_no_mark(text in ".*") {
            if let Ok(mark) = text.parse::<Mark>() {
                prop_assert!(mark.audience.to_string().len() <= text.len());
            }
        }

        #[test]
        fn nobody_is_told_the_same_or_something_older(
            marks in prop::collection::vec((0i64..5, 0i64..5, state()), 1..20),
        ) {
            let mut last: Option<Mark> = None;
            for (audience, ended, state) in marks {
                let mark = Mark { audience, ended, state };
                if mark.is_news_after(last) {
                    if let Some(last) = last {
                        prop_assert!(mark.ended >= last.ended && mark.audience >= last.audience && mark != last);
                    }
                    last = Some(mark);
                }
            }
        }
    }

    #[test]
    fn a_tenant_has_its_streams_and_leaves_others_theirs() {
        let watches = Watches::new(CancellationToken::new());
        let (greedy, other) = (TenantId::new(), TenantId::new());
        let mut places: Vec<_> = (0..STREAMS_OF_TENANT_MAX)
            .map(|_| watches.place(greedy).unwrap())
            .collect();
        assert!(matches!(watches.place(greedy), Err(Error::StreamsBusy)));
        drop(watches.place(other).unwrap());
        places.pop();
        places.push(watches.place(greedy).unwrap());
        for _ in 0..3 {
            let tenant = TenantId::new();
            places.extend((0..STREAMS_OF_TENANT_MAX).map(|_| watches.place(tenant).unwrap()));
        }
        assert!(matches!(watches.place(other), Err(Error::StreamsBusy)));
        drop(places);
        assert!(watches.places.lock().unwrap().is_empty());
    }
}
