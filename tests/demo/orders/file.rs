//! The orders file: what the shop says happened, row by row.

use std::path::Path;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// Every order of the file has one line.
const LINE: u32 = 1;

/// A row that can be told to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) line: u64,
    pub(crate) order: String,
    pub(crate) at: Timestamp,
    pub(crate) what: What,
    /// As written, with the shop's zone.
    occurred_at: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Paid {
        buyer: String,
        referrer: Option<String>,
        sku: String,
        qty: u32,
        unit_price: i64,
    },
    Delivered,
    Refunded {
        refund: String,
        amount: i64,
    },
}

/// A row that can't, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) line: u64,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
struct Row {
    order: String,
    event: String,
    occurred_at: String,
    #[serde(default)]
    buyer: String,
    #[serde(default)]
    referrer: String,
    #[serde(default)]
    sku: String,
    #[serde(default)]
    qty: String,
    #[serde(default)]
    unit_price: String,
    #[serde(default)]
    refund: String,
    #[serde(default)]
    refund_amount: String,
}

/// What a file holds.
pub(crate) struct Orders {
    /// In its order.
    pub(crate) events: Vec<Event>,
    pub(crate) left_out: Vec<LeftOut>,
}

impl Orders {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let unreadable = || {
            format!(
                "{} can't be read; remedy: name a CSV file, ORDERS=path",
                path.display()
            )
        };
        let file = std::fs::File::open(path).with_context(unreadable)?;
        Self::parse(file).with_context(unreadable)
    }

    fn parse(file: impl std::io::Read) -> anyhow::Result<Self> {
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(file);
        let header = reader.byte_headers()?.clone();
        let (mut events, mut left_out) = (Vec::new(), Vec::new());
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record)? {
            let line = record.position().map_or(0, csv::Position::line);
            let row = record
                .deserialize::<Row>(Some(&header))
                .map_err(|error| reason(&error));
            match row.and_then(|row| Event::parse(line, row).map_err(|error| format!("{error:#}"))) {
                Ok(event) => events.push(event),
                Err(reason) => left_out.push(LeftOut { line, reason }),
            }
        }
        Ok(Self { events, left_out })
    }
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
        _ => error.to_string(),
    }
}

impl Event {
    #[cfg(test)]
    pub(crate) fn new(order: &str, occurred_at: &str, what: What) -> Self {
        let at = occurred_at.parse().unwrap();
        Self {
            line: 0,
            order: order.to_owned(),
            at,
            what,
            occurred_at: occurred_at.to_owned(),
        }
    }

    fn parse(line: u64, row: Row) -> anyhow::Result<Self> {
        let at = row.occurred_at.parse().with_context(|| {
            format!(
                "occurred_at {:?} is no time with a zone, like 2026-03-01T10:00:00+08:00",
                row.occurred_at
            )
        })?;
        ensure!(!row.order.is_empty(), "order is empty");
        let what = match row.event.as_str() {
            "paid" => {
                ensure!(!row.buyer.is_empty(), "buyer is empty");
                let qty = row.qty.parse().ok().filter(|qty| *qty > 0);
                What::Paid {
                    buyer: row.buyer,
                    referrer: Some(row.referrer).filter(|referrer| !referrer.is_empty()),
                    sku: row.sku,
                    qty: qty.with_context(|| format!("qty {:?} is no number from 1", row.qty))?,
                    unit_price: minor(&row.unit_price).context("unit_price")?,
                }
            }
            "delivered" => What::Delivered,
            "refunded" => {
                ensure!(!row.refund.is_empty(), "refund, its number, is empty");
                What::Refunded {
                    refund: row.refund,
                    amount: minor(&row.refund_amount).context("refund_amount")?,
                }
            }
            other => anyhow::bail!("event {other:?} is none of paid, delivered, refunded"),
        };
        Ok(Self {
            line,
            order: row.order,
            at,
            what,
            occurred_at: row.occurred_at,
        })
    }

    /// The shop's number of what happened: the same whenever it tells it again.
    pub(crate) fn id(&self) -> String {
        match &self.what {
            What::Paid { .. } => format!("{}:paid", self.order),
            What::Delivered => format!("{}:delivered", self.order),
            What::Refunded { refund, .. } => format!("{}:refund:{refund}", self.order),
        }
    }

    /// As the ledger takes it.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({"id": self.id(), "occurred_at": self.occurred_at, "order": self.order});
        match &self.what {
            What::Paid {
                buyer,
                referrer,
                sku,
                qty,
                unit_price,
            } => {
                body["type"] = json!("order.paid");
                body["buyer"] = json!(buyer);
                if let Some(referrer) = referrer {
                    body["referrer"] = json!(referrer);
                }
                body["lines"] = json!([{"line": LINE, "sku": sku, "qty": qty, "unit_price": unit_price}]);
            }
            What::Delivered => body["type"] = json!("order.delivered"),
            What::Refunded { refund, amount } => {
                body["type"] = json!("order.refunded");
                body["refund"] = json!(refund);
                body["lines"] = json!([{"line": LINE, "amount": amount}]);
            }
        }
        body
    }
}

/// Fen of yuan written with at most two decimals: never a float near money.
fn minor(yuan: &str) -> anyhow::Result<i64> {
    let (whole, part) = yuan.split_once('.').unwrap_or((yuan, "00"));
    let digits = format!("{whole}{part:0<2}");
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !whole.is_empty() && part.len() <= 2;
    let fen = is_plain.then(|| digits.parse().ok()).flatten();
    fen.with_context(|| format!("{yuan:?} is no amount like 398.00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "order,event,occurred_at,buyer,referrer,sku,qty,unit_price,refund,refund_amount\n";

    fn parsed(rows: &str) -> (Vec<Event>, Vec<LeftOut>) {
        let orders = Orders::parse(format!("{HEADER}{rows}").as_bytes()).unwrap();
        (orders.events, orders.left_out)
    }

    #[test]
    fn money_is_read_without_floats() {
        let good = ["398.00", "398", "398.5", "0.01", "0"].map(|text| minor(text).unwrap());
        assert_eq!(good, [39_800, 39_800, 39_850, 1, 0]);
        for bad in [
            "",
            "-1",
            "1.234",
            ".5",
            "1e3",
            "1,000.00",
            "¥398",
            "99999999999999999999",
        ] {
            assert!(minor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_row_becomes_what_the_ledger_takes() {
        let (events, left_out) = parsed("O-1,paid,2026-03-01T10:00:00+08:00,b,r,PKG398,2,398.00,,\n");
        assert_eq!(left_out, []);
        assert_eq!(
            events[0].body(),
            json!({
                "id": "O-1:paid", "type": "order.paid", "occurred_at": "2026-03-01T10:00:00+08:00", "order": "O-1",
                "buyer": "b", "referrer": "r",
                "lines": [{"line": 1, "sku": "PKG398", "qty": 2, "unit_price": 39_800}],
            })
        );
    }

    #[test]
    fn bad_rows_are_named_by_line_and_the_rest_is_read() {
        let (events, left_out) = parsed(
            "O-1,paid,2026-03-01,b,,PKG398,1,398.00,,\n\
             O-1,delivered,2026-03-02T10:00:00Z,,,,,,,\n\
             O-2,paid,2026-03-01T10:00:00Z,b,,PKG398,0,398.00,,\n\
             O-3,returned,2026-03-01T10:00:00Z,,,,,,,\n",
        );
        assert_eq!(events.len(), 1);
        assert_eq!(left_out.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 4, 5]);
    }
}
