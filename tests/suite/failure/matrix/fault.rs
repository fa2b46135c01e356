//! The faults: each breaks something in the midst of a row, and leaves it mended.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use futures::future::try_join_all;
use jiff::Timestamp;
use testkit::{Signal, eventually_within};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::crowd::{Crowd, Mass};
use super::stage::{LEASE_SECS, SECOND, Stage, WORKERS, now};
use crate::failure::proxy::Line;
use crate::failure::sink::Manners;

/// How long a partition lasts: well over a lease.
const PARTITION: Duration = Duration::from_secs(2 * LEASE_SECS + 1);
const CLOCK_OFF_SECS: i64 = 36 * 60 * 60;
/// Marks copies of messages.
const COPY: &str = "Shequn-Copy";
const DIES: Duration = Duration::from_secs(60);
/// Attempts until a chunk is given up.
pub(crate) const CHUNK_ATTEMPTS: usize = 5;
const LANES: &str = "SHEQUN_WORKER_CHUNKS_MAX";
const STOPPED_MAX: usize = 50;
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
pub(crate) const MIXED_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    KillWorkers(usize),
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
            Self::TripleMessages => laid.copier = Some(copy_everything(stage).await?),
            Self::WrongClock => stage.clock.forward(CLOCK_OFF_SECS)?,
            Self::UnwillingSink => stage.sink.behave(&crowd.account, unwilling()),
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
            Self::CrashAcceptAndResolve => accept_and_resolve(stage, crowd).await?,
            Self::SubmitHundredfold => submit_hundredfold(crowd).await?,
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
            Self::WipeStreams => wipe_streams(stage).await?,
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
            Self::BadLines => bad_lines(stage, crowd).await?,
            Self::WrongClock => stage.clock.forward(-2 * CLOCK_OFF_SECS)?,
            Self::PoisonChunk => poison_chunk(stage).await?,
            Self::StopMany => stop_many(stage, crowd).await?,
            Self::FailOver => {
                stage.signal("postgres", Signal::SIGKILL)?;
                let standby = stage.standby.as_ref().context("no standby")?;
                standby.promote().await?;
                stage.to_postgres.aim(standby.address);
                stage.to_postgres.cut();
            }
            Self::LoseLeader => {
                let stream = stage.bus.get_stream("BROADCAST_WORK").await?;
                let leader = stream.cached_info().cluster.as_ref();
                let leader = leader.and_then(|cluster| cluster.leader.clone());
                let leader = leader.context("nobody leads the work queue")?;
                stage
                    .cluster
                    .as_mut()
                    .context("no cluster")?
                    .kill(&leader)
                    .await?;
            }
            Self::LoseQuorum => {
                let cluster = stage.cluster.as_mut().context("no cluster")?;
                for name in &cluster.names()[..2] {
                    cluster.kill(name).await?;
                }
                tokio::time::sleep(PARTITION).await; // the fault is its length
                cluster.heal().await?;
                return Ok(now());
            }
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

fn unwilling() -> Manners {
    Manners {
        busy_share: 0.3,
        throttled_share: 0.02,
        reset_share: 0.05,
        late_share: 0.002,
        late: Duration::from_secs(super::stage::CALL_SECS_MAX + 1),
        ..Manners::default()
    }
}

/// First connections reset and the receiver is slow, then both lines of a worker are half open until they are cut.
async fn bad_lines(stage: &Stage, crowd: &Crowd) -> anyhow::Result<()> {
    let bad = Line::Bad {
        delay: Duration::from_millis(1),
        reset_share: 0.01,
    };
    let slow = Manners {
        delay: Duration::from_millis(500),
        reset_share: 0.01,
        ..Manners::default()
    };
    stage.sink.behave(&crowd.account, slow);
    for line in [&stage.to_nats, &stage.to_postgres] {
        line.set(bad);
    }
    tokio::time::sleep(PARTITION).await; // the fault is its length
    for line in [&stage.to_nats, &stage.to_postgres] {
        line.set(Line::Silent);
    }
    stage.leases_are_gone().await?;
    for line in [&stage.to_nats, &stage.to_postgres] {
        line.cut();
    }
    stage.sink.behave(&crowd.account, Manners::default());
    Ok(())
}

/// The work queue is deleted, then the whole store is.
async fn wipe_streams(stage: &Stage) -> anyhow::Result<()> {
    stage.bus.delete_stream("BROADCAST_WORK").await?;
    stage.signal("nats", Signal::SIGKILL)?;
    let store = stage.set.stack().description().nats.store.clone();
    tokio::fs::remove_dir_all(&store).await?;
    stage.heal().await
}

/// Every message comes three times, each under an id that the server has not seen.
async fn copy_everything(stage: &Stage) -> anyhow::Result<AbortOnDropHandle<()>> {
    let client = stage.bus.client();
    let mut messages = client.subscribe("shequn.>").await?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            let mut headers = message.headers.unwrap_or_default();
            if headers.get(COPY).is_some() {
                continue;
            }
            headers.insert(COPY, "yes");
            for _ in 0..2 {
                headers.insert("Nats-Msg-Id", Uuid::now_v7().to_string());
                let (subject, payload) = (message.subject.clone(), message.payload.clone());
                // A copy that gets lost is a copy less.
                let _ = client
                    .publish_with_headers(subject, headers.clone(), payload)
                    .await;
            }
        }
    })))
}

/// Killed between the commit and the answer, and again with a page of the audience written.
async fn accept_and_resolve(stage: &mut Stage, crowd: &mut Crowd) -> anyhow::Result<()> {
    // The second replica would do the work of the first.
    stage.set.terminate(SECOND).await?;
    stage.arm("broadcast", "broadcast-accepted=1*return").await?;
    let key = Uuid::now_v7().to_string();
    let post = crowd.post(Mass::Enterprise, RATE_OF_ONE, &key);
    let (first, revived) = tokio::join!(post, stage.revive("broadcast"));
    revived?;
    let first = first?;
    let again = crowd.post(Mass::Enterprise, RATE_OF_ONE, &key).await?;
    ensure!(first == again, "one key made {first} and {again}");
    stage.arm("broadcast", "broadcast-resolve-page=1*return").await?;
    let key = Uuid::now_v7().to_string();
    let post = crowd.post(Mass::Member(0), RATE_OF_ONE, &key);
    let (second, revived) = tokio::join!(post, stage.revive("broadcast"));
    revived?;
    stage.run(SECOND, None).await?;
    crowd.adopt(first).await?;
    crowd.adopt(second?).await
}

const RATE_OF_ONE: usize = 500;

async fn submit_hundredfold(crowd: &mut Crowd) -> anyhow::Result<()> {
    let key = Uuid::now_v7().to_string();
    let posts = (0..100).map(|_| crowd.post(Mass::Enterprise, RATE_OF_ONE, &key));
    let ids = try_join_all(posts).await?;
    let first = *ids.first().context("a hundred answers")?;
    ensure!(ids.iter().all(|id| *id == first), "one key made several: {ids:?}");
    crowd.adopt(first).await
}

/// Whoever claims it dies of it, until it is given up.
async fn poison_chunk(stage: &mut Stage) -> anyhow::Result<()> {
    for _ in 0..CHUNK_ATTEMPTS {
        let dead = eventually_within(DIES, async || {
            let dead = WORKERS.iter().find(|worker| stage.set.has_died(worker));
            dead.copied().context("nobody has died of the chunk yet")
        })
        .await?;
        stage.run(dead, Some("broadcast-poison-chunk=return(3)")).await?;
    }
    Ok(())
}

/// Cancels, pauses and resumes at random while new ones start.
async fn stop_many(stage: &Stage, crowd: &mut Crowd) -> anyhow::Result<()> {
    let mut paused = None;
    for _ in 0..STOPPED_MAX {
        let (index, mass) = (crowd.started.len(), Mass::Member(stage.dice.within(0..2)));
        crowd.start(mass, RATE_OF_ONE).await?;
        if let Some(index) = paused.take() {
            crowd.resume(index).await?;
        }
        match stage.dice.within(0..10) {
            0..4 => crowd.cancel(index).await?,
            4..9 => {
                crowd.pause(index).await?;
                paused = Some(index);
            }
            _ => {}
        }
    }
    match paused {
        Some(index) => crowd.resume(index).await,
        None => Ok(()),
    }
}
