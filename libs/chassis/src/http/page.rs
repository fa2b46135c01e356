//! Lists in pages: a limit, and an opaque cursor that says where the next page starts.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::{Class, Problem};

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 500;
const CURSOR_BYTES_MAX: usize = 1024;

/// The parameters of a list without filters. A list with filters has these two fields beside its
/// own and hands them to [`Page::new`]: a query string can't be flattened into typed fields.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items at most: 1 to 500, 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// See [`Page::new`].
    ///
    /// # Errors
    /// As there.
    pub fn page<C: DeserializeOwned>(&self) -> Result<Page<C>, Problem> {
        Page::new(self.limit, self.cursor.as_deref())
    }
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<C> {
    pub limit: i64,
    /// The place of the last item of the page before.
    pub after: Option<C>,
}

impl<C: DeserializeOwned> Page<C> {
    /// Parses what was asked for.
    ///
    /// # Errors
    /// When the limit is out of its range, or the cursor is none of ours.
    pub fn new(limit: Option<u32>, cursor: Option<&str>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            let detail = format!("limit is {limit}");
            return Err(Problem::new(Class::Invalid, "limit_out_of_range", detail)
                .field("limit")
                .remedy(format!("ask for 1 to {LIMIT_MAX} items")));
        }
        let after = cursor
            .map(|cursor| parse(cursor).ok_or_else(malformed))
            .transpose()?;
        Ok(Self {
            limit: limit.into(),
            after,
        })
    }
}

impl<C> Page<C> {
    /// How many rows to fetch: the one beyond the page tells whether there is a next one.
    #[must_use]
    pub const fn rows_max(&self) -> i64 {
        self.limit + 1
    }
}

fn parse<C: DeserializeOwned>(cursor: &str) -> Option<C> {
    let fits = cursor.len() <= CURSOR_BYTES_MAX;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(fits.then_some(cursor)?).ok()?).ok()
}

/// A place as the opaque text that [`Page::new`] takes back.
///
/// # Panics
/// When a place has no JSON form, such as a map whose keys are not strings: a programming error.
#[must_use]
pub fn cursor<C: Serialize>(place: &C) -> String {
    let json = serde_json::to_vec(place).expect("ids, times and numbers have a JSON form");
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

fn malformed() -> Problem {
    Problem::new(
        Class::Invalid,
        "cursor_malformed",
        "the cursor is not one this list gave out",
    )
    .field("cursor")
    .remedy("take `next_cursor` of the page before as it is, or start without")
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Listing<T> {
    pub items: Vec<T>,
    /// Where the next page starts; null on the last one.
    pub next_cursor: Option<String>,
}

impl<T> Listing<T> {
    /// A page of rows that were fetched with [`Page::rows_max`]; `place` is where a row stands in
    /// the order of the list.
    ///
    /// # Panics
    /// When a place has no JSON form, such as a map whose keys are not strings: a programming error.
    #[must_use]
    pub fn from_rows<C: Serialize>(mut rows: Vec<T>, limit: i64, place: impl FnOnce(&T) -> C) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_last = rows.len() <= limit;
        rows.truncate(limit);
        let end = rows.last().filter(|_| !is_last);
        let next_cursor = end.map(|row| cursor(&place(row)));
        Self {
            items: rows,
            next_cursor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(limit: Option<u32>, cursor: Option<&str>) -> PageQuery {
        PageQuery {
            limit,
            cursor: cursor.map(str::to_owned),
        }
    }

    #[test]
    fn pages_follow_each_other() {
        let all: Vec<u32> = (0..7).collect();
        let (mut cursor, mut seen) = (None, Vec::new());
        loop {
            let page = query(Some(3), cursor.as_deref()).page::<u32>().unwrap();
            let rows = all
                .iter()
                .copied()
                .filter(|row| page.after.is_none_or(|after| *row > after));
            let rows = rows.take(page.rows_max() as usize).collect();
            let listing = Listing::from_rows(rows, page.limit, |row| *row);
            assert!(listing.items.len() <= 3);
            seen.extend(listing.items);
            match listing.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn a_full_last_page_has_no_next() {
        assert_eq!(Listing::from_rows(vec![1, 2, 3], 3, |row| *row).next_cursor, None);
        assert_eq!(
            Listing::from_rows(Vec::<u8>::new(), 3, |row| *row).next_cursor,
            None
        );
    }

    #[test]
    fn limits_are_kept() {
        assert_eq!(query(None, None).page::<u32>().unwrap().limit, 50);
        assert_eq!(query(Some(500), None).page::<u32>().unwrap().limit, 500);
        for limit in [0, 501, u32::MAX] {
            let problem = query(Some(limit), None).page::<u32>().unwrap_err();
            assert_eq!(
                (problem.code, problem.field.as_deref()),
                ("limit_out_of_range", Some("limit"))
            );
        }
    }

    #[test]
    fn a_cursor_of_ours_only() {
        let other_list = Listing::from_rows(vec!["a", "b"], 1, |row| *row)
            .next_cursor
            .unwrap();
        let long = "A".repeat(2000);
        for cursor in ["", "%", "bm9uc2Vuc2U", &other_list, &long] {
            let problem = query(None, Some(cursor)).page::<u32>().unwrap_err();
            assert_eq!(problem.code, "cursor_malformed", "{cursor}");
        }
    }
}
