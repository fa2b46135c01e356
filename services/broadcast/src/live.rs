//! A contact's messages as they come, for as long as the contact stays on the line.
//!
//! Each open stream asks the database once a second for what is behind its place, by the index of the contact's inbox: the
//! workers that store messages tell nobody, so that they cost what they cost before. A message is dated when its
//! transaction begins and can be seen when it ends, so one that is older than the newest may show later. A place therefore
//! remembers what it has seen of the last ten seconds, and looks at them again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis::auth::ContactSelf;
use contracts::MessageId;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::State;
use crate::error::Error;
use crate::message::Message;
use crate::store;

/// No transaction that stores messages takes longer.
const OVERLAP: SignedDuration = SignedDuration::from_secs(10);
/// A cursor's share of what is remembered: whoever got more within the overlap may get the older ones again.
const TOLD_MAX: usize = 16;
const SEEN_MAX: usize = 1_000;
/// With which a stream begins that has no place yet.
const NEWEST_MAX: i64 = 50;
const BATCH_MAX: i64 = 100;

/// The streams of one process.
#[derive(Clone)]
pub(crate) struct Streams {
    open: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl Streams {
    pub(crate) fn new(streams_max: usize, stopping: CancellationToken) -> Self {
        Self {
            open: Arc::new(Semaphore::new(streams_max)),
            stopping,
        }
    }
}

/// Where a reader was, as the cursor says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    at: Timestamp,
    seen: Vec<MessageId>,
}

/// Where a reader is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// Of the newest message there was.
    at: Timestamp,
    /// In the order they were read.
    seen: VecDeque<(Timestamp, MessageId)>,
}

impl From<Cursor> for Place {
    fn from(cursor: Cursor) -> Self {
        let seen = cursor.seen.into_iter().map(|message| (cursor.at, message));
        Self {
            at: cursor.at,
            seen: seen.take(TOLD_MAX).collect(),
        }
    }
}

impl Place {
    /// Before everything.
    fn start() -> Self {
        Self {
            at: Timestamp::UNIX_EPOCH,
            seen: VecDeque::new(),
        }
    }

    /// From where on there may be something unseen.
    fn since(&self) -> Timestamp {
        self.at.saturating_sub(OVERLAP).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn seen(&self) -> Vec<MessageId> {
        self.seen.iter().map(|(_, message)| *message).collect()
    }

    fn go_on(&mut self, at: Timestamp, message: MessageId) {
        self.at = self.at.max(at);
        self.seen.push_back((at, message));
        let since = self.since();
        self.seen.retain(|(at, _)| *at > since);
        while self.seen.len() > SEEN_MAX {
            self.seen.pop_front();
        }
    }

    fn cursor(&self) -> Cursor {
        let told = self.seen.len().saturating_sub(TOLD_MAX);
        Cursor {
            at: self.at,
            seen: self.seen.iter().skip(told).map(|(_, message)| *message).collect(),
        }
    }
}

/// One contact on the line.
pub(crate) struct Reader {
    state: State,
    contact: ContactSelf,
    place: Option<Place>,
    until: Instant,
    _open: OwnedSemaphorePermit,
}

impl Reader {
    /// Goes on after a cursor, or begins with the newest messages there are, for as long as `wait`.
    pub(crate) fn open(
        state: &State,
        contact: ContactSelf,
        after: Option<Cursor>,
        wait: Duration,
    ) -> Result<Self, Error> {
        let open = Arc::clone(&state.streams.open).try_acquire_owned();
        Ok(Self {
            state: state.clone(),
            contact,
            place: after.map(Place::from),
            until: Instant::now() + wait,
            _open: open.map_err(|_| Error::StreamsFull)?,
        })
    }

    /// The next messages, the oldest first, each with the place behind it; none when the time is up.
    pub(crate) async fn next(&mut self) -> Result<Vec<(Cursor, Message)>, Error> {
        loop {
            let messages = self.look().await?;
            if !messages.is_empty() || Instant::now() >= self.until {
                return Ok(messages);
            }
            let again = (Instant::now() + self.state.knobs.inbox_poll()).min(self.until);
            tokio::select! {
                () = self.state.streams.stopping.cancelled() => return Ok(vec![]),
                () = sleep_until(again.into()) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<Vec<(Cursor, Message)>, Error> {
        let (tenant, contact) = (self.contact.tenant, self.contact.contact);
        let mut tx = self.state.db.read(tenant).await?;
        let messages = match &self.place {
            Some(place) => {
                store::inbox::since(&mut *tx, tenant, contact, place.since(), &place.seen(), BATCH_MAX)
                    .await?
            }
            None => {
                let mut newest = store::inbox::page(&mut *tx, tenant, contact, None, NEWEST_MAX).await?;
                newest.reverse();
                newest
            }
        };
        let place = self.place.get_or_insert_with(Place::start);
        let told = messages.into_iter().map(|message| {
            place.go_on(message.at, message.message_id);
            (place.cursor(), message)
        });
        Ok(told.collect())
    }
}

#[cfg(test)]
mod tests {
    use chassis::http::cursor;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn id(n: usize) -> MessageId {
        MessageId(Uuid::from_u128(n as u128))
    }

    #[test]
    fn a_cursor_is_small_however_much_came() {
        let mut place = Place::start();
        for n in 0..2_000 {
            place.go_on(Timestamp::from_microsecond(1_900_000_000_000_000).unwrap(), id(n));
        }
        assert_eq!(place.seen.len(), SEEN_MAX);
        assert!(cursor(&place.cursor()).len() <= 1_024);
        assert_eq!(place.cursor().seen.last(), Some(&id(1_999)));
    }

    proptest! {
        /// Messages show in an order other than that of their dates, by less than the overlap; the reader breaks off and
        /// comes back anywhere. With few at a time each is read exactly once.
        #[test]
        fn each_is_read_once(
            gaps in prop::collection::vec((2i64..20, 0i64..9, any::<bool>()), 1..60),
        ) {
            // (dated, shows)
            let mut now = 1_000;
            let messages: Vec<_> = gaps.iter().map(|(gap, late, _)| { now += gap; (now, now + late) }).collect();
            let mut place = Place::start();
            let mut read = vec![];
            for tick in 0..=now + 10 {
                let since = place.since().as_second();
                let mut found: Vec<_> = (0..messages.len())
                    .filter(|n| messages[*n].1 <= tick && messages[*n].0 > since)
                    .filter(|n| !place.seen().contains(&id(*n)))
                    .collect();
                found.sort_by_key(|n| messages[*n].0);
                for n in found {
                    place.go_on(Timestamp::from_second(messages[n].0).unwrap(), id(n));
                    read.push(n);
                    if gaps[n].2 {
                        place = Place::from(place.cursor());
                    }
                }
            }
            read.sort_unstable();
            prop_assert_eq!(read, (0..messages.len()).collect::<Vec<_>>());
        }
    }
}
