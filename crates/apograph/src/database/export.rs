//! The canonical dump of a view: equal copies export equal bytes.
//!
//! Lines of JSON, sorted by URI and version number, keys in a fixed order. Form: `docs/formats/export.md`.
//! [`crate::import`] reads them.

mod lines;

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::value::RawValue;

use apograph_format::limits::CHUNK_BYTES_MAX;
use apograph_format::timestamp::rfc3339;
use apograph_format::{
    Hash, Head, Participants, PartitionId, State, Timestamp, Uri, Version, VersionRef, View,
};
use apograph_store::{Store, StoreError};

use super::reads::{ContentReader, Merged};
use super::{Database, Shared};
use crate::error::{Cause, ReadError};
use crate::read::{ExportQuery, Scope};
use lines::{
    ContentMember, DamagedLine, DocumentLine, End, EndLine, ErasedLine, HeadMember, HeaderLine, OriginMember,
    PieceLine, VersionLine, json,
};

/// What the first line of an export says of its form.
pub(crate) const FORMAT: &str = "apograph-export/1";

/// The lines of an export, made when they are asked for.
pub struct Export {
    database: Database,
    view: View,
    scope: Scope,
    lists_damage: bool,
    at: Timestamp,
    stage: Stage,
    documents: Merged,
    partitions: Participants,
    document: Option<(Uri, Head)>,
    versions: VecDeque<VersionRef>,
    next_number: u64,
    content: Option<(Place, ContentReader, u64)>,
    /// Over all lines so far, with their ends.
    hash: blake3::Hasher,
    documents_count: u64,
    versions_count: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Documents,
    Done,
}

/// Whose content is being written.
#[derive(Clone)]
struct Place {
    uri: Uri,
    version: u64,
}

impl Database {
    /// Exports a view as of a time, or now. The full view needs a server that holds it.
    pub fn export(&self, view: View, as_of: Option<Timestamp>) -> Result<Export, ReadError> {
        self.export_of(ExportQuery {
            view,
            scope: Scope::Whole,
            partitions: None,
            as_of,
            lists_damage: false,
        })
    }

    /// Exports a part of a view.
    pub fn export_of(&self, query: ExportQuery) -> Result<Export, ReadError> {
        let ExportQuery { view, scope, partitions, as_of, lists_damage } = query;
        if view == View::Full && self.view() == View::Published {
            return Err(ReadError::NoSuchView { view });
        }
        let at = self.read_at(as_of)?;
        let partitions = partitions.unwrap_or(self.held_partitions());
        let of = |partition: PartitionId| {
            let store = self.shared.store(partition).map(Arc::clone);
            store.ok_or_else(|| self.shared.elsewhere(partition))
        };
        let stores: Vec<Arc<Store>> = partitions.iter().map(of).collect::<Result<_, _>>()?;
        Ok(Export {
            database: self.clone(),
            view,
            at,
            stage: Stage::Header,
            documents: Merged::new(&stores, scope.prefix(), None, at),
            partitions,
            scope,
            lists_damage,
            document: None,
            versions: VecDeque::new(),
            next_number: 1,
            content: None,
            hash: blake3::Hasher::new(),
            documents_count: 0,
            versions_count: 0,
        })
    }
}

impl Iterator for Export {
    type Item = Result<String, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = match self.stage {
            Stage::Header => {
                self.stage = Stage::Documents;
                let everyone = self.database.partitioning();
                let part = Some(self.partitions).filter(|held| *held != everyone.everyone());
                let of = part.map(|_| everyone.count());
                Ok(Some(json(&HeaderLine { format: FORMAT, view: self.view, partitions: part, of })))
            }
            Stage::Documents => self.advance(),
            Stage::Done => Ok(None),
        };
        match line {
            Ok(Some(line)) => {
                self.hash.update(line.as_bytes()).update(b"\n");
                Some(Ok(line))
            }
            Ok(None) if self.stage == Stage::Done => None,
            Ok(None) => {
                self.stage = Stage::Done;
                let hash = Hash(*self.hash.finalize().as_bytes());
                let (documents, versions) = (self.documents_count, self.versions_count);
                Some(Ok(json(&EndLine { end: End { documents, versions, hash } })))
            }
            Err(error) => {
                // What follows a failure would be no export.
                self.stage = Stage::Done;
                Some(Err(error))
            }
        }
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
                        self.versions_count += 1;
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
            let line = match self.view {
                View::Published => {
                    self.versions.extend(head.live);
                    self.documents_count += u64::from(head.live.is_some());
                    None
                }
                View::Full => {
                    self.documents_count += 1;
                    Some(json(&DocumentLine { uri: &uri, head: HeadMember::of(&head) }))
                }
            };
            self.document = Some((uri, head));
            if line.is_some() {
                return Ok(line);
            }
        }
    }

    fn next_version(&mut self, uri: &Uri, head: &Head) -> Result<Option<VersionRef>, ReadError> {
        let is_full = self.view == View::Full && head.state != State::Purged;
        while self.versions.is_empty() && is_full && self.next_number <= head.versions {
            let (first, end) = (self.next_number, self.next_number + VERSIONS_AHEAD);
            for version in self.shared().store_of(uri)?.versions(uri, first, end, self.at) {
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
        let body = self.shared().store_of(uri)?.payload(&at.id)?;
        let Some(body) = body else {
            // Purged since the time of this export.
            return Ok(json(&ErasedLine { uri, version: at.number, id: at.id, erased: true }));
        };
        let damaged = |error: &dyn std::fmt::Display| {
            ReadError::from(StoreError::Damaged { what: format!("version {} of {uri}: {error}", at.number) })
        };
        let version = Version::decode(&body).map_err(|error| damaged(&error))?;
        let content = self.content_line(uri, &version)?;
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
            origin: version.origin.as_ref().map(OriginMember::of),
            kind: (self.view == View::Published).then_some(head.kind),
        }))
    }

    /// Small contents stand in the line; the pieces of larger ones follow it.
    fn content_line<'v>(
        &mut self,
        uri: &Uri,
        version: &'v Version,
    ) -> Result<Option<ContentMember<'v>>, ReadError> {
        let Some(content) = &version.content else { return Ok(None) };
        let mut line = ContentMember {
            hash: content.hash,
            bytes: content.bytes,
            media_type: &content.media_type,
            body: None,
            base64: None,
        };
        let mut reader = self.database.content(uri, content, 0..content.bytes)?;
        if content.bytes > CHUNK_BYTES_MAX as u64 {
            let piece_of = Place { uri: uri.clone(), version: version.number };
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
        let Some((place, reader, offset)) = &mut self.content else { return Ok(None) };
        let piece = match reader.next() {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => {
                let (place, at) = (place.clone(), *offset);
                self.content = None;
                return self.damaged_piece(&place, at, error).map(Some);
            }
            None => {
                self.content = None;
                return Ok(None);
            }
        };
        let at = *offset;
        *offset += piece.len() as u64;
        let base64 = BASE64.encode(&piece);
        Ok(Some(json(&PieceLine { uri: &place.uri, version: place.version, offset: at, base64 })))
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

    fn damaged_piece(&self, place: &Place, offset: u64, error: ReadError) -> Result<String, ReadError> {
        let damaged = self.damage(error)?;
        let (uri, version) = (&place.uri, Some(place.version));
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
