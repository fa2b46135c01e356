//! Each way of being wrong that the design guards against is caught by a row: a checker that finds nothing shows nothing.

use anyhow::ensure;

use super::rows::{ROWS, Row};
use super::run::play;
use super::setting;
use super::stage::Stage;
use testkit::Dice;

const CONTACTS: usize = 600;

struct Mutant {
    name: &'static str,
    /// The number of the row that it must not survive.
    row: &'static str,
    /// What the row then says.
    says: &'static str,
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "mutant-ack-first",
        row: "0",
        says: "without a hint",
    },
    Mutant {
        name: "mutant-message-id-only",
        row: "17",
        says: "V2 one effect",
    },
    Mutant {
        name: "mutant-publish-outside",
        row: "5",
        says: "BroadcastAccepted is told of",
    },
    Mutant {
        name: "mutant-cap-unordered",
        row: "19",
        says: "deadlocks",
    },
    Mutant {
        name: "mutant-cap-outside",
        row: "19",
        says: "V3 caps",
    },
    // The last, for it never comes to an end.
    Mutant {
        name: "mutant-skip-t2",
        row: "0",
        says: "V2 one effect",
    },
];

fn row_of(mutant: &Mutant) -> Option<&'static Row> {
    ROWS.iter()
        .find(|row| row.name.split(' ').next() == Some(mutant.row))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutant_is_caught() -> anyhow::Result<()> {
    let seed = setting("SHEQUN_MATRIX_SEED").unwrap_or_else(Dice::any_seed);
    println!("SHEQUN_MATRIX_SEED={seed}");
    let mut stage = Stage::set("mutants", seed).await?;
    let mut alive = Vec::new();
    for mutant in MUTANTS {
        let row = row_of(mutant).ok_or_else(|| anyhow::anyhow!("no row {}", mutant.row))?;
        stage.mutate(Some(mutant.name)).await?;
        let found = match play(&mut stage, row, CONTACTS).await {
            Ok(report) => report.broken,
            Err(error) => vec![format!("{error:#}")],
        };
        println!("{}: {found:#?}", mutant.name);
        if !found.iter().any(|broken| broken.contains(mutant.says)) {
            alive.push(mutant.name);
        }
    }
    ensure!(
        alive.is_empty(),
        "SHEQUN_MATRIX_SEED={seed}: not caught are {alive:?}"
    );
    Ok(())
}
