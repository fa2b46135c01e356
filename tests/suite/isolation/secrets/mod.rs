//! S15: secrets and personal data are told by no log line, span, figure or refusal, whatever goes wrong.

mod canary;
mod drive;

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use client::Api;
use prost::Message;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use testkit::{Set, eventually, http};

use self::canary::Canaries;
use self::drive::{Driver, REQUEST_ID, Way, ways};
use super::findings::Findings;
use super::replica::TALKATIVE;
use super::world::World;
use crate::spans::Spans;

/// In the order in which they fail: a listener before those it listens to.
const SERVICES: [&str; 5] = ["broadcast", "referral", "groups", "customers", "identity"];
/// Refuses every row, and Postgres says in its refusal what stood in it.
const REFUSAL: &str = "refuses_everything";
/// Postgres' words for it, which the log must have, or nothing was tried.
const REFUSED: &str = "violates check constraint";
const REFUSED_MIN: usize = 50;
/// The library's tables: without them no request would reach the service's own.
const OUTBOX_TABLES: &str = "'outbox', 'inbox', 'request', 'dead_letter', 'relay_state'";

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_nobody_is_named_in_logs_spans_figures_and_refusals() -> anyhow::Result<()> {
    let (receiver, endpoint) = Spans::receive().await?;
    let env = [
        ("SHEQUN_LOG", TALKATIVE.to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
    ];
    let mut set = Set::start_with("secrets", &env).await?;
    let world = World::new(set.stack()).await?;
    let mut canaries = Canaries::of(set.stack().description())?;
    canaries.meet(&world);
    let ways = ways(set.stack(), &world).await?;
    let mut findings = Findings::default();
    let api = Api::new(set.stack());
    let mut driver = Driver {
        api: &api,
        world: &world,
        canaries: &mut canaries,
        findings: &mut findings,
        answered: 0,
        failed: 0,
    };
    driver.all(&ways, None).await?;
    let failed = driver.failed;
    refuse_rows(&set, &mut driver, &ways).await?;
    let refused = driver.failed - failed;
    panic_in_a_listener(&mut set, &world).await?;
    let figures = figures(&set).await?;
    go_dark(&set, &mut driver, &ways).await?;
    let processes: Vec<String> = set.stack().description().processes.keys().cloned().collect();
    for name in &processes {
        set.terminate(name).await.with_context(|| name.clone())?;
    }
    findings.check(failed == 0, || format!("{failed} requests failed by themselves"));
    findings.check(refused >= REFUSED_MIN, || {
        format!("only {refused} requests failed in Postgres")
    });
    search(&set, &processes, &receiver, &figures, &canaries, &mut findings)?;
    findings.report("things that might be told", 5_000)
}

/// Every table of a service refuses every row, and the rows are in Postgres' refusal.
async fn refuse_rows(set: &Set, driver: &mut Driver<'_>, ways: &[Way]) -> anyhow::Result<()> {
    let mut postgres = PgConnection::connect(&set.stack().description().postgres.superuser_url).await?;
    for service in SERVICES {
        let alter = |change: &str| {
            format!(
                "do $$ declare name text; begin
                   for name in select relname from pg_class where relnamespace = '{service}'::regnamespace
                     and relkind in ('r', 'p') and not relispartition
                     and relname not in ({OUTBOX_TABLES}) and relname not like '\\_%' loop
                     execute format('alter table {service}.%I {change}', name);
                   end loop;
                 end $$"
            )
        };
        let refuse = alter(&format!("add constraint {REFUSAL} check (false) not valid"));
        sqlx::raw_sql(AssertSqlSafe(refuse))
            .execute(&mut postgres)
            .await?;
        driver.all(ways, Some(service)).await?;
        // News for listeners, whose rows are refused as well.
        if service != "customers" && service != "identity" {
            driver.all(ways, Some("customers")).await?;
        } else if service == "customers" {
            driver.all(ways, Some("identity")).await?;
        }
        let heal = alter(&format!("drop constraint {REFUSAL}"));
        sqlx::raw_sql(AssertSqlSafe(heal)).execute(&mut postgres).await?;
    }
    Ok(())
}

/// A panic's words go to the log past everything that could hold them back.
async fn panic_in_a_listener(set: &mut Set, world: &World) -> anyhow::Result<()> {
    set.terminate("broadcast").await?;
    set.run("broadcast", Some("consume-before-commit=panic")).await?;
    world.scene.scan("wx-panic").await?;
    let log = set.stack().state().join("log/broadcast.log");
    eventually(async || {
        ensure!(
            std::fs::read_to_string(&log)?.contains("panicked"),
            "nothing panicked"
        );
        anyhow::Ok(())
    })
    .await?;
    // A listener whose lane died may not end within its drain; it has said what it had to say.
    set.kill("broadcast").await?;
    set.run("broadcast", None).await
}

/// Without Postgres and NATS: every request fails, and every loop tells why.
async fn go_dark(set: &Set, driver: &mut Driver<'_>, ways: &[Way]) -> anyhow::Result<()> {
    for server in ["postgres", "nats"] {
        set.stack().kill(server)?;
    }
    let mut tried = BTreeSet::new();
    for way in ways {
        if tried.insert(way.service()) {
            driver.once(way).await?;
        }
    }
    let stack = set.stack();
    tokio::task::block_in_place(|| stack.heal())?;
    set.all_answer(reqwest::StatusCode::OK, testkit::READY).await
}

async fn figures(set: &Set) -> anyhow::Result<Vec<(String, String)>> {
    let mut figures = Vec::new();
    for (name, process) in &set.stack().description().processes {
        let url = format!("{}/metrics", process.url("ops"));
        figures.push((
            format!("/metrics of {name}"),
            http().get(url).send().await?.text().await?,
        ));
    }
    Ok(figures)
}

fn search(
    set: &Set,
    processes: &[String],
    receiver: &Spans,
    figures: &[(String, String)],
    canaries: &Canaries,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut all = String::new();
    for name in processes {
        let log = std::fs::read(set.stack().state().join(format!("log/{name}.log")))?;
        canaries.search(&format!("the log of {name}"), &log, findings);
        let log = String::from_utf8_lossy(&log).into_owned();
        let is_talkative = log.lines().any(|line| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["level"] == "DEBUG"
        });
        findings.check(is_talkative, || {
            format!("the log of {name} is too quiet to tell anything")
        });
        all += &log;
    }
    for (place, text) in figures {
        canaries.search(place, text.as_bytes(), findings);
    }
    let spans: Vec<u8> = receiver
        .received()
        .iter()
        .flat_map(Message::encode_to_vec)
        .collect();
    canaries.search("a span", &spans, findings);
    let spans = String::from_utf8_lossy(&spans);
    for service in SERVICES {
        findings.check(spans.contains(service), || format!("{service} told no spans"));
    }
    // What must be there: the search is not blind, and everything was tried.
    for word in [
        REQUEST_ID,
        REFUSED,
        "panicked",
        "request failed",
        "event not handled",
    ] {
        findings.check(all.contains(word), || format!("no log says {word:?}"));
    }
    findings.check(spans.contains(REQUEST_ID), || {
        format!("no span says {REQUEST_ID}")
    });
    Ok(())
}
