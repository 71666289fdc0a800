//! `sync-request.json` in the database's folder: what a synchronization will ask the source for, written before it asks,
//! and read back just before. Whoever paused the link, or set `review`, has the last word in it. It is there as long as a
//! synchronization is due, and so is what is left of one after a restart.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use apograph::folder::{FolderError, write_json};
use apograph_format::Timestamp;
use apograph_format::timestamp::parse_date;
use apograph_replication::sync::{SyncReason, SyncRequest};

use super::control;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestFile {
    /// What is asked for.
    pub(super) request: SyncRequest,
    /// Why the synchronization was begun.
    pub(super) reason: SyncReason,
    /// It may be sent.
    pub(super) approved: bool,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestFileError {
    /// It is no JSON, or a member occurs twice.
    #[error("sync-request.json cannot be read: {reason}")]
    Unreadable {
        /// What the reader said.
        reason: String,
    },
    /// A member is not what it should be.
    #[error("sync-request.json: the member {member:?} {wrong}, found {found}")]
    Member {
        /// Which.
        member: String,
        /// What it should be.
        wrong: &'static str,
        /// What it is.
        found: String,
    },
    /// Two members contradict each other.
    #[error("sync-request.json: the members {members:?} contradict each other: {why}")]
    Contradiction {
        /// Which.
        members: [&'static str; 2],
        /// How.
        why: &'static str,
    },
    /// The disk refused.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

const SINCE: &str = "since";
const MAX_VERSIONS: &str = "max_versions_per_document";
const FULL: &str = "check_everything";
const REASON: &str = "reason";
const APPROVED: &str = "approved";

impl RequestFile {
    /// Where it is.
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join("sync-request.json")
    }

    /// Durable on return.
    pub(super) fn write(&self, folder: &Path) -> Result<(), FolderError> {
        control::make(folder)?;
        let value = json!({
            REASON: self.reason.as_str(),
            SINCE: self.request.since.map(Timestamp::to_rfc3339),
            MAX_VERSIONS: self.request.max_versions,
            FULL: self.request.full,
            APPROVED: self.approved,
        });
        write_json(&RequestFile::path(folder), &value)
    }

    /// Reads it back; `None` if no synchronization is due.
    pub(super) fn read(folder: &Path, now: Timestamp) -> Result<Option<RequestFile>, RequestFileError> {
        let path = RequestFile::path(folder);
        match std::fs::read(&path) {
            Ok(bytes) => RequestFile::parse(&bytes, now).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FolderError::Disk { path, error }.into()),
        }
    }

    /// Nothing is due any more.
    pub(super) fn remove(folder: &Path) -> Result<(), FolderError> {
        let path = RequestFile::path(folder);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(FolderError::Disk { path, error }),
        }
    }

    fn parse(bytes: &[u8], now: Timestamp) -> Result<RequestFile, RequestFileError> {
        let unreadable =
            |error: serde_json::Error| RequestFileError::Unreadable { reason: error.to_string() };
        let Members(members) = serde_json::from_slice(bytes).map_err(unreadable)?;
        let mut file =
            RequestFile { request: SyncRequest::default(), reason: SyncReason::Requested, approved: false };
        for (index, (member, value)) in members.iter().enumerate() {
            if members.iter().take(index).any(|(before, _)| before == member) {
                return Err(wrong(member, "occurs twice", value));
            }
            file.take(member, value, now)?;
        }
        for member in [SINCE, MAX_VERSIONS, FULL, REASON, APPROVED] {
            if !members.iter().any(|(present, _)| present == member) {
                return Err(wrong(member, "is missing", &Value::Null));
            }
        }
        if file.request.full && file.request.since.is_some() {
            let why = "what is brought anew as a whole leaves nothing out";
            return Err(RequestFileError::Contradiction { members: [FULL, SINCE], why });
        }
        Ok(file)
    }

    fn take(&mut self, member: &str, value: &Value, now: Timestamp) -> Result<(), RequestFileError> {
        let bool =
            |value: &Value| value.as_bool().ok_or_else(|| wrong(member, "should be true or false", value));
        match member {
            SINCE => self.request.since = since(value, now)?,
            MAX_VERSIONS => {
                let number = "should be a whole number, and 0 for all versions";
                self.request.max_versions = value.as_u64().ok_or_else(|| wrong(member, number, value))?;
            }
            FULL => self.request.full = bool(value)?,
            APPROVED => self.approved = bool(value)?,
            REASON => {
                let named = SyncReason::ALL.into_iter().find(|reason| value == reason.as_str());
                self.reason = named.ok_or_else(|| wrong(member, "is not for editing", value))?;
            }
            _ => return Err(wrong(member, "is not known", value)),
        }
        Ok(())
    }
}

fn since(value: &Value, now: Timestamp) -> Result<Option<Timestamp>, RequestFileError> {
    let Some(text) = value.as_str() else {
        let date = "should be null, or a date such as \"2026-01-31\" or \"2026-01-31T12:00:00Z\"";
        return if value.is_null() { Ok(None) } else { Err(wrong(SINCE, date, value)) };
    };
    let date = "should be a date such as \"2026-01-31\" or \"2026-01-31T12:00:00Z\"";
    let at = parse_date(text).map_err(|_| wrong(SINCE, date, value))?;
    if at > now { Err(wrong(SINCE, "lies in the future", value)) } else { Ok(Some(at)) }
}

fn wrong(member: &str, wrong: &'static str, found: &Value) -> RequestFileError {
    let short = |text: String| text.chars().take(80).collect();
    RequestFileError::Member { member: short(member.to_owned()), wrong, found: short(found.to_string()) }
}

/// The members of an object, in their order, with those that occur twice.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Members, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    fn parse(text: &str) -> Result<RequestFile, RequestFileError> {
        RequestFile::parse(text.as_bytes(), NOW)
    }

    #[test]
    fn what_is_written_is_read_back_and_only_its_owner_may() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("databases/main");
        assert_eq!(RequestFile::read(&database, NOW).unwrap(), None);
        for since in [None, Some(Timestamp(1_700_000_000_000_000))] {
            let request = SyncRequest { since, max_versions: 7, full: since.is_none() };
            let file = RequestFile { request, reason: SyncReason::OutOfWindow, approved: since.is_some() };
            file.write(&database).unwrap();
            assert_eq!(RequestFile::read(&database, NOW).unwrap(), Some(file));
        }
        let mode = std::fs::metadata(RequestFile::path(&database)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        RequestFile::remove(&database).unwrap();
        RequestFile::remove(&database).unwrap();
        assert_eq!(RequestFile::read(&database, NOW).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_understood_is_refused_by_the_name_of_its_member() {
        let good = r#"{"reason":"requested","since":"2020-01-01","max_versions_per_document":0,"check_everything":false,"approved":true}"#;
        assert!(parse(good).unwrap().approved);
        let table = [
            ("2020-01-01", "soon", "since"),
            ("2020-01-01", "2120-01-01", "lies in the future"),
            ("\"2020-01-01\"", "17", "since"),
            (":0", ":-1", "max_versions_per_document"),
            (":0", ":1.5", "max_versions_per_document"),
            (":0", ":null", "max_versions_per_document"),
            ("everything\":false", "everything\":\"no\"", "check_everything"),
            ("everything\":false", "everything\":true", "contradict"),
            ("\"approved\":true", "\"approved\":1", "approved"),
            ("\"approved\":true", "\"aproved\":true", "aproved"),
            (",\"approved\":true", "", "\"approved\" is missing"),
            ("\"approved\":true", "\"approved\":true,\"approved\":false", "\"approved\" occurs twice"),
            ("\"requested\"", "\"because\"", "\"reason\" is not for editing"),
            ("{", "[", "an object"),
            ("}", "", "EOF"),
        ];
        for (from, to, named) in table {
            let text = good.replacen(from, to, 1);
            let error = parse(&text).expect_err(&text).to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
