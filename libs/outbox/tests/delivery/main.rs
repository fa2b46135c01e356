//! The way from a committed operation to a handled event, on a real Postgres and a real NATS.

mod lane;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::jetstream;
use contracts::customers::v1::ContactBefriended;
use contracts::{ContactId, Envelope, TenantId};
use jiff::Timestamp;
use outbox::{Handler, HandlerError, Tx};
use testkit::{Signal, eventually};

use self::lane::Lane;

fn befriended(tenant: TenantId, contact: ContactId, state: &str) -> ContactBefriended {
    ContactBefriended {
        tenant_id: tenant.to_string(),
        contact_id: contact.to_string(),
        state: state.to_owned(),
        ..ContactBefriended::default()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test is its own clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// Notes what it was handed, and fails while told to.
#[derive(Clone, Default)]
struct Notes {
    broken: Arc<AtomicBool>,
    seen: Arc<std::sync::Mutex<Vec<(String, String)>>>,
}

impl Handler<ContactBefriended> for Notes {
    async fn handle(
        &self,
        _tx: &mut Tx,
        event: ContactBefriended,
        envelope: &Envelope,
    ) -> Result<(), HandlerError> {
        assert_eq!(envelope.key, event.contact_id);
        if self.broken.load(Ordering::SeqCst) {
            return Err("the handler is broken".into());
        }
        self.seen
            .lock()
            .map_err(|_| "poisoned")?
            .push((event.contact_id, event.state));
        Ok(())
    }
}

impl Notes {
    fn seen(&self) -> Vec<(String, String)> {
        self.seen
            .lock()
            .expect("no handler panics while it notes")
            .clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relay_replicas_keep_the_order_of_each_key() -> anyhow::Result<()> {
    const KEYS: usize = 20;
    const EVENTS_PER_KEY: usize = 50;
    let lane = Lane::start("order").await?;
    let notes = Notes::default();
    let tenant = TenantId::new();
    let contacts: Vec<ContactId> = (0..KEYS).map(|_| ContactId::new()).collect();
    lane.relay().await?;
    lane.relay().await?;
    lane.listen(notes.clone()).await?;
    for n in 0..EVENTS_PER_KEY {
        for contact in &contacts {
            lane.record(tenant, *contact, &n.to_string()).await?;
        }
    }
    eventually(async || match notes.seen().len() {
        count if count == KEYS * EVENTS_PER_KEY => Ok(()),
        count => Err(count),
    })
    .await?;
    let mut by_key: HashMap<String, Vec<String>> = HashMap::new();
    for (contact, n) in notes.seen() {
        by_key.entry(contact).or_default().push(n);
    }
    let expected: Vec<String> = (0..EVENTS_PER_KEY).map(|n| n.to_string()).collect();
    assert!(by_key.values().all(|seen| *seen == expected), "{by_key:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_stream_is_filled_again_and_nothing_is_in_effect_twice() -> anyhow::Result<()> {
    let lane = Lane::start("wipe").await?;
    let notes = Notes::default();
    let tenant = TenantId::new();
    lane.relay().await?;
    lane.listen(notes.clone()).await?;
    for n in 0..10 {
        lane.record(tenant, ContactId::new(), &n.to_string()).await?;
    }
    eventually(async || {
        (lane.handled(tenant).await.ok() == Some(10))
            .then_some(())
            .ok_or("ten")
    })
    .await?;

    let admin = lane.bus("admin").await?;
    admin.jetstream().delete_stream("CUSTOMERS").await?;
    lane.record(tenant, ContactId::new(), "10").await?;

    eventually(async || {
        let state = admin
            .jetstream()
            .get_stream("CUSTOMERS")
            .await?
            .cached_info()
            .state
            .clone();
        anyhow::ensure!(state.messages == 11, "{} messages", state.messages);
        anyhow::ensure!(lane.handled(tenant).await? == 11);
        anyhow::Ok(())
    })
    .await?;
    assert_eq!(
        notes.seen().len(),
        11,
        "each event came once more, none had effect twice"
    );
    Ok(())
}

/// The stream falls back, and what comes next takes the sequences of what it lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_the_stream_lost_is_published_again() -> anyhow::Result<()> {
    let lane = Lane::start("tail").await?;
    let notes = Notes::default();
    let tenant = TenantId::new();
    lane.relay().await?;
    lane.listen(notes.clone()).await?;
    lane.record(tenant, ContactId::new(), "kept").await?;
    eventually(async || notes.seen().len().eq(&1).then_some(()).ok_or("one")).await?;

    // As if it had been published, as the second one, before the stream lost it.
    let mut tx = lane.publisher.begin(tenant).await?;
    outbox::record(&mut tx, &befriended(tenant, ContactId::new(), "lost"), now()).await?;
    sqlx::query(
        "with lost as (update outbox set published_at = now(), stream_seq = 2 where published_at is null)
         update relay_state set last_seq = 2",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;

    lane.record(tenant, ContactId::new(), "next").await?;
    eventually(async || {
        let mut seen: Vec<String> = notes.seen().into_iter().map(|(_, state)| state).collect();
        seen.sort();
        (seen == ["kept", "lost", "next"]).then_some(()).ok_or(seen)
    })
    .await?;
    Ok(())
}

/// A backup may be older than anything is kept: every row is past its time, the stream is another one, and NATS comes
/// later than the services.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_backup_holds_comes_again_and_is_in_effect_once() -> anyhow::Result<()> {
    let lane = Lane::start("restored").await?;
    let (notes, tenant) = (Notes::default(), TenantId::new());
    for n in 0..10 {
        lane.record(tenant, ContactId::new(), &n.to_string()).await?;
    }
    let mut tx = lane.publisher.begin_everyone().await?;
    let handled: Vec<uuid::Uuid> = sqlx::query_scalar(
        "with published as (
           update outbox set published_at = now() - interval '30 days', stream_seq = seq returning seq, event_id)
         select event_id from published where seq % 2 = 0",
    )
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query("insert into relay_state (stream, epoch, last_seq) values ('customers', 1, 10)")
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into request (tenant_id, key, fingerprint, at) values ($1, 'old', '', now() - interval '30 days')",
    )
    .bind(tenant.0)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    let mut tx = lane.listener.begin_everyone().await?;
    sqlx::query(
        "insert into inbox (consumer, event_id, tenant_id, attempts, handled_at, seen_at)
         select 'broadcast-welcome', event_id, $2, 1, now(), now() - interval '30 days' from unnest($1) as event_id",
    )
    .bind(&handled)
    .bind(tenant.0)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;

    lane.stack.signal("nats", Signal::SIGSTOP)?;
    lane.relay().await?;
    lane.listen(notes.clone()).await?;
    eventually(async || {
        let mut tx = lane.publisher.begin_everyone().await?;
        let old: i64 = sqlx::query_scalar("select count(*) from request")
            .fetch_one(&mut *tx)
            .await?;
        anyhow::ensure!(old == 0, "it has not pruned yet");
        anyhow::Ok(())
    })
    .await?;
    lane.stack.signal("nats", Signal::SIGCONT)?;
    eventually(async || {
        let handled = lane.handled(tenant).await?;
        anyhow::ensure!(handled == 10, "{handled}");
        anyhow::Ok(())
    })
    .await?;
    let mut seen: Vec<String> = notes.seen().into_iter().map(|(_, state)| state).collect();
    seen.sort();
    assert_eq!(seen, ["0", "2", "4", "6", "8"], "the others had been handled");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_becomes_a_dead_letter_that_can_be_replayed() -> anyhow::Result<()> {
    let lane = Lane::start("poison").await?;
    let notes = Notes::default();
    let tenant = TenantId::new();
    lane.relay().await?;
    lane.listen(notes.clone()).await?;
    notes.broken.store(true, Ordering::SeqCst);
    lane.record(tenant, ContactId::new(), "poison").await?;
    let letter = async || -> anyhow::Result<Option<(String, i32)>> {
        let mut tx = lane.listener.read(tenant).await?;
        Ok(sqlx::query_as("select reason, attempts from dead_letter")
            .fetch_optional(&mut *tx)
            .await?)
    };
    testkit::eventually_within(std::time::Duration::from_secs(60), async || {
        letter().await?.ok_or_else(|| anyhow::anyhow!("not given up yet"))
    })
    .await?;
    assert_eq!(letter().await?, Some(("the handler is broken".to_owned(), 5)));
    assert_eq!(notes.seen(), []);

    let replay = outbox::dead_letters::Command::Replay { id: "all".to_owned() };
    outbox::dead_letters::run(replay.clone(), &lane.listener).await?;
    eventually(async || match letter().await {
        Ok(Some((_, 6))) => Ok(()),
        other => Err(format!(
            "still broken: put back with a sixth attempt, but {other:?}"
        )),
    })
    .await?;

    notes.broken.store(false, Ordering::SeqCst);
    outbox::dead_letters::run(replay, &lane.listener).await?;
    eventually(async || {
        (letter().await.ok() == Some(None))
            .then_some(())
            .ok_or("replayed")
    })
    .await?;
    assert_eq!(notes.seen().len(), 1);
    let mut tx = lane.listener.read(tenant).await?;
    let audited: Vec<(String, String)> =
        sqlx::query_as("select actor_kind, action from audit_entry order by audit_entry_id")
            .fetch_all(&mut *tx)
            .await?;
    let row = |kind: &str, action: &str| (kind.to_owned(), action.to_owned());
    let [buried, replayed] = [
        row("system", "dead_letter.buried"),
        row("command_line", "dead_letter.replayed"),
    ];
    assert_eq!(audited, [buried.clone(), replayed.clone(), buried, replayed]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_of_its_publisher_is_refused() -> anyhow::Result<()> {
    let lane = Lane::start("forged").await?;
    let notes = Notes::default();
    lane.relay().await?;
    lane.listen(notes.clone()).await?;
    let admin = lane.bus("admin").await?;
    eventually(async || admin.jetstream().get_stream("CUSTOMERS").await.map(drop)).await?;
    let tenant = TenantId::new();
    // Its headers name another tenant than its subject.
    let subject = format!("shequn.customers.v1.ContactBefriended.{tenant}.x");
    let forged = jetstream::message::PublishMessage::build()
        .header("ce-id", uuid::Uuid::now_v7().to_string())
        .header("ce-type", "shequn.customers.v1.ContactBefriended")
        .header("ce-time", "2026-01-01T00:00:00Z")
        .header("ce-tenantid", TenantId::new().to_string())
        .header("ce-partitionkey", "x");
    admin.jetstream().send_publish(subject, forged).await?.await?;
    lane.record(tenant, ContactId::new(), "honest").await?;
    eventually(async || (notes.seen().len() == 1).then_some(()).ok_or("one")).await?;
    assert_eq!(lane.handled(tenant).await?, 1);
    let buried: i64 = {
        let mut tx = lane.listener.begin_everyone().await?;
        sqlx::query_scalar("select count(*) from dead_letter")
            .fetch_one(&mut *tx)
            .await?
    };
    assert_eq!(buried, 0, "nobody's event is kept for nobody");
    lane.listener_pool.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_key_answers_the_same_again_and_refuses_another_body() -> anyhow::Result<()> {
    let lane = Lane::start("request").await?;
    let tenant = TenantId::new();
    let key = contracts::RequestKey {
        key: "k1".to_owned(),
        fingerprint: [1; 32],
    };
    let ask = async |key: contracts::RequestKey| -> anyhow::Result<(ContactId, bool)> {
        let mut tx = lane.publisher.begin(tenant).await?;
        if let Some(earlier) = outbox::request::earlier(&mut tx, &key).await? {
            return Ok((earlier, false));
        }
        let answer = ContactId::new();
        outbox::request::keep(&mut tx, &key, &answer).await?;
        tx.commit().await?;
        Ok((answer, true))
    };
    let answers = futures::future::try_join_all((0..8).map(|_| ask(key.clone()))).await?;
    assert_eq!(
        answers.iter().filter(|(_, first)| *first).count(),
        1,
        "{answers:?}"
    );
    assert!(
        answers.iter().all(|(answer, _)| *answer == answers[0].0),
        "{answers:?}"
    );
    let other = contracts::RequestKey {
        fingerprint: [2; 32],
        ..key
    };
    let refused = ask(other).await.unwrap_err();
    assert!(matches!(
        refused.downcast_ref(),
        Some(outbox::request::RequestError::OtherBody)
    ));
    Ok(())
}
