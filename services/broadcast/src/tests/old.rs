//! What is old goes: receipts by the week, with figures that stay; caps that no window reaches.

use std::collections::BTreeSet;

use chassis::auth::{Operator, Role};
use contracts::{BroadcastId, RequestKey};
use futures::TryStreamExt as _;
use serde::Deserialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::scene::Scene;
use crate::broadcast::Kind;
use crate::dead::ReplayDead;
use crate::error::Error;
use crate::ops;
use crate::ops::old::Walk;
use crate::report::{Format, Report};

/// The tables of receipts there are then: two weeks, three old ones, four to come, and the net.
const PARTS: usize = 2 + 3 + 4 + 1;

/// Has a table for this week and two old ones, as if the service had run for long.
pub(super) async fn with_old_weeks() -> Scene {
    let scene = Scene::new(&[]).await;
    let weeks = "set role broadcast_owner;
        drop table receipt_before;
        select add_receipt_week((date_trunc('week', now() at time zone 'utc') - interval '1 week' * n)::date)
          from unnest(array[0, 1, 29, 30, 31]) as n;
        reset role";
    sqlx::raw_sql(weeks).execute(&scene.test.superuser).await.unwrap();
    scene
}

/// Makes a mass message one of some weeks ago, that ended then if it has.
pub(super) async fn age(scene: &Scene, broadcast: BroadcastId, weeks: i32) -> BroadcastId {
    let mut db = scene.test.superuser.acquire().await.unwrap();
    let id: Uuid = sqlx::query_scalar("select first_id(now() - make_interval(weeks => $1))")
        .bind(weeks)
        .fetch_one(&mut *db)
        .await
        .unwrap();
    sqlx::raw_sql("set session_replication_role = replica")
        .execute(&mut *db)
        .await
        .unwrap();
    for table in ["broadcast", "task", "chunk", "receipt", "click", "click_count"] {
        let sql = format!("update {table} set broadcast_id = $1 where broadcast_id = $2");
        sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(broadcast.0)
            .execute(&mut *db)
            .await
            .unwrap();
    }
    sqlx::raw_sql("reset session_replication_role")
        .execute(&mut *db)
        .await
        .unwrap();
    sqlx::query(
        "update broadcast set finished_at = finished_at - make_interval(weeks => $1) where broadcast_id = $2",
    )
    .bind(weeks)
    .bind(id)
    .execute(&mut *db)
    .await
    .unwrap();
    BroadcastId(id)
}

async fn report(scene: &Scene, broadcast: BroadcastId) -> Report {
    ops::report::report(&scene.state, scene.tenant, broadcast)
        .await
        .unwrap()
}

async fn export(scene: &Scene, broadcast: BroadcastId) -> Result<usize, Error> {
    let rows = ops::report::export(&scene.state, scene.tenant, broadcast, Format::Jsonl, None).await?;
    let pages: Vec<_> = rows.try_collect().await?;
    Ok(pages.concat().iter().filter(|byte| **byte == b'\n').count())
}

pub(super) async fn keep(scene: &Scene) {
    while ops::old::keep_receipts(&scene.state).await.unwrap() {}
}

#[tokio::test]
async fn a_weeks_receipts_are_forgotten_once_all_of_it_is_long_over_and_its_figures_stay() {
    let scene = with_old_weeks().await;
    scene.audience(30);
    let done = scene.run(Kind::Enterprise).await.broadcast.broadcast_id;
    let oldest = age(&scene, done, 30).await;
    let waiting = scene.start(Kind::Enterprise).await;
    let tasks = scene.tasks(waiting).await;
    scene.confirm(&tasks[0], &[]).await.unwrap();
    scene.send_all().await;
    let waiting = age(&scene, waiting, 29).await;
    let young = scene.run(Kind::Enterprise).await.broadcast.broadcast_id;
    let before = report(&scene, oldest).await;
    assert!(before.has_receipts && before.endings.len() >= 2);
    assert_eq!(export(&scene, oldest).await.unwrap(), 30);
    let told = export(&scene, waiting).await.unwrap();
    assert!((10..30).contains(&told));

    keep(&scene).await;
    let after = report(&scene, oldest).await;
    assert!(!after.has_receipts);
    assert_eq!(
        Report {
            has_receipts: true,
            ..after
        },
        before
    );
    check_gone(&scene, oldest).await;
    // This one goes on.
    assert_eq!(export(&scene, waiting).await.unwrap(), told);
    assert_eq!(export(&scene, young).await.unwrap(), 30);

    // It has just ended.
    scene
        .force("update broadcast set state = 'cancelled', finished_at = now() where state = 'running'")
        .await;
    keep(&scene).await;
    assert_eq!(export(&scene, waiting).await.unwrap(), told);
    scene
        .force(
            "update broadcast set finished_at = now() - interval '13 weeks 1 hour' where state = 'cancelled'",
        )
        .await;
    keep(&scene).await;
    assert!(matches!(
        export(&scene, waiting).await,
        Err(Error::ReceiptsForgotten)
    ));
    assert_eq!(export(&scene, young).await.unwrap(), 30);
    let audited = "select count(*) from audit_entry where action = 'broadcast.summed_up'";
    assert_eq!(scene.count(audited).await, 2);
}

async fn check_gone(scene: &Scene, broadcast: BroadcastId) {
    assert!(matches!(
        export(scene, broadcast).await,
        Err(Error::ReceiptsForgotten)
    ));
    let forecast = ops::forecast(&scene.state, scene.tenant, broadcast).await;
    assert!(matches!(forecast, Err(Error::ReceiptsForgotten)));
    let operator = Operator {
        tenant: scene.tenant,
        member: scene.members[0],
        role: Role::Operator,
    };
    let key = RequestKey {
        key: "again".to_owned(),
        fingerprint: [0; 32],
    };
    let replay = ops::replay_dead(&scene.state, operator, &key, broadcast, &ReplayDead::default()).await;
    assert!(matches!(replay, Err(Error::ReceiptsForgotten)));
    let problem = chassis::Problem::from(Error::ReceiptsForgotten);
    assert_eq!(problem.class.status(), 410);
    assert!(problem.remedy.unwrap().contains("/report"));
}

#[tokio::test]
async fn nothing_young_can_be_forgotten() {
    let scene = with_old_weeks().await;
    let forget = async |scope: &str, weeks: i32| {
        let mut db = scene.test.pool.begin().await.unwrap();
        let set = format!("set local shequn.tenant = '{scope}'");
        sqlx::raw_sql(AssertSqlSafe(set)).execute(&mut *db).await.unwrap();
        let dropped = sqlx::query_scalar("select drop_receipt_week($1)")
            .bind(weeks)
            .fetch_one(&mut *db);
        dropped.await.map(|week: Option<String>| week.is_some())
    };
    assert!(forget("*", 3).await.is_err() && forget("*", -20).await.is_err());
    assert!(
        forget(&scene.tenant.to_string(), 4).await.is_err(),
        "it sees too little"
    );
    assert!(forget("*", 4).await.unwrap(), "an empty week of half a year ago");
    // As a service that runs for the first time in months would find it: this week has its table, and so has the next month.
    keep(&scene).await;
    let parts = "select count(*) from pg_inherits where inhparent = 'receipt'::regclass";
    assert_eq!(
        scene.count(parts).await,
        1 + 1 + 5,
        "the net, last week, this one and four to come"
    );
}

#[tokio::test]
async fn a_receipt_of_a_week_without_a_table_is_kept_and_moves_into_it() {
    let scene = with_old_weeks().await;
    let (tenant, far) = (scene.tenant, "first_id(now() + interval '20 weeks')");
    let receipt = format!(
        "insert into receipt (tenant_id, broadcast_id, contact_id, n, state)
         values ('{tenant}', {far}, gen_random_uuid(), 0, 'delivered')"
    );
    let mut tx = scene.state.db.begin(tenant).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(receipt))
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(scene.count("select count(*) from receipt_other").await, 1);
    let own = sqlx::raw_sql("select 1 from receipt_other")
        .execute(&scene.test.pool)
        .await;
    let code = own
        .unwrap_err()
        .into_database_error()
        .unwrap()
        .code()
        .unwrap()
        .into_owned();
    assert_eq!(code, "42501", "a part is reached through the whole");
    let week = "set role broadcast_owner;
        select add_receipt_week((date_trunc('week', now() at time zone 'utc') + interval '20 weeks')::date);
        reset role";
    sqlx::raw_sql(week).execute(&scene.test.superuser).await.unwrap();
    assert_eq!(scene.count("select count(*) from receipt_other").await, 0);
    assert_eq!(scene.count("select count(*) from receipt").await, 1);
}

/// The offline data of a statement of the service, as far as it is looked at.
#[derive(Deserialize)]
struct Query {
    query: String,
    describe: Describe,
}

#[derive(Deserialize)]
struct Describe {
    parameters: Parameters,
}

#[derive(Deserialize)]
struct Parameters {
    /// Their types.
    #[serde(rename = "Left")]
    types: Vec<Value>,
}

impl Query {
    /// The service's own, every one that names the table `receipt`.
    fn of_receipts() -> Vec<Self> {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.sqlx")).unwrap();
        let queries = folder.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        let queries = queries.map(|json| serde_json::from_slice::<Self>(&json).unwrap());
        queries.filter(|it| it.words().contains(&"receipt")).collect()
    }

    fn words(&self) -> Vec<&str> {
        let words = self.query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| !word.is_empty()).collect()
    }

    /// Whether it does more with receipts than to store new ones.
    fn looks_at_receipts(&self) -> bool {
        let is_read = |pair: &[&str]| matches!(pair, ["from" | "join" | "using" | "update", "receipt"]);
        self.words().windows(2).any(is_read)
    }

    /// One id for all that are asked for by id, and nothing else: a plan for every mass message does not depend on it.
    fn parameters(&self) -> String {
        let id = format!("'{}'", BroadcastId::new());
        let types = self.describe.parameters.types.iter();
        let values: Vec<_> = types
            .map(|of| if of == "Uuid" { id.as_str() } else { "null" })
            .collect();
        values.join(", ")
    }
}

/// The tables of receipts that a plan reads.
fn parts_read(plan: &[String]) -> BTreeSet<&str> {
    plan.iter()
        .filter(|line| line.contains("Scan"))
        .filter_map(|line| line.split(" on ").nth(1)?.split(' ').next())
        .map(|table| table.trim_end_matches("_pkey"))
        .filter(|table| table.starts_with("receipt"))
        .collect()
}

/// Every statement of the service on receipts, even planned once for every mass message, as a worker's are. None is meant to
/// look across weeks; one that is would be named here.
#[tokio::test]
async fn a_statement_on_receipts_looks_at_one_week() {
    let scene = with_old_weeks().await;
    let mut tx = scene.state.db.begin(scene.tenant).await.unwrap();
    let generic = "set local plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(generic).execute(&mut *tx).await.unwrap();
    let queries = Query::of_receipts();
    let reading = queries.iter().filter(|it| it.looks_at_receipts()).count();
    assert!(reading >= 8, "{reading} of {} read", queries.len());
    let across = "select count(*) from receipt where tenant_id = $1";
    for (n, (statement, parameters, parts)) in queries
        .iter()
        .map(|it| {
            (
                it.query.as_str(),
                it.parameters(),
                usize::from(it.looks_at_receipts()),
            )
        })
        .chain([(across, "null".to_owned(), PARTS)])
        .enumerate()
    {
        let prepare = format!("prepare statement_{n} as {statement}");
        sqlx::raw_sql(AssertSqlSafe(prepare))
            .execute(&mut *tx)
            .await
            .unwrap();
        let explain = format!("explain (costs off) execute statement_{n} ({parameters})");
        let plan = sqlx::raw_sql(AssertSqlSafe(explain))
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
        assert_eq!(
            parts_read(&plan).len(),
            parts,
            "{statement}:\n{}",
            plan.join("\n")
        );
    }
}

#[tokio::test]
async fn caps_of_windows_long_over_go_and_no_others() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let done = scene.run(Kind::Enterprise).await;
    let caps = format!(
        "insert into cap (tenant_id, kind, member_id, contact_id, window_start, broadcast_id, taken_on)
           select '{tenant}', case n % 2 when 0 then 'member' else 'fatigue' end, gen_random_uuid(), gen_random_uuid(),
             current_date - 120, '{broadcast}', case n % 3 when 0 then current_date - 90 when 1 then current_date - 96 end
           from generate_series(1, 12000) as n;
         insert into cap_tally (tenant_id, scope, member_id, contact_id, days, broadcast_ids)
           select '{tenant}', 'member', gen_random_uuid(), gen_random_uuid(),
             case n % 3 when 0 then array[current_date - 120, current_date - 90] when 1 then array[current_date - 96] else '{{}}' end,
             case n % 3 when 0 then array['{broadcast}', '{broadcast}']::uuid[] when 1 then array['{broadcast}']::uuid[] else '{{}}' end
           from generate_series(1, 6000) as n",
        tenant = scene.tenant,
        broadcast = done.broadcast.broadcast_id,
    );
    sqlx::raw_sql(AssertSqlSafe(caps))
        .execute(&scene.test.superuser)
        .await
        .unwrap();
    let taken = done.outcomes.delivered;
    assert!(taken > 0);

    let mut walk = Walk::at(scene.state.clock.now());
    while ops::old::forget_caps(&scene.state, &mut walk).await.unwrap() {}
    assert_eq!(scene.count("select count(*) from cap").await, 4_000 + taken);
    assert_eq!(scene.count("select count(*) from cap_tally").await, 2_000);
    let old = "select count(*) from cap where coalesce(taken_on, window_start) < current_date - 95";
    assert_eq!(scene.count(old).await, 0);
    // The next walk is tomorrow's.
    assert!(!ops::old::forget_caps(&scene.state, &mut walk).await.unwrap());
}
