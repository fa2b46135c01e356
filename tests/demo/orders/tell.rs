//! Telling the ledger what the shop says happened.

use std::collections::BTreeMap;

use anyhow::ensure;
use client::{Answer, text};
use reqwest::StatusCode;

use crate::brand::Shop;
use crate::crowd::each;
use crate::run::Run;

use super::file::{Event, LeftOut};

/// What the ledger made of each event it took, in the file's order; and those it would not take.
pub(crate) struct Told {
    pub(crate) events: Vec<Event>,
    /// `posted`, `replayed`, `parked: SELF`.
    pub(crate) answers: Vec<String>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// Tells each order's events in the file's order; orders go side by side.
pub(crate) async fn all(run: &Run<'_>, shop: &Shop, events: Vec<Event>) -> anyhow::Result<Told> {
    let mut orders: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for event in events {
        orders.entry(event.order.clone()).or_default().push(event);
    }
    let orders: Vec<Vec<Event>> = orders.into_values().collect();
    let bar = run.screen.bar("Telling orders", orders.len());
    let answers = each(&bar, &orders, async |order| {
        let mut answers = Vec::with_capacity(order.len());
        for event in order {
            let ask = run
                .api
                .post("referral", "/v1/order-events")
                .token(&shop.operator.token().await?);
            answers.push(read(ask.json(&event.body()).answer().await?)?);
        }
        Ok(answers)
    })
    .await?;
    let answers = answers.into_iter().flatten();
    let mut told: Vec<_> = orders.into_iter().flatten().zip(answers).collect();
    told.sort_by_key(|(event, _)| event.line);
    Ok(Told::sort_out(told))
}

/// The answer to an event, or why it is none for the ledger.
fn read(answer: Answer) -> anyhow::Result<Result<String, String>> {
    // Kept for a person to look at, and told at once.
    if answer.code() == "key_conflict" {
        return Ok(Ok("parked: KEY_CONFLICT".to_owned()));
    }
    if answer.status == StatusCode::BAD_REQUEST {
        let part = |name: &str| answer.body[name].as_str().unwrap_or_default();
        return Ok(Err(format!("{}: {}", part("field"), part("detail"))));
    }
    let answer = answer.ok()?;
    let outcome = text(&answer, "outcome")?;
    ensure!(
        ["posted", "replayed", "parked"].contains(&&*outcome),
        "an answer is {outcome}"
    );
    Ok(Ok(match answer["code"].as_str() {
        Some(code) if outcome == "parked" => format!("{outcome}: {code}"),
        _ => outcome,
    }))
}

impl Told {
    fn sort_out(told: Vec<(Event, Result<String, String>)>) -> Self {
        let mut this = Self {
            events: Vec::new(),
            answers: Vec::new(),
            left_out: Vec::new(),
        };
        for (event, answer) in told {
            match answer {
                Ok(answer) => {
                    this.events.push(event);
                    this.answers.push(answer);
                }
                Err(reason) => this.left_out.push(LeftOut {
                    line: event.line,
                    reason,
                }),
            }
        }
        this
    }
}
