//! A contacts file as it streams in: split into rows, fingerprinted on the way, never held as a whole.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use csv_async::{AsyncReader, AsyncReaderBuilder, ByteRecord, Terminator};
use http_body_util::LengthLimitError;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

use super::Rejection;
use super::row::{Header, HeaderError, Row};

/// What one row may take, and the reader's buffer with it. An unclosed quote would swallow the whole file.
const RECORD_BYTES_MAX: usize = 64 * 1024;

/// Why a file can't be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("the row on line {line} is larger than {RECORD_BYTES_MAX} bytes")]
    RowTooLarge { line: u64 },
    #[error("the file is larger than this route takes")]
    TooLarge,
    #[error("the file ended before it was complete")]
    Broken(#[source] std::io::Error),
}

/// A file being read.
pub(crate) struct File<R> {
    csv: AsyncReader<Meter<R>>,
    record: ByteRecord,
    /// The first line behind the row before.
    next_line: u64,
}

impl<R: AsyncRead + Unpin + Send> File<R> {
    /// Wraps a body; its fingerprint will also cover what was `asked` with it.
    pub(crate) fn new(body: R, asked: &str) -> Self {
        let hash = Sha256::new_with_prefix(asked);
        let meter = Meter {
            inner: body,
            hash,
            allowance: RECORD_BYTES_MAX,
            is_line_open: false,
        };
        // A carriage return before the line feed ends up in the last field, where it is trimmed away.
        let ends = Terminator::Any(b'\n');
        let csv = AsyncReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(ends)
            .create_reader(meter);
        Self {
            csv,
            record: ByteRecord::new(),
            next_line: 1,
        }
    }

    /// Reads the first line.
    pub(crate) async fn header(&mut self) -> Result<Header, FileError> {
        if !self.advance().await? {
            return Err(HeaderError::Empty.into());
        }
        self.line();
        Ok(Header::parse(&self.record)?)
    }

    /// Reads the next row; `None` at the end.
    pub(crate) async fn next(
        &mut self,
        header: &Header,
    ) -> Result<Option<Result<Row, Rejection>>, FileError> {
        if !self.advance().await? {
            return Ok(None);
        }
        let line = self.line();
        Ok(Some(header.row(&self.record, line)))
    }

    /// Reads up to the next record that is not a blank line.
    async fn advance(&mut self) -> Result<bool, FileError> {
        loop {
            self.csv.get_mut().allowance = RECORD_BYTES_MAX;
            let line = self.csv.position().line();
            let read = self.csv.read_byte_record(&mut self.record).await;
            let is_there = read.map_err(|error| match error.into_kind() {
                csv_async::ErrorKind::Io(error) => file_error(error, line),
                other => FileError::Broken(std::io::Error::other(format!("{other:?}"))),
            })?;
            let is_blank = self.record.len() == 1 && self.record[0].trim_ascii().is_empty();
            if !is_there || !is_blank {
                return Ok(is_there);
            }
        }
    }

    /// The line the record starts on. The reader's own notion is that of the first blank line before it. A quote left
    /// open at the end of the file holds the last line's end, too: that is no line more.
    fn line(&mut self) -> i32 {
        let inside = self
            .record
            .as_slice()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        let next_line = self.csv.position().line();
        let line = next_line.saturating_sub(inside as u64 + 1).max(self.next_line);
        self.next_line = next_line;
        i32::try_from(line).unwrap_or(i32::MAX)
    }

    /// Reads what is left without looking at it, and answers SHA-256 of what was asked and the whole file.
    pub(crate) async fn fingerprint(self) -> Result<[u8; 32], FileError> {
        let line = self.csv.position().line();
        let mut meter = self.csv.into_inner();
        let mut buffer = vec![0; 8 * 1024];
        loop {
            meter.allowance = RECORD_BYTES_MAX;
            if meter
                .read(&mut buffer)
                .await
                .map_err(|error| file_error(error, line))?
                == 0
            {
                return Ok(meter.hash.finalize().into());
            }
        }
    }
}

fn file_error(error: std::io::Error, line: u64) -> FileError {
    let causes = std::iter::successors(
        error
            .get_ref()
            .map(|cause| cause as &(dyn std::error::Error + 'static)),
        |cause| cause.source(),
    );
    for cause in causes {
        if cause.is::<RowTooLarge>() {
            return FileError::RowTooLarge { line };
        }
        if cause.is::<LengthLimitError>() {
            return FileError::TooLarge;
        }
    }
    FileError::Broken(error)
}

/// What the reader is told when its allowance is used up.
#[derive(Debug, thiserror::Error)]
#[error("row too large")]
struct RowTooLarge;

/// Hashes what passes, lets only so much pass for one row, and ends the last line if the file doesn't.
struct Meter<R> {
    inner: R,
    hash: Sha256,
    allowance: usize,
    is_line_open: bool,
}

impl<R: AsyncRead + Unpin> AsyncRead for Meter<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let passed = &buffer.filled()[before..];
        self.hash.update(passed);
        match passed.last() {
            Some(last) => self.is_line_open = *last != b'\n',
            None if std::mem::take(&mut self.is_line_open) => {
                buffer.put_slice(b"\n");
                return Poll::Ready(Ok(()));
            }
            None => {}
        }
        match self.allowance.checked_sub(passed.len()) {
            Some(left) => self.allowance = left,
            None => return Poll::Ready(Err(std::io::Error::other(RowTooLarge))),
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(i32, String), (i32, String)>;

    async fn read(text: &[u8]) -> Result<(Vec<Outcome>, [u8; 32]), FileError> {
        let mut file = File::new(text, "asked\n");
        let header = file.header().await?;
        let mut outcomes = Vec::new();
        while let Some(row) = file.next(&header).await? {
            outcomes.push(match row {
                Ok(row) => Ok((row.line, row.external_id.to_string())),
                Err(rejection) => Err((rejection.line, rejection.reason)),
            });
        }
        Ok((outcomes, file.fingerprint().await?))
    }

    /// Whatever is sent as a file is read or refused (S16).
    #[test]
    fn any_bytes_are_rows_or_refused() {
        let seeds: [&[u8]; 3] = [
            b"external_id,name,phone,birth_month,tags\nwx-1,\"A, B\",+8613800138000,1990-01,vip;new\n",
            b"\xef\xbb\xbfname,external_id\r\n\"a\"\"b\",wx-2\r\n\r\n",
            b"external_id,name\n\"unclosed,\n",
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let inputs = testkit::fuzz(&seeds, |input| {
            if let Ok((outcomes, _)) = runtime.block_on(read(input)) {
                let lines: Vec<_> = outcomes
                    .iter()
                    .map(|outcome| outcome.as_ref().map_or_else(|e| e.0, |o| o.0))
                    .collect();
                assert!(lines.is_sorted(), "{lines:?}");
            }
        });
        println!("{inputs} files");
    }

    fn taken(line: i32, id: &str) -> Outcome {
        Ok((line, id.to_owned()))
    }

    #[tokio::test]
    async fn rows_carry_the_line_they_start_on() {
        for ending in ["\n", "\r\n"] {
            let lines = [
                "\u{feff}external_id,name",
                "wx-1,\"Li",
                "Hua\"",
                "wx-2,\"Li\"",
                "",
                " ",
                "wx-3,Li",
                "wx-4,L\u{85}i",
                "wx-5,Li",
            ];
            let (outcomes, _) = read(lines.join(ending).as_bytes()).await.unwrap();
            let control = |line, code| Err((line, format!("text contains the control character U+{code}")));
            let expected = [
                control(2, "000A"),
                taken(4, "wx-2"),
                taken(7, "wx-3"),
                control(8, "0085"),
                taken(9, "wx-5"),
            ];
            assert_eq!(outcomes, expected);
        }
    }

    #[tokio::test]
    async fn a_file_may_arrive_byte_by_byte() {
        let text = "\u{feff}external_id,name\r\nwx-1,李\r\nwx-2,Li";
        let bytes = text
            .bytes()
            .map(|byte| Ok::<_, std::io::Error>(std::io::Cursor::new([byte])));
        let body = tokio_util::io::StreamReader::new(futures::stream::iter(bytes));
        let mut file = File::new(body, "");
        let header = file.header().await.unwrap();
        for (line, id) in [(2, "wx-1"), (3, "wx-2")] {
            let row = file.next(&header).await.unwrap().unwrap().unwrap();
            assert_eq!((row.line, &*row.external_id), (line, id));
        }
        assert!(file.next(&header).await.unwrap().is_none());
        assert_eq!(
            file.fingerprint().await.unwrap(),
            <[u8; 32]>::from(Sha256::digest(text))
        );
    }

    #[tokio::test]
    async fn a_row_in_another_encoding_does_not_stop_the_others() {
        let text = b"external_id,name\nwx-1,\x8d\xb2\x93\xa1\nwx-2,Li\n";
        let (outcomes, _) = read(text).await.unwrap();
        let rejected = Err((2, "it has bytes that are not UTF-8".to_owned()));
        assert_eq!(outcomes, [rejected, taken(3, "wx-2")]);
    }

    #[tokio::test]
    async fn the_fingerprint_covers_question_and_file() {
        let text = b"external_id,name\nwx-1,Li\n";
        let (_, fingerprint) = read(text).await.unwrap();
        let expected: [u8; 32] = Sha256::new_with_prefix("asked\n")
            .chain_update(text)
            .finalize()
            .into();
        assert_eq!(fingerprint, expected);
        // A replay looks at nothing else.
        assert_eq!(
            File::new(text.as_slice(), "asked\n").fingerprint().await.unwrap(),
            expected
        );
    }

    #[tokio::test]
    async fn an_unclosed_quote_ends_at_the_row_limit() {
        let text = format!("external_id,name\nwx-1,\"{}", "x".repeat(1 << 20));
        assert!(matches!(
            read(text.as_bytes()).await,
            Err(FileError::RowTooLarge { line: 2 })
        ));
    }

    #[tokio::test]
    async fn a_quote_left_open_has_a_line_of_its_own() {
        let (outcomes, _) = read(b"external_id,name\nwx-1,\x8d\nwx-2,\"Li").await.unwrap();
        let rejected = Err((2, "it has bytes that are not UTF-8".to_owned()));
        assert_eq!(outcomes, [rejected, taken(3, "wx-2")]);
        let (outcomes, _) = read(b"external_id,name\nwx-1,\"Li\n\"\nwx-2,\"Li").await.unwrap();
        assert_eq!(outcomes, [taken(2, "wx-1"), taken(4, "wx-2")]);
    }

    #[tokio::test]
    async fn an_empty_file_is_refused() {
        assert!(matches!(
            read(b"").await,
            Err(FileError::Header(HeaderError::Empty))
        ));
    }
}
