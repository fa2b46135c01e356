//! Step 3: a mass message that its three senders confirm and two workers deliver, one of which is
//! killed on the way; and a second one, which the week's cap keeps from whoever got the first. Both end as forecast, and
//! are proved recipient by recipient.

mod live;
mod message;
mod proof;
mod watch;
mod worker;

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::json;

use crate::brand::Shop;
use crate::crowd::each;
use crate::inbox::{self, Inbox};
use crate::run::Run;
use crate::stickers::Friend;

pub(crate) use message::{Progress, Sent};
pub(crate) use worker::Death;

use message::Forecast;
use proof::Proof;
use worker::Before;

/// Recipients a second: slow enough to watch. Fewer when there are few, so that it takes some seconds.
const RATE_PER_S_MAX: usize = 200;
const WATCH_SECS: usize = 5;
/// One in so many friends wants no mass messages.
const OPTS_OUT_EVERY: usize = 100;
/// Friends an agent takes off her list, if she has this many times more.
const DESELECTED: usize = 3;
const SPARE: usize = 10;
/// One in fifty is kept out of the first one, to see what it brought.
const HELD_OUT_PPM: u32 = 20_000;

const FIRST: (&str, &str) = (
    "Spring serum",
    "春の新作美容液ができました。新品精华上市，回复我为你留一份。",
);
const SECOND: (&str, &str) = (
    "Spring serum, last call",
    "最後のご案内です。最后一批，先到先得。",
);

/// What came of both messages.
pub(crate) struct Messages {
    pub(crate) first: Sent,
    pub(crate) second: Sent,
    /// How the first one lost a worker, if there was time.
    pub(crate) death: Option<Death>,
}

/// Sends both and reads every inbox afterwards.
pub(crate) async fn send(run: &mut Run<'_>, shop: &Shop, friends: &[Friend]) -> anyhow::Result<Messages> {
    let opted_out = opt_out(run, friends).await?;
    let rate = (friends.len() / WATCH_SECS).clamp(1, RATE_PER_S_MAX);

    let (first, deselected, first_forecast) = first(run, shop, rate).await?;
    let began = Instant::now();
    let workers = Before::read(run).await?;
    message::control(run, shop, &first.broadcast_id, "resume").await?;
    let (first, death) = watch::to_the_end(run, shop, first, Some(&workers)).await?;
    let settled = usize::try_from(first.settled())?;
    run.done("Mass message settled for everybody", settled, began);
    if let Some(death) = &death {
        death.check(run, &first).await?;
        run.screen.note(&death.to_string());
    }
    let first_proof = Proof::read(run, shop, &first).await?;

    let began = Instant::now();
    let second = message::accept(run, shop, SECOND, rate, 0).await?;
    let second_forecast = Forecast::read(run, shop, &second.broadcast_id).await?;
    message::confirm(run, shop, &second, usize::MAX).await?;
    let (second, _) = watch::to_the_end(run, shop, second, None).await?;
    let settled = usize::try_from(second.settled())?;
    run.done("Second one the same week, settled", settled, began);
    let second_proof = Proof::read(run, shop, &second).await?;

    let (all, out, left, held) = (
        friends.len() as u64,
        opted_out.len() as u64,
        deselected.len() as u64,
        first_proof.count("held_out"),
    );
    let reached = all - out - left - held;
    let (first_due, second_due) = (
        [
            ("delivered", reached),
            ("opted_out", out),
            ("deselected", left),
            ("held_out", held),
        ],
        [
            ("capped", reached),
            ("opted_out", out),
            ("delivered", left + held),
        ],
    );
    settle(run, &first, all, &first_forecast, &first_due);
    settle(run, &second, all, &second_forecast, &second_due);
    let blamed = second_forecast.holders.iter();
    let blamed = blamed.filter(|holder| holder.broadcast_id == first.broadcast_id);
    run.checks.equal(
        "forecast of the second: held back by the first",
        reached,
        blamed.map(|holder| holder.recipients).sum(),
    );
    read(run, friends, &[(FIRST, &first_proof), (SECOND, &second_proof)]).await?;
    for (friend, what) in opted_out.iter().map(|id| (id, "opted_out")) {
        run.checks.holds(first_proof.is(friend, what), || {
            format!("{friend} opted out and is not {what}")
        });
    }
    for friend in &deselected {
        run.checks.holds(first_proof.is(friend, "deselected"), || {
            format!("{friend} was taken off the list and is not deselected")
        });
    }
    Ok(Messages {
        first: first.sent(first_forecast),
        second: second.sent(second_forecast),
        death,
    })
}

/// The first one, held until everybody has confirmed and it is known how it will end.
async fn first(
    run: &mut Run<'_>,
    shop: &Shop,
    rate: usize,
) -> anyhow::Result<(Progress, BTreeSet<String>, Forecast)> {
    let began = Instant::now();
    let first = message::accept(run, shop, FIRST, rate, HELD_OUT_PPM).await?;
    message::control(run, shop, &first.broadcast_id, "pause").await?;
    let deselected = message::confirm(run, shop, &first, DESELECTED * SPARE).await?;
    run.done("Mass message confirmed by its senders", first.tasks.len(), began);
    let began = Instant::now();
    let forecast = Forecast::read(run, shop, &first.broadcast_id).await?;
    let audience = usize::try_from(first.audience)?;
    run.done("Its end forecast for everybody", audience, began);
    Ok((first, deselected, forecast))
}

/// Some friends want no mass messages.
async fn opt_out(run: &mut Run<'_>, friends: &[Friend]) -> anyhow::Result<BTreeSet<String>> {
    let began = Instant::now();
    let some: Vec<&Friend> = friends
        .iter()
        .skip(OPTS_OUT_EVERY - 1)
        .step_by(OPTS_OUT_EVERY)
        .collect();
    let bar = run.screen.bar("Withdrawing consent", some.len());
    each(&bar, &some, async |friend| {
        let ask = run.api.put("customers", "/v1/me/consent").token(&friend.token);
        ask.json(&json!({"marketing": false})).ok().await
    })
    .await?;
    drop(bar);
    run.done("Friends who withdrew their consent", some.len(), began);
    Ok(some.into_iter().map(|friend| friend.contact_id.clone()).collect())
}

/// Every recipient ended in the state it had to, as forecast, and in no other.
fn settle(
    run: &mut Run<'_>,
    progress: &Progress,
    audience: u64,
    forecast: &Forecast,
    expected: &[(&str, u64)],
) {
    let title = &progress.title;
    run.checks
        .equal(format_args!("{title}: audience"), audience, progress.audience);
    run.checks.equal(
        format_args!("{title}: sum of terminal states"),
        progress.audience,
        progress.settled(),
    );
    for (state, found) in &progress.outcomes {
        let due = expected
            .iter()
            .find(|(name, _)| name == state)
            .map_or(0, |(_, due)| *due);
        run.checks.equal(format_args!("{title}: {state}"), due, *found);
        let foreseen = forecast.outcomes.get(state).copied().unwrap_or(0);
        run.checks
            .equal(format_args!("{title}: {state} as forecast"), foreseen, *found);
    }
}

/// The killed worker cost nothing: everybody has each message exactly as often as its proof says.
async fn read(
    run: &mut Run<'_>,
    friends: &[Friend],
    messages: &[((&str, &str), &Proof)],
) -> anyhow::Result<()> {
    let began = Instant::now();
    let bar = run.screen.bar("Reading every inbox", friends.len());
    let inboxes = inbox::all(run, &bar, friends).await?;
    drop(bar);
    run.done("Inboxes read, each message there once", inboxes.len(), began);
    for (friend, inbox) in friends.iter().zip(&inboxes) {
        let id = &friend.contact_id;
        let mut due = 0;
        for (message, proof) in messages {
            let times = usize::from(proof.is(id, "delivered"));
            expect(run, friend, inbox, *message, times);
            due += times;
        }
        run.checks.equal(
            format_args!("mass messages to {id}"),
            due,
            inbox.of_kind("enterprise"),
        );
        run.checks.equal(
            format_args!("welcomes of {id} in the end"),
            1,
            inbox.of_kind("welcome"),
        );
    }
    Ok(())
}

fn expect(run: &mut Run<'_>, friend: &Friend, inbox: &Inbox, message: (&str, &str), times: usize) {
    let (title, text) = message;
    let what = format_args!("{title:?} in the inbox of {}", friend.contact_id);
    run.checks
        .equal(what, times, inbox.of_text(text, &friend.member_id));
}
