//! Reads of documents, histories, lists and contents.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use apograph_format::{Content, ContentFact, Hash, Head, State, Timestamp, Uri, Version, VersionRef};
use apograph_store::{Documents, Store, StoreError};

use super::plan::newest_cursor;
use super::{Database, Shared};
use crate::error::{ReadError, Refusal};
use crate::read::{Document, HistoryItem, ListQuery, Listed, Page, Which};

/// Most documents in one page.
const PAGE_MAX: usize = 10_000;

impl Database {
    /// Reads before this are refused.
    pub fn horizon(&self) -> Timestamp {
        self.shared.stores.iter().map(|store| store.horizon()).max().unwrap_or_default()
    }

    /// The time to read at: now, or a time that this server can answer for.
    pub(super) fn read_at(&self, as_of: Option<Timestamp>) -> Result<Timestamp, ReadError> {
        let visible = self.visible();
        let Some(asked) = as_of else { return Ok(visible) };
        let horizon = self.horizon();
        if asked < horizon {
            return Err(ReadError::BelowHorizon { horizon, asked });
        }
        if asked > visible {
            return Err(ReadError::Ahead { visible, asked });
        }
        Ok(asked)
    }

    /// The head of a document, trashed and purged ones included.
    pub fn head(&self, uri: &Uri, as_of: Option<Timestamp>) -> Result<Option<Head>, ReadError> {
        Ok(self.shared.store_of(uri)?.head(uri, self.read_at(as_of)?)?)
    }

    /// A document, with one of its versions.
    pub fn document(&self, uri: &Uri, which: Which, as_of: Option<Timestamp>) -> Result<Document, ReadError> {
        let at = self.read_at(as_of)?;
        let store = self.shared.store_of(uri)?;
        let refuse = |refusal| ReadError::Refused { uri: uri.clone(), refusal };
        // What is not what the digests say is not shown, and brought anew.
        let head = self.shared.noticing(uri, store.checked_head(uri, at))?;
        let head = head.ok_or_else(|| refuse(Refusal::NotFound))?;
        let version_ref = match which {
            Which::Working if head.state == State::Trashed => {
                return Err(refuse(Refusal::Trashed { moved_to: head.moved_to }));
            }
            Which::Working => head.working.ok_or_else(|| refuse(Refusal::NotFound))?,
            Which::Live => head.live.ok_or_else(|| refuse(Refusal::NotPublished))?,
            Which::Number(number) => {
                let record = store.version(uri, number, at)?;
                let id = record.ok_or_else(|| refuse(Refusal::NoSuchVersion { number }))?.id;
                VersionRef { number, id }
            }
        };
        let version = self.read_version(uri, &version_ref)?;
        Ok(Document { uri: uri.clone(), head, version_ref, version })
    }

    pub(super) fn read_version(&self, uri: &Uri, version: &VersionRef) -> Result<Version, ReadError> {
        let body = self.shared.noticing(uri, self.shared.store_of(uri)?.payload(&version.id))?;
        let Some(body) = body else { return Err(self.absent(uri, version)) };
        Version::decode(&body).map_err(|error| {
            StoreError::Damaged { what: format!("version {} of {uri}: {error}", version.number) }.into()
        })
    }

    /// Why a body is not here.
    fn absent(&self, uri: &Uri, version: &VersionRef) -> ReadError {
        let store = match self.shared.store_of(uri) {
            Ok(store) => store,
            Err(elsewhere) => return elsewhere,
        };
        let (at, number) = (self.visible(), version.number);
        if let Ok(Some(cut)) = store.cut_versions(uri, at)
            && number < cut.kept_from
        {
            return ReadError::NotBrought { uri: uri.clone(), number, kept_from: cut.kept_from };
        }
        // What came erased says nothing of itself; its purge is on its way here.
        match store.version(uri, number, at) {
            Ok(Some(record)) if record.id == version.id && record.came() => self.shared.lost(uri, version.id),
            _ => ReadError::Erased { uri: uri.clone() },
        }
    }

    /// Versions of a document, newest first, those below `before` if it is given; at most `limit`. The versions of a
    /// document that came from another URI stand under that one: follow the origin of the oldest.
    pub fn history(
        &self,
        uri: &Uri,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<HistoryItem>, ReadError> {
        let at = self.read_at(None)?;
        let store = self.shared.store_of(uri)?;
        let head = store.head(uri, at)?.filter(|head| head.versions > 0 && head.state != State::Purged);
        let head = head.ok_or_else(|| ReadError::Refused { uri: uri.clone(), refusal: Refusal::NotFound })?;
        let end = before.unwrap_or(u64::MAX).min(head.versions + 1);
        let limit = limit.min(PAGE_MAX);
        let mut items = Vec::new();
        let mut number = end;
        // Numbers may have gaps: a purge leaves one, and so does a move onto this URI.
        while number > 1 && items.len() < limit {
            let first = number.saturating_sub(limit as u64).max(1);
            let mut found: Vec<_> = store.versions(uri, first, number, at).collect::<Result<_, _>>()?;
            found.reverse();
            for (number, record) in found.into_iter().take(limit - items.len()) {
                let version_ref = VersionRef { number, id: record.id };
                let version = self.read_version(uri, &version_ref)?;
                items.push(HistoryItem { uri: uri.clone(), version_ref, version });
            }
            number = first;
        }
        Ok(items)
    }

    /// A page of documents, in the order of their URIs.
    pub fn list(&self, query: &ListQuery) -> Result<Page, ReadError> {
        let at = self.read_at(query.as_of)?;
        let limit = query.limit.clamp(1, PAGE_MAX);
        let mut page = Page::default();
        for item in Merged::new(&self.shared.stores, &query.prefix, query.after.as_ref(), at) {
            let (uri, head) = item?;
            if !matches(query, &head) {
                continue;
            }
            if page.documents.len() == limit {
                page.next_after = page.documents.last().map(|last| last.uri.clone());
                break;
            }
            page.documents.push(Listed { uri, head });
        }
        Ok(page)
    }

    /// A range of a content's bytes, in pieces of at most one chunk, read when they are asked for.
    pub fn content(
        &self,
        uri: &Uri,
        content: &Content,
        range: Range<u64>,
    ) -> Result<ContentReader, ReadError> {
        let store = self.shared.store_of(uri)?;
        let Some(fact) = store.content(&content.hash)? else {
            return Err(self.shared.without(uri, &content.hash, content.hash));
        };
        let end = range.end.min(fact.bytes);
        let (shared, store) = (Arc::clone(&self.shared), Arc::clone(store));
        Ok(ContentReader { uri: uri.clone(), shared, store, fact, at: range.start.min(end), end })
    }

    /// Where an importer's cursor stands.
    pub fn cursor(&self, name: &str) -> Result<Option<String>, ReadError> {
        Ok(newest_cursor(&self.shared.stores, name, self.visible())?)
    }
}

fn matches(query: &ListQuery, head: &Head) -> bool {
    let state = query.state.map_or(head.is_visible() && head.working.is_some(), |state| state == head.state);
    let kind = query.kind.is_none_or(|kind| kind == head.kind);
    state && kind && query.r#type.as_ref().is_none_or(|r#type| *r#type == head.r#type)
}

/// Bytes of a content, piece by piece. Every piece was checked against its name.
#[derive(Clone)]
pub struct ContentReader {
    uri: Uri,
    shared: Arc<Shared>,
    store: Arc<Store>,
    fact: ContentFact,
    at: u64,
    end: u64,
}

impl Iterator for ContentReader {
    type Item = Result<Bytes, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let chunk_bytes = apograph_format::limits::CHUNK_BYTES_MAX as u64;
        let index = usize::try_from(self.at / chunk_bytes).ok()?;
        let start = index as u64 * chunk_bytes;
        let piece = self.read(index).map(|chunk| {
            let from = usize::try_from(self.at - start).unwrap_or(usize::MAX).min(chunk.len());
            let to = usize::try_from(self.end - start).unwrap_or(usize::MAX).min(chunk.len());
            chunk.slice(from..to)
        });
        self.at = match &piece {
            Ok(piece) if !piece.is_empty() => self.at + piece.len() as u64,
            _ => self.end,
        };
        Some(piece)
    }
}

impl ContentReader {
    fn read(&self, index: usize) -> Result<Bytes, ReadError> {
        let Some(hash) = self.fact.chunks.get(index) else {
            return Err(ReadError::Erased { uri: self.uri.clone() });
        };
        let chunk = self.shared.noticing(&self.uri, self.store.payload(hash))?;
        chunk.ok_or_else(|| self.shared.without(&self.uri, &self.fact.hash, *hash))
    }
}

impl Shared {
    /// A payload of a content is not here: purged meanwhile, or lost.
    fn without(&self, uri: &Uri, content: &Hash, payload: Hash) -> ReadError {
        let named = self.store_of(uri).map(|store| store.names(uri, content, self.visible()));
        match named {
            Ok(Ok(false)) => ReadError::Erased { uri: uri.clone() },
            Ok(Ok(true)) => self.lost(uri, payload),
            Ok(Err(error)) => error.into(),
            Err(elsewhere) => elsewhere,
        }
    }

    /// A document names what is not here.
    fn lost(&self, uri: &Uri, payload: Hash) -> ReadError {
        self.suspect(uri);
        StoreError::Missing { hash: payload }.into()
    }
}

/// Documents of all partitions in the order of their URIs.
pub(super) struct Merged {
    sources: Vec<Documents>,
    next: BTreeMap<Uri, (usize, Head)>,
    failed: Option<StoreError>,
}

impl Merged {
    pub(super) fn new(stores: &[Arc<Store>], prefix: &str, after: Option<&Uri>, at: Timestamp) -> Merged {
        let sources = stores.iter().map(|store| store.documents(prefix, after, at)).collect();
        let mut merged = Merged { sources, next: BTreeMap::new(), failed: None };
        for index in 0..merged.sources.len() {
            merged.advance(index);
        }
        merged
    }

    fn advance(&mut self, index: usize) {
        match self.sources.get_mut(index).and_then(Iterator::next) {
            Some(Ok((uri, head))) => {
                self.next.insert(uri, (index, head));
            }
            Some(Err(error)) => self.failed = Some(error),
            None => {}
        }
    }
}

impl Iterator for Merged {
    type Item = Result<(Uri, Head), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.next.clear();
            self.sources.clear();
            return Some(Err(error));
        }
        let (uri, (index, head)) = self.next.pop_first()?;
        self.advance(index);
        Some(Ok((uri, head)))
    }
}
