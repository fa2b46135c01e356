//! Rows and mixes of them drawn at random for as long as one likes: `make soak MINUTES=60`.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use super::rows::{MIX, ROWS};
use super::run::{Report, play};
use super::setting;
use super::stage::Stage;
use testkit::Dice;

const MINUTES: u64 = 60;
const CONTACTS: std::ops::Range<usize> = 700..3_000;
/// Of so many runs one is a mix of faults.
const MIX_EVERY: usize = 3;

#[derive(Default)]
struct Sum {
    runs: usize,
    recipients: usize,
    calls: usize,
    repeats: usize,
    broken: Vec<String>,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.recipients += report.recipients;
        self.calls += report.calls;
        self.repeats += report.repeats;
        self.broken.extend(
            report
                .broken
                .iter()
                .map(|broken| format!("{}: {broken}", report.row)),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make soak"]
async fn random_rows_hold_for_as_long_as_one_likes() -> anyhow::Result<()> {
    let seed = setting("SHEQUN_MATRIX_SEED").unwrap_or_else(Dice::any_seed);
    let minutes = setting("SHEQUN_SOAK_MINUTES").unwrap_or(MINUTES);
    println!("SHEQUN_MATRIX_SEED={seed}, {minutes} minutes");
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut stage = Stage::set("soak", seed).await?;
    let mut sum = Sum::default();
    while Instant::now() < end {
        let contacts = stage.dice.within(CONTACTS);
        let is_mix = stage.dice.within(0..MIX_EVERY) == 0;
        let row = if sum.runs == 0 {
            &ROWS[0] // another one's rate is compared with it
        } else if is_mix {
            &MIX
        } else {
            &ROWS[stage.dice.within(0..ROWS.len())]
        };
        match play(&mut stage, row, row.contacts(contacts)).await {
            Ok(report) => {
                println!("{report}");
                sum.add(&report);
            }
            Err(error) => {
                println!("row {}: {error:#}", row.name);
                sum.broken.push(format!("{}: {error:#}", row.name));
            }
        }
    }
    println!(
        "soak: {} runs, {} recipients, {} calls, {} violations, {} raw repeats, seed {seed}",
        sum.runs,
        sum.recipients,
        sum.calls,
        sum.broken.len(),
        sum.repeats
    );
    ensure!(sum.broken.is_empty(), "{:#?}", sum.broken);
    Ok(())
}
