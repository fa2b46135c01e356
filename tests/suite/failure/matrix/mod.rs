//! The fault matrix: one row after the other on one set, each judged by the receiver's log.
//!
//! `SHEQUN_MATRIX_SEED` repeats what a run drew, `SHEQUN_MATRIX_ROWS=3c,17` plays some rows only, and
//! `SHEQUN_MATRIX_CONTACTS` sets the size of a crowd, a quarter of a row's recipients.

mod cluster;
mod crowd;
mod disk;
mod fault;
mod mutants;
mod rows;
mod run;
mod soak;
mod stage;
mod standby;
mod watch;

use std::os::unix::fs::MetadataExt as _;

use anyhow::ensure;

use self::rows::{
    HUNDRED_KILLS, HUNDRED_KILLS_CONTACTS, ROWS, Row, WITH_CLUSTER, WITH_SMALL_DISKS, WITH_STANDBY,
};
use self::run::play;
use self::stage::Stage;
use testkit::Dice;

/// With four mass messages 6,000 recipients a row, sent in five seconds.
const CONTACTS: usize = 1_500;

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Those of the rows that were asked for, or all.
fn chosen(rows: &'static [Row]) -> Vec<&'static Row> {
    let asked = std::env::var("SHEQUN_MATRIX_ROWS").unwrap_or_default();
    let numbers: Vec<&str> = asked.split(',').filter(|number| !number.is_empty()).collect();
    let is_chosen = |row: &&Row| {
        let number = row.name.split(' ').next().unwrap_or_default();
        numbers.is_empty() || numbers.contains(&number)
    };
    rows.iter().filter(is_chosen).collect()
}

/// Plays the rows that were asked for on what `stage` sets.
#[expect(clippy::print_stdout, reason = "a long test tells how far it is")]
async fn hold(
    rows: &'static [Row],
    stage: impl AsyncFnOnce(u64) -> anyhow::Result<Stage>,
) -> anyhow::Result<()> {
    let seed = setting("SHEQUN_MATRIX_SEED").unwrap_or_else(Dice::any_seed);
    let contacts = setting("SHEQUN_MATRIX_CONTACTS").unwrap_or(CONTACTS);
    let rows = chosen(rows);
    if rows.is_empty() {
        return Ok(());
    }
    println!("SHEQUN_MATRIX_SEED={seed}, {contacts} contacts");
    let mut stage = stage(seed).await?;
    let mut broken = Vec::new();
    for row in rows {
        match play(&mut stage, row, row.contacts(contacts)).await {
            Ok(report) => {
                println!("{report}");
                if !report.broken.is_empty() {
                    broken.push(report.row);
                }
            }
            Err(error) => {
                println!("row {}: {error:#}", row.name);
                broken.push(row.name);
            }
        }
    }
    ensure!(broken.is_empty(), "SHEQUN_MATRIX_SEED={seed} breaks {broken:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_holds() -> anyhow::Result<()> {
    hold(ROWS, async |seed| Stage::set("matrix", seed).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_survive_a_hundred_kills() -> anyhow::Result<()> {
    let seed = setting("SHEQUN_MATRIX_SEED").unwrap_or_else(Dice::any_seed);
    println!("SHEQUN_MATRIX_SEED={seed}");
    let mut stage = Stage::set("kills", seed).await?;
    let report = play(&mut stage, &HUNDRED_KILLS, HUNDRED_KILLS_CONTACTS).await?;
    println!("{report}");
    ensure!(report.broken.is_empty(), "SHEQUN_MATRIX_SEED={seed} breaks it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_a_cluster_holds() -> anyhow::Result<()> {
    hold(WITH_CLUSTER, async |seed| {
        Stage::with_cluster("cluster", seed).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_a_standby_holds() -> anyhow::Result<()> {
    hold(WITH_STANDBY, async |seed| {
        Stage::with_standby("standby", seed).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_small_disks_holds() -> anyhow::Result<()> {
    let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
    if !is_root && std::env::var_os("CI").is_none() {
        println!("skipped: only root mounts disks");
        return Ok(());
    }
    hold(WITH_SMALL_DISKS, async |seed| {
        Stage::with_small_disks("disks", seed).await
    })
    .await
}
