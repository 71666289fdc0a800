//! From a planned transaction to a request.

use apograph_client::format::limits::{COMMENT_BYTES_MAX, NAME_BYTES_MAX};
use apograph_client::types::{
    AuthorTime, CursorMove, Move, Operation, Publish, Put, Target, TransactionRequest,
};
use serde_json::value::RawValue;

use super::content::{body, media_type};
use super::git::{GitError, Import, ImportError, Mode, Oid, PlannedOperation, PlannedTransaction};

/// All contents of one commit. The server takes 64 MiB of JSON as one transaction, and Base64 makes four bytes of three.
pub(crate) const COMMIT_BYTES_MAX: u64 = 47 << 20;

/// Turns planned transactions into requests, one after another.
#[derive(Debug)]
pub(crate) struct Requests {
    /// Goes before every URI; empty, or `/x`.
    pub(crate) prefix: String,
    /// Name of the cursor that remembers the last commit.
    pub(crate) cursor: String,
    /// The last commit, if there was one.
    pub(crate) previous: Option<String>,
}

/// Why a commit does not become a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// Git failed.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Its contents are too large for one transaction.
    #[error(
        "commit {commit} brings {bytes} bytes or more with {uri}; one transaction takes {COMMIT_BYTES_MAX}"
    )]
    TooLarge {
        /// The commit.
        commit: Oid,
        /// The document that is too much.
        uri: String,
        /// Bytes up to it.
        bytes: u64,
    },
}

impl Requests {
    /// The request of one commit, with the contents that it names. Returns their bytes as well.
    pub(crate) fn request(
        &mut self,
        import: &mut Import,
        planned: &PlannedTransaction,
    ) -> Result<(TransactionRequest, u64), RequestError> {
        let external = format!("git:{}", planned.commit);
        let mut bytes = 0;
        let mut operations = Vec::with_capacity(planned.operations.len());
        for operation in &planned.operations {
            operations.push(match operation {
                PlannedOperation::Put { uri, blob, mode, moved_from } => {
                    let too_large = |bytes| {
                        let (commit, uri) = (planned.commit.clone(), uri.clone());
                        RequestError::TooLarge { commit, uri, bytes }
                    };
                    let content = match import.blob(blob) {
                        Err(ImportError::Git(GitError::TooLarge { bytes, .. })) => {
                            return Err(too_large(bytes));
                        }
                        content => content?,
                    };
                    bytes += content.len() as u64;
                    if bytes > COMMIT_BYTES_MAX {
                        return Err(too_large(bytes));
                    }
                    let moved_from = moved_from.as_deref().map(|uri| self.uri(uri));
                    Operation::Put(Put {
                        made_from: moved_from,
                        ..put(self.uri(uri), &content, *mode, &external)
                    })
                }
                PlannedOperation::Publish { uri } => {
                    Operation::Publish(Publish { target: Target::of(self.uri(uri)), version: None })
                }
                PlannedOperation::Trash { uri } => Operation::Trash(Target::of(self.uri(uri))),
                PlannedOperation::Move { uri, to } => {
                    Operation::Move(Move { target: Target::of(self.uri(uri)), to: self.uri(to) })
                }
            });
        }
        let position = planned.commit.to_string();
        let request = TransactionRequest {
            operations,
            comment: shortened(&planned.comment, COMMENT_BYTES_MAX),
            author: Some(shortened(&planned.author, NAME_BYTES_MAX)),
            time: Some(AuthorTime(planned.time_us)),
            cursor: Some(CursorMove {
                name: self.cursor.clone(),
                previous: self.previous.replace(position.clone()),
                position,
            }),
        };
        Ok((request, bytes))
    }

    fn uri(&self, uri: &str) -> String {
        format!("{}{uri}", self.prefix)
    }
}

/// A version, whole: nothing of it depends on the version before.
fn put(uri: String, content: &[u8], mode: Mode, external: &str) -> Put {
    let media_type = match mode {
        Mode::Symlink => "text/plain; charset=utf-8".to_owned(),
        _ => media_type(&uri, content),
    };
    let properties = match mode {
        Mode::File => "{}".to_owned(),
        mode => format!("{{\"git_mode\":\"{}\"}}", mode.as_str()),
    };
    let (body, body_base64) = body(content);
    Put {
        target: Target::of(uri),
        properties: Some(RawValue::from_string(properties).expect("an object of one member is JSON")),
        body,
        body_base64,
        media_type: Some(media_type),
        external: Some(external.to_owned()),
        ..Put::default()
    }
}

/// `text`, cut at a character to at most `bytes_max`.
fn shortened(text: &str, bytes_max: usize) -> String {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(shortened("abc", 10), "abc");
        assert_eq!(shortened("aäb", 2), "a");
        assert_eq!(shortened("aäb", 3), "aä");
        assert_eq!(shortened("", 0), "");
    }

    #[test]
    fn a_version_is_whole() {
        let put = put("/x/run".into(), b"#!/bin/sh", Mode::Executable, "git:1");
        assert_eq!(put.properties.unwrap().get(), r#"{"git_mode":"100755"}"#);
        assert_eq!(put.media_type.unwrap(), "text/plain; charset=utf-8");
        let link = super::put("/x/pic.png".into(), b"../other.png", Mode::Symlink, "git:1");
        assert_eq!(link.media_type.unwrap(), "text/plain; charset=utf-8");
        assert_eq!(link.body.unwrap(), "../other.png");
    }
}
