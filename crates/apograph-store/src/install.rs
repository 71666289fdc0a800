//! The other way into a store: documents of a source's snapshot, batch by batch, while readers see what was there before.
//!
//! - A batch is written at a version of its own, above everything that readers see and not above the snapshot's
//!   timestamp, so nobody sees it before [`Store::finish_sync`] has moved the store to the snapshot.
//! - Every batch carries its place ([`Syncing`]) and keeps the hash trees: what is there, and how far it came, always
//!   tell of the same moment, also after a crash.
//! - What was begun cannot be taken back, only finished, with this snapshot or a later one.

use std::collections::{BTreeSet, HashMap, HashSet};

use apograph_format::synchronize::ErasedBody;
use apograph_format::{
    Digest, Hash, Head, Leaf, Payload, Position, State as DocumentState, SyncDocument, Timestamp, Uri, View,
};

use crate::engine::{Batch, Space};
use crate::error::StoreError;
use crate::keys;
use crate::meta::{Progress, Syncing};
use crate::record::VersionRecord;
use crate::store::{State, Store};

/// A batch of what a synchronization brings.
#[derive(Debug, Clone, Default)]
pub struct Installment {
    /// Payloads that these documents, or those of later batches, name.
    pub payloads: Vec<Payload>,
    /// What changes.
    pub changes: Vec<Install>,
    /// Cursors of importers: name, position, commit time.
    pub cursors: Vec<(String, String, Timestamp)>,
    /// Everything up to this URI is there; unchanged if absent.
    pub after: Option<Uri>,
    /// All documents came once.
    pub all_came: bool,
    /// Bytes it had on its way.
    pub bytes: u64,
}

/// One change.
#[derive(Debug, Clone)]
pub enum Install {
    /// A document as it is in the snapshot.
    Document(Box<SyncDocument>),
    /// The source has no such document; in the published view it shows it no more.
    Absent(Uri),
    /// The document was purged.
    Purged(Uri),
    /// What is here was never shown in the history that the source has: nothing of it stays.
    Forgotten(Uri),
    /// It cannot be taken: it stays as it is here, and is listed with the reason.
    Quarantined {
        /// Which.
        uri: Uri,
        /// Why.
        reason: String,
    },
}

/// A document that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Quarantined {
    /// Why.
    pub reason: String,
    /// The snapshot it was part of.
    pub at: Timestamp,
}

/// Versions that a synchronization did not bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutVersions {
    /// The oldest version that has its body.
    pub kept_from: u64,
    /// The snapshot.
    pub at: Timestamp,
}

impl CutVersions {
    fn decode(bytes: &[u8]) -> Option<CutVersions> {
        let (kept_from, at) = bytes.split_first_chunk::<8>()?;
        let at = Timestamp(u64::from_le_bytes(*at.first_chunk::<8>()?));
        Some(CutVersions { kept_from: u64::from_le_bytes(*kept_from), at })
    }
}

impl Store {
    /// Begins to install a snapshot, or goes on with a later one: what came of the earlier one stays, and counts.
    /// `shown` is what readers of the database see: everything is written above it.
    pub fn begin_sync(&self, target: Timestamp, shown: Timestamp) -> Result<Syncing, StoreError> {
        let mut state = self.state_mut();
        let syncing = match state.progress.sync.clone() {
            Some(known) if known.target == target => return Ok(known),
            Some(known) => Syncing { target, ..known },
            None => {
                state.serving = Some(state.trees.digests());
                Syncing {
                    target,
                    version: state.progress.timestamp.max(shown),
                    is_bulk: state.trees.documents() == 0,
                    after: None,
                    documents: 0,
                    bytes: 0,
                }
            }
        };
        let syncing = syncing.step()?;
        // What came ahead of a transaction that will never be applied.
        *self.ahead() = crate::store::Ahead::default();
        self.write_sync(&mut state, Batch::new(), syncing)
    }

    /// Is a synchronization going on?
    pub fn is_syncing(&self) -> bool {
        self.state().progress.sync.is_some()
    }

    /// The newest version of the engine: what a synchronization brought so far is seen at it.
    pub fn latest(&self) -> Timestamp {
        self.state().progress.latest()
    }

    /// How far a synchronization is that was begun and not finished.
    pub fn syncing(&self) -> Option<Syncing> {
        self.state().progress.sync.clone()
    }

    /// Installs a batch at the next version, or after a crash again at the one it had. Not durable on return: the caller
    /// has it in a log.
    pub fn install_at(&self, installment: &Installment, version: Timestamp) -> Result<Syncing, StoreError> {
        let mut state = self.state_mut();
        let Some(known) = state.progress.sync.clone() else {
            return Err(StoreError::NoSync);
        };
        let mut batch = Batch::new();
        let payloads = self.bring(&mut batch, &installment.payloads)?;
        ahead_of_documents(&mut batch, installment);
        let mut erased = Vec::new();
        let mut heads: Vec<(Uri, Option<Head>)> = Vec::new();
        // First what goes, so that what comes and names the same has the last word. What two documents name goes with
        // both, or each would leave it to the other.
        let going = self.going(&known, &installment.changes)?;
        let places = self.places_going(&going, known.version)?;
        for uri in going {
            erased.extend(self.take_away(&mut batch, uri, &places, known.version)?);
        }
        for change in &installment.changes {
            let (uri, head) = match change {
                Install::Document(document) => {
                    self.bring_document(&mut batch, &known, document, &payloads)?;
                    (&document.uri, document.head.clone())
                }
                Install::Absent(uri) => (uri, self.shown_no_more(uri, DocumentState::Withdrawn, &known)?),
                Install::Purged(uri) => (uri, self.shown_no_more(uri, DocumentState::Purged, &known)?),
                Install::Forgotten(uri) => (uri, None),
                Install::Quarantined { uri, reason } => {
                    let held = Quarantined { reason: reason.clone(), at: known.target };
                    batch.put(keys::quarantine(uri), encode_json(&held)?);
                    continue;
                }
            };
            batch.delete(keys::quarantine(uri));
            heads.push((uri.clone(), head));
        }
        for (name, position, since) in &installment.cursors {
            let value = [&since.0.to_le_bytes(), position.as_bytes()].concat();
            batch.put(keys::cursor(name), value);
        }
        if !erased.is_empty() {
            self.remember_erasure(&mut batch, &known, &erased)?;
        }
        let documents = heads.len() as u64;
        let before = Timestamp(version.0.saturating_sub(1)).max(known.version);
        let syncing = Syncing {
            version: before,
            after: installment.after.clone().or(known.after),
            is_bulk: known.is_bulk && !installment.all_came,
            documents: known.documents + documents,
            bytes: known.bytes + installment.bytes,
            target: known.target,
        };
        let syncing = syncing.step()?;
        self.heeding(self.chunks.sync())?;
        // The trees change only now that nothing can fail any more but the write: what they say is believed, and what
        // they say is equal is never asked for again.
        for (uri, head) in heads {
            let stored = self.stored_leaves(&uri, known.version)?;
            state.trees.set(&mut batch, &uri, &stored, head.as_ref());
            match head {
                Some(head) => batch.put(keys::head(&uri), head.encode()),
                None => batch.delete(keys::head(&uri)),
            }
        }
        self.write_sync(&mut state, batch, syncing)
    }

    /// Sets the sum of a bucket to that of its leaves, when something behind the store's back changed it.
    pub fn mend_bucket(&self, view: View, bucket: usize) -> Result<bool, StoreError> {
        let mut state = self.state_mut();
        let Some(known) = state.progress.sync.clone() else {
            return Err(StoreError::NoSync);
        };
        let leaves = self.leaves(view, bucket, known.version).map(|leaf| leaf.map(|(leaf, _)| leaf));
        let leaves: Vec<Leaf> = leaves.collect::<Result<_, _>>()?;
        let next = known.step()?;
        let mut batch = Batch::new();
        if !state.trees.mend(&mut batch, view, bucket, &leaves) {
            return Ok(false);
        }
        self.write_sync(&mut state, batch, next)?;
        Ok(true)
    }

    /// Forgets documents in quarantine of which nothing is here. For where the digest is the source's: then nothing is there either.
    pub fn release_absent(&self) -> Result<(), StoreError> {
        let mut state = self.state_mut();
        let Some(known) = state.progress.sync.clone() else {
            return Err(StoreError::NoSync);
        };
        let mut batch = Batch::new();
        for held in self.quarantine(known.version) {
            let (uri, _) = held?;
            if self.head(&uri, known.version)?.is_none() {
                batch.delete(keys::quarantine(&uri));
            }
        }
        if !batch.is_empty() {
            self.write_sync(&mut state, batch, known.step()?)?;
        }
        Ok(())
    }

    /// The digest of what was installed so far, and the number of documents.
    pub fn sync_digest(&self, view: View) -> Option<(Digest, u64)> {
        self.state_mut().trees.digest(view)
    }

    /// The store stands at the snapshot from now on: `position`, `source` and `last_published` are the source's there. What came
    /// for documents of an earlier snapshot, or for some in quarantine, and nothing names goes. Durable on return.
    pub fn finish_sync(
        &self,
        position: Position,
        source: Option<Position>,
        last_published: Timestamp,
    ) -> Result<(), StoreError> {
        {
            let mut state = self.state_mut();
            let Some(known) = state.progress.sync.clone() else {
                return Err(StoreError::NoSync);
            };
            let mut progress = Progress {
                position,
                source,
                timestamp: known.target,
                checkpoint: None,
                last_published,
                sync: None,
                ..state.progress.clone()
            };
            state.trees.count_into(&mut progress);
            let mut batch = Batch::new();
            self.drop_unnamed(&mut batch, &state.progress, &known)?;
            batch.put(keys::META, progress.encode());
            self.engine.write(&batch, progress.timestamp.0)?;
            state.progress = progress;
            state.serving = None;
            state.erased.clear();
            *self.ahead() = crate::store::Ahead::default();
        }
        self.flush()?;
        self.raise_horizon(self.progress().timestamp)
    }

    /// Is this payload here?
    pub fn has_payload(&self, hash: &Hash) -> Result<bool, StoreError> {
        if self.erasing.is_going(hash) {
            return Ok(false);
        }
        let inside = self.engine.get(Space::Bodies, &keys::body(hash), u64::MAX >> 1)?;
        Ok(inside.is_some() || self.chunks.holds(hash)?)
    }

    /// Documents that could not be taken, as of `at`.
    pub fn quarantine(
        &self,
        at: Timestamp,
    ) -> impl Iterator<Item = Result<(Uri, Quarantined), StoreError>> + use<> {
        self.engine.range(Space::Documents, &keys::quarantined(), at.0).map(|item| {
            let (key, value) = item?;
            let uri = key.get(1..).and_then(|uri| std::str::from_utf8(uri).ok());
            let uri = uri.and_then(|uri| Uri::parse(uri).ok());
            let held = serde_json::from_slice(&value).ok();
            uri.zip(held).ok_or_else(|| StoreError::damaged("the list of documents in quarantine"))
        })
    }

    /// Is a document in quarantine, as of `at`?
    pub fn quarantined(&self, uri: &Uri, at: Timestamp) -> Result<Option<Quarantined>, StoreError> {
        let held = self.engine.get(Space::Documents, &keys::quarantine(uri), at.0)?;
        let read = |held: bytes::Bytes| serde_json::from_slice(&held);
        held.map(read).transpose().map_err(|_| StoreError::damaged(format!("the quarantine of {uri}")))
    }

    /// Versions of a document that no synchronization brought.
    pub fn cut_versions(&self, uri: &Uri, at: Timestamp) -> Result<Option<CutVersions>, StoreError> {
        let cut = self.engine.get(Space::Documents, &keys::cut(uri), at.0)?;
        let damaged = || StoreError::damaged(format!("the cut versions of {uri}"));
        cut.map(|bytes| CutVersions::decode(&bytes).ok_or_else(damaged)).transpose()
    }

    /// Documents behind a URI that lack versions which no synchronization brought.
    pub fn cut_documents(
        &self,
        after: Option<&Uri>,
        at: Timestamp,
    ) -> impl Iterator<Item = Result<(Uri, CutVersions), StoreError>> + use<> {
        self.engine.range(Space::Documents, &keys::cuts(after), at.0).map(|item| {
            let (key, value) = item?;
            let uri = key.get(1..).and_then(|uri| std::str::from_utf8(uri).ok());
            let uri = uri.and_then(|uri| Uri::parse(uri).ok());
            let cut = CutVersions::decode(&value);
            uri.zip(cut).ok_or_else(|| StoreError::damaged("the list of cut documents"))
        })
    }

    /// Payloads by name, into the batch or into files.
    fn bring<'a>(
        &self,
        batch: &mut Batch,
        payloads: &'a [Payload],
    ) -> Result<HashMap<Hash, &'a Payload>, StoreError> {
        for payload in payloads {
            self.put_payload(batch, payload)?;
        }
        Ok(payloads.iter().map(|payload| (payload.hash, payload)).collect())
    }

    /// Documents of which nothing stays that is here.
    fn going<'a>(&self, known: &Syncing, changes: &'a [Install]) -> Result<BTreeSet<&'a Uri>, StoreError> {
        let mut going = BTreeSet::new();
        for change in changes {
            let uri = match change {
                Install::Document(document) if !document.extends => &document.uri,
                Install::Purged(uri) | Install::Forgotten(uri) => uri,
                // In the published view versions of what was public once stay: `docs/decisions/0004-published-view.md`.
                Install::Absent(uri) if self.holds(View::Full) => uri,
                Install::Absent(_) | Install::Document(_) | Install::Quarantined { .. } => continue,
            };
            // A document without a head has nothing: what all documents of an empty copy have in common.
            if self.engine.get(Space::Documents, &keys::head(uri), known.version.0)?.is_some() {
                going.insert(uri);
            }
        }
        Ok(going)
    }

    fn bring_document(
        &self,
        batch: &mut Batch,
        known: &Syncing,
        document: &SyncDocument,
        payloads: &HashMap<Hash, &Payload>,
    ) -> Result<(), StoreError> {
        let uri = &document.uri;
        for content in &document.contents {
            self.put_content(batch, content);
        }
        let erased: HashMap<Hash, &ErasedBody> =
            document.erased.iter().map(|body| (body.names.id, body)).collect();
        let (mut is_cut, mut is_awaiting) = (false, false);
        for version in &document.versions {
            let left = erased.get(&version.id);
            let body = match (payloads.get(&version.id), left) {
                (Some(body), _) => Some((*body).clone()),
                (None, Some(left)) => Some(Payload::erased(version.id, left.bytes as usize)),
                (None, None) => self.payload(&version.id)?.map(Payload::of),
            };
            let named = left.map(|left| &left.names);
            // The live version comes however old it is.
            is_cut |= body.is_none() && version.number < document.kept_from;
            is_awaiting |= body.as_ref().is_some_and(|body| body.erased);
            self.put_version(batch, uri, version.number, &VersionRecord::of(version, body.as_ref(), named)?);
        }
        if is_cut {
            let value = [document.kept_from.to_le_bytes(), known.target.0.to_le_bytes()].concat();
            batch.put(keys::cut(uri), value);
        }
        if is_awaiting {
            batch.put(keys::awaiting(uri), known.target.0.to_le_bytes().to_vec());
        }
        Ok(())
    }

    /// The head of a document that the source shows no more: none in the full view, where it never was.
    fn shown_no_more(
        &self,
        uri: &Uri,
        state: DocumentState,
        known: &Syncing,
    ) -> Result<Option<Head>, StoreError> {
        if self.holds(View::Full) {
            return Ok(None);
        }
        let head = self.head(uri, known.version)?;
        Ok(head.map(|head| Head {
            kind: head.kind,
            state,
            working: None,
            live: None,
            lock: None,
            history: Head::NO_HISTORY,
            versions: 0,
            moved_to: None,
            changed: known.target,
            r#type: String::new(),
            ever_live: true,
        }))
    }

    /// The leaves of a document as they are stored: what the sums of the buckets were made of.
    fn stored_leaves(&self, uri: &Uri, at: Timestamp) -> Result<Vec<(View, Option<Leaf>)>, StoreError> {
        let stored = |(view, key): &(View, apograph_format::DigestKey)| {
            let place = key.place(uri);
            let leaf = self.leaf(*view, &place, at)?;
            Ok((*view, leaf.map(|(hash, _)| Leaf { place, hash })))
        };
        self.tree_settings.keys.iter().map(stored).collect()
    }

    /// Payloads that came ahead of their documents, and that no document named in the end.
    fn drop_unnamed(&self, batch: &mut Batch, before: &Progress, known: &Syncing) -> Result<(), StoreError> {
        let mut unnamed = Vec::new();
        for item in self.engine.range(Space::Documents, &keys::all_ahead(), known.version.0) {
            let (key, _) = item?;
            let hash = key.last_chunk().map(|hash| Hash(*hash));
            let hash = hash.ok_or_else(|| StoreError::damaged("the list of payloads that came ahead"))?;
            batch.delete(key);
            if !self.is_named_after(&hash, before)? {
                unnamed.push(hash);
            }
        }
        if unnamed.is_empty() { Ok(()) } else { self.remember_erasure(batch, known, &unnamed) }
    }

    /// Erasures of a synchronization are those of the entry that it ends at: the journal that held the rest goes.
    fn remember_erasure(
        &self,
        batch: &mut Batch,
        known: &Syncing,
        erased: &[Hash],
    ) -> Result<(), StoreError> {
        let key = keys::erasure(keys::SYNC_ERASURE);
        let mut hashes =
            self.engine.get(Space::Documents, &key, known.version.0)?.unwrap_or_default().to_vec();
        hashes.extend(erased.iter().flat_map(|hash| hash.0));
        batch.put(key, hashes);
        Ok(())
    }

    fn write_sync(
        &self,
        state: &mut State,
        mut batch: Batch,
        syncing: Syncing,
    ) -> Result<Syncing, StoreError> {
        let progress = Progress { sync: Some(syncing.clone()), ..state.progress.clone() };
        batch.put(keys::META, progress.encode());
        self.engine.write(&batch, syncing.version.0)?;
        state.progress = progress;
        Ok(syncing)
    }
}

/// Notes the payloads that no document of this batch names: those of later ones may.
fn ahead_of_documents(batch: &mut Batch, installment: &Installment) {
    let documents = installment.changes.iter().filter_map(|change| match change {
        Install::Document(document) => Some(document),
        _ => None,
    });
    let named: HashSet<&Hash> = documents
        .flat_map(|document| {
            let versions = document.versions.iter().map(|version| &version.id);
            versions.chain(document.contents.iter().flat_map(|content| &content.chunks))
        })
        .collect();
    let came =
        installment.payloads.iter().filter(|payload| !payload.erased && !named.contains(&payload.hash));
    for payload in came {
        batch.put(keys::ahead(&payload.hash), Vec::new());
    }
}

fn encode_json(value: &impl serde::Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::damaged(error.to_string()))
}
