//! Lists of contacts, uploaded as files of ids: read as they come, line by line, so that a mistake is told by its line.

use std::str;

use contracts::{ContactId, ContactListId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Contacts in a list: 16 MB of memory while it is uploaded.
pub(crate) const LIST_CONTACTS_MAX: usize = 1_000_000;
/// A list is forgotten this long after its upload.
pub(crate) const LIST_DAYS_MAX: i32 = 90;
const LINE_BYTES_MAX: usize = 256;
const HEADER: &str = "contact_id";

/// Why a file is no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListError {
    #[error("line {line} is no contact's id")]
    NoId { line: usize },
    #[error("line {line} is one too many: a list has at most {LIST_CONTACTS_MAX} contacts")]
    TooMany { line: usize },
    #[error("the file names nobody")]
    Empty,
}

/// A list as its maker sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ContactList {
    pub list_id: ContactListId,
    /// Different contacts in it.
    pub contacts: i32,
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Timestamp,
}

/// A file of ids being read: one a line, under the header `contact_id` or none.
#[derive(Debug, Default)]
pub(crate) struct IdFile {
    ids: Vec<ContactId>,
    /// Of the line that is not complete yet.
    rest: Vec<u8>,
    lines: usize,
}

impl IdFile {
    /// Takes the next bytes, wherever they were cut.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), ListError> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, next) = (&bytes[..end], &bytes[end + 1..]);
            if self.rest.is_empty() {
                self.line(line)?;
            } else {
                self.hold(line)?;
                let line = std::mem::take(&mut self.rest);
                self.line(&line)?;
            }
            bytes = next;
        }
        self.hold(bytes)
    }

    /// The contacts, sorted, each once.
    pub(crate) fn finish(mut self) -> Result<Vec<ContactId>, ListError> {
        let last = std::mem::take(&mut self.rest);
        self.line(&last)?;
        if self.ids.is_empty() {
            return Err(ListError::Empty);
        }
        self.ids.sort_unstable();
        self.ids.dedup();
        Ok(self.ids)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), ListError> {
        if self.rest.len() + bytes.len() > LINE_BYTES_MAX {
            let line = self.lines + 1;
            return Err(ListError::NoId { line });
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, bytes: &[u8]) -> Result<(), ListError> {
        self.lines += 1;
        let line = self.lines;
        if bytes.len() > LINE_BYTES_MAX {
            return Err(ListError::NoId { line });
        }
        let text = str::from_utf8(bytes).map_err(|_| ListError::NoId { line })?;
        // A spreadsheet adds a byte order mark, quotes and carriage returns.
        let text = text.trim_start_matches('\u{feff}').trim().trim_matches('"');
        if text.is_empty() || (line == 1 && text == HEADER) {
            return Ok(());
        }
        let id = text.parse().map_err(|_| ListError::NoId { line })?;
        if self.ids.len() >= LIST_CONTACTS_MAX {
            return Err(ListError::TooMany { line });
        }
        self.ids.push(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(file: &[u8], cut: usize) -> Result<Vec<ContactId>, ListError> {
        let mut reading = IdFile::default();
        for bytes in file.chunks(cut) {
            reading.push(bytes)?;
        }
        reading.finish()
    }

    #[test]
    fn a_mistake_is_told_by_its_line() {
        let id = ContactId::new();
        for (file, expected) in [
            (
                format!("contact_id\n{id}\nwx-1\n{id}\n"),
                ListError::NoId { line: 3 },
            ),
            (format!("{id}\n\n{id},{id}"), ListError::NoId { line: 3 }),
            (
                format!("{id}\n{}", "x".repeat(100_000)),
                ListError::NoId { line: 2 },
            ),
            ("contact_id\n\n".to_owned(), ListError::Empty),
            (String::new(), ListError::Empty),
        ] {
            for cut in [1, 7, 1 << 20] {
                assert_eq!(read(file.as_bytes(), cut).as_ref(), Err(&expected));
            }
        }
        assert_eq!(read(&[0xff, b'\n'], 1), Err(ListError::NoId { line: 1 }));
    }

    #[test]
    fn a_list_has_an_end() {
        let line = format!("{}\n", ContactId::new());
        let mut reading = IdFile::default();
        for _ in 0..100 {
            reading.push(line.repeat(10_000).as_bytes()).unwrap();
        }
        let refused = reading.push(line.as_bytes());
        assert_eq!(refused, Err(ListError::TooMany { line: 1_000_001 }));
    }

    proptest! {
        #[test]
        fn ids_are_read_sorted_and_once_wherever_the_file_is_cut(
            ids in prop::collection::vec(any::<u128>(), 1..50),
            has_header in any::<bool>(),
            is_from_windows in any::<bool>(),
            cut in 1usize..100,
        ) {
            let end = if is_from_windows { "\r\n" } else { "\n" };
            let ids: Vec<_> = ids.into_iter().map(|id| ContactId(uuid::Uuid::from_u128(id))).collect();
            let mut file = if has_header { format!("\u{feff}contact_id{end}") } else { String::new() };
            ids.iter().for_each(|id| file += &format!("{id}{end}"));
            let mut expected = ids;
            expected.sort();
            expected.dedup();
            prop_assert_eq!(read(file.as_bytes(), cut), Ok(expected));
        }

        #[test]
        fn nothing_breaks_it(file in prop::collection::vec(any::<u8>(), 0..400), cut in 1usize..50) {
            let whole = read(&file, file.len().max(1));
            prop_assert_eq!(read(&file, cut), whole);
        }
    }
}
