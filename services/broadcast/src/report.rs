//! The proof of a mass message: how it ended for how many, why, when, by whose share, and recipient by recipient.

use std::fmt::Write as _;

use contracts::{BroadcastId, ContactId, MemberId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::broadcast::Broadcast;
use crate::click::{ClickFigures, LinkClicks};
use crate::outcome::{Outcome, Outcomes};
use crate::store::receipt::Receipt;

/// Columns of the export.
const COLUMNS: &str = "contact_id,member_id,state,at\n";

/// A mass message in figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Report {
    #[serde(flatten)]
    pub broadcast: Broadcast,
    /// Recipients.
    pub audience: i64,
    /// Recipients by terminal state; they sum to the audience when it is over.
    pub outcomes: Outcomes,
    /// Whether the recipients' receipts are kept; they are forgotten some months after its end, and the export with them.
    pub has_receipts: bool,
    /// The states there are, with their reason and their time.
    pub endings: Vec<Ended>,
    /// How often its links were followed; null unless they are short links.
    pub clicks: Option<ClickFigures>,
    /// The same of each link that somebody followed.
    pub links: Vec<LinkClicks>,
    /// Messages that were read; null where the channel can't tell.
    pub reads: Option<i64>,
    /// Shares by their number of recipients, the largest 500.
    pub members: Vec<MemberShare>,
    /// How many members have a share.
    pub members_total: i64,
}

/// Those who ended in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Ended {
    pub state: Outcome,
    pub why: &'static str,
    pub recipients: i64,
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
}

/// What went out, or did not, in one member's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct MemberShare {
    pub member_id: MemberId,
    pub audience: i64,
    pub outcomes: Outcomes,
}

/// How the recipients are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    #[default]
    Csv,
    /// A JSON object a line.
    Jsonl,
}

impl Format {
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Jsonl => "application/jsonl",
        }
    }

    pub(crate) fn file(self, broadcast: BroadcastId) -> String {
        let ending = match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        };
        format!("attachment; filename=\"{broadcast}.{ending}\"")
    }

    /// What stands before the first row; an export that goes on has it already.
    pub(crate) fn head(self, after: Option<ContactId>) -> &'static str {
        match (self, after) {
            (Self::Csv, None) => COLUMNS,
            _ => "",
        }
    }

    /// Rows as lines. Ids, words and times need no quotes.
    pub(crate) fn lines(self, receipts: &[Receipt]) -> String {
        let mut lines = String::with_capacity(receipts.len() * 128);
        for Receipt {
            contact_id,
            member_id,
            state,
            at,
        } in receipts
        {
            let state = state.name();
            let written = match self {
                Self::Csv => writeln!(lines, "{contact_id},{member_id},{state},{at}"),
                Self::Jsonl => writeln!(
                    lines,
                    r#"{{"contact_id":"{contact_id}","member_id":"{member_id}","state":"{state}","at":"{at}"}}"#
                ),
            };
            written.unwrap_or_default(); // a String takes everything
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_say_the_same() {
        let receipts = Outcome::ALL.map(|state| Receipt {
            contact_id: ContactId::new(),
            member_id: MemberId::new(),
            state,
            at: Timestamp::UNIX_EPOCH,
        });
        let csv = Format::Csv.head(None).to_owned() + &Format::Csv.lines(&receipts);
        let jsonl = Format::Jsonl.head(None).to_owned() + &Format::Jsonl.lines(&receipts);
        let mut rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let columns = rows.next().unwrap();
        for ((row, line), receipt) in rows.zip(jsonl.lines()).zip(&receipts) {
            let object: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
            assert_eq!(object.len(), columns.len());
            for (column, cell) in columns.iter().zip(&row) {
                assert_eq!(object[*column], *cell);
            }
            assert_eq!(
                serde_json::to_value(receipt).unwrap(),
                serde_json::Value::from(object)
            );
        }
        assert_eq!(csv.lines().count(), 1 + receipts.len());
        assert_eq!(Format::Csv.head(Some(ContactId::new())), "");
    }
}
