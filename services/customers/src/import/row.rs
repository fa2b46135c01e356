//! One row of a contacts file: which column means what, and what may stand in it.

use std::collections::{HashMap, HashSet};

use csv_async::ByteRecord;
use sha2::{Digest, Sha256};

use super::{Rejection, TAGS_MAX};
use crate::contact::{ContactName, ExternalId, Zone};
use crate::email::Email;
use crate::phone::Phone;
use crate::tag::{self, TagName};

const COLUMNS: [&str; 7] = [
    "external_id",
    "name",
    "phone",
    "email",
    "birth_month",
    "tags",
    "zone",
];
const REQUIRED: [&str; 2] = ["external_id", "name"];

/// Why a file's first line is not a header.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("the file is empty")]
    Empty,
    #[error("column `{0}` is missing from the first line")]
    Missing(&'static str),
    /// By its place, from 1: without a header its name is somebody's.
    #[error(
        "column {0} of the first line is not one of external_id, name, phone, email, birth_month, tags, zone"
    )]
    Unknown(usize),
    #[error("column `{0}` stands twice in the first line")]
    Twice(&'static str),
}

/// A person as a file describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) line: i32,
    pub(crate) external_id: ExternalId,
    pub(crate) name: ContactName,
    pub(crate) phone: Option<Phone>,
    pub(crate) email: Option<Email>,
    pub(crate) birth_month: Option<String>,
    pub(crate) tags: Vec<TagName>,
    pub(crate) zone: Option<Zone>,
}

/// Which column stands where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    places: [Option<usize>; COLUMNS.len()],
    columns: usize,
}

impl Header {
    /// Reads the first line: the known columns in any order, external_id and name among them.
    pub(crate) fn parse(record: &ByteRecord) -> Result<Self, HeaderError> {
        if record.iter().all(<[u8]>::is_empty) {
            return Err(HeaderError::Empty);
        }
        let mut places = [None; COLUMNS.len()];
        for (place, name) in record.iter().enumerate() {
            let name = String::from_utf8_lossy(name);
            let name = name.trim_start_matches('\u{feff}').trim();
            let column = COLUMNS
                .iter()
                .position(|column| *column == name)
                .ok_or_else(|| HeaderError::Unknown(place + 1))?;
            if places[column].replace(place).is_some() {
                return Err(HeaderError::Twice(COLUMNS[column]));
            }
        }
        for (column, place) in COLUMNS.iter().zip(&places) {
            if place.is_none() && REQUIRED.contains(column) {
                return Err(HeaderError::Missing(column));
            }
        }
        Ok(Self {
            places,
            columns: record.len(),
        })
    }

    /// Reads a row that starts on `line`.
    pub(crate) fn row(&self, record: &ByteRecord, line: i32) -> Result<Row, Rejection> {
        if record.len() != self.columns {
            let reason = format!(
                "it has {} fields, the first line has {}",
                record.len(),
                self.columns
            );
            return Err(rejection(
                line,
                None,
                reason,
                "put fields that contain commas in double quotes",
            ));
        }
        let mut texts = [""; COLUMNS.len()];
        for ((text, place), column) in texts.iter_mut().zip(self.places).zip(COLUMNS) {
            let bytes = place.and_then(|place| record.get(place)).unwrap_or_default();
            *text = std::str::from_utf8(bytes).map_err(|_| {
                rejection(
                    line,
                    Some(column),
                    "it has bytes that are not UTF-8",
                    "save the file as UTF-8",
                )
            })?;
        }
        let [external_id, name, phone, email, birth_month, tags, zone] = texts.map(str::trim);
        Ok(Row {
            line,
            external_id: text(line, "external_id", external_id)?,
            name: text(line, "name", name)?,
            phone: phone_of(line, phone)?,
            email: email_of(line, email)?,
            birth_month: birth_month_of(line, birth_month)?,
            tags: tags_of(line, tags)?,
            zone: zone_of(line, zone)?,
        })
    }
}

fn rejection(
    line: i32,
    field: Option<&str>,
    reason: impl Into<String>,
    remedy: impl Into<String>,
) -> Rejection {
    Rejection {
        line,
        field: field.map(str::to_owned),
        reason: reason.into(),
        remedy: remedy.into(),
    }
}

fn text<T: std::str::FromStr<Err = chassis::text::TextError>>(
    line: i32,
    field: &str,
    raw: &str,
) -> Result<T, Rejection> {
    raw.parse().map_err(|error: chassis::text::TextError| {
        let error = error.to_string();
        let (reason, remedy) = error.split_once("; ").unwrap_or((&error, "correct it"));
        rejection(line, Some(field), reason, remedy)
    })
}

fn phone_of(line: i32, written: &str) -> Result<Option<Phone>, Rejection> {
    if written.is_empty() {
        return Ok(None);
    }
    let remedy = "write it with +81 or +86, or leave it empty";
    Phone::parse(written)
        .map(Some)
        .map_err(|error| rejection(line, Some("phone"), error.to_string(), remedy))
}

fn email_of(line: i32, written: &str) -> Result<Option<Email>, Rejection> {
    if written.is_empty() {
        return Ok(None);
    }
    let remedy = "write it like name@example.com, an international domain as xn--…, or leave it empty";
    Email::parse(written)
        .map(Some)
        .map_err(|error| rejection(line, Some("email"), error.to_string(), remedy))
}

fn birth_month_of(line: i32, written: &str) -> Result<Option<String>, Rejection> {
    if written.is_empty() {
        return Ok(None);
    }
    let fits = written.split_once('-').is_some_and(|(year, month)| {
        let digits = [year, month].concat().bytes().all(|byte| byte.is_ascii_digit());
        let month_fits = month.parse().is_ok_and(|month: u8| (1..=12).contains(&month));
        digits && year.len() == 4 && month.len() == 2 && ("1900".."2100").contains(&year) && month_fits
    });
    let reason = "it is not a month between 1900-01 and 2099-12";
    fits.then(|| Some(written.to_owned())).ok_or_else(|| {
        rejection(
            line,
            Some("birth_month"),
            reason,
            "write YYYY-MM, or leave it empty",
        )
    })
}

fn tags_of(line: i32, written: &str) -> Result<Vec<TagName>, Rejection> {
    let names = written.split(';').map(str::trim).filter(|name| !name.is_empty());
    let tags = names
        .map(|name| text(line, "tags", name))
        .collect::<Result<_, _>>()?;
    let tags = tag::distinct(tags);
    if tags.len() > tag::TAGS_MAX {
        let reason = format!("it has {} tags", tags.len());
        let remedy = format!("give a contact at most {} tags", tag::TAGS_MAX);
        return Err(rejection(line, Some("tags"), reason, remedy));
    }
    Ok(tags)
}

fn zone_of(line: i32, written: &str) -> Result<Option<Zone>, Rejection> {
    if written.is_empty() {
        return Ok(None);
    }
    Zone::try_from(written.to_owned()).map(Some).map_err(|_| {
        rejection(
            line,
            Some("zone"),
            "it is not a time zone of the IANA database",
            "write a name such as Asia/Tokyo, or leave it empty",
        )
    })
}

/// What may occur but once, or so often, in a whole file.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// The line each person was first on. A digest stands for the id: 500,000 of them stay under 30 MiB.
    lines: HashMap<[u8; 16], i32>,
    tags: HashSet<TagName>,
}

impl Census {
    /// Lets a row pass unless its person was on an earlier line.
    pub(crate) fn admit(&mut self, row: Row) -> Result<Row, Rejection> {
        let [digest, _] = bytes_halved(Sha256::digest(row.external_id.as_bytes()).into());
        if let Some(first) = self.lines.get(&digest) {
            let reason = format!("the same person is on line {first}");
            return Err(rejection(
                row.line,
                Some("external_id"),
                reason,
                "keep one line for each person",
            ));
        }
        let new_tags = row.tags.iter().filter(|tag| !self.tags.contains(*tag)).count();
        if self.tags.len() + new_tags > TAGS_MAX {
            let reason = format!("the file has more than {TAGS_MAX} different tags");
            return Err(rejection(
                row.line,
                Some("tags"),
                reason,
                "use fewer tags, or import in parts",
            ));
        }
        self.lines.insert(digest, row.line);
        self.tags.extend(row.tags.iter().cloned());
        Ok(row)
    }
}

fn bytes_halved(bytes: [u8; 32]) -> [[u8; 16]; 2] {
    std::array::from_fn(|half| std::array::from_fn(|n| bytes[half * 16 + n]))
}

#[cfg(test)]
mod tests;
