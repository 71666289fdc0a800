//! The canonical dump of a view: equal copies export equal bytes.
//!
//! Lines of JSON, sorted by URI and version number, keys in a fixed order. Form: `docs/formats/export.md`.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::value::RawValue;

use apograph_format::limits::CHUNK_BYTES_MAX;
use apograph_format::timestamp::rfc3339;
use apograph_format::{Hash, Head, Kind, Lock, Origin, State, Timestamp, Uri, Version, VersionRef, View};
use apograph_store::StoreError;

use super::reads::{ContentReader, Merged};
use super::{Database, Shared};
use crate::error::{Cause, ReadError};
use crate::read::{ExportQuery, Scope};

/// The lines of an export, made when they are asked for.
pub struct Export {
    database: Database,
    view: View,
    scope: Scope,
    lists_damage: bool,
    at: Timestamp,
    documents: Merged,
    document: Option<(Uri, Head)>,
    versions: VecDeque<VersionRef>,
    next_number: u64,
    content: Option<(Line, ContentReader, u64)>,
}

#[derive(Clone)]
struct Line {
    uri: Uri,
    version: u64,
}

#[derive(Serialize)]
struct VersionLine<'a> {
    uri: &'a Uri,
    version: u64,
    id: Hash,
    parents: &'a [Hash],
    r#type: &'a str,
    properties: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<ContentLine<'a>>,
    author: &'a str,
    time: String,
    comment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<OriginLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<HeadLine<'a>>,
}

#[derive(Serialize)]
struct ContentLine<'a> {
    hash: Hash,
    bytes: u64,
    media_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

#[derive(Serialize)]
struct OriginLine<'a> {
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
struct HeadLine<'a> {
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
struct PurgedLine<'a> {
    uri: &'a Uri,
    head: HeadLine<'a>,
}

#[derive(Serialize)]
struct ErasedLine<'a> {
    uri: &'a Uri,
    version: u64,
    id: Hash,
    erased: bool,
}

#[derive(Serialize)]
struct DamagedLine<'a> {
    uri: &'a Uri,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    damaged: &'static str,
}

#[derive(Serialize)]
struct PieceLine<'a> {
    uri: &'a Uri,
    version: u64,
    offset: u64,
    base64: String,
}

impl Database {
    /// Exports a view as of a time, or now. The full view needs a server that holds it.
    pub fn export(&self, view: View, as_of: Option<Timestamp>) -> Result<Export, ReadError> {
        self.export_of(ExportQuery { view, scope: Scope::Whole, as_of, lists_damage: false })
    }

    /// Exports a part of a view.
    pub fn export_of(&self, query: ExportQuery) -> Result<Export, ReadError> {
        let ExportQuery { view, scope, as_of, lists_damage } = query;
        if view == View::Full && self.view() == View::Published {
            return Err(ReadError::NoSuchView { view });
        }
        let at = self.read_at(as_of)?;
        Ok(Export {
            database: self.clone(),
            view,
            at,
            documents: Merged::new(&self.shared.stores, scope.prefix(), None, at),
            scope,
            lists_damage,
            document: None,
            versions: VecDeque::new(),
            next_number: 1,
            content: None,
        })
    }
}

impl Iterator for Export {
    type Item = Result<String, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

/// Versions of one document that are looked up at a time.
const VERSIONS_AHEAD: u64 = 256;

impl Export {
    fn advance(&mut self) -> Result<Option<String>, ReadError> {
        loop {
            if let Some(piece) = self.next_piece()? {
                return Ok(Some(piece));
            }
            if let Some((uri, head)) = self.document.take() {
                match self.next_version(&uri, &head) {
                    Ok(None) => {}
                    Ok(Some(version)) => {
                        let line = self.version_line(&uri, &head, version);
                        let line = line.or_else(|error| self.damaged_line(&uri, Some(version), error))?;
                        self.document = Some((uri, head));
                        return Ok(Some(line));
                    }
                    Err(error) => {
                        self.versions.clear();
                        return self.damaged_line(&uri, None, error).map(Some);
                    }
                }
                continue;
            }
            let Some((uri, head)) = self.documents.next().transpose()? else {
                return Ok(None);
            };
            if self.scope.ends_before(&uri) {
                return Ok(None);
            }
            self.next_number = 1;
            match self.view {
                View::Published => self.versions.extend(head.live),
                View::Full if head.state == State::Purged => {
                    return Ok(Some(json(&PurgedLine { uri: &uri, head: head_line(&head) })));
                }
                View::Full => {}
            }
            self.document = Some((uri, head));
        }
    }

    fn next_version(&mut self, uri: &Uri, head: &Head) -> Result<Option<VersionRef>, ReadError> {
        while self.versions.is_empty() && self.view == View::Full && self.next_number <= head.versions {
            let (first, end) = (self.next_number, self.next_number + VERSIONS_AHEAD);
            for version in self.shared().store_of(uri).versions(uri, first, end, self.at) {
                let (number, record) = version?;
                self.versions.push_back(VersionRef { number, id: record.id });
            }
            self.next_number = end;
        }
        Ok(self.versions.pop_front())
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.database.shared
    }

    fn version_line(&mut self, uri: &Uri, head: &Head, at: VersionRef) -> Result<String, ReadError> {
        let body = self.shared().store_of(uri).payload(&at.id)?;
        let Some(body) = body else {
            // Purged since the time of this export.
            return Ok(json(&ErasedLine { uri, version: at.number, id: at.id, erased: true }));
        };
        let damaged = |error: &dyn std::fmt::Display| {
            ReadError::from(StoreError::Damaged { what: format!("version {} of {uri}: {error}", at.number) })
        };
        let version = Version::decode(&body).map_err(|error| damaged(&error))?;
        let content = self.content_line(uri, &version)?;
        let is_last = head.working == Some(at);
        let properties = RawValue::from_string(version.properties.as_str().to_owned());
        Ok(json(&VersionLine {
            uri,
            version: at.number,
            id: at.id,
            parents: &version.parents,
            r#type: &version.r#type,
            properties: properties.map_err(|error| damaged(&error))?,
            content,
            author: &version.author,
            time: rfc3339(version.time),
            comment: &version.comment,
            origin: version.origin.as_ref().map(origin_line),
            kind: (self.view == View::Published).then_some(head.kind),
            head: (self.view == View::Full && is_last).then(|| head_line(head)),
        }))
    }

    /// Small contents stand in the line; the pieces of larger ones follow it.
    fn content_line<'v>(
        &mut self,
        uri: &Uri,
        version: &'v Version,
    ) -> Result<Option<ContentLine<'v>>, ReadError> {
        let Some(content) = &version.content else { return Ok(None) };
        let mut line = ContentLine {
            hash: content.hash,
            bytes: content.bytes,
            media_type: &content.media_type,
            body: None,
            base64: None,
        };
        let mut reader = self.database.content(uri, content, 0..content.bytes)?;
        if content.bytes > CHUNK_BYTES_MAX as u64 {
            let piece_of = Line { uri: uri.clone(), version: version.number };
            self.content = Some((piece_of, reader, 0));
            return Ok(Some(line));
        }
        let bytes = reader.next().transpose()?.unwrap_or_default();
        match std::str::from_utf8(&bytes) {
            Ok(text) => line.body = Some(text.to_owned()),
            Err(_) => line.base64 = Some(BASE64.encode(&bytes)),
        }
        Ok(Some(line))
    }

    fn next_piece(&mut self) -> Result<Option<String>, ReadError> {
        let Some((line, reader, offset)) = &mut self.content else { return Ok(None) };
        let piece = match reader.next() {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => {
                let (line, at) = (line.clone(), *offset);
                self.content = None;
                return self.damaged_piece(&line, at, error).map(Some);
            }
            None => {
                self.content = None;
                return Ok(None);
            }
        };
        let at = *offset;
        *offset += piece.len() as u64;
        let base64 = BASE64.encode(&piece);
        Ok(Some(json(&PieceLine { uri: &line.uri, version: line.version, offset: at, base64 })))
    }
}

/// What stands in for what cannot be read, where that is asked for.
impl Export {
    fn damaged_line(
        &self,
        uri: &Uri,
        version: Option<VersionRef>,
        error: ReadError,
    ) -> Result<String, ReadError> {
        let damaged = self.damage(error)?;
        let (number, id) = (version.map(|version| version.number), version.map(|version| version.id));
        Ok(json(&DamagedLine { uri, version: number, id, offset: None, damaged }))
    }

    fn damaged_piece(&self, line: &Line, offset: u64, error: ReadError) -> Result<String, ReadError> {
        let damaged = self.damage(error)?;
        let (uri, version) = (&line.uri, Some(line.version));
        Ok(json(&DamagedLine { uri, version, id: None, offset: Some(offset), damaged }))
    }

    /// What the error says may name files, and is not for everybody: the log has it.
    fn damage(&self, error: ReadError) -> Result<&'static str, ReadError> {
        match error {
            ReadError::Erased { .. } | ReadError::NotBrought { .. } if self.lists_damage => {
                Ok("bytes are not here")
            }
            ReadError::Store(error) if self.lists_damage && Cause::of_store(&error) == Cause::Damage => {
                tracing::warn!(database = self.database.name(), %error, "an export met damage");
                Ok("stored bytes are not what they were")
            }
            error => Err(error),
        }
    }
}

fn head_line(head: &Head) -> HeadLine<'_> {
    HeadLine {
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

fn origin_line(origin: &Origin) -> OriginLine<'_> {
    OriginLine {
        uri: origin.document.as_ref().map(|(uri, _)| uri),
        version: origin.document.as_ref().and_then(|(_, version)| *version),
        server: &origin.server,
        external: &origin.external,
    }
}

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("lines hold only strings, numbers and canonical JSON")
}
