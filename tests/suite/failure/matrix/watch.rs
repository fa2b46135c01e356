//! Looks on while a row is played: what the API tells, how much is in flight, and whether the queue holds a hint for
//! whatever is being sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::PullConsumer;
use sqlx::PgPool;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::crowd::{Crowd, parse};
use super::rows::Row;
use super::stage::{Stage, WINDOW_CHUNKS, held};
use crate::failure::checker::{Progress, repeats};
use crate::failure::sink::Sink;

const LOOK: Duration = Duration::from_millis(300);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) progress: BTreeMap<Uuid, Vec<Progress>>,
    in_flight_max: i64,
    /// The most chunks that were being sent without a hint in the queue.
    unhinted_max: usize,
    repeats: usize,
}

impl Seen {
    /// What a row does not allow to be seen.
    pub(crate) fn broken(&self, row: &Row) -> Vec<String> {
        let mut broken = Vec::new();
        if self.in_flight_max > 2 * WINDOW_CHUNKS {
            broken.push(format!(
                "{} chunks were in flight, the window is {WINDOW_CHUNKS}",
                self.in_flight_max
            ));
        }
        if self.unhinted_max > 0 && !row.loses_hints {
            broken.push(format!(
                "{} chunks were being sent without a hint",
                self.unhinted_max
            ));
        }
        broken
    }
}

pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    following: Arc<Mutex<Vec<Crowd>>>,
    repeats_max: usize,
    _looks: AbortOnDropHandle<()>,
}

/// Where it looks.
struct Eyes {
    sink: Arc<Sink>,
    tables: PgPool,
    bus: jetstream::Context,
    tenants: Vec<Uuid>,
}

impl Watch {
    pub(crate) fn start(stage: &Stage, crowds: &[Crowd], repeats_max: usize) -> Self {
        let (seen, following) = (Arc::<Mutex<Seen>>::default(), Arc::<Mutex<Vec<Crowd>>>::default());
        let eyes = Eyes {
            sink: Arc::clone(&stage.sink),
            tables: stage.tables.clone(),
            bus: stage.bus.clone(),
            tenants: crowds.iter().map(|crowd| crowd.tenant).collect(),
        };
        let looks = tokio::spawn({
            let (seen, following) = (Arc::clone(&seen), Arc::clone(&following));
            async move {
                loop {
                    eyes.look(&seen, &following).await;
                    tokio::time::sleep(LOOK).await;
                }
            }
        });
        Self {
            seen,
            following,
            repeats_max,
            _looks: AbortOnDropHandle::new(looks),
        }
    }

    /// Asks for the progress of these from now on.
    pub(crate) fn follow(&self, crowds: &[Crowd]) {
        *locked(&self.following) = crowds.to_vec();
    }

    /// Whether the row is broken already.
    pub(crate) fn has_failed(&self) -> bool {
        locked(&self.seen).repeats > self.repeats_max
    }

    pub(crate) fn end(self) -> Seen {
        locked(&self.seen).clone()
    }
}

impl Eyes {
    /// Whoever is away while it looks is not seen, and that is all.
    async fn look(&self, seen: &Mutex<Seen>, following: &Mutex<Vec<Crowd>>) {
        let of_all = self
            .tenants
            .iter()
            .map(|tenant| repeats(&self.sink.calls(*tenant)));
        let repeats = of_all.sum();
        locked(seen).repeats = repeats;
        if let Ok(in_flight) = self.in_flight().await {
            let mut seen = locked(seen);
            seen.in_flight_max = seen.in_flight_max.max(in_flight);
        }
        if let Ok(unhinted) = self.unhinted().await {
            let mut seen = locked(seen);
            seen.unhinted_max = seen.unhinted_max.max(unhinted);
        }
        let crowds = locked(following).clone();
        for crowd in crowds {
            for started in &crowd.started {
                let Ok(progress) = crowd.glance(started.id).await else {
                    continue;
                };
                if let Ok(progress) = parse(&progress) {
                    locked(seen)
                        .progress
                        .entry(started.id)
                        .or_default()
                        .push(progress);
                }
            }
        }
    }

    async fn in_flight(&self) -> anyhow::Result<i64> {
        let in_flight = "select count(*) from broadcast.chunk where state in ('queued', 'sending')";
        Ok(sqlx::query_scalar(in_flight).fetch_one(&self.tables).await?)
    }

    /// Chunks that one claim held before and after the queue was asked, and for which it has no hint.
    async fn unhinted(&self) -> anyhow::Result<usize> {
        let before = held(&self.tables).await?;
        let stream = self.bus.get_stream("BROADCAST_WORK").await?;
        let consumer: PullConsumer = stream
            .get_consumer("broadcast-worker")
            .await
            .map_err(|error| anyhow::anyhow!(error))?;
        let info = consumer.cached_info();
        let hints = info.num_pending + info.num_ack_pending as u64;
        let after: BTreeSet<_> = held(&self.tables).await?;
        let sending = before.intersection(&after).count();
        Ok(sending.saturating_sub(usize::try_from(hints)?))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
