//! The proof of a mass message: a row for each recipient, as it is exported.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;

use crate::brand::Shop;
use crate::run::Run;

use super::message::Progress;

/// How it ended for each recipient.
pub(crate) struct Proof(BTreeMap<String, String>);

#[derive(Deserialize)]
struct Row {
    contact_id: String,
    state: String,
}

impl Proof {
    /// Reads it, and compares it with the report's counters.
    pub(crate) async fn read(run: &mut Run<'_>, shop: &Shop, progress: &Progress) -> anyhow::Result<Self> {
        let path = format!("/v1/broadcasts/{}/export?format=csv", progress.broadcast_id);
        let ask = run.api.get("broadcast", &path);
        let exported = ask.token(&shop.operator.token().await?).ok().await?;
        let table = exported.as_str().context("the export is no text")?;
        let (mut states, mut rows) = (BTreeMap::new(), 0);
        for row in csv::Reader::from_reader(table.as_bytes()).deserialize() {
            let row: Row = row?;
            states.insert(row.contact_id, row.state);
            rows += 1;
        }
        let (proof, title) = (Self(states), &progress.title);
        run.checks.equal(
            format_args!("{title}: rows of its proof"),
            progress.audience,
            rows,
        );
        for (state, counted) in &progress.outcomes {
            let what = format_args!("{title}: {state} by its proof");
            run.checks.equal(what, *counted, proof.count(state));
        }
        Ok(proof)
    }

    pub(crate) fn count(&self, state: &str) -> u64 {
        self.0.values().filter(|of| *of == state).count() as u64
    }

    pub(crate) fn is(&self, contact_id: &str, state: &str) -> bool {
        self.0.get(contact_id).is_some_and(|of| of == state)
    }
}
