//! A month's statement of the person who earned most.

use std::collections::BTreeMap;

use anyhow::Context as _;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};
use serde::Deserialize;

use crate::run::Run;

use super::ledger::Earner;

/// Months are cut where the plan's zone, Asia/Shanghai, cuts them.
const ZONE_HOURS: i8 = 8;

/// What moved in one month.
pub(crate) struct Statement {
    pub(crate) person: String,
    /// Its first day.
    pub(crate) month: Date,
    pub(crate) opening: Credit,
    /// Without those that cancel each other out.
    pub(crate) lines: Vec<Line>,
    pub(crate) closing: Credit,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Credit {
    pub(crate) held_minor: i64,
    pub(crate) available_minor: i64,
}

#[derive(Deserialize)]
pub(crate) struct Line {
    pub(crate) at: Timestamp,
    pub(crate) kind: String,
    pub(crate) order: String,
    pub(crate) rule: String,
    pub(crate) held_minor: i64,
    pub(crate) available_minor: i64,
}

#[derive(Deserialize)]
struct Answer {
    currencies: Vec<Currency>,
}

#[derive(Default, Deserialize)]
struct Currency {
    opening: Credit,
    lines: Vec<Line>,
    closing: Credit,
}

/// Reads the whole statement, and the one of the month in which most moved.
pub(crate) async fn read(run: &mut Run<'_>, token: &str, earner: &Earner) -> anyhow::Result<Statement> {
    let whole = ask(run, token, &earner.person, "").await?;
    let balance = earner.accrued - earner.reversed;
    run.checks
        .equal("statement from the beginning: opening", 0, whole.opening.sum());
    run.checks.equal(
        "statement from the beginning: closing",
        balance,
        whole.closing.sum(),
    );
    let mut months: BTreeMap<Date, usize> = BTreeMap::new();
    for line in &whole.lines {
        *months.entry(month(line.at)).or_default() += 1;
    }
    let busiest = months.into_iter().max_by_key(|(_, lines)| *lines);
    let (month, lines) = busiest.with_context(|| format!("{} earned, but nothing moved", earner.person))?;
    let (from, to) = (instant(month)?, instant(month.checked_add(1.month())?)?);
    let own = ask(run, token, &earner.person, &format!("?from={from}&to={to}")).await?;
    run.checks
        .equal("lines of the month's statement", lines, own.lines.len());
    let moved: i64 = own
        .lines
        .iter()
        .map(|line| line.held_minor + line.available_minor)
        .sum();
    run.checks.equal(
        "opening + lines of the month",
        own.opening.sum() + moved,
        own.closing.sum(),
    );
    let (opening, lines, closing) = (own.opening, net(own.lines), own.closing);
    Ok(Statement {
        person: earner.person.clone(),
        month,
        opening,
        lines,
        closing,
    })
}

async fn ask(run: &Run<'_>, token: &str, person: &str, period: &str) -> anyhow::Result<Currency> {
    let path = format!("/v1/statements/{}{period}", escaped(person));
    let answer = run.api.get("referral", &path).token(token).ok().await?;
    let answer: Answer = serde_json::from_value(answer).context("the answer is no statement")?;
    Ok(answer.currencies.into_iter().next().unwrap_or_default())
}

/// As a part of a path, whatever the shop calls its people.
fn escaped(person: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let byte = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    person.bytes().map(byte).collect()
}

impl Credit {
    fn sum(self) -> i64 {
        self.held_minor + self.available_minor
    }
}

/// Movements of one commission at one instant as one. News that comes late undoes what was posted
/// for that instant; what then cancels out is left out.
fn net(lines: Vec<Line>) -> Vec<Line> {
    let mut netted: Vec<Line> = Vec::new();
    for line in lines {
        match netted.iter_mut().find(|known| known.moves_with(&line)) {
            Some(known) => {
                known.held_minor += line.held_minor;
                known.available_minor += line.available_minor;
            }
            None => netted.push(line),
        }
    }
    netted.retain(|line| (line.held_minor, line.available_minor) != (0, 0));
    netted
}

impl Line {
    fn moves_with(&self, other: &Self) -> bool {
        let key = |line: &Self| (line.at, line.kind.clone(), line.order.clone(), line.rule.clone());
        key(self) == key(other)
    }

    /// When, as the plan's zone counts days.
    pub(crate) fn day(&self) -> Date {
        self.at.to_zoned(zone()).date()
    }
}

/// The first day of its month.
fn month(at: Timestamp) -> Date {
    at.to_zoned(zone()).date().first_of_month()
}

fn instant(day: Date) -> anyhow::Result<Timestamp> {
    Ok(day.to_zoned(zone())?.timestamp())
}

fn zone() -> TimeZone {
    TimeZone::fixed(Offset::constant(ZONE_HOURS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_may_be_called_anything() {
        assert_eq!(escaped("wx-0001"), "wx-0001");
        assert_eq!(escaped("a/b?李"), "a%2Fb%3F%E6%9D%8E");
    }

    #[test]
    fn what_cancels_out_is_left_out() {
        let line = |rule: &str, held_minor, available_minor| Line {
            at: Timestamp::UNIX_EPOCH,
            kind: "maturity".to_owned(),
            order: "O-1".to_owned(),
            rule: rule.to_owned(),
            held_minor,
            available_minor,
        };
        let netted = net(vec![
            line("R1", -9, 9),
            line("R2", -3, 3),
            line("R1", 9, -9),
            line("R2", 1, -1),
        ]);
        let figures: Vec<_> = netted
            .iter()
            .map(|line| (line.rule.as_str(), line.held_minor, line.available_minor))
            .collect();
        assert_eq!(figures, [("R2", -2, 2)]);
    }

    #[test]
    fn a_month_begins_in_shanghai() {
        let at: Timestamp = "2026-04-30T16:00:00Z".parse().unwrap();
        assert_eq!(month(at).to_string(), "2026-05-01");
        assert_eq!(instant(month(at)).unwrap(), at);
    }
}
