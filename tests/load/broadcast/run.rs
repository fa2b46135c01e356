//! One mass message from the confirmation to its end.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use serde_json::{Value, json};
use testkit::eventually;
use uuid::Uuid;

use super::World;
use crate::crowd::{Crowd, Posted};

const ENDED: Duration = Duration::from_secs(600);
/// The limiter is on, and never in the way.
const RATE_PER_S: u32 = 100_000;
const LOOK: Duration = Duration::from_millis(5);

/// Where it goes.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    Inbox,
    /// To this account of the sink.
    Webhook(&'a str),
}

impl Way<'_> {
    pub(super) fn extra(self) -> Value {
        match self {
            Self::Inbox => json!({"channel": "inbox", "rate_per_s": RATE_PER_S}),
            Self::Webhook(_) => json!({"channel": "webhook", "rate_per_s": RATE_PER_S}),
        }
    }
}

impl World<'_> {
    /// Sends to everybody with the tag; the seconds from the confirmation to the last receipt.
    pub(super) async fn send(
        &self,
        crowd: &Crowd,
        tag: &str,
        way: Way<'_>,
        recipients: usize,
    ) -> anyhow::Result<f64> {
        let posted = crowd.post(Some(tag), &way.extra()).await?;
        let shares = posted.shares().await?;
        if let Way::Webhook(account) = way {
            self.sink.forget(account);
        }
        self.settle().await?;
        let began = Instant::now();
        posted.confirm(&shares).await?;
        self.ended(&posted, way, recipients).await?;
        let secs = began.elapsed().as_secs_f64();
        self.check(&posted, way, recipients).await?;
        Ok(secs)
    }

    /// What was done before is not paid for later; the rivals begin so, too.
    async fn settle(&self) -> anyhow::Result<()> {
        for command in [
            "analyze broadcast.cap, broadcast.receipt, broadcast.chunk",
            "checkpoint",
        ] {
            sqlx::query(command).execute(&self.superuser).await?;
        }
        Ok(())
    }

    /// Waits until the sink has them all and each has its terminal state.
    pub(super) async fn ended(
        &self,
        posted: &Posted<'_>,
        way: Way<'_>,
        recipients: usize,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        if let Way::Webhook(account) = way {
            // Costs the machine less than a look into the database.
            while self.sink.tally(account).distinct < recipients as u64 {
                ensure!(began.elapsed() < ENDED, "{}", posted.progress().await?);
                tokio::time::sleep(LOOK).await;
            }
        }
        while posted.ended().await? < recipients as u64 {
            ensure!(began.elapsed() < ENDED, "{}", posted.progress().await?);
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// N distinct keys at the receiver, none twice; N receipts; and the report says the same.
    pub(super) async fn check(
        &self,
        posted: &Posted<'_>,
        way: Way<'_>,
        recipients: usize,
    ) -> anyhow::Result<()> {
        let recipients = recipients as u64;
        let (distinct, repeats) = match way {
            Way::Inbox => (self.inbox_messages(posted).await?, 0),
            Way::Webhook(account) => {
                let tally = self.sink.tally(account);
                (tally.distinct, tally.repeats)
            }
        };
        ensure!(
            (distinct, repeats) == (recipients, 0),
            "{recipients} recipients: {distinct} were reached, {repeats} calls came twice"
        );
        let receipts = posted.receipts("delivered").await?;
        ensure!(
            receipts == recipients,
            "{recipients} recipients have {receipts} receipts"
        );
        eventually(async || {
            let progress = posted.progress().await?;
            if progress["state"] != "finished" || progress["outcomes"]["delivered"] != recipients {
                bail!("it is not finished: {progress}")
            }
            Ok(())
        })
        .await
    }

    async fn inbox_messages(&self, posted: &Posted<'_>) -> anyhow::Result<u64> {
        let sql = "select count(distinct contact_id) from broadcast.inbox_message where broadcast_id = $1";
        let messages: i64 = sqlx::query_scalar(sql)
            .bind(posted.id.parse::<Uuid>()?)
            .fetch_one(&self.superuser)
            .await?;
        Ok(messages.unsigned_abs())
    }
}
