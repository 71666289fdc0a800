//! Single objects of a repository, from one long-lived `git cat-file --batch-command`.

use std::io::{self, BufRead, Read, Write};

use super::error::GitError;
use super::limits::{LINE_BYTES_MAX, TREE_BYTES_MAX};
use super::oid::Oid;
use super::plan::{Entry, Mode};
use super::process::GitProcess;
use super::repository::Repository;

const COMMAND: &str = "cat-file";

/// Answers for contents and trees. One request at a time, each answered before the next.
#[derive(Debug)]
pub(crate) struct Objects {
    process: GitProcess,
}

/// The line with which git introduces an object.
struct Header {
    kind: String,
    bytes: u64,
}

impl Objects {
    /// Starts git.
    pub(crate) fn start(repository: &Repository) -> Result<Objects, GitError> {
        Ok(Objects { process: repository.objects()? })
    }

    /// The bytes of a content; one above `bytes_max` is an error, after which other contents can still be read.
    pub(crate) fn blob(&mut self, oid: &Oid, bytes_max: u64) -> Result<Vec<u8>, GitError> {
        self.contents(oid.as_str(), oid, "blob", bytes_max)
    }

    /// Size of a content in bytes, without reading it.
    #[cfg(test)]
    pub(crate) fn blob_size(&mut self, oid: &Oid) -> Result<u64, GitError> {
        let header = self.request("info", oid.as_str(), oid)?;
        expect_kind(oid, "blob", header.kind)?;
        Ok(header.bytes)
    }

    /// What the commit's tree holds at `path`; a path that is not there is an error.
    pub(crate) fn entry(&mut self, commit: &Oid, path: &[u8]) -> Result<Entry, GitError> {
        let broken = || GitError::BrokenTree {
            commit: commit.clone(),
            path: String::from_utf8_lossy(path).into_owned(),
        };
        let mut tree = self.contents(&format!("{commit}^{{tree}}"), commit, "tree", TREE_BYTES_MAX)?;
        let mut segments = path.split(|byte| *byte == b'/').peekable();
        while let Some(segment) = segments.next() {
            let (mode, oid) = find(&tree, segment, commit.raw_bytes()).ok_or_else(broken)?;
            if segments.peek().is_none() {
                return Ok(Entry { mode: Mode::parse(mode).ok_or_else(broken)?, blob: oid });
            }
            tree = self.contents(oid.as_str(), &oid, "tree", TREE_BYTES_MAX)?;
        }
        Err(broken())
    }

    fn contents(
        &mut self,
        name: &str,
        oid: &Oid,
        expected: &'static str,
        bytes_max: u64,
    ) -> Result<Vec<u8>, GitError> {
        let header = self.request("contents", name, oid)?;
        let mut bytes = Vec::new();
        if header.bytes > bytes_max || header.kind != expected {
            self.skip(header.bytes + 1)?;
            expect_kind(oid, expected, header.kind)?;
            return Err(GitError::TooLarge { oid: oid.clone(), bytes: header.bytes, bytes_max });
        }
        self.process.stdout().take(header.bytes).read_to_end(&mut bytes).map_err(broken_pipe)?;
        if bytes.len() as u64 != header.bytes {
            return Err(self.process.explain(broken_pipe(io::ErrorKind::UnexpectedEof.into())));
        }
        self.skip(1)?;
        Ok(bytes)
    }

    fn request(&mut self, verb: &str, name: &str, oid: &Oid) -> Result<Header, GitError> {
        let request = format!("{verb} {name}\n");
        let sent = self.process.stdin()?.write_all(request.as_bytes());
        let mut line = Vec::new();
        let read = sent
            .and_then(|()| self.process.stdout().take(LINE_BYTES_MAX).read_until(b'\n', &mut line))
            .map_err(broken_pipe);
        let line = String::from_utf8_lossy(&line);
        match read {
            Err(error) => return Err(self.process.explain(error)),
            Ok(0) => return Err(self.process.explain(broken_pipe(io::ErrorKind::UnexpectedEof.into()))),
            Ok(_) if line.ends_with(" missing\n") => {
                return Err(GitError::MissingObject { oid: oid.clone() });
            }
            Ok(_) => {}
        }
        let mut words = line.split_ascii_whitespace().skip(1);
        let kind = words.next().map(str::to_owned);
        let bytes = words.next().and_then(|bytes| bytes.parse().ok());
        match (kind, bytes) {
            (Some(kind), Some(bytes)) => Ok(Header { kind, bytes }),
            _ => Err(GitError::Unexpected {
                command: COMMAND,
                found: line.trim_end().chars().take(200).collect(),
            }),
        }
    }

    fn skip(&mut self, bytes: u64) -> Result<(), GitError> {
        io::copy(&mut self.process.stdout().take(bytes), &mut io::sink()).map_err(broken_pipe)?;
        Ok(())
    }
}

/// Finds `name` in a tree object: entries of `MODE SPACE NAME NUL OID`, the object's name in raw bytes.
fn find<'a>(mut tree: &'a [u8], name: &[u8], raw_bytes: usize) -> Option<(&'a str, Oid)> {
    while !tree.is_empty() {
        let space = tree.iter().position(|byte| *byte == b' ')?;
        let (mode, rest) = tree.split_at_checked(space)?;
        let rest = rest.get(1..)?;
        let nul = rest.iter().position(|byte| *byte == 0)?;
        let (found, rest) = rest.split_at_checked(nul)?;
        let (oid, rest) = rest.get(1..)?.split_at_checked(raw_bytes)?;
        if found == name {
            return Some((std::str::from_utf8(mode).ok()?, Oid::from_raw(oid)?));
        }
        tree = rest;
    }
    None
}

fn expect_kind(oid: &Oid, expected: &'static str, found: String) -> Result<(), GitError> {
    if found == expected {
        return Ok(());
    }
    Err(GitError::WrongType { oid: oid.clone(), expected, found })
}

fn broken_pipe(source: io::Error) -> GitError {
    GitError::Io { command: COMMAND, source }
}
