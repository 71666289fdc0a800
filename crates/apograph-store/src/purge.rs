//! What a purge takes, and taking it out of every file.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use apograph_format::{ContentFact, Hash, Timestamp, Uri};

use crate::apply::chunks_beside;
use crate::engine::{EngineError, Erased, Space};
use crate::erasing::Unerased;
use crate::error::StoreError;
use crate::keys;
use crate::meta::Progress;
use crate::store::Store;

/// What belongs to one document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgeSet {
    /// Its versions: number and id.
    pub versions: Vec<(u64, Hash)>,
    /// The contents they name.
    pub contents: BTreeSet<Hash>,
    /// Those of them in several chunks that no other document of the partition names.
    pub unnamed: Vec<ContentFact>,
    /// Payloads (version bodies, contents, chunks) that nothing else in the partition names.
    pub erased: Vec<Hash>,
}

/// Payloads whose bytes are still in files, by the purge that takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingErasure {
    /// Sequence of the purge in the partition's journal, or of an entry that brought what nothing names.
    pub sequence: u64,
    /// What is to be erased.
    pub payloads: Vec<Hash>,
}

impl Store {
    /// What a purge of `uri` takes, as of `at`.
    pub fn purge_set(&self, uri: &Uri, at: Timestamp) -> Result<PurgeSet, StoreError> {
        self.purge_set_beside(uri, &BTreeSet::new(), at)
    }

    /// The same, where the documents and contents at these places go at the same time: what they name does not count.
    pub(crate) fn purge_set_beside(
        &self,
        uri: &Uri,
        beside: &BTreeSet<[u8; 16]>,
        at: Timestamp,
    ) -> Result<PurgeSet, StoreError> {
        let mut set = PurgeSet::default();
        let mut payloads = BTreeSet::new();
        for version in self.versions(uri, 0, u64::MAX, at) {
            let (number, record) = version?;
            set.versions.push((number, record.id));
            payloads.insert(record.id);
            set.contents.extend(record.content);
        }
        payloads.extend(&set.contents);
        let mut going = beside.clone();
        going.insert(keys::reference_place(uri));
        for hash in &set.contents {
            let content = self.content(hash)?.filter(|content| content.chunks != [*hash]);
            if let Some(content) = content
                && !self.is_named(hash, &going, at)?
            {
                set.unnamed.push(content);
            }
        }
        // What only these contents name goes with them, also a chunk that several of them share.
        for content in &set.unnamed {
            going.insert(keys::content_place(&content.hash));
            payloads.extend(chunks_beside(content));
        }
        for payload in payloads {
            if !self.is_named(&payload, &going, at)? {
                set.erased.push(payload);
            }
        }
        Ok(set)
    }

    /// From where that is named which goes with these documents: they themselves, and contents of several chunks that nothing else
    /// names.
    pub(crate) fn places_going(
        &self,
        uris: &BTreeSet<&Uri>,
        at: Timestamp,
    ) -> Result<BTreeSet<[u8; 16]>, StoreError> {
        let documents: BTreeSet<[u8; 16]> = uris.iter().map(|uri| keys::reference_place(uri)).collect();
        let mut places = documents.clone();
        // One alone is told by its own purge set.
        if uris.len() < 2 {
            return Ok(places);
        }
        for uri in uris {
            for version in self.versions(uri, 0, u64::MAX, at) {
                let Some(hash) = version?.1.content else { continue };
                let has_chunks = self.content(&hash)?.is_some_and(|content| content.chunks != [hash]);
                if has_chunks && !self.is_named(&hash, &documents, at)? {
                    places.insert(keys::content_place(&hash));
                }
            }
        }
        Ok(places)
    }

    /// Documents of which versions came without bodies, because a purge had erased them at the source, and since when: they
    /// await that purge.
    pub fn awaiting_purges(
        &self,
        at: Timestamp,
    ) -> impl Iterator<Item = Result<(Uri, Timestamp), StoreError>> + use<> {
        self.engine.range(Space::Documents, &keys::all_awaiting(), at.0).map(|item| {
            let (key, since) = item?;
            let uri = key.get(1..).and_then(|uri| std::str::from_utf8(uri).ok());
            let uri = uri.and_then(|uri| Uri::parse(uri).ok());
            let since = since.first_chunk().map(|since| Timestamp(u64::from_le_bytes(*since)));
            uri.zip(since).ok_or_else(|| StoreError::damaged("the list of documents that await a purge"))
        })
    }

    /// Does this document await a purge, as of `at`?
    pub fn awaits_purge(&self, uri: &Uri, at: Timestamp) -> Result<bool, StoreError> {
        Ok(self.engine.get(Space::Documents, &keys::awaiting(uri), at.0)?.is_some())
    }

    /// Does anything name this payload now? Then no purge took it.
    pub fn is_named_now(&self, payload: &Hash) -> Result<bool, StoreError> {
        self.is_named(payload, &BTreeSet::new(), self.progress().timestamp)
    }

    /// Does anything name it, also of what a synchronization brought so far?
    pub fn is_named_or_will_be(&self, payload: &Hash) -> Result<bool, StoreError> {
        self.is_named_after(payload, &self.progress())
    }

    /// What a synchronization brought is named above what readers see.
    pub(crate) fn is_named_after(&self, payload: &Hash, progress: &Progress) -> Result<bool, StoreError> {
        let none = BTreeSet::new();
        Ok(self.is_named(payload, &none, progress.timestamp)?
            || self.is_named(payload, &none, progress.latest())?)
    }

    /// Did a synchronization that goes on bring it ahead of the document that names it?
    fn came_ahead(&self, payload: &Hash, progress: &Progress) -> Result<bool, StoreError> {
        Ok(self.engine.get(Space::Documents, &keys::ahead(payload), progress.latest().0)?.is_some())
    }

    /// Does anything name this payload, apart from the places in `but`?
    pub(crate) fn is_named(
        &self,
        payload: &Hash,
        but: &BTreeSet<[u8; 16]>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        for item in self.engine.range(Space::Documents, &keys::references(payload), at.0) {
            let (key, _) = item?;
            if key.last_chunk().is_none_or(|place| !but.contains(place)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Purges whose bytes may still be in files: those of this store and, says the caller, of the journal.
    pub fn pending_erasures(&self) -> Result<Vec<PendingErasure>, StoreError> {
        let (at, erased) = {
            let state = self.state();
            (state.progress.timestamp, state.erased.clone())
        };
        let read = |item: Result<(bytes::Bytes, bytes::Bytes), _>| {
            let (key, value) = item?;
            let sequence = key.last_chunk::<8>().copied().map(u64::from_be_bytes);
            let (hashes, rest) = value.as_chunks::<32>();
            match (sequence, rest) {
                (Some(sequence), []) => {
                    Ok(PendingErasure { sequence, payloads: hashes.iter().map(|hash| Hash(*hash)).collect() })
                }
                _ => Err(StoreError::damaged("a pending erasure")),
            }
        };
        let is_pending = |pending: &Result<PendingErasure, StoreError>| {
            pending.as_ref().map_or(true, |pending| !erased.contains(&pending.sequence))
        };
        self.engine.range(Space::Documents, &keys::erasures(), at.0).map(read).filter(is_pending).collect()
    }

    /// Takes the payloads out of every file of this store, but those that something names again by now. All erasures
    /// together, because each call rewrites the tables. Answers whether all bytes are gone; if not, a reader still holds
    /// a file open, or a payload came again ahead of the transaction that names it. Calling again later finishes it.
    /// Idempotent. Beside the writer, who waits when he brings one of them again.
    pub fn erase(&self, pending: &[PendingErasure]) -> Result<bool, StoreError> {
        self.erase_by(pending, true, |keys| self.engine.erase(keys))
    }

    /// Has the next [`maintain`](Self::maintain) do that, and finish the erasures; if one is under way, that has to end first.
    pub fn ask_erase(&self, pending: Vec<PendingErasure>) {
        self.erasing.ask(pending);
    }

    /// Was it asked for, and is not done?
    pub fn is_erasing(&self) -> bool {
        self.erasing.is_under_way()
    }

    /// Did the last one that was asked for leave bytes in a file? Says so once.
    pub fn left_unerased(&self) -> Option<Unerased> {
        self.erasing.take_left()
    }

    /// Does what was asked for, if something was.
    pub(crate) fn erase_as_asked(&self, hurry: Option<&Arc<AtomicBool>>) -> Result<bool, StoreError> {
        let Some(pending) = self.erasing.take_asked() else { return Ok(false) };
        let erased = match hurry {
            Some(hurry) => self.erase_by(&pending, false, |keys| {
                self.engine.erase_gently(keys, &[hurry, &self.erasing.hurry])
            }),
            None => self.erase(&pending),
        };
        let finished = erased.and_then(|is_erased| match is_erased {
            true => self.finish_erasures(&pending).map(|()| true),
            false => Ok(false),
        });
        // Whoever asked is told.
        self.erasing.ended(match finished {
            Ok(true) => None,
            Ok(false) => Some(Unerased { failure: None }),
            Err(error) => Some(Unerased { failure: Some(error) }),
        });
        Ok(true)
    }

    fn erase_by(
        &self,
        pending: &[PendingErasure],
        hurries: bool,
        erase: impl FnOnce(&[(Space, &[u8])]) -> Result<Erased, EngineError>,
    ) -> Result<bool, StoreError> {
        let going = self.erasing.begin(hurries);
        let mut is_awaited = false;
        let mut unnamed = BTreeSet::new();
        {
            // The writer names nothing meanwhile, and knows afterwards what goes.
            let state = self.state();
            for hash in pending.iter().flat_map(|erasure| &erasure.payloads) {
                if self.is_named_after(hash, &state.progress)? {
                    continue;
                }
                if self.ahead().files.contains(hash) || self.came_ahead(hash, &state.progress)? {
                    is_awaited = true;
                    continue;
                }
                going.add(*hash);
                unnamed.insert(*hash);
            }
        }
        let mut keys = Vec::with_capacity(unnamed.len());
        for hash in &unnamed {
            self.heeding(self.chunks.erase(hash))?;
            keys.push(keys::body(hash));
        }
        let keys: Vec<(Space, &[u8])> = keys.iter().map(|key| (Space::Bodies, key.as_slice())).collect();
        let erased = self.heeding(erase(&keys).map_err(StoreError::from))?;
        Ok(erased == Erased::Done && !is_awaited)
    }

    /// These erasures are finished, here and in the journal; but for one that a synchronization has put more on meanwhile. They
    /// are forgotten with the next entry that is applied; after a restart before that they are pending again, and finishing
    /// twice is harmless.
    pub fn finish_erasures(&self, finished: &[PendingErasure]) -> Result<(), StoreError> {
        let mut state = self.state_mut();
        for erasure in finished {
            let key = keys::erasure(erasure.sequence);
            let listed = self.engine.get(Space::Documents, &key, state.progress.latest().0)?;
            if listed.is_none_or(|listed| listed.len() == erasure.payloads.len() * 32) {
                state.erased.insert(erasure.sequence);
            }
        }
        Ok(())
    }
}
