//! How a row is played: a crowd, its mass messages, the fault in their midst, the end, and the judgement.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use testkit::{eventually, eventually_within};
use uuid::Uuid;

use super::crowd::{Crowd, Mass};
use super::fault::{CHUNK_ATTEMPTS, Fault, Laid};
use super::rows::Row;
use super::stage::{Stage, now};
use super::watch::Watch;
use crate::failure::checker::{Account, Run, back_after, longest_dip, repeats, steady_rate};

/// Between start and end of a row, on a busy machine.
const OVER: Duration = Duration::from_secs(150);
/// The fault falls between these shares of what is to be sent.
const EARLIEST: f64 = 0.2;
const LATEST: f64 = 0.8;
const RATE_PER_S: usize = 300;
/// Contacts of each tenant but the first.
const NEIGHBOURS_MAX: usize = 1_000;
/// While workers are rolled the rate may be below the half for so long.
const HALF: f64 = 0.5;
const DIP_MAX: Duration = Duration::from_secs(5);
const KEPT_SHARE: f64 = 0.9;
/// Until a slow neighbour's calls have been timed, and what it held by then is given back.
const SETTLING: Duration = Duration::from_secs(8);

/// What a row came to.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) row: &'static str,
    pub(crate) recipients: usize,
    pub(crate) calls: usize,
    pub(crate) repeats: usize,
    /// The share of the calls after which the fault fell.
    pub(crate) point: f64,
    pub(crate) back: Option<Duration>,
    pub(crate) took: Duration,
    /// What was broken, in words; empty when the row holds.
    pub(crate) broken: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let back = self.back.map_or(f64::NAN, |back| back.as_secs_f64());
        write!(
            f,
            "row {:<28} {:>6} recipients {:>6} calls {:>4} repeats, struck at {:>3.0} %, back after {back:>5.1} s, {:>5.1} s",
            self.row,
            self.recipients,
            self.calls,
            self.repeats,
            self.point * 100.0,
            self.took.as_secs_f64()
        )?;
        for broken in &self.broken {
            write!(f, "\n    {broken}")?;
        }
        Ok(())
    }
}

/// Plays a row to its end. An error is a row that could not be played to its end, a report may still tell of violations.
pub(crate) async fn play(stage: &mut Stage, row: &Row, contacts: usize) -> anyhow::Result<Report> {
    let began = now();
    stage.all_well().await.context("before the row")?;
    let mut crowds = vec![Crowd::gather(stage, contacts).await?];
    for _ in 1..row.tenants {
        crowds.push(Crowd::gather(stage, contacts.min(NEIGHBOURS_MAX)).await?);
    }
    let deadlocks_before = deadlocks(stage).await?;
    let watch = Watch::start(stage, &crowds, row.repeats_max);
    let played = act(stage, row, &mut crowds, &watch).await;
    // Whatever happened, the next row begins on a stage that is whole.
    row.fault.lift(stage, &crowds).await?;
    let (point, struck, laid) = played?;
    let over = now();

    let told = watch.end();
    let (mut accounts, mut calls) = (Vec::new(), Vec::new());
    for crowd in &crowds {
        accounts.extend(crowd.accounts(&told.progress).await?);
        calls.extend(stage.sink.calls(crowd.tenant));
    }
    let crowd = &crowds[0];
    let of_first = calls.iter().filter(|call| call.tenant == crowd.tenant);
    let mut arrivals: Vec<Timestamp> = of_first.map(|call| call.arrived).collect();
    arrivals.sort_unstable();
    let run = Run {
        calls,
        accounts,
        zone: crowd.zone.clone(),
        repeats_max: row.repeats_max,
    };
    let mut broken: Vec<String> = run.violations().iter().map(ToString::to_string).collect();
    broken.extend(told.broken(row));
    let back = back_after(&arrivals, struck, arrivals.last().copied().unwrap_or(over));
    if let (Some(within), Some(back)) = (row.back_within, back)
        && back > within
    {
        broken.push(format!(
            "V8 recovery: {back:?} until the rate was back, allowed are {within:?}"
        ));
    }
    let dip = longest_dip(&arrivals, struck, arrivals.last().copied().unwrap_or(over), HALF);
    if row.fault == Fault::RollWorkers
        && let Some(dip) = dip.filter(|dip| *dip > DIP_MAX)
    {
        broken.push(format!("V8 recovery: less than half the rate for {dip:?}"));
    }
    let more = deadlocks(stage).await? - deadlocks_before;
    if more > 0 {
        broken.push(format!("{more} deadlocks"));
    }
    broken.extend(outcome(stage, row, crowd, &laid, &run).await?);
    broken.extend(neighbours_are_unmoved(stage, row, &arrivals));
    for crowd in &crowds {
        if let Err(error) = events_are_told(stage, crowd).await {
            broken.push(format!("events: {error}"));
        }
        stage.sink.forget(crowd.tenant);
    }
    Ok(Report {
        row: row.name,
        recipients: run.accounts.iter().map(|account| account.snapshot.len()).sum(),
        calls: run.calls.len(),
        repeats: repeats(&run.calls),
        point,
        back,
        took: began.duration_until(now()).unsigned_abs(),
        broken,
    })
}

/// Everything from the first call to the last.
async fn act(
    stage: &mut Stage,
    row: &Row,
    crowds: &mut [Crowd],
    watch: &Watch,
) -> anyhow::Result<(f64, Timestamp, Laid)> {
    let laid = row.fault.lay(stage, crowds).await?;
    let point = EARLIEST + stage.dice.share() * (LATEST - EARLIEST);
    // The neighbours first: what is slow has had the time to be in everybody's way.
    for neighbour in &mut crowds[1..] {
        neighbour.start_all(&[Mass::Enterprise], RATE_PER_S).await?;
    }
    crowds[0].start_all(row.masses, RATE_PER_S).await?;
    watch.follow(crowds);
    let crowd = &mut crowds[0];
    let due = (point * (crowd.contacts.len() * row.caps()) as f64) as usize;
    let strikes_at_once = matches!(
        row.fault,
        Fault::CrashWorker(..) | Fault::KillWorkersOften | Fault::PoisonChunk | Fault::StopMany
    );
    if !strikes_at_once {
        eventually_within(OVER, async || {
            let calls = stage.sink.count(crowd.tenant);
            ensure!(calls >= due || watch.has_failed(), "{calls} of {due} calls");
            anyhow::Ok(())
        })
        .await
        .context("until the fault")?;
    }
    let struck = row.fault.strike(stage, crowd).await.context("the fault")?;
    watch.follow(crowds);
    let all = crowds
        .iter()
        .flat_map(|crowd| crowd.started.iter().map(move |started| (crowd, started)));
    for (crowd, started) in all {
        eventually_within(OVER, async || {
            let progress = crowd.progress(started.id).await?;
            let is_over = progress["state"] == "finished" || progress["state"] == "cancelled";
            // A row that is broken need not be waited for.
            ensure!(is_over || watch.has_failed(), "{progress}");
            anyhow::Ok(())
        })
        .await
        .context("after the fault")?;
    }
    Ok((point, struck, laid))
}

/// V7: a neighbour whose receiver is slow takes nothing from this rate, which is compared with the row without a fault.
fn neighbours_are_unmoved(stage: &mut Stage, row: &Row, arrivals: &[Timestamp]) -> Option<String> {
    match row.fault {
        Fault::None if row.masses.len() == 4 => {
            let rate = steady_rate(arrivals, Duration::ZERO)?;
            stage.usual_rate.get_or_insert(rate);
            None
        }
        Fault::SlowAccount => {
            let rate = steady_rate(arrivals, SETTLING).unwrap_or_default();
            // Row 0 goes before, or nothing is enough.
            let usual = stage.usual_rate.unwrap_or(f64::INFINITY);
            (rate < KEPT_SHARE * usual)
                .then(|| format!("V7 isolation: {rate:.0} calls/s beside a slow account, alone {usual:.0}"))
        }
        _ => None,
    }
}

/// What the row's fault means for how it ended.
async fn outcome(
    stage: &Stage,
    row: &Row,
    crowd: &Crowd,
    laid: &Laid,
    run: &Run,
) -> anyhow::Result<Vec<String>> {
    let dead: Vec<Uuid> = run
        .accounts
        .iter()
        .flat_map(|account| &account.receipts)
        .filter(|(_, end)| end == "dead")
        .map(|(contact, _)| *contact)
        .collect();
    let mut broken = Vec::new();
    let expected = match row.fault {
        Fault::PoisonRecipient => {
            let attempts = |id: &Uuid| {
                let calls = run.calls.iter();
                calls
                    .filter(|call| Some(call.contact) == laid.poison && call.broadcast == *id)
                    .count()
            };
            let attempts: Vec<_> = crowd
                .started
                .iter()
                .map(|started| attempts(&started.id))
                .collect();
            if attempts
                .iter()
                .any(|attempts| *attempts != 0 && *attempts != CHUNK_ATTEMPTS)
            {
                broken.push(format!("the poison recipient was called {attempts:?} times"));
            }
            if dead.iter().any(|contact| Some(*contact) != laid.poison) {
                broken.push(format!("{} others are dead", dead.len()));
            }
            attempts.iter().filter(|attempts| **attempts > 0).count()
        }
        Fault::PoisonChunk => {
            let poison = "select recipients from broadcast.chunk where broadcast_id = $1 and n = 3";
            let recipients: i32 = sqlx::query_scalar(poison)
                .bind(crowd.started[0].id)
                .fetch_one(&stage.tables)
                .await?;
            recipients.unsigned_abs() as usize
        }
        // A share of the calls fails five times in a row.
        Fault::UnwillingSink => dead.len().min(crowd.contacts.len() / 20),
        _ => 0,
    };
    if dead.len() != expected {
        broken.push(format!("{} are dead, expected are {expected}", dead.len()));
    }
    // Of several mass messages of one kind by one sender exactly one holds each contact's cap.
    let is_own = |account: &&Account| {
        crowd
            .started
            .iter()
            .any(|started| started.id == account.broadcast)
    };
    let own = run.accounts.iter().filter(is_own);
    let reached = own
        .flat_map(|account| &account.receipts)
        .filter(|(_, end)| end == "delivered" || end == "dead")
        .count();
    let due = crowd.contacts.len() * row.caps();
    if row.fault != Fault::StopMany && reached != due {
        broken.push(format!(
            "{reached} were delivered to or are dead, and {due} caps were free"
        ));
    }
    Ok(broken)
}

/// Each mass message has one event of its acceptance and one of its end: none is lost, none is of nothing.
async fn events_are_told(stage: &Stage, crowd: &Crowd) -> anyhow::Result<()> {
    for event in ["BroadcastAccepted", "BroadcastFinished"] {
        let filter = format!("shequn.broadcast.v1.{event}.{}.>", crowd.tenant);
        let wanted: BTreeMap<String, ()> = crowd
            .started
            .iter()
            .map(|started| (started.id.to_string(), ()))
            .collect();
        eventually(async || {
            // After a wipe it is another one.
            let stream = stage.bus.get_stream("BROADCAST").await?;
            let told: Vec<_> = stream.info_with_subjects(&filter).await?.try_collect().await?;
            let told: BTreeMap<String, ()> = told
                .iter()
                .filter_map(|(subject, _)| Some((subject.rsplit('.').next()?.to_owned(), ())))
                .collect();
            ensure!(
                told == wanted,
                "{event} is told of {} mass messages of {}",
                told.len(),
                wanted.len()
            );
            anyhow::Ok(())
        })
        .await?;
    }
    let listed = crowd
        .api
        .all("broadcast", "/v1/broadcasts", &crowd.operator.token)
        .await?;
    ensure!(
        listed.len() == crowd.started.len(),
        "{} mass messages were started, {} are listed",
        crowd.started.len(),
        listed.len()
    );
    Ok(())
}

async fn deadlocks(stage: &Stage) -> anyhow::Result<i64> {
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    eventually(async || sqlx::query_scalar(deadlocks).fetch_one(&stage.tables).await).await
}
