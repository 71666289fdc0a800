//! The lines of an export, member by member in their order. Form: `docs/formats/export.md`.

use serde::Serialize;
use serde_json::value::RawValue;

use apograph_format::{
    Hash, Head, Kind, Lock, Origin, Participants, State, Timestamp, Uri, VersionRef, View,
};

/// The first line.
#[derive(Serialize)]
pub(super) struct HeaderLine {
    pub(super) format: &'static str,
    pub(super) view: View,
    /// Which partitions these documents are of, if not of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) partitions: Option<Participants>,
    /// How many partitions the database has, if these are not all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<u16>,
}

/// The last line.
#[derive(Serialize)]
pub(super) struct EndLine {
    pub(super) end: End,
}

/// What stands before the last line.
#[derive(Serialize)]
pub(super) struct End {
    pub(super) documents: u64,
    pub(super) versions: u64,
    pub(super) hash: Hash,
}

/// Full view: before the versions of a document.
#[derive(Serialize)]
pub(super) struct DocumentLine<'a> {
    pub(super) uri: &'a Uri,
    pub(super) head: HeadMember<'a>,
}

#[derive(Serialize)]
pub(super) struct VersionLine<'a> {
    pub(super) uri: &'a Uri,
    pub(super) version: u64,
    pub(super) id: Hash,
    pub(super) parents: &'a [Hash],
    pub(super) r#type: &'a str,
    pub(super) properties: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<ContentMember<'a>>,
    pub(super) author: &'a str,
    pub(super) time: String,
    pub(super) comment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<OriginMember<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<Kind>,
}

#[derive(Serialize)]
pub(super) struct ContentMember<'a> {
    pub(super) hash: Hash,
    pub(super) bytes: u64,
    pub(super) media_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) base64: Option<String>,
}

#[derive(Serialize)]
pub(super) struct OriginMember<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a Uri>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Hash>,
    #[serde(skip_serializing_if = "str::is_empty")]
    server: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    external: &'a str,
}

#[derive(Serialize)]
pub(super) struct HeadMember<'a> {
    kind: Kind,
    state: State,
    working: Option<VersionRef>,
    live: Option<VersionRef>,
    lock: Option<&'a Lock>,
    history: Hash,
    versions: u64,
    moved_to: Option<&'a Uri>,
    changed: Timestamp,
    ever_live: bool,
}

#[derive(Serialize)]
pub(super) struct ErasedLine<'a> {
    pub(super) uri: &'a Uri,
    pub(super) version: u64,
    pub(super) id: Hash,
    pub(super) erased: bool,
}

/// In place of what cannot be read, where that is asked for.
#[derive(Serialize)]
pub(super) struct DamagedLine<'a> {
    pub(super) uri: &'a Uri,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offset: Option<u64>,
    pub(super) damaged: &'static str,
}

#[derive(Serialize)]
pub(super) struct PieceLine<'a> {
    pub(super) uri: &'a Uri,
    pub(super) version: u64,
    pub(super) offset: u64,
    pub(super) base64: String,
}

impl<'a> HeadMember<'a> {
    pub(super) fn of(head: &'a Head) -> HeadMember<'a> {
        HeadMember {
            kind: head.kind,
            state: head.state,
            working: head.working,
            live: head.live,
            lock: head.lock.as_ref(),
            history: head.history,
            versions: head.versions,
            moved_to: head.moved_to.as_ref(),
            changed: head.changed,
            ever_live: head.ever_live,
        }
    }
}

impl<'a> OriginMember<'a> {
    pub(super) fn of(origin: &'a Origin) -> OriginMember<'a> {
        OriginMember {
            uri: origin.document.as_ref().map(|(uri, _)| uri),
            version: origin.document.as_ref().and_then(|(_, version)| *version),
            server: &origin.server,
            external: &origin.external,
        }
    }
}

pub(super) fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("lines hold only strings, numbers and canonical JSON")
}
