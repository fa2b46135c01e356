//! Scans per second through HTTP, beside the same statements run by pgbench on the same server.
//!
//! Who scans has no token yet, so none is verified: the door's work here is the token signed for each answer.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use testkit::{Set, eventually_within, repository};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::figure::{Figures, median};
use crate::http::Connection;
use crate::scene::Scene;

const CONNECTIONS: usize = 32;
/// As many as the service's own pool.
const PGBENCH_CLIENTS: usize = 10;
const PGBENCH_PEOPLE: &str = "pgbench-";
const FLUSHED: Duration = Duration::from_secs(30);

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
        eventually_within(FLUSHED, async || match scene.unpublished().await? {
            0 => anyhow::Ok(()),
            left => bail!("{left} events are not published yet"),
        })
        .await?;
        // Or its relay would publish what pgbench records, on the same cores.
        set.terminate("customers").await?;
        let in_pgbench = pgbench(set, scene, &script, secs).await?;
        scene.forget_unpublished().await?;
        set.run("customers", None).await?;
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

async fn pgbench(set: &Set, scene: &Scene, script: &std::path::Path, secs: u64) -> anyhow::Result<f64> {
    let before = scene.contacts(PGBENCH_PEOPLE).await?;
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
    let figure = |name: &str| -> anyhow::Result<f64> {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.split(' ').next());
        value
            .and_then(|value| value.parse().ok())
            .with_context(|| format!("no {name:?} in {text}"))
    };
    let (scans, rate) = (
        figure("number of transactions actually processed: ")?,
        figure("tps = ")?,
    );
    let contacts = scene.contacts(PGBENCH_PEOPLE).await? - before;
    // Drawn at random out of 10¹², now and then one comes twice.
    ensure!(
        contacts as f64 >= scans * 0.999,
        "{scans} scans in pgbench made {contacts} contacts"
    );
    Ok(rate)
}

/// The operation's statements as the service sends them: its queries from its own offline data, so that the baseline
/// changes with the service, and the outbox's, which has none.
fn pgbench_script(scene: &Scene) -> anyhow::Result<String> {
    let code = format!("'{}'::uuid", scene.code_id);
    let person = format!("'{PGBENCH_PEOPLE}' || :person");
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
        "with event as (
           insert into outbox (event_id, tenant_id, name, key, occurred_at, payload, traceparent)
           select event_id, tenant_id, 'shequn.customers.v1.ContactBefriended', key, now(), payload, null
           from unnest(array[uuidv7()], array[$1], array[uuidv7()::text], array[$2]) with ordinality
             as event (event_id, tenant_id, key, payload, n)
           order by n
         )
         insert into audit_entry (tenant_id, actor_kind, actor_id, action, subject_id, note, trace_id)
         select $1, 'contact', id, 'contact.befriended', id, null, null
         from unnest(array[uuidv7()::text]) with ordinality as entry (id, n)
         order by n",
        &[tenant, "decode(repeat('00', 300), 'hex')".to_owned()],
    );
    Ok(format!(
        "\\set person random(1, 1000000000000)\n\
         {};\n\\startpipeline\nbegin;\nset local shequn.tenant = '{}';\n\\endpipeline\n\
         {};\n{befriend};\n{record};\ncommit;\n",
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
