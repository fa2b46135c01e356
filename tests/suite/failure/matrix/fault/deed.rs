//! What a fault takes more than a line to do.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use futures::future::try_join_all;
use jiff::Timestamp;
use testkit::{Signal, eventually_within};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{CHUNK_ATTEMPTS, KILLS, PARTITION};
use crate::failure::matrix::crowd::{Crowd, Mass};
use crate::failure::matrix::stage::{CALL_SECS_MAX, SECOND, Stage, WORKERS, now};
use crate::failure::proxy::Line;
use crate::failure::sink::Manners;

/// Marks copies of messages.
const COPY: &str = "Shequn-Copy";
const DIES: Duration = Duration::from_secs(60);
const STOPPED_MAX: usize = 50;
const RATE_OF_ONE: usize = 500;

pub(super) fn unwilling() -> Manners {
    Manners {
        busy_share: 0.3,
        throttled_share: 0.02,
        reset_share: 0.05,
        late_share: 0.002,
        late: Duration::from_secs(CALL_SECS_MAX + 1),
        ..Manners::default()
    }
}

/// First connections reset and the receiver is slow, then both lines of a worker are half open until they are cut.
pub(super) async fn bad_lines(stage: &Stage, crowd: &Crowd) -> anyhow::Result<()> {
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

/// A stream that has met a full disk takes nothing until its server is started again, which the runbook says to do
/// (`OutboxLagging`): no probe does it, for one that looks at streams would restart a server that waits for its peers.
async fn restart_as_the_runbook_says(stage: &Stage) -> anyhow::Result<()> {
    let probe = format!("{}/healthz", stage.set.stack().description().nats.http_url);
    let answer = testkit::http().get(probe).send().await;
    let is_well = answer.is_ok_and(|answer| answer.status().is_success());
    if !is_well {
        stage.signal("nats", Signal::SIGTERM)?;
        eventually_within(DIES, async || {
            ensure!(stage.signal("nats", Signal::SIGCONT).is_err(), "NATS still runs");
            anyhow::Ok(())
        })
        .await?;
    }
    stage.heal().await
}

/// The work queue is deleted, then the whole store is.
pub(super) async fn wipe_streams(stage: &Stage) -> anyhow::Result<()> {
    stage.bus.delete_stream("BROADCAST_WORK").await?;
    stage.signal("nats", Signal::SIGKILL)?;
    let store = stage.set.stack().description().nats.store.clone();
    tokio::fs::remove_dir_all(&store).await?;
    stage.heal().await
}

/// Every message comes three times, each under an id that the server has not seen.
pub(super) async fn copy_everything(stage: &Stage) -> anyhow::Result<AbortOnDropHandle<()>> {
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
pub(super) async fn accept_and_resolve(stage: &mut Stage, crowd: &mut Crowd) -> anyhow::Result<()> {
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

pub(super) async fn submit_hundredfold(crowd: &mut Crowd) -> anyhow::Result<()> {
    let key = Uuid::now_v7().to_string();
    let posts = (0..100).map(|_| crowd.post(Mass::Enterprise, RATE_OF_ONE, &key));
    let ids = try_join_all(posts).await?;
    let first = *ids.first().context("a hundred answers")?;
    ensure!(ids.iter().all(|id| *id == first), "one key made several: {ids:?}");
    crowd.adopt(first).await
}

/// Whoever claims it dies of it, until it is given up.
pub(super) async fn poison_chunk(stage: &mut Stage) -> anyhow::Result<()> {
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
pub(super) async fn stop_many(stage: &Stage, crowd: &mut Crowd) -> anyhow::Result<()> {
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

pub(super) async fn kill_workers_often(stage: &mut Stage) -> anyhow::Result<()> {
    for _ in 0..KILLS {
        let worker = WORKERS[stage.dice.within(0..WORKERS.len())];
        stage.kill(worker).await?;
        let moment = Duration::from_millis(stage.dice.within(0..100) as u64);
        tokio::time::sleep(moment).await; // drawn, so that it hits anything
    }
    Ok(())
}

pub(super) async fn fail_over(stage: &Stage) -> anyhow::Result<()> {
    stage.signal("postgres", Signal::SIGKILL)?;
    let standby = stage.standby.as_ref().context("no standby")?;
    standby.promote().await?;
    stage.to_postgres.aim(standby.address);
    stage.to_postgres.cut();
    Ok(())
}

pub(super) async fn lose_leader(stage: &mut Stage) -> anyhow::Result<()> {
    let stream = stage.bus.get_stream("BROADCAST_WORK").await?;
    let leader = stream.cached_info().cluster.as_ref();
    let leader = leader.and_then(|cluster| cluster.leader.clone());
    let leader = leader.context("nobody leads the work queue")?;
    stage.cluster.as_mut().context("no cluster")?.kill(&leader).await
}

pub(super) async fn lose_quorum(stage: &mut Stage) -> anyhow::Result<()> {
    let cluster = stage.cluster.as_mut().context("no cluster")?;
    for name in &cluster.names()[..2] {
        cluster.kill(name).await?;
    }
    tokio::time::sleep(PARTITION).await; // the fault is its length
    cluster.heal().await
}

pub(super) async fn fill_nats(stage: &Stage) -> anyhow::Result<()> {
    let disks = stage.disks.as_ref().context("no disks")?;
    disks.nats.fill()?;
    tokio::time::sleep(PARTITION).await; // the fault is its length
    disks.nats.make_room()?;
    restart_as_the_runbook_says(stage).await
}

/// Since when there is room again.
pub(super) async fn fill_postgres(stage: &Stage) -> anyhow::Result<Timestamp> {
    let disks = stage.disks.as_ref().context("no disks")?;
    disks.postgres.fill()?;
    tokio::time::sleep(PARTITION).await; // the fault is its length
    disks.postgres.make_room()?;
    let roomy = now();
    stage.heal().await?; // it may have given up
    Ok(roomy)
}
