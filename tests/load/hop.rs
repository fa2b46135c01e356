//! From a commit in customers to the handler's commit in broadcast, by Postgres' own commit times.

use std::time::{Duration, Instant};

use anyhow::ensure;
use testkit::{Set, eventually};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::figure::Figures;
use crate::http::Connection;
use crate::scene::Scene;

const CONNECTIONS: usize = 32;
/// Of the rate meant; otherwise the figure is of another load.
const REACHED_MIN: f64 = 0.8;

pub(crate) async fn measure(_set: &Set, scene: &Scene, figures: &mut Figures) -> anyhow::Result<()> {
    for (name, events, per_s) in [("event_hop_idle", 200, 10), ("event_hop_loaded", 5_000, 500)] {
        let prefix = format!("{name}-");
        let began = Instant::now();
        scan_at(scene, &prefix, events, per_s).await?;
        let reached = events as f64 / began.elapsed().as_secs_f64();
        ensure!(
            reached >= per_s as f64 * REACHED_MIN,
            "{reached:.0} events/s were reached, not {per_s}"
        );
        let mut hops = eventually(async || {
            let hops = hops_ms(scene, &prefix).await?;
            ensure!(
                hops.len() == events,
                "{} of {events} events are in effect",
                hops.len()
            );
            anyhow::Ok(hops)
        })
        .await?;
        hops.sort_by(f64::total_cmp);
        figures.add(&format!("{name}_p99_ms"), hops[hops.len() * 99 / 100], "ms", None)?;
        figures.add(&format!("{name}_p50_ms"), hops[hops.len() / 2], "ms", None)?;
        figures.add(
            &format!("{name}_events_per_s"),
            reached,
            "1/s",
            Some(per_s as f64),
        )?;
    }
    Ok(())
}

/// Scans at a steady rate, whatever the answers take, over connections that are open already.
async fn scan_at(scene: &Scene, prefix: &str, events: usize, per_s: u64) -> anyhow::Result<()> {
    let mut lanes = JoinSet::new();
    for lane in 0..CONNECTIONS {
        let mut connection = Connection::open(&scene.customers_url).await?;
        let bodies: Vec<String> = (lane..events)
            .step_by(CONNECTIONS)
            .map(|n| scene.scan(&format!("{prefix}{n}")))
            .collect();
        let period = Duration::from_secs(CONNECTIONS as u64).div_f64(per_s as f64);
        let offset = period.mul_f64(lane as f64 / CONNECTIONS as f64);
        lanes.spawn(async move {
            let start = tokio::time::Instant::now() + offset;
            let mut ticks = tokio::time::interval_at(start, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for body in bodies {
                ticks.tick().await;
                let status = connection.post("/v1/scans", &body).await?;
                ensure!(status == 200, "a scan was answered {status}");
            }
            anyhow::Ok(())
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    Ok(())
}

/// The row of `follow` is written in the operation's transaction and the inbox's row in the
/// handler's; neither is touched again, so their commit times are those of the two commits.
async fn hops_ms(scene: &Scene, prefix: &str) -> anyhow::Result<Vec<f64>> {
    let sql = "select extract(epoch from pg_xact_commit_timestamp(inbox.xmin)
                                         - pg_xact_commit_timestamp(follow.xmin))::float8 * 1000
               from customers.contact
               join customers.follow using (tenant_id, contact_id)
               join customers.outbox on outbox.key = contact_id::text
               join broadcast.inbox on inbox.event_id = outbox.event_id
               where contact.external_id like $1 || '%' and inbox.consumer = 'broadcast-welcome'
                 and inbox.handled_at is not null";
    Ok(sqlx::query_scalar(sql)
        .bind(prefix)
        .fetch_all(&scene.superuser)
        .await?)
}
