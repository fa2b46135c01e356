//! What this machine could do at this moment at the very most: the three things that cost, each measured alone and
//! bare. A recipient needs all three of the same cores, so the times add up.

use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::http::{Connection, Request};
use crate::sink::Sink;

const CALLERS: usize = 32;
const CLAIMERS: usize = 4;
const CHUNK_RECIPIENTS: usize = 500;
const SUB_BATCH_RECIPIENTS: usize = 50;
const ACCOUNT: &str = "limit";
const FSYNC_SECS: u64 = 1;
const FSYNC_BYTES: usize = 8 * 1024;

/// The tables as the design has them, and nothing else: what services add to theirs is part of what is measured.
const TABLES: &str = "
    create schema if not exists bench;
    drop table if exists bench.cap, bench.receipt, bench.chunk;
    create table bench.cap (
      tenant_id uuid not null, kind text not null, member_id uuid not null, contact_id uuid not null,
      window_start date not null, broadcast_id uuid not null,
      primary key (tenant_id, kind, member_id, contact_id, window_start));
    create table bench.receipt (
      tenant_id uuid not null, broadcast_id uuid not null, contact_id uuid not null, n integer not null,
      state text not null, at timestamptz not null default now(),
      primary key (tenant_id, broadcast_id, contact_id));
    create table bench.chunk (broadcast_id uuid primary key, delivered integer not null);";
/// Two caps for each recipient of a chunk.
const CLAIM: &str = "
    with wanted as (
      select kind, contact_id from unnest(array['enterprise', 'fatigue']) as kind, unnest($2::uuid[]) as contact_id),
    taken as (
      insert into bench.cap select $1, kind, $1, contact_id, current_date, $1 from wanted order by kind, contact_id
      on conflict do nothing returning contact_id)
    select contact_id from taken group by contact_id having count(*) = 2 order by contact_id";
/// A sub-batch's receipts and its count.
const RECEIPTS: &str = "
    with ended as (
      insert into bench.receipt (tenant_id, broadcast_id, contact_id, n, state)
      select $1, $1, contact_id, 0, 'delivered' from unnest($2::uuid[]) as contact_id order by contact_id
      on conflict do nothing returning state)
    insert into bench.chunk select $1, count(*) from ended
    on conflict (broadcast_id) do update set delivered = chunk.delivered + excluded.delivered";

/// Recipients per second of each part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) http_per_s: f64,
    pub(super) claim_per_s: f64,
    pub(super) receipt_per_s: f64,
    /// Receipts of a chunk at once, as where no call is made.
    pub(super) chunk_receipt_per_s: f64,
    pub(super) fsync_per_s: f64,
}

impl Limit {
    /// With all three.
    pub(super) fn webhook_per_s(&self) -> f64 {
        1.0 / (1.0 / self.http_per_s + 1.0 / self.claim_per_s + 1.0 / self.receipt_per_s)
    }

    /// Without a call; a message is stored at about the price of a receipt.
    pub(super) fn inbox_per_s(&self) -> f64 {
        1.0 / (1.0 / self.claim_per_s + 2.0 / self.chunk_receipt_per_s)
    }

    pub(super) async fn measure(
        superuser: &PgPool,
        sink: &Sink,
        folder: &Path,
        secs: u64,
    ) -> anyhow::Result<Self> {
        sqlx::raw_sql(TABLES).execute(superuser).await?;
        let folder = folder.to_owned();
        Ok(Self {
            http_per_s: http(sink, secs).await?,
            claim_per_s: statements(superuser, CLAIM, CHUNK_RECIPIENTS, secs).await?,
            receipt_per_s: statements(superuser, RECEIPTS, SUB_BATCH_RECIPIENTS, secs).await?,
            chunk_receipt_per_s: statements(superuser, RECEIPTS, CHUNK_RECIPIENTS, secs).await?,
            fsync_per_s: tokio::task::spawn_blocking(move || fsync(&folder)).await??,
        })
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            http_per_s,
            claim_per_s,
            receipt_per_s,
            chunk_receipt_per_s,
            fsync_per_s,
        } = self;
        write!(
            f,
            "http {http_per_s:.0}/s, claim {claim_per_s:.0}/s, receipts {receipt_per_s:.0}/s, of a chunk {chunk_receipt_per_s:.0}/s, fsync {fsync_per_s:.0}/s"
        )
    }
}

/// Calls of the usual size to the same sink by the lightest client there is.
async fn http(sink: &Sink, secs: u64) -> anyhow::Result<f64> {
    let url = sink.url(ACCOUNT);
    let server = url.trim_end_matches(ACCOUNT).trim_end_matches('/');
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(350));
    let began = Instant::now();
    let until = began + Duration::from_secs(secs);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let mut connection = Connection::open(server).await?;
        let body = body.clone();
        callers.spawn(async move {
            let mut calls = 0_u64;
            while Instant::now() < until {
                let id = Uuid::now_v7().to_string();
                let request = Request {
                    method: "POST",
                    path: "/limit",
                    webhook_id: &id,
                    body: &body,
                    ..Request::default()
                };
                let (status, _) = connection.ask(request).await?;
                ensure!(status == 200, "the sink answered {status}");
                calls += 1;
            }
            anyhow::Ok(calls)
        });
    }
    let mut calls = 0;
    while let Some(caller) = callers.join_next().await {
        calls += caller??;
    }
    let rate = calls as f64 / began.elapsed().as_secs_f64();
    ensure!(sink.tally(ACCOUNT).distinct == calls, "the sink missed calls");
    sink.forget(ACCOUNT);
    Ok(rate)
}

/// One statement after the other, each its own transaction, on as many connections as workers have chunks.
async fn statements(
    superuser: &PgPool,
    statement: &'static str,
    rows: usize,
    secs: u64,
) -> anyhow::Result<f64> {
    let began = Instant::now();
    let until = began + Duration::from_secs(secs);
    let done = Arc::new(AtomicU64::new(0));
    let mut claimers = JoinSet::new();
    for _ in 0..CLAIMERS {
        let (superuser, done, id) = (superuser.clone(), Arc::clone(&done), Uuid::now_v7());
        claimers.spawn(async move {
            let mut connection = superuser.acquire().await?;
            while Instant::now() < until {
                let contacts: Vec<Uuid> = (0..rows).map(|_| Uuid::now_v7()).collect();
                sqlx::query(statement)
                    .bind(id)
                    .bind(&contacts)
                    .execute(&mut *connection)
                    .await?;
                done.fetch_add(rows as u64, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(claimer) = claimers.join_next().await {
        claimer??;
    }
    Ok(done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

/// Blocks that reach the disk per second, one at a time, where Postgres has its own.
fn fsync(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("fsync");
    let mut file = std::fs::File::create(&path)?;
    let block = [7_u8; FSYNC_BYTES];
    let (began, mut writes) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_secs(FSYNC_SECS) {
        file.rewind()?;
        file.write_all(&block)?;
        file.sync_data()?;
        writes += 1;
    }
    let rate = f64::from(writes) / began.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(rate)
}
