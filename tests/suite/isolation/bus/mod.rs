//! S5: each NATS user × every subject and API call there is; what is not named in `edges.toml` is refused.

mod calls;
mod wire;

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testkit::Stack;

use self::calls::{Case, cases};
use self::wire::{Attempt, Wire};
use super::edges::{Durable, Edges};
use super::findings::Findings;

const CASES_MIN: usize = 150;
/// What NATS answers when a subject leads nowhere.
const NOBODY: &str = "NATS/1.0 503";

#[tokio::test]
async fn each_user_may_do_exactly_what_the_edges_say() -> anyhow::Result<()> {
    let (stack, edges) = (Stack::shared()?, Edges::load()?);
    let users = users(&edges);
    let mut findings = Findings::default();
    for user in &users {
        let cases = cases(&edges, user, &users);
        let attempts: Vec<Attempt> = cases.iter().map(|case| case.attempt.clone()).collect();
        let distinct: BTreeSet<&Attempt> = attempts.iter().collect();
        ensure!(distinct.len() == attempts.len(), "the generator repeats itself");
        let answered = cases.iter().filter(|case| case.allowed && case.answered);
        let answered = answered.map(|case| case.attempt.clone()).collect();
        let verdicts = Wire::connect(&stack, user)
            .await?
            .attempt(&attempts, &answered)
            .await?;
        for Case { attempt, allowed, .. } in &cases {
            let works = !verdicts.refused.contains(attempt);
            findings.check(works == *allowed, || match allowed {
                true => {
                    format!("{user} is refused {attempt:?}, which edges.toml allows: see deploy/dev/bus.py")
                }
                false => format!(
                    "{user} may {attempt:?}, and nothing in edges.toml says so: see deploy/dev/bus.py"
                ),
            });
        }
        for attempt in &answered {
            let answer = verdicts.answers.get(attempt);
            findings.check(answer.is_some_and(|answer| !answer.starts_with(NOBODY)), || {
                format!(
                    "{user}: {attempt:?} leads nowhere ({answer:?}): do the services run, is it spelt right?"
                )
            });
        }
    }
    findings.report("NATS permissions", CASES_MIN)
}

/// The permission sees the subject only; that the body agrees is the server's part.
#[tokio::test]
async fn a_durable_takes_no_other_filter_than_its_subject_names() -> anyhow::Result<()> {
    let (stack, edges) = (Stack::shared()?, Edges::load()?);
    let mut findings = Findings::default();
    for (user, service) in &edges.service {
        let mut wire = Wire::connect(&stack, user).await?;
        for (name, durable) in &service.durables {
            let Durable { stream, event } = durable;
            let info = format!("$JS.API.CONSUMER.INFO.{stream}.{name}");
            let before = wire.call(&info, &json!({})).await?["config"].take();
            let create = format!("$JS.API.CONSUMER.CREATE.{stream}.{name}.{event}.>");
            for (what, body) in forgeries(durable, &before) {
                let answer = wire.call(&create, &body).await?;
                findings.check(answer["error"].is_object(), || {
                    format!("{user} made {name} with {what}: {answer}")
                });
            }
            let after = wire.call(&info, &json!({})).await?["config"].take();
            findings.check(before == after, || format!("{name} was {before} and is {after}"));
            let again = json!({"stream_name": stream, "config": before, "action": ""});
            let answer = wire.call(&create, &again).await?;
            findings.check(answer["error"].is_null(), || {
                format!("{user} can't keep {name}: {answer}")
            });
        }
    }
    findings.report("consumer bodies", 8)
}

/// Bodies that ask for more than the subject they are sent to.
fn forgeries(durable: &Durable, config: &Value) -> Vec<(&'static str, Value)> {
    let with = |changes: &[(&str, Value)]| {
        let mut config = config.clone();
        for (field, value) in changes {
            config[*field] = value.clone();
        }
        json!({"stream_name": durable.stream, "config": config, "action": ""})
    };
    let all = json!("shequn.>");
    let both = json!([format!("{}.>", durable.event), "shequn.identity.v1.MemberLeft.>"]);
    let mut elsewhere = with(&[]);
    elsewhere["stream_name"] = json!("OTHER");
    vec![
        ("a wider filter", with(&[("filter_subject", all.clone())])),
        (
            "another filter",
            with(&[("filter_subject", json!("shequn.other.v1.Event.>"))]),
        ),
        ("no filter", with(&[("filter_subject", Value::Null)])),
        (
            "several filters",
            with(&[("filter_subject", Value::Null), ("filter_subjects", both)]),
        ),
        (
            "another durable's name",
            with(&[("durable_name", json!("other")), ("name", json!("other"))]),
        ),
        ("another stream", elsewhere),
    ]
}

fn users(edges: &Edges) -> Vec<&str> {
    edges.service.keys().map(String::as_str).chain(["tail"]).collect()
}

/// The generator itself: a wall that is missing must show.
#[tokio::test]
async fn an_unrestricted_user_is_found_out() -> anyhow::Result<()> {
    let (stack, edges) = (Stack::shared()?, Edges::load()?);
    let cases = cases(&edges, "groups", &users(&edges));
    let harmless = cases
        .iter()
        .filter(|case| matches!(case.attempt, Attempt::Subscribe(_)));
    let attempts: Vec<Attempt> = harmless.map(|case| case.attempt.clone()).collect();
    let verdicts = Wire::connect(&stack, "admin")
        .await?
        .attempt(&attempts, &BTreeSet::new())
        .await?;
    ensure!(
        verdicts.refused.is_empty(),
        "admin is refused {:?}",
        verdicts.refused
    );
    let lost = cases
        .iter()
        .find(|case| !case.allowed && attempts.contains(&case.attempt));
    lost.map(drop)
        .context("no case would have told that admin may do what groups may not")
}
