//! Reads: versions, payloads, lists, cursors, all as of a timestamp.

use bytes::Bytes;

use apograph_format::{ContentFact, Hash, Head, Timestamp, Uri};

use crate::apply::decode_content;
use crate::engine::{Entries, Space};
use crate::error::StoreError;
use crate::keys;
use crate::record::VersionRecord;
use crate::store::Store;

/// Documents in the order of their URIs, read lazily from one consistent snapshot.
pub struct Documents {
    entries: Entries,
}

impl Store {
    /// Version `number` of a document, as of `at`.
    pub fn version(
        &self,
        uri: &Uri,
        number: u64,
        at: Timestamp,
    ) -> Result<Option<VersionRecord>, StoreError> {
        let Some(record) = self.engine.get(Space::Documents, &keys::version(uri, number), at.0)? else {
            return Ok(None);
        };
        VersionRecord::decode(&record)
            .map(Some)
            .ok_or_else(|| StoreError::damaged(format!("version {number} of {uri}")))
    }

    /// Versions `first..end` of a document, as of `at`, oldest first, read lazily.
    pub fn versions(
        &self,
        uri: &Uri,
        first: u64,
        end: u64,
        at: Timestamp,
    ) -> impl Iterator<Item = Result<(u64, VersionRecord), StoreError>> + use<> {
        let uri = uri.clone();
        self.engine.range(Space::Documents, &keys::versions(&uri, first, end), at.0).map(move |item| {
            let (key, record) = item?;
            let number = key.last_chunk::<8>().copied().map(u64::from_be_bytes);
            match (number, VersionRecord::decode(&record)) {
                (Some(number), Some(record)) => Ok((number, record)),
                _ => Err(StoreError::damaged(format!("the versions of {uri}"))),
            }
        })
    }

    /// The bytes of a payload (version body, small content or chunk), checked against their name. `None` when they were
    /// purged or never came.
    pub fn payload(&self, hash: &Hash) -> Result<Option<Bytes>, StoreError> {
        if self.erasing.is_going(hash) {
            return Ok(None);
        }
        match self.engine.get(Space::Bodies, &keys::body(hash), u64::MAX >> 1)? {
            Some(bytes) if Hash::of(&bytes) == *hash => Ok(Some(bytes)),
            Some(_) => Err(StoreError::Payload { hash: *hash }),
            None => self.chunks.read(hash),
        }
    }

    /// Does a version of this document name the payload, as of `at`? Then no purge took it, whatever else did.
    pub fn names(&self, uri: &Uri, payload: &Hash, at: Timestamp) -> Result<bool, StoreError> {
        let reference = keys::reference(payload, &keys::reference_place(uri));
        Ok(self.engine.get(Space::Documents, &reference, at.0)?.is_some())
    }

    /// How a content is cut, if this partition has it.
    pub fn content(&self, hash: &Hash) -> Result<Option<ContentFact>, StoreError> {
        let bytes = self.engine.get(Space::Bodies, &keys::content(hash), u64::MAX >> 1)?;
        bytes.map(|bytes| decode_content(*hash, &bytes)).transpose()
    }

    /// Is the content in this partition, and does a document name it? Then a new version need not bring it again.
    pub fn has_content(&self, hash: &Hash, at: Timestamp) -> Result<bool, StoreError> {
        // Mostly it is new. The look at one key is cheap then, the search for references is not.
        if self.engine.get(Space::Bodies, &keys::content(hash), u64::MAX >> 1)?.is_none() {
            return Ok(false);
        }
        let mut references = self.engine.range(Space::Documents, &keys::references(hash), at.0);
        references.next().transpose().map(|named| named.is_some()).map_err(StoreError::from)
    }

    /// Documents whose URI begins with `prefix` and comes after `after`, as of `at`, trashed and purged ones included.
    pub fn documents(&self, prefix: &str, after: Option<&Uri>, at: Timestamp) -> Documents {
        Documents { entries: self.engine.range(Space::Documents, &keys::heads(prefix, after), at.0) }
    }

    /// Where a cursor stands as of `at`, and since when.
    pub fn cursor(&self, name: &str, at: Timestamp) -> Result<Option<(Timestamp, String)>, StoreError> {
        let Some(bytes) = self.engine.get(Space::Documents, &keys::cursor(name), at.0)? else {
            return Ok(None);
        };
        bytes
            .split_first_chunk::<8>()
            .and_then(|(since, position)| {
                let position = std::str::from_utf8(position).ok()?;
                Some((Timestamp(u64::from_le_bytes(*since)), position.to_owned()))
            })
            .map(Some)
            .ok_or_else(|| StoreError::damaged(format!("cursor {name}")))
    }
}

impl Iterator for Documents {
    type Item = Result<(Uri, Head), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = match self.entries.next()? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error.into())),
        };
        let uri =
            key.get(1..).and_then(|uri| std::str::from_utf8(uri).ok()).and_then(|uri| Uri::parse(uri).ok());
        let Some(uri) = uri else {
            return Some(Err(StoreError::damaged("a document's URI")));
        };
        let head =
            Head::decode(&value).map_err(|error| StoreError::damaged(format!("head of {uri}: {error}")));
        Some(head.map(|head| (uri, head)))
    }
}
