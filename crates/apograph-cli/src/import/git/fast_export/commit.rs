//! One commit of the stream.

use std::io::BufRead;

use super::super::oid::Oid;
use super::error::ParseError;
use super::input::Input;
use super::quote::{last_path, two_paths};

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Its number in this stream.
    pub(crate) mark: Option<u64>,
    /// Its name in the repository.
    pub(crate) oid: Option<Oid>,
    /// Who wrote it, and when. The committer, if the commit names no author.
    pub(crate) author: Person,
    /// The message; bytes that are not UTF-8 are replaced by U+FFFD.
    pub(crate) message: String,
    /// `from`, then each `merge`.
    pub(crate) parents: Vec<Parent>,
    /// In the order of the stream, relative to the first parent.
    pub(crate) changes: Vec<Change>,
}

/// A reference to a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parent {
    /// A commit of this stream.
    Mark(u64),
    /// A commit outside of it, by whatever name.
    Name(String),
}

/// A name with a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Person {
    /// `Name <email>`; bytes that are not UTF-8 are replaced by U+FFFD.
    pub(crate) name: String,
    /// Seconds since 1970 in UTC. 0 if the date in the commit cannot be read, as git itself has it.
    pub(crate) time_seconds: i64,
    /// Offset from UTC as written, such as `+0200`; may be empty. It says nothing about the time itself.
    pub(crate) zone: String,
}

/// A change of one file. Paths are the bytes that git has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// `M`: the file has this content now.
    Modify { path: Vec<u8>, mode: String, content: Content },
    /// `D`.
    Delete { path: Vec<u8> },
    /// `R`.
    Rename { from: Vec<u8>, to: Vec<u8> },
    /// `C`.
    Copy { from: Vec<u8>, to: Vec<u8> },
    /// `deleteall`.
    DeleteAll,
}

/// Where a content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A blob earlier in the stream.
    Mark(u64),
    /// An object of the repository.
    Oid(Oid),
    /// In the stream itself.
    Inline(Vec<u8>),
}

/// Reads a commit whose first line was just read.
pub(super) fn read<R: BufRead>(input: &mut Input<R>, blob_bytes_max: u64) -> Result<Commit, ParseError> {
    let (mut mark, mut oid, mut author, mut committer) = (None, None, None, None);
    let message = loop {
        let line = input.expect_line("a commit")?;
        match split_word(&line) {
            (b"mark", value) => mark = Some(read_mark(input, value)?),
            (b"original-oid", name) => oid = Some(input.oid(name)?),
            (b"author", value) => author = Some(person(input, value)?),
            (b"committer", value) => committer = Some(person(input, value)?),
            (b"encoding", _) => {}
            (b"gpgsig", _) => skip_signature(input)?,
            (b"data", count) => break input.message(count)?,
            _ => return Err(input.malformed("a line of a commit", &line)),
        }
    };
    let author = author.or(committer).ok_or_else(|| input.malformed("an author", b""))?;
    let message = String::from_utf8_lossy(&message).into_owned();
    let mut commit = Commit { mark, oid, author, message, parents: Vec::new(), changes: Vec::new() };
    while let Some(line) = input.line()? {
        match split_word(&line) {
            (b"from" | b"merge", parent) => commit.parents.push(read_parent(input, parent)?),
            (b"M", rest) => commit.changes.push(modify(input, rest, blob_bytes_max)?),
            (b"D", path) => {
                let path = last_path(path).ok_or_else(|| input.malformed("a path", path))?;
                commit.changes.push(Change::Delete { path });
            }
            (b"R", paths) => {
                let (from, to) = two_paths(paths).ok_or_else(|| input.malformed("two paths", paths))?;
                commit.changes.push(Change::Rename { from, to });
            }
            (b"C", paths) => {
                let (from, to) = two_paths(paths).ok_or_else(|| input.malformed("two paths", paths))?;
                commit.changes.push(Change::Copy { from, to });
            }
            (b"deleteall", b"") => commit.changes.push(Change::DeleteAll),
            _ => {
                input.give_back(line);
                break;
            }
        }
    }
    Ok(commit)
}

fn modify<R: BufRead>(input: &mut Input<R>, rest: &[u8], blob_bytes_max: u64) -> Result<Change, ParseError> {
    let malformed = |input: &Input<R>| input.malformed("a mode, a content and a path", rest);
    let (mode, rest) = split_word(rest);
    let (reference, path) = split_word(rest);
    let octal = !mode.is_empty() && mode.iter().all(|digit| matches!(digit, b'0'..=b'7'));
    let mode = std::str::from_utf8(mode).ok().filter(|_| octal).ok_or_else(|| malformed(input))?.to_owned();
    let path = last_path(path).ok_or_else(|| malformed(input))?;
    let content = if reference == b"inline" {
        let line = input.expect_line("inline data")?;
        let count = line.strip_prefix(b"data ").ok_or_else(|| input.malformed("inline data", &line))?;
        let bytes = input.number(count)?;
        if bytes > blob_bytes_max {
            let name = String::from_utf8_lossy(&path).into_owned();
            return Err(input.blob_too_large(Some(name), bytes, blob_bytes_max));
        }
        Content::Inline(input.data(bytes)?)
    } else if reference.starts_with(b":") {
        Content::Mark(read_mark(input, reference)?)
    } else {
        Content::Oid(input.oid(reference)?)
    };
    Ok(Change::Modify { path, mode, content })
}

fn read_mark<R: BufRead>(input: &Input<R>, text: &[u8]) -> Result<u64, ParseError> {
    let digits = text.strip_prefix(b":").ok_or_else(|| input.malformed("a mark", text))?;
    input.number(digits)
}

fn read_parent<R: BufRead>(input: &Input<R>, text: &[u8]) -> Result<Parent, ParseError> {
    match text.first() {
        Some(b':') => read_mark(input, text).map(Parent::Mark),
        Some(_) => Ok(Parent::Name(String::from_utf8_lossy(text).into_owned())),
        None => Err(input.malformed("a parent", text)),
    }
}

/// A signature is the hash and format on its line, and data.
fn skip_signature<R: BufRead>(input: &mut Input<R>) -> Result<(), ParseError> {
    let line = input.expect_line("a signature")?;
    let count = line.strip_prefix(b"data ").ok_or_else(|| input.malformed("a signature", &line))?;
    input.message(count).map(drop)
}

/// `NAME <EMAIL> SECONDS ZONE`. Histories hold broken dates, which git reads as 1970 and so does this.
fn person<R: BufRead>(input: &Input<R>, text: &[u8]) -> Result<Person, ParseError> {
    let malformed = || input.malformed("a name, an address and a time", text);
    let close = text.iter().rposition(|byte| *byte == b'>').ok_or_else(malformed)?;
    let (name, date) = text.split_at_checked(close + 1).ok_or_else(malformed)?;
    if !name.contains(&b'<') {
        return Err(malformed());
    }
    let date = String::from_utf8_lossy(date);
    let mut words = date.split_ascii_whitespace();
    let time_seconds = words.next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    let zone = words.next().unwrap_or_default().to_owned();
    Ok(Person { name: String::from_utf8_lossy(name).trim().to_owned(), time_seconds, zone })
}

/// The text up to the first space, and the text after it.
fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ').and_then(|space| line.split_at_checked(space)) {
        Some((word, rest)) => (word, rest.get(1..).unwrap_or_default()),
        None => (line, &[]),
    }
}
