//! In what documents differ: two exports, merged line by line. Every byte of both is read by its server and checked
//! against its name. One line of each is held, and of a differing document its heads and the first details.

use std::cmp::Ordering;

use apograph_client::ClientError;
use apograph_client::client::{LineStream, Part};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Side;
use super::candidates::Found;
use super::difference::{Detail, Difference, What};
use crate::arguments::Global;
use crate::failure::Failure;
use crate::progress;

/// Up to `limit` documents of a part that differ, and in what.
pub(super) async fn find(
    global: &Global,
    one: &Side,
    other: &Side,
    part: &Part,
    limit: usize,
) -> Result<Found, Failure> {
    let bar = progress::count(global.output, "comparing lines", None);
    let mut here = Lines::open(one, part).await?;
    let mut there = Lines::open(other, part).await?;
    let mut found = Found { differences: Vec::new(), more: false, documents: 0 };
    let mut document: Option<Document> = None;
    loop {
        let key = match (&here.next, &there.next) {
            (None, None) => break,
            (Some(line), None) | (None, Some(line)) => &line.key,
            (Some(left), Some(right)) => (&left.key).min(&right.key),
        };
        if document.as_ref().is_none_or(|document| document.uri != key.uri) {
            found.documents += 1;
            let next = Document::new(key.uri.clone());
            if found.note(document.replace(next), limit) {
                document = None;
                break;
            }
        }
        let Some(document) = &mut document else { break };
        let order = match (&here.next, &there.next) {
            (Some(left), Some(right)) => left.key.cmp(&right.key),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let left = if order == Ordering::Greater { None } else { here.take().await? };
        let right = if order == Ordering::Less { None } else { there.take().await? };
        document.compare(left, right)?;
        bar.inc(1);
    }
    found.note(document, limit);
    bar.finish_and_clear();
    Ok(found)
}

impl Found {
    /// Keeps what was found of a document. Says whether that is enough.
    fn note(&mut self, document: Option<Document>, limit: usize) -> bool {
        let Some(difference) = document.and_then(Document::finish) else { return false };
        if self.differences.len() == limit {
            self.more = true;
            return true;
        }
        self.differences.push(difference);
        false
    }
}

/// Where a line stands: exports are sorted by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Key {
    uri: String,
    /// Absent on the one line of a purged document, and where a history cannot be read.
    version: Option<u64>,
    /// Of a piece of a large content.
    offset: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AnyKey {
    Document(Key),
    Frame(serde::de::IgnoredAny),
}

struct Line {
    key: Key,
    bytes: Bytes,
}

struct Lines {
    lines: LineStream,
    url: String,
    next: Option<Line>,
}

impl Lines {
    async fn open(side: &Side, part: &Part) -> Result<Lines, Failure> {
        let lines = side.client.export_lines(&side.database, part).await?;
        let mut lines = Lines { lines, url: side.client.url().to_owned(), next: None };
        lines.take().await?;
        Ok(lines)
    }

    /// The next line; the one after it is read.
    async fn take(&mut self) -> Result<Option<Line>, Failure> {
        let mut next = None;
        while let Some(bytes) = self.lines.next().await? {
            let unclear = |error: serde_json::Error| ClientError::Answer {
                url: self.url.clone(),
                reason: error.to_string(),
            };
            // The first and the last line are of no document.
            if let AnyKey::Document(key) = serde_json::from_slice(&bytes).map_err(unclear)? {
                next = Some(Line { key, bytes });
                break;
            }
        }
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// A document while its lines go by.
struct Document {
    uri: String,
    seen_here: bool,
    seen_there: bool,
    difference: Difference,
    head_here: Option<Value>,
    head_there: Option<Value>,
}

impl Document {
    fn new(uri: String) -> Document {
        Document {
            difference: Difference::new(uri.clone(), What::Different),
            uri,
            seen_here: false,
            seen_there: false,
            head_here: None,
            head_there: None,
        }
    }

    /// Lines of one key, of which one may be absent.
    fn compare(&mut self, left: Option<Line>, right: Option<Line>) -> Result<(), Failure> {
        self.seen_here |= left.is_some();
        self.seen_there |= right.is_some();
        if let (Some(left), Some(right)) = (&left, &right)
            && left.bytes == right.bytes
            && !is_damaged(&left.bytes)
        {
            return Ok(());
        }
        let key = left.as_ref().or(right.as_ref()).map(|line| line.key.clone());
        let Some(Key { version, offset, .. }) = key else { return Ok(()) };
        let (mut left, mut right) = (members(left)?, members(right)?);
        self.head_here = left.as_mut().and_then(|line| line.remove("head")).or(self.head_here.take());
        self.head_there = right.as_mut().and_then(|line| line.remove("head")).or(self.head_there.take());
        let damaged =
            |line: &Option<Map<String, Value>>| line.as_ref()?.get("damaged")?.as_str().map(str::to_owned);
        let (damaged_here, damaged_there) = (damaged(&left), damaged(&right));
        let is_damaged = damaged_here.is_some() || damaged_there.is_some();
        if let Some(reason) = damaged_here {
            self.difference.add(Detail::UnreadableHere { version, reason });
        }
        if let Some(reason) = damaged_there {
            self.difference.add(Detail::UnreadableThere { version, reason });
        }
        let Some(version) = version.filter(|_| !is_damaged) else { return Ok(()) };
        match (left, right) {
            (Some(left), Some(right)) => self.version(version, offset, &left, &right),
            // A version line says it of all its pieces.
            _ if offset.is_some() => {}
            (Some(_), None) => self.difference.add(Detail::VersionOnlyHere { version }),
            (None, _) => self.difference.add(Detail::VersionOnlyThere { version }),
        }
        Ok(())
    }

    fn version(
        &mut self,
        version: u64,
        offset: Option<u64>,
        left: &Map<String, Value>,
        right: &Map<String, Value>,
    ) {
        if let Some(offset) = offset {
            return self.difference.add(Detail::Content { version, offset });
        }
        let members = differing(left, right);
        if !members.is_empty() {
            self.difference.add(Detail::Version { version, members });
        }
    }

    /// `None` if it is the same on both sides.
    fn finish(mut self) -> Option<Difference> {
        self.difference.what = match (self.seen_here, self.seen_there) {
            (true, false) => What::OnlyHere,
            (false, true) => What::OnlyThere,
            _ => What::Different,
        };
        if self.difference.what != What::Different {
            // That it is not there says all.
            self.difference.details.retain(|detail| {
                !matches!(detail, Detail::VersionOnlyHere { .. } | Detail::VersionOnlyThere { .. })
            });
            self.difference.more_details = 0;
            return Some(self.difference);
        }
        if let (Some(Value::Object(here)), Some(Value::Object(there))) = (&self.head_here, &self.head_there) {
            for field in differing(here, there) {
                let value = |head: &Map<String, Value>| head.get(&field).cloned().unwrap_or_default();
                let (here, there) = (value(here), value(there));
                self.difference.add(Detail::Head { field, here, there });
            }
        }
        (!self.difference.details.is_empty()).then_some(self.difference)
    }
}

/// Names of the members that differ.
fn differing(left: &Map<String, Value>, right: &Map<String, Value>) -> Vec<String> {
    let only_right = right.keys().filter(|name| !left.contains_key(*name));
    let names = left.keys().chain(only_right);
    names.filter(|name| left.get(*name) != right.get(*name)).cloned().collect()
}

fn members(line: Option<Line>) -> Result<Option<Map<String, Value>>, Failure> {
    let read = |line: Line| {
        serde_json::from_slice(&line.bytes).map_err(|error| Failure::local("a line of an export", error))
    };
    line.map(read).transpose()
}

/// Does the line stand in for what cannot be read? Then equal lines mean nothing.
fn is_damaged(line: &[u8]) -> bool {
    const MEMBER: &[u8] = b",\"damaged\":";
    // Such a line is short; in a longer one these bytes are text of somebody.
    line.len() < 8 << 10
        && line.windows(MEMBER.len()).any(|window| window == MEMBER)
        && serde_json::from_slice::<Map<String, Value>>(line).is_ok_and(|line| line.contains_key("damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        Line { key: serde_json::from_slice(&bytes).unwrap(), bytes }
    }

    fn compared(pairs: &[(Option<&str>, Option<&str>)]) -> Option<Difference> {
        let mut document = Document::new("/a".into());
        for (left, right) in pairs {
            document.compare(left.map(line), right.map(line)).unwrap();
        }
        document.finish()
    }

    #[test]
    fn lines_stand_in_the_order_of_an_export() {
        let lines = [
            r#"{"uri":"/a","version":9}"#,
            r#"{"uri":"/a","version":9,"offset":0}"#,
            r#"{"uri":"/a","version":9,"offset":1048576}"#,
            r#"{"uri":"/a","version":10}"#,
            r#"{"uri":"/a.b","head":{}}"#,
            r#"{"uri":"/a/b","version":1}"#,
        ];
        assert!(lines.map(|text| line(text).key).is_sorted());
    }

    #[test]
    fn what_differs_is_named() {
        let one = r#"{"uri":"/a","version":1,"author":"ann"}"#;
        let head = r#"{"uri":"/a","version":1,"author":"ann","head":{"state":"working","versions":1}}"#;
        let two = r#"{"uri":"/a","version":2,"head":{"state":"published","versions":2}}"#;
        assert_eq!(compared(&[(Some(one), Some(one))]), None);
        let difference = compared(&[(Some(head), Some(one)), (None, Some(two))]).unwrap();
        let head = |field: &str, here: Value, there: Value| Detail::Head { field: field.into(), here, there };
        assert_eq!(
            difference.details,
            [
                Detail::VersionOnlyThere { version: 2 },
                head("state", "working".into(), "published".into()),
                head("versions", 1.into(), 2.into()),
            ]
        );
        let other = r#"{"uri":"/a","version":1,"author":"bob","comment":"x"}"#;
        let members = compared(&[(Some(one), Some(other))]).unwrap().details;
        assert_eq!(
            members,
            [Detail::Version { version: 1, members: vec!["author".into(), "comment".into()] }]
        );
        let only = compared(&[(None, Some(one)), (None, Some(two))]).unwrap();
        assert_eq!((only.what, only.details.len()), (What::OnlyThere, 0));
    }

    #[test]
    fn what_cannot_be_read_differs_even_from_itself() {
        let damaged = r#"{"uri":"/a","version":1,"id":"00","damaged":"bytes"}"#;
        let difference = compared(&[(Some(damaged), Some(damaged))]).unwrap();
        assert_eq!(difference.details.len(), 2);
        // Somebody's text is no damage.
        let text = r#"{"uri":"/a","version":1,"properties":{"x":1,"damaged":"it is"}}"#;
        assert_eq!(compared(&[(Some(text), Some(text))]), None);
        let quoted = r#"{"uri":"/a","version":1,"comment":",\"damaged\":"}"#;
        assert_eq!(compared(&[(Some(quoted), Some(quoted))]), None);
    }
}
