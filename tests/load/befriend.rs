//! Scans per second through HTTP, beside the same statements run by pgbench on the same server.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use testkit::{Set, repository};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::figure::{Figures, median};
use crate::http::Connection;
use crate::scene::Scene;

const CONNECTIONS: usize = 32;
/// As many as the service's own pool.
const PGBENCH_CLIENTS: usize = 10;

pub(crate) async fn measure(
    set: &mut Set,
    scene: &Scene,
    figures: &mut Figures,
    rounds: usize,
    secs: u64,
) -> anyhow::Result<()> {
    // Who listens works on other operations: the welcome, the projection of people.
    for listener in [
        "broadcast-worker-1",
        "broadcast-worker-2",
        "broadcast",
        "referral",
    ] {
        set.terminate(listener).await?;
    }
    let script = set.stack().state().join("befriend.pgbench");
    tokio::fs::write(&script, pgbench_script(scene)?).await?;
    let (mut http, mut baseline) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let over_http = scan_for(scene, &format!("http-{round}-"), secs).await?;
        let in_pgbench = pgbench(set, &script, secs).await?;
        // The first round only warms up.
        if round > 0 {
            http.push(over_http);
            baseline.push(in_pgbench);
        }
    }
    figures.add(
        "befriend_http_per_s",
        median(&http),
        "1/s",
        Some(median(&baseline)),
    )
}

async fn scan_for(scene: &Scene, prefix: &str, secs: u64) -> anyhow::Result<f64> {
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let until = began + Duration::from_secs(secs);
    let mut lanes = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(&scene.customers_url).await?;
        let (next, prefix) = (Arc::clone(&next), prefix.to_owned());
        let template = scene.scan("EXTERNAL_ID");
        lanes.spawn(async move {
            while Instant::now() < until {
                let id = format!("{prefix}{}", next.fetch_add(1, Ordering::Relaxed));
                let status = connection
                    .post("/v1/scans", &template.replace("EXTERNAL_ID", &id))
                    .await?;
                ensure!(status == 200, "a scan was answered {status}");
            }
            anyhow::Ok(())
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    let elapsed = began.elapsed().as_secs_f64();
    let scans = next.load(Ordering::Relaxed);
    let (contacts, events) = (scene.contacts(prefix).await?, scene.events(prefix).await?);
    ensure!(
        (contacts, events) == (scans.cast_signed(), scans.cast_signed()),
        "{scans} scans made {contacts} contacts and {events} events"
    );
    Ok(scans as f64 / elapsed)
}

async fn pgbench(set: &Set, script: &std::path::Path, secs: u64) -> anyhow::Result<f64> {
    let program = set.stack().description().postgres.bin.join("pgbench");
    let url = &set.stack().process("customers").env["SHEQUN_DATABASE_URL"];
    let output = Command::new(program)
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={PGBENCH_CLIENTS}"))
        .arg(format!("--time={secs}"))
        .arg("--file")
        .arg(script)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "pgbench: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(text.contains("failed transactions: 0"), "{text}");
    text.lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
        .with_context(|| format!("no rate in {text}"))
}

/// The operation's statements as the service sends them, from its own offline data, so that the
/// baseline changes with the service.
fn pgbench_script(scene: &Scene) -> anyhow::Result<String> {
    let code = format!("'{}'::uuid", scene.code_id);
    let person = "'pgbench-' || :person".to_owned();
    let now = "now()".to_owned();
    let of_token = query("code_of_token")?;
    let standing = query("left join contact on contact.external_id")?;
    let befriend = query("with person as")?;
    let tenant = format!("'{}'::uuid", scene.tenant_id);
    let member = format!("'{}'::uuid", scene.member_id);
    let empty = "''".to_owned();
    let befriend = bind(
        &befriend,
        &[
            tenant.clone(),
            "uuidv7()".to_owned(),
            person.clone(),
            empty.clone(),
            empty.clone(),
            "1".to_owned(),
            now.clone(),
            code.clone(),
            member,
            empty,
        ],
    );
    let record = bind(
        "insert into outbox (event_id, tenant_id, name, key, occurred_at, payload, traceparent)
         select uuidv7(), $1, 'shequn.customers.v1.ContactBefriended', uuidv7()::text, now(), $2, null",
        &[tenant, "decode(repeat('00', 300), 'hex')".to_owned()],
    );
    Ok(format!(
        "\\set person random(1, 1000000000000)\n\
         {};\nbegin;\nset local shequn.tenant = '{}';\n{};\n{befriend};\n{record};\ncommit;\n",
        bind(&of_token, &[format!("'{}'", scene.code)]),
        scene.tenant_id,
        bind(&standing, &[code, person]),
    ))
}

/// The one query of customers that contains `part`.
fn query(part: &str) -> anyhow::Result<String> {
    let folder = repository().join("services/customers/.sqlx");
    for entry in std::fs::read_dir(&folder).context("customers' offline data")? {
        let data: Value = serde_json::from_slice(&std::fs::read(entry?.path())?)?;
        let text = data["query"].as_str().unwrap_or_default();
        if text.contains(part) {
            // pgbench reads `:name` as a variable and a line as a command.
            return Ok(text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    bail!("no query of customers contains {part:?}")
}

/// Puts expressions in the place of `$1`, `$2`…
fn bind(query: &str, values: &[String]) -> String {
    let numbered = values.iter().enumerate().rev();
    numbered.fold(query.to_owned(), |text, (n, value)| {
        text.replace(&format!("${}", n + 1), value)
    })
}
