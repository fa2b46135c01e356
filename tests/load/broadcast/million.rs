//! A million customers: how long their audience takes to resolve, what another tenant's urgent message waits behind
//! them, and how much memory a worker needs for them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use sqlx::Row as _;
use uuid::Uuid;

use super::run::Way;
use super::{World, say};
use crate::crowd::{Crowd, Posted};
use crate::figure::{Figures, median};

const MILLION: usize = 1_000_000;
const URGENT: usize = 1_000;
/// Of the million, before the urgent ones begin.
const UNDER_WAY: usize = 20_000;
const LOOK: Duration = Duration::from_millis(20);
const ACCOUNT: &str = "million";
const URGENT_ACCOUNT: &str = "urgent";

pub(super) async fn measure(world: &mut World<'_>, figures: &mut Figures) -> anyhow::Result<()> {
    let (stack, million) = (world.set.stack(), world.part_of(MILLION));
    let mut crowd = Crowd::found(stack, &world.superuser).await?;
    crowd.set_webhook(&world.sink.url(ACCOUNT)).await?;
    crowd.grow("everybody", million).await?;
    let mut urgent = Crowd::found(stack, &world.superuser).await?;
    urgent.set_webhook(&world.sink.url(URGENT_ACCOUNT)).await?;
    for round in 1..=world.rounds {
        for when in ["alone", "during"] {
            urgent.grow(&format!("{when}-{round}"), URGENT).await?;
        }
    }

    let mut posted = None;
    let (mut resolved, mut raw) = (Vec::new(), Vec::new());
    for round in 1..=world.rounds {
        crowd.sign_in().await?;
        let baseline = raw_audience(world, &crowd).await?;
        let (secs, id) = audience(world, &crowd).await?;
        say(&format!(
            "round {round}: a million resolved in {secs:.2} s, in one statement {baseline:.2} s"
        ));
        resolved.push(secs);
        raw.push(baseline);
        // Nobody confirms the others; they wait for as long as this lasts.
        posted = Some(id);
    }
    figures.add("audience_1m_s", median(&resolved), "s", Some(median(&raw)))?;
    let posted = crowd.again(posted.unwrap_or_default());
    let mut forecasts = Vec::new();
    for _ in 0..world.rounds {
        forecasts.push(forecast(&posted, million).await?);
    }
    figures.add("forecast_1m_s", median(&forecasts), "s", None)?;

    world.workers.scale(world.set, world.workers_count).await?;
    urgent.sign_in().await?;
    let mut alone = Vec::new();
    for round in 1..=world.rounds {
        alone.push(urgent_send(world, &urgent, &format!("alone-{round}")).await?);
    }
    let id = posted.id;
    crowd.sign_in().await?;
    let posted = crowd.again(id);
    let shares = posted.shares().await?;
    let began = Instant::now();
    posted.confirm(&shares).await?;
    while world.sink.tally(ACCOUNT).distinct < world.part_of(UNDER_WAY) as u64 {
        tokio::time::sleep(LOOK).await;
    }
    urgent.sign_in().await?;
    let mut during = Vec::new();
    for round in 1..=world.rounds {
        during.push(urgent_send(world, &urgent, &format!("during-{round}")).await?);
        ensure!(
            world.sink.tally(ACCOUNT).distinct < million as u64,
            "the million was over before the urgent ones"
        );
    }
    let (alone, during) = (median(&alone), median(&during));
    say(&format!(
        "{URGENT} urgent ones: alone {alone:.2} s, during the million {during:.2} s"
    ));
    figures.add("urgent_delay_s", during - alone, "s", None)?;

    world.ended(&posted, Way::Webhook(ACCOUNT), million).await?;
    let rate = million as f64 / began.elapsed().as_secs_f64();
    say(&format!("the million was sent at {rate:.0}/s"));
    figures.add("worker_rss_mib", world.workers.rss_mib_max()?, "MiB", None)?;
    world.check(&posted, Way::Webhook(ACCOUNT), million).await
}

/// From the post to the last receipt.
async fn urgent_send(world: &World<'_>, crowd: &Crowd, tag: &str) -> anyhow::Result<f64> {
    let way = Way::Webhook(URGENT_ACCOUNT);
    world.sink.forget(URGENT_ACCOUNT);
    let mut extra = way.extra();
    extra["priority"] = json!("urgent");
    let posted = crowd.post(Some(tag), &extra).await?;
    let shares = posted.shares().await?;
    posted.confirm(&shares).await?;
    world.ended(&posted, way, URGENT).await?;
    let secs = posted.posted.elapsed().as_secs_f64();
    world.check(&posted, way, URGENT).await?;
    Ok(secs)
}

/// From the post until every member has her share; the snapshot holds everybody once, in sorted chunks of 500 at most.
async fn audience(world: &World<'_>, crowd: &Crowd) -> anyhow::Result<(f64, String)> {
    let million = world.part_of(MILLION);
    let posted = crowd.post(None, &json!({})).await?;
    posted.shares().await?;
    let secs = posted.posted.elapsed().as_secs_f64();
    let sql = "select count(*) as recipients, count(distinct id) as distinct_ids,
                 coalesce(bool_and(is_sorted), false) as is_sorted
               from (select id, id > coalesce(lag(id) over (partition by n order by turn), '00000000-0000-0000-0000-000000000000')
                       as is_sorted
                     from broadcast.chunk cross join unnest(contact_ids) with ordinality as recipient (id, turn)
                     where broadcast_id = $1 and recipients <= 500)";
    let row = sqlx::query(sql)
        .bind(posted.id.parse::<Uuid>()?)
        .fetch_one(&world.superuser)
        .await?;
    let (recipients, distinct): (i64, i64) = (row.get("recipients"), row.get("distinct_ids"));
    ensure!(
        (recipients, distinct) == (million as i64, million as i64) && row.get::<bool, _>("is_sorted"),
        "the snapshot holds {recipients} recipients, {distinct} of them distinct"
    );
    Ok((secs, posted.id))
}

/// What it would come to if it were sent now: everybody, in one state or another.
async fn forecast(posted: &Posted<'_>, million: usize) -> anyhow::Result<f64> {
    let began = Instant::now();
    let told = posted.forecast().await?;
    let secs = began.elapsed().as_secs_f64();
    let outcomes = told["outcomes"].as_object().context("outcomes")?;
    let sum: u64 = outcomes.values().filter_map(serde_json::Value::as_u64).sum();
    ensure!(sum == million as u64 && told["audience"] == sum, "{told}");
    Ok(secs)
}

/// The same memberships made distinct and cut into arrays by the database alone.
async fn raw_audience(world: &World<'_>, crowd: &Crowd) -> anyhow::Result<f64> {
    let began = Instant::now();
    let sql = "select count(*) from (
                 select array_agg(contact_id) from (
                   select contact_id, (row_number() over (order by contact_id) - 1) / 500 as n
                   from (select distinct contact_id from customers.follow where tenant_id = $1 and state = 'active'))
                 group by n)";
    let arrays: i64 = sqlx::query_scalar(sql)
        .bind(crowd.tenant)
        .fetch_one(&world.superuser)
        .await?;
    ensure!(
        arrays == world.part_of(MILLION).div_ceil(500) as i64,
        "{arrays} arrays"
    );
    Ok(began.elapsed().as_secs_f64())
}
