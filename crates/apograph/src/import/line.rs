//! One line of an export, from its bytes to types that cannot be wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use apograph_format::limits::CHUNK_BYTES_MAX;
use apograph_format::timestamp::parse_rfc3339;
use apograph_format::{
    Content, Hash, Head, Kind, Lock, Origin, Participants, Properties, State, Timestamp, Uri, Version,
    VersionRef, View,
};

use super::LineFault;
use crate::database::FORMAT;

/// What stands in a line.
#[derive(Debug)]
pub(super) enum Line {
    Header { format: String, view: Option<View>, partitions: Option<Participants> },
    Document { uri: Uri, head: Box<Head> },
    Version(Box<VersionLine>),
    Erased { uri: Uri, number: u64, id: Hash },
    Piece { uri: Uri, number: u64, offset: u64, bytes: Bytes },
    End(End),
}

#[derive(Debug)]
pub(super) struct VersionLine {
    pub(super) uri: Uri,
    pub(super) id: Hash,
    pub(super) version: Version,
    /// Published view.
    pub(super) kind: Option<Kind>,
    /// The content, if it stands in the line.
    pub(super) content: Option<Bytes>,
}

/// What the last line of an export says of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Documents.
    pub documents: u64,
    /// Versions.
    pub versions: u64,
    /// BLAKE3 of all bytes before the last line.
    pub hash: Hash,
}

/// Every member that a line may have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    format: Option<String>,
    view: Option<View>,
    partitions: Option<Participants>,
    /// Of how many partitions these are some.
    #[serde(rename = "of")]
    _of: Option<u16>,
    uri: Option<Uri>,
    head: Option<HeadMember>,
    version: Option<u64>,
    id: Option<Hash>,
    parents: Option<Vec<Hash>>,
    r#type: Option<String>,
    properties: Option<Box<RawValue>>,
    content: Option<ContentMember>,
    author: Option<String>,
    time: Option<String>,
    comment: Option<String>,
    origin: Option<OriginMember>,
    kind: Option<Kind>,
    erased: Option<bool>,
    offset: Option<u64>,
    base64: Option<String>,
    end: Option<End>,
}

/// What the first line of a newer format may have besides is its own business.
#[derive(Deserialize)]
struct Begins {
    format: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadMember {
    kind: Kind,
    state: State,
    working: Option<VersionRef>,
    live: Option<VersionRef>,
    lock: Option<Lock>,
    history: Hash,
    versions: u64,
    moved_to: Option<Uri>,
    changed: Timestamp,
    ever_live: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContentMember {
    hash: Hash,
    bytes: u64,
    media_type: String,
    body: Option<String>,
    base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginMember {
    uri: Option<Uri>,
    version: Option<Hash>,
    #[serde(default)]
    server: String,
    #[serde(default)]
    external: String,
}

/// Does a first line name the format that this software reads?
pub fn is_of_this_format(line: &[u8]) -> Result<(), LineFault> {
    let Ok(Begins { format }) = serde_json::from_slice(line) else { return Err(LineFault::NoExport) };
    check_format(&format)
}

/// The last line of an export, if this is one.
pub fn read_end(line: &[u8]) -> Option<End> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Last {
        end: End,
    }
    serde_json::from_slice(line).ok().map(|last: Last| last.end)
}

pub(super) fn check_format(format: &str) -> Result<(), LineFault> {
    let name = |format: &str| format.rsplit_once('/').map(|(name, _)| name.to_owned());
    if format == FORMAT {
        return Ok(());
    }
    if name(format) == name(FORMAT) {
        return Err(LineFault::Newer { found: format.chars().take(80).collect() });
    }
    Err(LineFault::NoExport)
}

/// Reads a line without its end.
pub(super) fn read(line: &[u8]) -> Result<Line, LineFault> {
    let mut members: Members = serde_json::from_slice(line).map_err(|error| json(&error))?;
    if let (Some(format), None) = (&members.format, &members.uri) {
        return Ok(Line::Header {
            format: format.clone(),
            view: members.view,
            partitions: members.partitions,
        });
    }
    if let (Some(end), None) = (members.end, &members.uri) {
        return Ok(Line::End(end));
    }
    let Some(uri) = members.uri.take() else { return Err(foreign()) };
    match (members.version, members.id, members.head.take()) {
        (None, None, Some(head)) => Ok(Line::Document { uri, head: Box::new(head.into_head()) }),
        (Some(number), Some(id), None) if members.erased == Some(true) => {
            Ok(Line::Erased { uri, number, id })
        }
        (Some(number), Some(id), None) => {
            version(uri, number, id, members).map(|version| Line::Version(Box::new(version)))
        }
        (Some(number), None, None) => match (members.offset, members.base64) {
            (Some(offset), Some(text)) => Ok(Line::Piece { uri, number, offset, bytes: decode(&text)? }),
            _ => Err(foreign()),
        },
        _ => Err(foreign()),
    }
}

fn foreign() -> LineFault {
    faulty("these members do not make a line of an export")
}

fn version(uri: Uri, number: u64, id: Hash, members: Members) -> Result<VersionLine, LineFault> {
    let missing = |member: &str| faulty(format!("the line of a version needs the member `{member}`"));
    let properties = members.properties.ok_or_else(|| missing("properties"))?;
    let properties = Properties::parse(properties.get()).map_err(|error| faulty(error.to_string()))?;
    let time = members.time.ok_or_else(|| missing("time"))?;
    let time = read_time(&time).ok_or_else(|| faulty(format!("time: {time:?} is no time")))?;
    let (named, content) = match members.content {
        None => (None, None),
        Some(member) => member.read().map(|(named, bytes)| (Some(named), bytes))?,
    };
    Ok(VersionLine {
        uri,
        id,
        version: Version {
            number,
            parents: members.parents.ok_or_else(|| missing("parents"))?,
            r#type: members.r#type.ok_or_else(|| missing("type"))?,
            properties,
            content: named,
            author: members.author.ok_or_else(|| missing("author"))?,
            time,
            comment: members.comment.ok_or_else(|| missing("comment"))?,
            origin: members.origin.map(|origin| Origin {
                document: origin.uri.map(|uri| (uri, origin.version)),
                server: origin.server,
                external: origin.external,
            }),
        },
        kind: members.kind,
        content,
    })
}

impl HeadMember {
    fn into_head(self) -> Head {
        Head {
            kind: self.kind,
            state: self.state,
            working: self.working,
            live: self.live,
            lock: self.lock,
            history: self.history,
            versions: self.versions,
            moved_to: self.moved_to,
            changed: self.changed,
            r#type: String::new(),
            ever_live: self.ever_live,
        }
    }
}

impl ContentMember {
    /// What the version names, and the bytes if they stand here.
    fn read(self) -> Result<(Content, Option<Bytes>), LineFault> {
        let is_large = self.bytes > CHUNK_BYTES_MAX as u64;
        let bytes = match (self.body, self.base64) {
            (Some(body), None) if !is_large => Some(Bytes::from(body)),
            (None, Some(text)) if !is_large => Some(decode(&text)?),
            (None, None) if is_large => None,
            _ => return Err(faulty("a content has `body` or `base64`, and one of more than 1 MiB neither")),
        };
        if let Some(bytes) = &bytes
            && (bytes.len() as u64 != self.bytes || Hash::of(bytes) != self.hash)
        {
            return Err(faulty("the content is not the one that its hash and length say"));
        }
        Ok((Content { hash: self.hash, bytes: self.bytes, media_type: self.media_type }, bytes))
    }
}

/// RFC 3339, or microseconds and `us` outside the years that it has.
fn read_time(text: &str) -> Option<i64> {
    match text.strip_suffix("us") {
        Some(micros) => micros.parse().ok(),
        None => parse_rfc3339(text),
    }
}

fn decode(text: &str) -> Result<Bytes, LineFault> {
    BASE64.decode(text).map(Bytes::from).map_err(|error| faulty(format!("base64: {error}")))
}

fn faulty(reason: impl Into<String>) -> LineFault {
    LineFault::Members { reason: reason.into() }
}

/// A line is line 1 to its reader; which one it is, the caller says.
fn json(error: &serde_json::Error) -> LineFault {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    faulty(format!("{what} (column {})", error.column()))
}
