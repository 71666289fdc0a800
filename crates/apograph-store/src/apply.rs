//! The only way into a store: one entry of the journal after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use apograph_format::{
    Change, Checkpoint, ContentFact, Entry, Facts, Hash, Head, Operation, Payload, Timestamp,
    TransactionFacts, Uri, VersionNames, View,
};

use crate::engine::{Batch, Space};
use crate::error::StoreError;
use crate::keys;
use crate::meta::Progress;
use crate::record::{Known, VersionRecord};
use crate::store::{BODY_BYTES_MAX, State, Store};

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It was applied before.
    Already,
    /// It is applied.
    Now,
    /// It is a checkpoint, and here are the digests of this store at its place.
    Checkpoint {
        /// What the primary says.
        checkpoint: Box<Checkpoint>,
        /// What this store has, for the views it holds.
        found: Vec<(View, Hash, u64)>,
    },
}

impl Store {
    /// Applies the next entry of the journal at its timestamp. Not durable on return: [`Store::flush`], or replay.
    ///
    /// The caller has checked the chain and, for entries from elsewhere, the payloads.
    pub fn apply(&self, entry: &Entry, facts: &Facts) -> Result<Applied, StoreError> {
        let mut state = self.state_mut();
        if state.progress.sync.is_some() {
            return Err(StoreError::Syncing);
        }
        let sequence = entry.header().sequence;
        if sequence <= state.progress.position.sequence {
            return Ok(Applied::Already);
        }
        match facts {
            Facts::Contents(_) => self.apply_contents(entry).map(|()| Applied::Now),
            Facts::Transaction(facts) => {
                self.apply_transaction(&mut state, entry, facts).map(|()| Applied::Now)
            }
            Facts::Checkpoint(checkpoint) => self.apply_checkpoint(&mut state, entry, checkpoint),
            Facts::Epoch(facts) => {
                // What came ahead of a transaction that was cut belongs to nothing any more.
                *self.ahead() = crate::store::Ahead::default();
                let mut progress = advance(&state.progress, entry, facts.source);
                progress.last_published = progress.timestamp;
                self.write(&mut state, Batch::new(), progress).map(|()| Applied::Now)
            }
        }
    }

    /// Payloads ahead of their transaction: large ones into files, small ones kept until it comes.
    fn apply_contents(&self, entry: &Entry) -> Result<(), StoreError> {
        for payload in entry.payloads() {
            let payload = payload?;
            if !payload.erased && payload.bytes.len() > BODY_BYTES_MAX {
                self.erasing.wait_for(&payload.hash);
                self.ahead().files.insert(payload.hash);
                self.chunks.write(&payload.hash, &payload.bytes)?;
            } else {
                self.ahead().payloads.push(payload);
            }
        }
        Ok(())
    }

    fn apply_transaction(
        &self,
        state: &mut State,
        entry: &Entry,
        facts: &TransactionFacts,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        let payloads = self.take_payloads(&mut batch, entry)?;
        let named: HashMap<Hash, &VersionNames> = facts.named.iter().map(|named| (named.id, named)).collect();
        let before = Timestamp(entry.header().timestamp.0 - 1);
        let mut heads: BTreeMap<&Uri, &Head> = BTreeMap::new();
        let mut erased = Vec::new();
        let mut records = Vec::new();
        for change in &facts.changes {
            if !self.apply_versions(&mut batch, change, &payloads, &named, &mut records)? {
                batch.put(keys::awaiting(&change.uri), entry.header().timestamp.0.to_le_bytes().to_vec());
            }
            if change.operation == Operation::Purge {
                erased.extend(self.take_away(&mut batch, &change.uri, &BTreeSet::new(), before)?);
                // What a crash left of a version may not say any more what it named; the purge does.
                let named: Vec<Hash> =
                    change.erased.iter().filter(|hash| !erased.contains(hash)).copied().collect();
                erased.extend(named);
            }
            heads.insert(&change.uri, &change.head);
        }
        erased.extend(self.put_contents(&mut batch, &facts.contents, &records, before)?);
        let mut replaced = Vec::with_capacity(heads.len());
        for (uri, head) in heads {
            replaced.push((uri, self.head(uri, state.progress.timestamp)?, head));
        }
        if let Some(cursor) = &facts.cursor {
            let value = [&entry.header().timestamp.0.to_le_bytes(), cursor.position.as_bytes()].concat();
            batch.put(keys::cursor(&cursor.name), value);
        }
        if !erased.is_empty() {
            let hashes: Vec<u8> = erased.iter().flat_map(|hash| hash.0).collect();
            batch.put(keys::erasure(entry.header().sequence), hashes);
        }
        self.heeding(self.chunks.sync())?;
        // The trees change only now that nothing on the disk can fail any more: applying may be tried again.
        for (uri, old, head) in replaced {
            state.trees.replace(&mut batch, uri, old.as_ref(), head);
            batch.put(keys::head(uri), head.encode());
        }
        let mut progress = advance(&state.progress, entry, facts.source);
        if facts.published.is_some() {
            progress.last_published = progress.timestamp;
        }
        state.trees.count_into(&mut progress);
        self.write(state, batch, progress)
    }

    /// Payloads of this entry and of those ahead of it: into the batch or into files. Answers them by name.
    fn take_payloads(&self, batch: &mut Batch, entry: &Entry) -> Result<HashMap<Hash, Payload>, StoreError> {
        let mut payloads = HashMap::new();
        let ahead = std::mem::take(&mut *self.ahead());
        for payload in ahead.payloads.into_iter().map(Ok).chain(entry.payloads()) {
            let payload = payload?;
            self.put_payload(batch, &payload)?;
            payloads.insert(payload.hash, payload);
        }
        Ok(payloads)
    }

    /// Into the batch or into a file; of an erased one only the length is left.
    pub(crate) fn put_payload(&self, batch: &mut Batch, payload: &Payload) -> Result<(), StoreError> {
        if payload.erased {
            return Ok(());
        }
        self.erasing.wait_for(&payload.hash);
        if payload.bytes.len() > BODY_BYTES_MAX {
            return self.chunks.write(&payload.hash, &payload.bytes);
        }
        batch.put_body(keys::body(&payload.hash), payload.bytes.clone());
        Ok(())
    }

    /// How a content is cut, and which chunks it names.
    pub(crate) fn put_content(&self, batch: &mut Batch, content: &ContentFact) {
        batch.put_body(keys::content(&content.hash), encode_content(content));
        for chunk in chunks_beside(content) {
            self.erasing.wait_for(&chunk);
            batch.put(keys::reference(&chunk, &keys::content_place(&content.hash)), Vec::new());
        }
    }

    /// What is remembered of a version, and which payloads it names.
    pub(crate) fn put_version(&self, batch: &mut Batch, uri: &Uri, number: u64, record: &VersionRecord) {
        batch.put(keys::version(uri, number), record.encode());
        let place = keys::reference_place(uri);
        for payload in record.content.iter().chain([&record.id]) {
            self.erasing.wait_for(payload);
            batch.put(keys::reference(payload, &place), Vec::new());
        }
    }

    /// How contents are cut. Answers the chunks of those that nothing here names: in the published view, where each publication
    /// brings what it names, they are of versions that were purged before they came. The purge that follows would not know of
    /// them, and what else names them at the source need not be public.
    fn put_contents(
        &self,
        batch: &mut Batch,
        contents: &[ContentFact],
        records: &[VersionRecord],
        before: Timestamp,
    ) -> Result<Vec<Hash>, StoreError> {
        // Nothing is asked and gathered where every body came, or a move may name later what came before.
        if self.holds(View::Full) || records.iter().all(|record| record.known != Known::Nothing) {
            contents.iter().for_each(|content| self.put_content(batch, content));
            return Ok(Vec::new());
        }
        let is_named =
            |content: &&ContentFact| records.iter().any(|record| record.content == Some(content.hash));
        let (named, nobodys): (Vec<_>, Vec<_>) = contents.iter().partition(is_named);
        for content in &named {
            self.put_content(batch, content);
        }
        let named: BTreeSet<&Hash> = named.iter().flat_map(|content| &content.chunks).collect();
        let mut unnamed = Vec::new();
        for chunk in nobodys.iter().flat_map(|content| &content.chunks) {
            if !named.contains(chunk) && !self.is_named(chunk, &BTreeSet::new(), before)? {
                unnamed.push(*chunk);
            }
        }
        Ok(unnamed)
    }

    /// The index of versions, and which payloads the document names. Answers whether their bodies came, too.
    fn apply_versions(
        &self,
        batch: &mut Batch,
        change: &Change,
        payloads: &HashMap<Hash, Payload>,
        named: &HashMap<Hash, &VersionNames>,
        records: &mut Vec<VersionRecord>,
    ) -> Result<bool, StoreError> {
        let mut all_came = true;
        for version in &change.versions {
            // A large body that came ahead is in a file by now, one that an equal version brought is in the engine. That
            // one counts, too, where the entry's own was erased meanwhile: what a version names must be known until its
            // purge is applied here, or its content would stay.
            let came = payloads.get(&version.id);
            let body = match came.filter(|body| !body.erased) {
                Some(body) => Some(body.clone()),
                None => self.payload(&version.id)?.map(Payload::of).or_else(|| came.cloned()),
            };
            let record = VersionRecord::of(version, body.as_ref(), named.get(&version.id).copied())?;
            all_came &= record.came();
            self.put_version(batch, &change.uri, version.number, &record);
            records.push(record);
        }
        Ok(all_came)
    }

    /// Takes everything of a document away but its head, and answers which payloads nothing names any more but those
    /// that go with it, at these places.
    pub(crate) fn take_away(
        &self,
        batch: &mut Batch,
        uri: &Uri,
        beside: &BTreeSet<[u8; 16]>,
        before: Timestamp,
    ) -> Result<Vec<Hash>, StoreError> {
        let gone = self.purge_set_beside(uri, beside, before)?;
        let place = keys::reference_place(uri);
        for (number, id) in &gone.versions {
            batch.delete(keys::version(uri, *number));
            batch.delete(keys::reference(id, &place));
        }
        for content in &gone.contents {
            batch.delete(keys::reference(content, &place));
        }
        for content in &gone.unnamed {
            for chunk in chunks_beside(content) {
                batch.delete(keys::reference(&chunk, &keys::content_place(&content.hash)));
            }
        }
        batch.delete(keys::cut(uri));
        batch.delete(keys::awaiting(uri));
        batch.delete(keys::quarantine(uri));
        Ok(gone.erased)
    }

    fn apply_checkpoint(
        &self,
        state: &mut State,
        entry: &Entry,
        checkpoint: &Checkpoint,
    ) -> Result<Applied, StoreError> {
        let mut found = Vec::new();
        for (view, _) in &self.tree_settings.keys {
            if let Some((digest, documents)) = state.trees.digest(*view) {
                found.push((*view, digest, documents));
            }
        }
        let mut progress = advance(&state.progress, entry, checkpoint.source);
        progress.checkpoint = Some(entry.position());
        progress.last_published = progress.timestamp;
        self.write(state, Batch::new(), progress)?;
        Ok(Applied::Checkpoint { checkpoint: Box::new(checkpoint.clone()), found })
    }

    fn write(&self, state: &mut State, mut batch: Batch, progress: Progress) -> Result<(), StoreError> {
        batch.put(keys::META, progress.encode());
        for sequence in &state.erased {
            batch.delete(keys::erasure(*sequence));
        }
        self.engine.write(&batch, progress.timestamp.0)?;
        state.progress = progress;
        state.erased.clear();
        Ok(())
    }

    /// The head of a document as of `at`.
    pub fn head(&self, uri: &Uri, at: Timestamp) -> Result<Option<Head>, StoreError> {
        let Some(bytes) = self.engine.get(Space::Documents, &keys::head(uri), at.0)? else {
            return Ok(None);
        };
        Head::decode(&bytes).map(Some).map_err(|error| StoreError::damaged(format!("head of {uri}: {error}")))
    }
}

fn advance(progress: &Progress, entry: &Entry, source: Option<apograph_format::SourcePosition>) -> Progress {
    Progress {
        position: entry.position(),
        timestamp: entry.header().timestamp,
        source: source.or(progress.source),
        ..progress.clone()
    }
}

/// The distinct chunks of a content of several chunks; that of any other has the name of the content.
pub(crate) fn chunks_beside(content: &ContentFact) -> BTreeSet<Hash> {
    content.chunks.iter().copied().filter(|chunk| *chunk != content.hash).collect()
}

fn encode_content(content: &ContentFact) -> Vec<u8> {
    let mut bytes = content.bytes.to_le_bytes().to_vec();
    bytes.extend(content.chunks.iter().flat_map(|chunk| chunk.0));
    bytes
}

pub(crate) fn decode_content(hash: Hash, bytes: &[u8]) -> Result<ContentFact, StoreError> {
    let damaged = || StoreError::damaged(format!("the list of chunks of content {hash}"));
    let (length, chunks) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (chunks, rest) = chunks.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(damaged());
    }
    let chunks = chunks.iter().map(|chunk| Hash(*chunk)).collect();
    Ok(ContentFact { hash, bytes: u64::from_le_bytes(*length), chunks })
}
