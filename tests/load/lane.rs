//! Connections that ask one route, as fast as they are answered or at a steady rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use client::text;
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::http::{Connection, Request};

const MICROS_MAX: u64 = 60_000_000;
const DIGITS: u8 = 3;

/// One request of a load; an empty text is left out.
#[derive(Clone, Default)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) token: String,
    pub(crate) key: String,
    pub(crate) body: String,
}

/// The n-th request; nothing when all that can be asked once was asked.
pub(crate) type Asks = Arc<dyn Fn(usize) -> Option<Ask> + Send + Sync>;

/// What is asked: any next one, or what the answer before allows.
pub(crate) enum Source {
    Shared(Asks),
    /// A refresh token is good once, and answered with the next one.
    Refresh(String),
}

/// A connection and what it asks.
pub(crate) struct Lane {
    pub(crate) connection: Connection,
    pub(crate) source: Source,
}

impl Lane {
    /// Asks once and expects success; false when there is nothing left to ask.
    async fn ask(&mut self, next: &AtomicUsize) -> anyhow::Result<bool> {
        let ask = match &self.source {
            Source::Shared(asks) => asks(next.fetch_add(1, Ordering::Relaxed)),
            Source::Refresh(token) => Some(Ask {
                method: "POST",
                path: "/v1/token/refresh".to_owned(),
                body: format!("{{\"refresh_token\":\"{token}\"}}"),
                ..Ask::default()
            }),
        };
        let Some(ask) = ask else { return Ok(false) };
        let request = Request {
            method: ask.method,
            path: &ask.path,
            token: &ask.token,
            key: &ask.key,
            body: &ask.body,
            ..Request::default()
        };
        let (status, answer) = self.connection.ask(request).await?;
        ensure!(
            (200..300).contains(&status),
            "{} {} was answered {status}: {}",
            ask.method,
            ask.path,
            String::from_utf8_lossy(answer)
        );
        if let Source::Refresh(token) = &mut self.source {
            let answer: Value = serde_json::from_slice(answer)?;
            *token = text(&answer, "refresh_token")?;
        }
        Ok(true)
    }
}

/// Many lanes, and how many requests they have made.
pub(crate) struct Lanes {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) next: Arc<AtomicUsize>,
}

impl Lanes {
    pub(crate) fn new(lanes: Vec<Lane>) -> Self {
        Self {
            lanes,
            next: Arc::default(),
        }
    }

    /// Asks again as soon as it is answered; the rate that was answered.
    pub(crate) async fn as_fast_as_answered(&mut self, secs: u64) -> anyhow::Result<f64> {
        let began = Instant::now();
        let until = began + Duration::from_secs(secs);
        let mut tasks = JoinSet::new();
        for mut lane in self.lanes.drain(..) {
            let next = Arc::clone(&self.next);
            tasks.spawn(async move {
                let mut answered = 0_u64;
                while Instant::now() < until && lane.ask(&next).await? {
                    answered += 1;
                }
                anyhow::Ok((lane, answered))
            });
        }
        let mut sum = 0;
        while let Some(task) = tasks.join_next().await {
            let (lane, answered) = task??;
            self.lanes.push(lane);
            sum += answered;
        }
        Ok(sum as f64 / began.elapsed().as_secs_f64())
    }

    /// Asks at a steady rate; microseconds from the moment each request was due, and the rate that was reached.
    ///
    /// A request that is late because the one before it was slow has waited, too: nothing is omitted that a caller
    /// would have felt. The timer's lag of up to a millisecond is in it.
    pub(crate) async fn at_rate(&mut self, per_s: f64, secs: u64) -> anyhow::Result<(Histogram<u64>, f64)> {
        let count = self.lanes.len();
        let per_lane = (per_s * secs as f64 / count as f64).round() as u32;
        let period = Duration::from_secs_f64(count as f64 / per_s);
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for (n, mut lane) in self.lanes.drain(..).enumerate() {
            let next = Arc::clone(&self.next);
            let first = began + period.mul_f64(n as f64 / count as f64);
            tasks.spawn(async move {
                let mut micros = histogram()?;
                for turn in 0..per_lane {
                    let due = first + period * turn;
                    sleep_until(due).await;
                    ensure!(lane.ask(&next).await?, "nothing is left to ask");
                    micros.saturating_record(u64::try_from(due.elapsed().as_micros())?);
                }
                anyhow::Ok((lane, micros))
            });
        }
        let mut all = histogram()?;
        while let Some(task) = tasks.join_next().await {
            let (lane, micros) = task??;
            self.lanes.push(lane);
            all.add(micros)?;
        }
        let reached = all.len() as f64 / began.elapsed().as_secs_f64();
        Ok((all, reached))
    }
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).context("the histogram's bounds")
}
