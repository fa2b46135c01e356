//! Step 4: the shop tells what happened to its orders, some of it twice and some of it late; the
//! ledger must come to what the file alone says.

mod expected;
mod file;
mod ledger;
mod statement;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use serde_json::json;

use crate::brand::Shop;
use crate::run::Run;

use expected::Answer;
use file::LeftOut;

pub(crate) use file::Orders;

pub(crate) use ledger::{Earner, Ledger};
pub(crate) use statement::{Credit, Statement};

const LEFT_OUT_SHOWN: usize = 20;
/// Events that tests/demo/orders.csv tells of; the ledger takes all of them.
const EVENTS: usize = 311;

/// Reads the file; it must tell of something.
pub(crate) fn read(path: &Path) -> anyhow::Result<Orders> {
    let orders = Orders::read(path)?;
    let why = orders
        .left_out
        .first()
        .map(|row| format!(" (line {}: {})", row.line, row.reason));
    ensure!(
        !orders.events.is_empty(),
        "{}: no row tells of an order{}; remedy: write the columns \
         order,event,occurred_at,buyer,referrer,sku,qty,unit_price,refund,refund_amount",
        path.display(),
        why.unwrap_or_default(),
    );
    Ok(orders)
}

/// Tells the ledger every row of the file, and holds its books against the file.
pub(crate) async fn settle(run: &mut Run<'_>, shop: &Shop, orders: Orders) -> anyhow::Result<Ledger> {
    let began = Instant::now();
    let plan = run
        .api
        .post("referral", "/v1/plans/yunji-demo")
        .token(&shop.owner.token().await?);
    plan.json(&json!({})).ok().await?;
    let told = tell::all(run, shop, orders.events).await?;
    show(run, [orders.left_out, told.left_out].concat());
    run.done("Order events told to the ledger", told.events.len(), began);
    // What is left out of somebody's own file is shown; the books are held against the rest.
    if !run.home.options.has_own_orders() {
        run.checks
            .equal("events of orders.csv the ledger took", EVENTS, told.events.len());
    }
    ensure!(!told.events.is_empty(), "the ledger took none of the events");
    let (answers, sums) = expected::of(&told.events);
    for ((event, expected), found) in told.events.iter().zip(&answers).zip(&told.answers) {
        run.checks
            .equal(format_args!("answer to {}", event.id()), &words(*expected), found);
    }
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    told.answers
        .iter()
        .for_each(|answer| *tally.entry(answer).or_default() += 1);
    for (answer, times) in tally {
        run.part(answer, times);
    }

    let began = Instant::now();
    let ledger = ledger::read(run, shop).await?;
    ledger.check(&mut run.checks, &sums);
    run.done(
        "People with a commission, to the fen",
        ledger.earners.len(),
        began,
    );
    Ok(ledger)
}

/// Names the rows that could not be told, by line.
fn show(run: &Run<'_>, mut left_out: Vec<LeftOut>) {
    left_out.sort_by_key(|row| row.line);
    let path = run.home.options.orders.display();
    for row in left_out.iter().take(LEFT_OUT_SHOWN) {
        run.screen
            .note(&format!("{path} line {}: {}; left out", row.line, row.reason));
    }
    if left_out.len() > LEFT_OUT_SHOWN {
        run.screen
            .note(&format!("… and {} more lines", left_out.len() - LEFT_OUT_SHOWN));
    }
}

fn words(answer: Answer) -> String {
    match answer {
        Answer::Posted => "posted".to_owned(),
        Answer::Replayed => "replayed".to_owned(),
        Answer::Parked(code) => format!("parked: {code}"),
    }
}
