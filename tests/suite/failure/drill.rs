//! The drill: a brand in the midst of its work is backed up, wiped and restored, and nothing has drifted.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use testkit::{Set, Signal, eventually, stack_py};

use crate::isolation::edges::Edges;
use crate::scene::{Contact, Scene};

const AUDIENCE: usize = 80;
const RATE_PER_S: usize = 10;
/// Contacts of whom some service has not heard yet when the copy is made.
const IN_FLIGHT: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_brand_has_not_drifted() -> anyhow::Result<()> {
    let mut set = Set::start_with("drill", &[("SHEQUN_LEASE_SECS", "3".to_owned())]).await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let mut contacts = scene.scan_many(AUDIENCE).await?;
    let members = &contacts[..10];
    let series = scene.series(100).await?;
    for contact in members {
        scene.join(&series, contact).await?;
    }
    let orders = orders();
    let plan = scene.api.post("referral", "/v1/plans/yunji-demo");
    plan.token(&scene.brand.owner.token).json(&json!({})).ok().await?;
    for order in &orders {
        ensure!(post(&scene, order).await? == "posted", "{order}");
    }
    let books = books(&scene).await?;
    let broadcast = started(&scene, &contacts).await?;

    contacts.extend(in_flight(&mut set, &scene).await?);
    let backup = back_up(&set).await?;
    live_on(&mut set, &scene).await?;
    restore(&mut set, &backup).await?;
    let database = PgPool::connect(&set.stack().description().postgres.superuser_url).await?;
    was_in_the_midst(&database).await?;
    age(&database).await?;
    for name in &names(&set) {
        set.run(name, None).await?;
    }

    let outcome = scene.finished(&broadcast).await?;
    ensure!(outcome["outcomes"]["delivered"] == AUDIENCE, "{outcome}");
    scene.all_reached_once(&contacts[..AUDIENCE]).await?;
    scene.all_welcomed_once(&contacts).await?;
    scene.all_greeted_once(&contacts[..10]).await?;
    every_event_is_in_effect_once(&scene, &database).await?;
    services_agree(&database, contacts.len()).await?;
    ensure!(self::books(&scene).await? == books, "the books have changed");
    for order in &orders {
        ensure!(post(&scene, order).await? == "replayed", "{order}");
    }
    ensure!(self::books(&scene).await? == books, "an order was paid for twice");
    // What came after the copy never was: the shop sends its order again, the contact scans again.
    ensure!(post(&scene, &order("late")).await? == "posted");
    let late = scene.scan("late-0").await?;
    ensure!(late.first, "{late:?}");
    scene.all_welcomed_once(&[late]).await
}

/// All processes, identity first: the others ask it for its keys before they are ready.
fn names(set: &Set) -> Vec<String> {
    let names = set.stack().description().processes.keys().cloned();
    let (mut identity, others): (Vec<_>, Vec<_>) = names.partition(|name| name == "identity");
    identity.extend(others);
    identity
}

fn orders() -> Vec<Value> {
    let refunded = json!({
        "id": "refund", "type": "order.refunded", "occurred_at": "2026-03-05T10:00:00+08:00", "order": "o0",
        "refund": "r0", "lines": [{"line": 1, "amount": 39_800}],
    });
    let paid = (0..6).map(|n| order(&n.to_string()));
    paid.chain([refunded]).collect()
}

fn order(n: &str) -> Value {
    json!({
        "id": format!("paid-{n}"), "type": "order.paid", "occurred_at": "2026-03-01T10:00:00+08:00",
        "order": format!("o{n}"), "buyer": "wx-1", "referrer": "wx-2",
        "lines": [{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39_800}],
    })
}

/// What became of an order's event.
async fn post(scene: &Scene, event: &Value) -> anyhow::Result<String> {
    let ask = scene.api.post("referral", "/v1/order-events");
    let answer = ask.token(&scene.operator.token).json(event).ok().await?;
    client::text(&answer, "outcome")
}

/// The trial balance, whose totals are zero, and the statement of who earned.
async fn books(scene: &Scene) -> anyhow::Result<(Value, Value)> {
    let token = &scene.brand.owner.token;
    let balance = scene
        .api
        .get("referral", "/v1/trial-balance")
        .token(token)
        .ok()
        .await?;
    let totals = balance["totals"].as_array().context("totals")?;
    ensure!(
        !totals.is_empty() && totals.iter().all(|total| total["minor"] == 0),
        "{balance}"
    );
    let statement = scene
        .api
        .get("referral", "/v1/statements/wx-2")
        .token(token)
        .ok()
        .await?;
    Ok((balance, statement))
}

/// A mass message that takes its time, of which something is sent.
async fn started(scene: &Scene, contacts: &[Contact]) -> anyhow::Result<String> {
    let broadcast = scene
        .broadcast(&scene.operator, "enterprise", json!({"rate_per_s": RATE_PER_S}))
        .await?;
    scene.confirm_all(&broadcast, contacts).await?;
    eventually(async || {
        let progress = scene.progress(&broadcast).await?;
        let sent = progress["outcomes"]["delivered"].as_u64().unwrap_or(0);
        ensure!(sent > 0, "{progress}");
        anyhow::Ok(())
    })
    .await?;
    Ok(broadcast)
}

/// Contacts of whom referral has not heard, and others of whom nobody has: NATS hears nothing until the copy is made.
async fn in_flight(set: &mut Set, scene: &Scene) -> anyhow::Result<Vec<Contact>> {
    set.terminate("referral").await?;
    let mut contacts = Vec::new();
    for n in 0..IN_FLIGHT {
        contacts.push(scene.scan(&format!("unheard-{n}")).await?);
    }
    scene.all_welcomed_once(&contacts).await?;
    set.stack().signal("nats", Signal::SIGSTOP)?;
    for n in 0..IN_FLIGHT {
        contacts.push(scene.scan(&format!("unsaid-{n}")).await?);
    }
    Ok(contacts)
}

/// While everything runs, as a person would.
async fn back_up(set: &Set) -> anyhow::Result<PathBuf> {
    let state = set.stack().state();
    tokio::task::block_in_place(|| stack_py(state, &["backup"]))?;
    let mut backups = std::fs::read_dir(state.join("backups"))?;
    Ok(backups.next().context("no backup")??.path())
}

/// Work after the copy, of which every service hears, and which will never have been.
async fn live_on(set: &mut Set, scene: &Scene) -> anyhow::Result<()> {
    set.stack().signal("nats", Signal::SIGCONT)?;
    set.run("referral", None).await?;
    let mut late = Vec::new();
    for n in 0..IN_FLIGHT {
        late.push(scene.scan(&format!("late-{n}")).await?);
    }
    scene.all_welcomed_once(&late).await?;
    ensure!(post(scene, &order("late")).await? == "posted");
    Ok(())
}

/// Loses the whole set, and puts back what the copy holds: never under running services, nor over data unasked.
async fn restore(set: &mut Set, backup: &Path) -> anyhow::Result<()> {
    let state = set.stack().state().to_owned();
    let folder = backup.to_str().context("a path in UTF-8")?;
    let refused = |arguments: &[&str], why: &str| {
        let error = stack_py(&state, arguments).err().context("it was not refused")?;
        ensure!(error.to_string().contains(why), "{error:#}");
        anyhow::Ok(())
    };
    tokio::task::block_in_place(|| refused(&["restore", "--wipe", folder], "runs"))?;
    for name in &names(set) {
        set.kill(name).await?;
    }
    set.stack().kill("nats")?;
    set.stack().kill("postgres")?;
    tokio::task::block_in_place(|| {
        stack_py(&state, &["down"])?;
        refused(&["restore", folder], "holds data")?;
        stack_py(&state, &["restore", "--wipe", folder])
    })
}

async fn counts(database: &PgPool, query: &str) -> anyhow::Result<Vec<i64>> {
    Ok(
        sqlx::query_scalar::<_, Vec<i64>>(AssertSqlSafe(format!("select array[{query}]")))
            .fetch_one(database)
            .await?,
    )
}

/// The copy holds half a mass message, events that nobody was told of, and events that somebody has yet to hear.
async fn was_in_the_midst(database: &PgPool) -> anyhow::Result<()> {
    let held = counts(
        database,
        "(select sum(ended) from broadcast.chunk), (select sum(recipients) from broadcast.chunk),
         (select count(*) from customers.outbox where published_at is null),
         (select count(*) from customers.outbox where published_at is not null and name like '%.ContactBefriended'),
         (select count(*) from referral.inbox where handled_at is not null)",
    )
    .await?;
    let [ended, recipients, unsaid, said, heard] = held[..] else {
        anyhow::bail!("{held:?}");
    };
    ensure!(
        0 < ended && ended < recipients,
        "{ended} of {recipients} are sent"
    );
    ensure!(
        unsaid >= IN_FLIGHT as i64 && said >= heard + IN_FLIGHT as i64,
        "{held:?}"
    );
    Ok(())
}

/// As if the backup were older than anything is kept.
async fn age(database: &PgPool) -> anyhow::Result<()> {
    for service in Edges::load()?.service.keys() {
        let statement = format!(
            "update {service}.outbox set published_at = published_at - interval '30 days';
             update {service}.inbox set seen_at = seen_at - interval '30 days';"
        );
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(database).await?;
    }
    Ok(())
}

/// Every stream holds what its outbox does, and each listener has had exactly that.
async fn every_event_is_in_effect_once(scene: &Scene, database: &PgPool) -> anyhow::Result<()> {
    for (service, table) in Edges::load()?.service {
        let events = table
            .durables
            .iter()
            .filter(|(_, at)| at.stream != "BROADCAST_WORK");
        for (durable, at) in events {
            let publisher = at.stream.to_lowercase();
            let told = format!(
                "select event_id from {publisher}.outbox where name = '{}'",
                at.event
            );
            let heard = format!(
                "select event_id from {service}.inbox where consumer = '{durable}' and handled_at is not null"
            );
            let drift = format!(
                "(select count(*) from ({told} except {heard}) as lost),
                 (select count(*) from ({heard} except {told}) as invented)"
            );
            eventually(async || {
                let drift = counts(database, &drift).await?;
                ensure!(drift == [0, 0], "{durable} lost or invented: {drift:?}");
                anyhow::Ok(())
            })
            .await?;
        }
        let query = format!(
            "(select count(*) from {service}.outbox where published_at is null),
             (select count(*) from {service}.dead_letter), (select count(*) from {service}.outbox)"
        );
        let left = counts(database, &query).await?;
        let stream = scene.bus.get_stream(service.to_uppercase()).await?;
        let kept = stream.cached_info().state.messages.cast_signed();
        ensure!(
            left == [0, 0, kept],
            "{service}: {left:?}, its stream holds {kept}"
        );
    }
    Ok(())
}

/// Who is a contact, followed, welcomed and known to the ledger; who has a seat and was greeted.
async fn services_agree(database: &PgPool, contacts: usize) -> anyhow::Result<()> {
    let known = counts(
        database,
        "(select count(*) from customers.contact), (select count(*) from customers.follow),
         (select count(*) from customers.contact join referral.person using (tenant_id, contact_id, external_id)),
         (select count(*) from referral.person),
         (select count(*) from customers.follow join broadcast.inbox_message on kind = 'welcome'
            and inbox_message.contact_id = follow.contact_id and from_member = member_id),
         (select count(*) from broadcast.inbox_message where kind = 'welcome')",
    )
    .await?;
    ensure!(
        known.iter().all(|count| *count == contacts as i64),
        "{known:?} of {contacts}"
    );
    let seats = counts(
        database,
        "(select count(*) from groups.seat), (select count(*) from broadcast.inbox_message where kind = 'greeting'),
         (select count(*) from groups.seat join broadcast.inbox_message using (tenant_id, contact_id)
            where kind = 'greeting')",
    )
    .await?;
    ensure!(seats == [10, 10, 10], "{seats:?}");
    Ok(())
}
