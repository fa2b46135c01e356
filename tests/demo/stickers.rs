//! Step 2, second half: everybody scans the sticker on their parcel, is given a member who stays
//! theirs, becomes a friend and is welcomed.

use std::time::Instant;

use client::{Ask, text};
use serde_json::{Value, json};

use crate::brand::{Shop, once_known};
use crate::contacts::Imported;
use crate::crowd::each;
use crate::run::Run;
use crate::screen::{Cell, Table, count, percent};

/// The tag everybody who scans it gets; the mass message goes to them.
pub(crate) const TAG: &str = "parcel sticker";
const WELCOME: &str = "你好，我是你的护肤顾问！ご購入ありがとうございます。";
/// Of the three agents.
const WEIGHTS: [u32; 3] = [5, 3, 2];
const RESCANS: usize = 100;
/// What chance exceeds once in a million runs, with two degrees of freedom.
const CHI_SQUARE_MAX: f64 = 27.6;
/// Fewer people say nothing about weights.
const WEIGHABLE: usize = 100;

/// Somebody who scanned: now a friend of the brand.
pub(crate) struct Friend {
    pub(crate) contact_id: String,
    external_id: String,
    /// Who looks after them.
    pub(crate) member_id: String,
    /// Opens their inbox, groups and consent.
    pub(crate) token: String,
}

/// Everybody scans; some scan again.
pub(crate) async fn scan(run: &mut Run<'_>, shop: &Shop, people: &[Imported]) -> anyhow::Result<Vec<Friend>> {
    let code = issue(run, shop).await?;
    let began = Instant::now();
    let bar = run.screen.bar("Scanning the sticker", people.len());
    let scans = each(&bar, people, async |person| {
        let scan = ask(run, &code, &person.external_id, Some(person.language))
            .ok()
            .await?;
        Ok((friend(&scan, &person.external_id)?, scan["first"] == true, person))
    })
    .await?;
    drop(bar);
    run.done("Stickers scanned, friends made", scans.len(), began);
    let mut friends = Vec::with_capacity(scans.len());
    for (friend, is_first, person) in scans {
        run.checks.holds(is_first, || {
            format!("{}: the first scan is none", person.external_id)
        });
        run.checks
            .equal(&person.external_id, &person.contact_id, &friend.contact_id);
        friends.push(friend);
    }
    rescan(run, &code, &friends).await?;
    weigh(run, shop, &friends);
    Ok(friends)
}

async fn issue(run: &mut Run<'_>, shop: &Shop) -> anyhow::Result<String> {
    let began = Instant::now();
    let seats = shop.agents.iter().zip(WEIGHTS);
    let members: Vec<Value> = seats
        .map(|(agent, weight)| json!({"member_id": agent.member_id, "weight": weight}))
        .collect();
    let body = json!({
        "name": "parcel sticker", "members": members, "welcome": WELCOME, "tags": [TAG], "state": "parcel",
    });
    let token = shop.operator.token().await?;
    let code = once_known(|| run.api.post("customers", "/v1/codes").token(&token).json(&body)).await?;
    run.done("Live code issued, three agents share it", 1, began);
    text(&code, "token")
}

fn ask(run: &Run<'_>, code: &str, external_id: &str, language: Option<&str>) -> Ask {
    let body = json!({"code": code, "external_id": external_id, "language": language});
    run.api.post("customers", "/v1/scans").json(&body)
}

fn friend(scan: &Value, external_id: &str) -> anyhow::Result<Friend> {
    Ok(Friend {
        contact_id: text(scan, "contact_id")?,
        external_id: external_id.to_owned(),
        member_id: text(&scan["member"], "member_id")?,
        token: text(scan, "contact_token")?,
    })
}

/// Whoever scans again sees the member they know.
async fn rescan(run: &mut Run<'_>, code: &str, friends: &[Friend]) -> anyhow::Result<()> {
    let began = Instant::now();
    let again: Vec<&Friend> = friends
        .iter()
        .step_by((friends.len() / RESCANS).max(1))
        .take(RESCANS)
        .collect();
    let bar = run.screen.bar("Scanning it again", again.len());
    let scans = each(&bar, &again, async |known| {
        ask(run, code, &known.external_id, None).ok().await
    })
    .await?;
    drop(bar);
    run.done("Scanned again, the same member shown", scans.len(), began);
    for (known, scan) in again.iter().zip(&scans) {
        let seen = friend(scan, &known.external_id)?;
        run.checks.holds(scan["first"] == false, || {
            format!("{}: a first scan again", known.external_id)
        });
        run.checks
            .equal(&known.external_id, &known.contact_id, &seen.contact_id);
        run.checks.equal(
            format_args!("{}'s member", known.external_id),
            &known.member_id,
            &seen.member_id,
        );
    }
    Ok(())
}

/// The agents' shares follow their weights, as far as chance allows.
fn weigh(run: &mut Run<'_>, shop: &Shop, friends: &[Friend]) {
    let total: u32 = WEIGHTS.iter().sum();
    let mut chi_square = 0.0;
    let mut table = Table::new(&["agent's weight", "friends", "share"]);
    let mut found = 0;
    for (agent, weight) in shop.agents.iter().zip(WEIGHTS) {
        let own = friends
            .iter()
            .filter(|friend| friend.member_id == agent.member_id)
            .count();
        let expected = friends.len() as f64 * f64::from(weight) / f64::from(total);
        chi_square += (own as f64 - expected).powi(2) / expected;
        found += own;
        let share = percent(own as u64, friends.len() as u64);
        table.row(vec![
            Cell::word(format!("{weight} of {total}")),
            Cell::figure(count(own as u64)),
            Cell::figure(share),
        ]);
    }
    run.screen.aside(&table);
    run.checks
        .equal("friends of the three agents", friends.len(), found);
    if friends.len() >= WEIGHABLE {
        run.checks.holds(chi_square < CHI_SQUARE_MAX, || {
            format!("the agents' shares don't follow their weights: chi-square {chi_square:.1}")
        });
    }
}
