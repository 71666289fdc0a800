//! Lines and counted data of a stream, with limits and the offset of everything.

use std::io::{BufRead, Read};

use super::super::limits::{LINE_BYTES_MAX, MESSAGE_BYTES_MAX};
use super::super::oid::Oid;
use super::error::ParseError;

/// The source, and how far it was read.
#[derive(Debug)]
pub(super) struct Input<R> {
    source: R,
    /// Bytes consumed.
    offset: u64,
    /// Where the last line or data began.
    start: u64,
    /// A line that was read and given back.
    returned: Option<Vec<u8>>,
}

impl<R: BufRead> Input<R> {
    pub(super) fn new(source: R) -> Input<R> {
        Input { source, offset: 0, start: 0, returned: None }
    }

    pub(super) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next line without its line feed, or `None` at the end of the stream.
    pub(super) fn line(&mut self) -> Result<Option<Vec<u8>>, ParseError> {
        if let Some(line) = self.returned.take() {
            return Ok(Some(line));
        }
        self.start = self.offset;
        let mut line = Vec::new();
        let limited = (&mut self.source).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        self.offset += limited.map_err(|source| ParseError::Io { offset: self.start, source })? as u64;
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(line)),
            Some(_) if self.offset - self.start == LINE_BYTES_MAX => {
                Err(ParseError::LineTooLong { offset: self.start, bytes_max: LINE_BYTES_MAX })
            }
            Some(_) => Err(ParseError::Truncated { offset: self.offset, expected: "a line" }),
        }
    }

    /// The next line, where the stream must not end.
    pub(super) fn expect_line(&mut self, expected: &'static str) -> Result<Vec<u8>, ParseError> {
        self.line()?.ok_or(ParseError::Truncated { offset: self.offset, expected })
    }

    /// Makes `line`, the last one read, the next one again.
    pub(super) fn give_back(&mut self, line: Vec<u8>) {
        self.returned = Some(line);
    }

    /// Exactly `bytes` bytes and the line feed which may follow them.
    pub(super) fn data(&mut self, bytes: u64) -> Result<Vec<u8>, ParseError> {
        self.start = self.offset;
        let mut data = Vec::new();
        let read = (&mut self.source).take(bytes).read_to_end(&mut data);
        let failed = |source| ParseError::Io { offset: self.start, source };
        self.offset += read.map_err(failed)? as u64;
        if self.offset - self.start < bytes {
            return Err(ParseError::Truncated { offset: self.offset, expected: "counted data" });
        }
        if self.source.fill_buf().map_err(failed)?.first() == Some(&b'\n') {
            self.source.consume(1);
            self.offset += 1;
        }
        Ok(data)
    }

    /// The data of a message, whose `data` line says `count`.
    pub(super) fn message(&mut self, count: &[u8]) -> Result<Vec<u8>, ParseError> {
        let bytes = self.number(count)?;
        if bytes > MESSAGE_BYTES_MAX {
            let offset = self.start;
            return Err(ParseError::MessageTooLarge { offset, bytes, bytes_max: MESSAGE_BYTES_MAX });
        }
        self.data(bytes)
    }

    pub(super) fn number(&self, digits: &[u8]) -> Result<u64, ParseError> {
        let plain = digits.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(digits).ok().filter(|_| plain).and_then(|text| text.parse().ok());
        number.ok_or_else(|| self.malformed("a number", digits))
    }

    pub(super) fn oid(&self, name: &[u8]) -> Result<Oid, ParseError> {
        let oid = std::str::from_utf8(name).ok().and_then(Oid::parse);
        oid.ok_or_else(|| self.malformed("an object name", name))
    }

    pub(super) fn malformed(&self, expected: &'static str, found: &[u8]) -> ParseError {
        let found = String::from_utf8_lossy(found).chars().take(120).collect();
        ParseError::Malformed { offset: self.start, expected, found }
    }

    pub(super) fn blob_too_large(&self, blob: Option<String>, bytes: u64, bytes_max: u64) -> ParseError {
        let blob = blob.unwrap_or_else(|| "without a name".to_owned());
        ParseError::BlobTooLarge { offset: self.start, blob, bytes, bytes_max }
    }
}
