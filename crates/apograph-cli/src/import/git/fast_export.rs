//! A streaming parser of `git fast-export` output; the format is that of the `git-fast-import` manual page.
//!
//! Holds one line, one message or one content at a time. A stream that ends without `done` is an error: git is
//! always run with `--use-done-feature`, so a git that was killed cannot look like the end of the history.

mod commit;
mod error;
mod input;
mod quote;
#[cfg(test)]
mod tests;

use std::io::BufRead;

#[cfg(test)]
pub(crate) use commit::Person;
pub(crate) use commit::{Change, Commit, Content, Parent};
pub(crate) use error::ParseError;

use super::oid::Oid;
use input::Input;

/// One thing of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A content, which later commits name by its mark.
    Blob(Blob),
    /// A commit, with its changes relative to its first parent.
    Commit(Box<Commit>),
}

/// A content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    /// Its number in this stream.
    pub(crate) mark: Option<u64>,
    /// Its name in the repository.
    pub(crate) oid: Option<Oid>,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

/// Reads items from `R`.
#[derive(Debug)]
pub(crate) struct Parser<R> {
    input: Input<R>,
    blob_bytes_max: u64,
    done: bool,
}

impl<R: BufRead> Parser<R> {
    /// A parser of `source`, from its first byte. A content above `blob_bytes_max` is an error.
    pub(crate) fn new(source: R, blob_bytes_max: u64) -> Parser<R> {
        Parser { input: Input::new(source), blob_bytes_max, done: false }
    }

    /// The source.
    pub(crate) fn source(&mut self) -> &mut R {
        self.input.source()
    }

    /// The next content or commit; `None` after `done`. After an error the parser is of no further use.
    pub(crate) fn next(&mut self) -> Result<Option<Item>, ParseError> {
        while !self.done {
            let Some(line) = self.input.line()? else {
                return Err(ParseError::MissingDone { offset: self.input.offset() });
            };
            match line.as_slice() {
                b"" => {}
                b"done" => self.done = true,
                b"blob" => return self.blob().map(|blob| Some(Item::Blob(blob))),
                line if line.starts_with(b"commit ") => {
                    let commit = commit::read(&mut self.input, self.blob_bytes_max)?;
                    return Ok(Some(Item::Commit(Box::new(commit))));
                }
                line if line.starts_with(b"tag ") => self.skip_tag()?,
                line if is_passed_over(line) => {}
                line => return Err(self.input.malformed("a command", line)),
            }
        }
        Ok(None)
    }

    fn blob(&mut self) -> Result<Blob, ParseError> {
        let (mut mark, mut oid) = (None, None);
        loop {
            let line = self.input.expect_line("the data of a content")?;
            if let Some(digits) = line.strip_prefix(b"mark :") {
                mark = Some(self.input.number(digits)?);
            } else if let Some(name) = line.strip_prefix(b"original-oid ") {
                oid = Some(self.input.oid(name)?);
            } else if let Some(count) = line.strip_prefix(b"data ") {
                let bytes = self.input.number(count)?;
                if bytes > self.blob_bytes_max {
                    let blob = oid.map(|oid| oid.to_string()).or(mark.map(|mark| format!(":{mark}")));
                    return Err(self.input.blob_too_large(blob, bytes, self.blob_bytes_max));
                }
                return Ok(Blob { mark, oid, bytes: self.input.data(bytes)? });
            } else {
                return Err(self.input.malformed("a line of a content", &line));
            }
        }
    }

    /// Tags are no part of the documents' history.
    fn skip_tag(&mut self) -> Result<(), ParseError> {
        loop {
            let line = self.input.expect_line("the message of a tag")?;
            if let Some(count) = line.strip_prefix(b"data ") {
                return self.input.message(count).map(drop);
            }
            let known = [b"mark :".as_slice(), b"original-oid ", b"from ", b"tagger "];
            if !known.iter().any(|prefix| line.starts_with(prefix)) {
                return Err(self.input.malformed("a line of a tag", &line));
            }
        }
    }
}

/// Lines that say nothing about commits. A `reset` may be followed by a `from` of its own.
fn is_passed_over(line: &[u8]) -> bool {
    let prefixes = [b"reset ".as_slice(), b"from ", b"feature ", b"option ", b"progress "];
    line == b"checkpoint" || prefixes.iter().any(|prefix| line.starts_with(prefix))
}
