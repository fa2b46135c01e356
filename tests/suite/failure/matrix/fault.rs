//! The faults: each breaks something in the midst of a row, and leaves it mended.

mod deed;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use testkit::Signal;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::crowd::Crowd;
use super::stage::{LEASE_SECS, Stage, WORKERS, now};
use crate::failure::proxy::Line;
use crate::failure::sink::Manners;

/// How long a partition lasts: well over a lease.
const PARTITION: Duration = Duration::from_secs(2 * LEASE_SECS + 1);
const CLOCK_OFF_SECS: i64 = 36 * 60 * 60;
/// Attempts until a chunk is given up.
pub(crate) const CHUNK_ATTEMPTS: usize = 5;
const LANES: &str = "SHEQUN_WORKER_CHUNKS_MAX";
/// Well within the time that a call may take.
const SLOW: Duration = Duration::from_millis(1_500);
/// What a mix is drawn from, each with its raw repeats at most: what one worker's crash may cost.
const MIXED: &[Fault] = &[
    Fault::KillWorkers(1),
    Fault::KillWorkers(3),
    Fault::KillDispatcher,
    Fault::KillOthers,
    Fault::RollWorkers,
    Fault::StopWorker,
    Fault::KillNats,
    Fault::RestartPostgres,
    Fault::PartitionFromNats,
    Fault::PartitionFromPostgres,
];
pub(crate) const KILLS: usize = 100;
pub(crate) const MIXED_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    KillWorkers(usize),
    /// A hundred times, whichever it is.
    KillWorkersOften,
    /// A worker dies at this point, having passed it so many times.
    CrashWorker(&'static str, (usize, usize)),
    KillDispatcher,
    CrashAcceptAndResolve,
    KillOthers,
    RollWorkers,
    StopWorker,
    KillNats,
    WipeStreams,
    RestartPostgres,
    PartitionFromNats,
    PartitionFromPostgres,
    BadLines,
    TripleMessages,
    SubmitHundredfold,
    WrongClock,
    SlowAccount,
    UnwillingSink,
    PoisonRecipient,
    PoisonChunk,
    StopMany,
    /// To the synchronous standby.
    FailOver,
    /// One of three NATS servers is killed: the one that leads the work queue.
    LoseLeader,
    LoseQuorum,
    FillNats,
    FillPostgres,
    /// Up to four of the others, one after the other.
    Mix,
}

impl Fault {
    /// What has to be so before the first call.
    pub(crate) async fn lay(&self, stage: &mut Stage, crowds: &mut [Crowd]) -> anyhow::Result<Laid> {
        let mut laid = Laid::default();
        let (first, neighbours) = crowds.split_first_mut().context("a crowd")?;
        let crowd = first;
        match self {
            Self::CrashWorker(point, (least, most)) => {
                let passed = stage.dice.within(*least..most + 1);
                // One lane: what dies with it is what is at this point, and nothing beside it.
                stage.set.vary(WORKERS[0], &[(LANES, "1".to_owned())]);
                stage
                    .arm(WORKERS[0], &format!("{point}={passed}*off->1*return"))
                    .await?;
            }
            Self::TripleMessages => laid.copier = Some(deed::copy_everything(stage).await?),
            Self::WrongClock => stage.clock.forward(CLOCK_OFF_SECS)?,
            Self::UnwillingSink => stage.sink.behave(&crowd.account, deed::unwilling()),
            Self::PoisonRecipient => {
                let poison = crowd.contacts[stage.dice.within(0..crowd.contacts.len())];
                let manners = Manners {
                    never: [poison].into(),
                    ..Manners::default()
                };
                stage.sink.behave(&crowd.account, manners);
                laid.poison = Some(poison);
            }
            Self::PoisonChunk => {
                for worker in WORKERS {
                    stage.arm(worker, "broadcast-poison-chunk=return(3)").await?;
                }
            }
            Self::SlowAccount => {
                for neighbour in neighbours {
                    let slow = Manners {
                        delay: SLOW,
                        ..Manners::default()
                    };
                    stage.sink.behave(&neighbour.account, slow);
                }
            }
            Self::CrashAcceptAndResolve => deed::accept_and_resolve(stage, crowd).await?,
            Self::SubmitHundredfold => deed::submit_hundredfold(crowd).await?,
            _ => {}
        }
        Ok(laid)
    }

    /// In the midst. Whoever is away is back when this returns; the time is that from which the recovery counts.
    pub(crate) async fn strike(&self, stage: &mut Stage, crowd: &mut Crowd) -> anyhow::Result<Timestamp> {
        let began = now();
        match self {
            Self::KillWorkers(count) => {
                for worker in &WORKERS[..*count] {
                    stage.set.kill(worker).await?;
                }
                for worker in &WORKERS[..*count] {
                    stage.run(worker, None).await?;
                }
            }
            Self::KillWorkersOften => deed::kill_workers_often(stage).await?,
            Self::CrashWorker(..) => {
                stage.set.vary(WORKERS[0], &[(LANES, "2".to_owned())]);
                stage.revive(WORKERS[0]).await?;
                return Ok(now());
            }
            Self::KillDispatcher => stage.kill("broadcast").await?,
            Self::KillOthers => {
                for service in ["identity", "customers", "groups", "referral"] {
                    stage.kill(service).await?;
                }
            }
            Self::RollWorkers => {
                for worker in WORKERS {
                    let status = stage.set.terminate(worker).await?;
                    ensure!(status.success(), "{worker}: {status}");
                    stage.run(worker, None).await?;
                }
            }
            Self::StopWorker => {
                stage.set.signal(WORKERS[0], Signal::SIGSTOP)?;
                stage.leases_are_gone().await?;
                stage.set.signal(WORKERS[0], Signal::SIGCONT)?;
            }
            Self::KillNats => {
                stage.signal("nats", Signal::SIGKILL)?;
                stage.heal().await?;
            }
            Self::WipeStreams => deed::wipe_streams(stage).await?,
            Self::RestartPostgres => {
                for signal in [Signal::SIGINT, Signal::SIGKILL] {
                    stage.signal("postgres", signal)?;
                    stage.heal().await?;
                }
            }
            Self::PartitionFromNats => {
                stage.to_nats.set(Line::Silent);
                tokio::time::sleep(PARTITION).await; // the fault is its length
                stage.to_nats.set(Line::Through);
                return Ok(now());
            }
            Self::PartitionFromPostgres => {
                stage.to_postgres.set(Line::Silent);
                stage.leases_are_gone().await?;
                stage.to_postgres.set(Line::Through);
                return Ok(now());
            }
            Self::BadLines => deed::bad_lines(stage, crowd).await?,
            Self::WrongClock => stage.clock.forward(-2 * CLOCK_OFF_SECS)?,
            Self::PoisonChunk => deed::poison_chunk(stage).await?,
            Self::StopMany => deed::stop_many(stage, crowd).await?,
            Self::FailOver => deed::fail_over(stage).await?,
            Self::LoseLeader => deed::lose_leader(stage).await?,
            Self::LoseQuorum => {
                deed::lose_quorum(stage).await?;
                return Ok(now());
            }
            Self::FillNats => {
                deed::fill_nats(stage).await?;
                return Ok(now());
            }
            Self::FillPostgres => return deed::fill_postgres(stage).await,
            Self::Mix => {
                for _ in 0..=stage.dice.within(0..MIXED_MAX) {
                    let fault = MIXED[stage.dice.within(0..MIXED.len())];
                    Box::pin(fault.strike(stage, crowd)).await?;
                }
            }
            Self::None
            | Self::CrashAcceptAndResolve
            | Self::TripleMessages
            | Self::SubmitHundredfold
            | Self::SlowAccount
            | Self::UnwillingSink
            | Self::PoisonRecipient => {}
        }
        Ok(began)
    }

    /// After the row: nothing of it is left.
    pub(crate) async fn lift(&self, stage: &mut Stage, crowds: &[Crowd]) -> anyhow::Result<()> {
        match self {
            Self::WrongClock => stage.clock.forward(CLOCK_OFF_SECS)?,
            Self::LoseLeader => stage.cluster.as_mut().context("no cluster")?.heal().await?,
            Self::PoisonChunk => {
                let has_died = |worker: &&str| stage.set.has_died(worker);
                let sixth = WORKERS.iter().copied().find(has_died);
                for worker in WORKERS {
                    stage.disarm(worker).await?;
                }
                ensure!(sixth.is_none(), "the chunk was tried once more, by {sixth:?}");
            }
            _ => {}
        }
        for crowd in crowds {
            stage.sink.behave(&crowd.account, Manners::default());
        }
        Ok(())
    }
}

/// What a fault needs until the row is over, and what its check has to know.
#[derive(Default)]
pub(crate) struct Laid {
    copier: Option<AbortOnDropHandle<()>>,
    pub(crate) poison: Option<Uuid>,
}
