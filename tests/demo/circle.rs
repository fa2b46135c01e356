//! Step 2, at its end: every friend takes a seat in a series of groups that open one after another.

use std::collections::BTreeMap;
use std::time::Instant;

use client::text;
use serde_json::{Value, json};

use crate::brand::{Shop, once_known};
use crate::crowd::each;
use crate::inbox;
use crate::run::Run;
use crate::stickers::Friend;

/// As many as WeChat allows (D1).
const CAPACITY: usize = 500;
const GREETING: &str = "欢迎！Tell us your skin type.";

/// Everybody joins, and finds one welcome and one greeting.
pub(crate) async fn join(run: &mut Run<'_>, shop: &Shop, friends: &[Friend]) -> anyhow::Result<()> {
    let series_id = open(run, shop).await?;
    let began = Instant::now();
    let bar = run.screen.bar("Joining the series", friends.len());
    let path = format!("/v1/series/{series_id}/join");
    let seats = each(&bar, friends, async |friend| {
        run.api
            .post("groups", &path)
            .token(&friend.token)
            .json(&json!({}))
            .ok()
            .await
    })
    .await?;
    drop(bar);
    run.done("Seats taken in the series", seats.len(), began);
    count_seats(run, shop, &series_id, &seats).await?;

    let began = Instant::now();
    let bar = run.screen.bar("Reading welcomes", friends.len());
    let inboxes = inbox::once_there(run, &bar, friends, &["welcome", "greeting"]).await?;
    drop(bar);
    run.done("Inboxes with one welcome and one greeting", inboxes.len(), began);
    for (friend, inbox) in friends.iter().zip(&inboxes) {
        for kind in ["welcome", "greeting"] {
            run.checks.equal(
                format_args!("{kind} of {}", friend.contact_id),
                1,
                inbox.of_kind(kind),
            );
        }
    }
    Ok(())
}

async fn open(run: &mut Run<'_>, shop: &Shop) -> anyhow::Result<String> {
    let began = Instant::now();
    let body = json!({
        "name": "花咲の輪",
        "theme": "Daily skin care",
        "benefit": "New products first, and honest answers from the laboratory.",
        "greeting": GREETING,
        "capacity": CAPACITY,
    });
    let token = shop.operator.token().await?;
    let series = once_known(|| run.api.post("groups", "/v1/series").token(&token).json(&body)).await?;
    run.done("Series of groups opened", 1, began);
    text(&series, "series_id")
}

/// Groups fill to the last seat before the next one opens, and nobody sits twice.
async fn count_seats(run: &mut Run<'_>, shop: &Shop, series_id: &str, seats: &[Value]) -> anyhow::Result<()> {
    let path = format!("/v1/groups?series_id={series_id}");
    let groups = run
        .api
        .all("groups", &path, &shop.operator.token().await?)
        .await?;
    let expected = filled(seats.len());
    run.checks
        .equal("groups in the series", expected.len(), groups.len());
    let mut joined: BTreeMap<String, u64> = BTreeMap::new();
    for seat in seats {
        *joined.entry(text(seat, "group_id")?).or_default() += 1;
        run.checks.holds(seat["already"] == false, || {
            format!("a first join found a seat taken: {seat}")
        });
    }
    for (group, expected) in groups.iter().zip(expected) {
        let name = text(group, "name")?;
        let own = joined.get(&text(group, "group_id")?).copied().unwrap_or(0);
        run.checks.equal(format_args!("joins of {name}"), expected, own);
        run.checks.equal(
            format_args!("seats taken in {name}"),
            expected.to_string(),
            group["seats_taken"].to_string(),
        );
        run.part(&name, usize::try_from(own)?);
    }
    Ok(())
}

/// Seats taken, group by group.
fn filled(people: usize) -> Vec<u64> {
    let rest = (people % CAPACITY) as u64;
    let full = vec![CAPACITY as u64; people / CAPACITY];
    full.into_iter()
        .chain(Some(rest).filter(|rest| *rest > 0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_fill_one_after_another() {
        assert_eq!(filled(1_200), [500, 500, 200]);
        assert_eq!(filled(1_000), [500, 500]);
        assert_eq!(filled(1), [1]);
        assert!(filled(0).is_empty());
    }
}
