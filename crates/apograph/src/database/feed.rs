//! The source's side of following: a view of a partition's journal from a position, and signs of life.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};

use apograph_format::{
    ContentFact, Entry, Hash, Heartbeat, PartitionId, Position, ServerKey, SourcePoint, Timestamp, Uri,
    Version, View,
};
use apograph_journal::{Entries, JournalReader, LocateError, ReadError};
use apograph_replication::published::{Derivation, DeriveError, DerivedEntries, LiveVersion, Lookup};
use apograph_store::{Known, Store, StoreError};

use super::state::now_us;
use super::worker::chain;
use super::{Database, Shared};
use crate::error::FeedError;

/// A view of a partition's journal from a position on. It never ends; ask again when more is there.
///
/// Only what is visible goes out: an entry that is durable here while its transaction is not durable in another
/// partition may yet be cut, and a copy must never have it.
pub struct Feed {
    shared: Arc<Shared>,
    partition: PartitionId,
    /// Of the journals that it reads.
    generation: u64,
    entries: Entries,
    held: Option<Entry>,
    derived: Option<Derived>,
    /// Comes behind what was read before it.
    failure: Option<FeedError>,
}

/// Entries that are read before a derived stream begins, at most. Checkpoints are more frequent, and show.
const DERIVED_FIRST_MAX: usize = 4_096;

/// What a feed of the published view needs beside the journal.
struct Derived {
    derivation: Derivation,
    pending: Option<DerivedEntries>,
    store: Arc<Store>,
}

impl Database {
    /// Opens a view of a partition's journal behind `from`. For a derived view `source` is the place in this journal
    /// that `from` stands for; none means the beginning.
    pub fn feed(
        &self,
        partition: PartitionId,
        view: View,
        from: Position,
        source: Option<SourcePoint>,
    ) -> Result<Feed, FeedError> {
        let no_partition = || match self.partitioning().everyone().contains(partition) {
            true => {
                FeedError::Elsewhere { partition, held: self.held_partitions(), url: self.elsewhere_url() }
            }
            false => FeedError::NoSuchPartition { partition: partition.0 },
        };
        let journal = self.shared.journal(partition).ok_or_else(no_partition)?;
        let store = self.shared.store(partition).ok_or_else(no_partition)?;
        let shared = Arc::clone(&self.shared);
        let generation = shared.generation.load(Ordering::Acquire);
        match (self.view(), view) {
            (View::Full, View::Full) | (View::Published, View::Published) => {
                let entries = locate(&journal, &from)?;
                Ok(Feed { shared, partition, generation, entries, held: None, derived: None, failure: None })
            }
            (View::Published, View::Full) => Err(FeedError::NoSuchView { view }),
            (View::Full, View::Published) => {
                let genesis = self.id().genesis(View::Full, partition);
                let beginning = self.id().genesis(View::Published, partition);
                let start = SourcePoint { position: Position::beginning(genesis), entries: 0 };
                let behind = source.unwrap_or(start);
                if source.is_none() && from != Position::beginning(beginning) {
                    let common = Position::beginning(beginning);
                    return Err(FeedError::UnknownPosition { asked: from, common });
                }
                let derived = Derived {
                    derivation: Derivation::new(from, behind.entries),
                    pending: None,
                    store: Arc::clone(store),
                };
                let entries = locate(&journal, &behind.position)?;
                let derived = Some(derived);
                let mut feed =
                    Feed { shared, partition, generation, entries, held: None, derived, failure: None };
                feed.derive_the_first()?;
                Ok(feed)
            }
        }
    }

    /// A signed sign of life: how far this source is in a view of a partition.
    pub fn heartbeat(&self, partition: PartitionId, view: View) -> Heartbeat {
        let journal = self.shared.journal(partition);
        let end =
            journal.map_or(Position::beginning(self.id().genesis(view, partition)), |journal| journal.end());
        let appended = self.shared.slot(partition).and_then(|slot| self.shared.appended.get(slot));
        let unsigned = Heartbeat {
            visible: self.visible(),
            end,
            bytes: appended.map_or(0, |bytes| bytes.load(Ordering::Acquire)),
            clock: i64::try_from(now_us()).unwrap_or(i64::MAX),
            signer: ServerKey([0; 32]),
            signature: [0; 64],
            sent: None,
        };
        Heartbeat::sign(&self.shared.key, self.id(), partition, unsigned)
    }
}

fn locate(journal: &JournalReader, from: &Position) -> Result<Entries, FeedError> {
    journal.entries(from).map_err(|error| match error {
        LocateError::Gone { start, .. } => FeedError::OutOfWindow { start, asked: *from },
        LocateError::Unknown { .. } | LocateError::Ahead { .. } => {
            FeedError::UnknownPosition { asked: *from, common: journal.start() }
        }
        error => FeedError::Damaged { reason: chain(&error) },
    })
}

impl Feed {
    /// Will [`Feed::next`] answer from memory, in microseconds? What it would have to derive is looked up in the store.
    pub fn is_quick(&self) -> bool {
        match &self.derived {
            Some(derived) => derived.pending.is_none() && self.held.is_none() && self.entries.is_at_end(),
            None => self.entries.is_in_memory(),
        }
    }

    /// Sequence of the last entry that [`Feed::next`] gave, or that this began behind.
    pub fn sent(&self) -> u64 {
        match (&self.derived, &self.held) {
            (Some(derived), _) => derived.derivation.position().sequence,
            (None, Some(held)) => held.header().sequence - 1,
            (None, None) => self.entries.position().sequence,
        }
    }

    /// The next whole entries, at least one, `bytes_max` or somewhat more; `None` when nothing is there now. What was read before
    /// something fails comes, and then the failure: who asks again begins behind it, and hears the reason before a stream begins.
    pub fn next(&mut self, bytes_max: usize) -> Result<Option<Bytes>, FeedError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.shared.generation.load(Ordering::Acquire) != self.generation {
            let start = self.shared.journal(self.partition).map(|journal| journal.start());
            let asked = self.entries.position();
            return Err(FeedError::OutOfWindow { start: start.unwrap_or(asked), asked });
        }
        let mut gathered = BytesMut::new();
        match self.gather(&mut gathered, bytes_max) {
            Err(failure) if gathered.is_empty() => return Err(failure),
            gathering => self.failure = gathering.err(),
        }
        Ok((!gathered.is_empty()).then(|| gathered.freeze()))
    }

    fn gather(&mut self, gathered: &mut BytesMut, bytes_max: usize) -> Result<(), FeedError> {
        let visible = self.shared.visible();
        while gathered.len() < bytes_max {
            if let Some(derived) = &mut self.derived
                && let Some(entry) = derived.next_pending()?
            {
                gathered.extend_from_slice(entry.bytes());
                continue;
            }
            let Some(entry) = self.next_visible(visible)? else { break };
            match &mut self.derived {
                None => gathered.extend_from_slice(entry.bytes()),
                Some(derived) => derived.take(&entry)?,
            }
        }
        Ok(())
    }

    /// That the next entry cannot be derived is an answer only before the stream begins: a copy that asks for it again and again
    /// would hear of a broken stream each time, and never that it has to synchronize.
    fn derive_the_first(&mut self) -> Result<(), FeedError> {
        let visible = self.shared.visible();
        for _ in 0..DERIVED_FIRST_MAX {
            if self.derived.as_ref().is_none_or(|derived| derived.pending.is_some()) {
                break;
            }
            let Some(entry) = self.next_visible(visible)? else { break };
            if let Some(derived) = &mut self.derived {
                derived.take(&entry)?;
            }
        }
        Ok(())
    }

    fn next_visible(&mut self, visible: Timestamp) -> Result<Option<Entry>, FeedError> {
        let entry = match self.held.take() {
            Some(entry) => Some(entry),
            None => self.entries.next().map_err(feed_error)?,
        };
        let Some(entry) = entry else { return Ok(None) };
        if entry.header().timestamp > visible {
            self.held = Some(entry);
            return Ok(None);
        }
        Ok(Some(entry))
    }
}

impl Derived {
    fn take(&mut self, entry: &Entry) -> Result<(), FeedError> {
        // What the store forgot of that time cannot be derived any more.
        let out_of_window = || {
            let at = self.store.progress().position;
            Err(FeedError::OutOfWindow { start: at, asked: entry.position() })
        };
        if entry.header().timestamp < self.store.horizon() {
            return out_of_window();
        }
        let facts = entry.facts().map_err(|error| FeedError::Damaged { reason: error.to_string() })?;
        let taken = self.derivation.take(entry, &facts, &Remembered(&self.store));
        self.pending = match taken {
            // It would be guessed, and another source may know it: copies would differ. By comparison they do not.
            Err(DeriveError::Forgotten { uri, number }) => {
                tracing::debug!(%uri, number, "not known any more what a version named; the copy has to synchronize");
                return out_of_window();
            }
            taken => taken.map_err(derive_error)?,
        };
        Ok(())
    }

    fn next_pending(&mut self) -> Result<Option<Entry>, FeedError> {
        let Some(pending) = &mut self.pending else { return Ok(None) };
        let next = self.derivation.next(pending, &Remembered(&self.store)).map_err(derive_error)?;
        if next.is_none() {
            self.pending = None;
        }
        Ok(next)
    }
}

fn feed_error(error: ReadError) -> FeedError {
    match error {
        ReadError::Gone { sequence, start } => {
            FeedError::OutOfWindow { start, asked: Position { sequence, ..start } }
        }
        ReadError::Cut { at, end } => FeedError::UnknownPosition { asked: at, common: end },
        error => FeedError::Damaged { reason: chain(&error) },
    }
}

fn derive_error(error: DeriveError<StoreError>) -> FeedError {
    FeedError::Damaged { reason: error.to_string() }
}

/// The store of the source, as a derivation asks it.
struct Remembered<'a>(&'a Store);

impl Lookup for Remembered<'_> {
    type Error = StoreError;

    fn version(&self, uri: &Uri, number: u64, at: Timestamp) -> Result<Option<LiveVersion>, StoreError> {
        let Some(record) = self.0.version(uri, number, at)? else { return Ok(None) };
        let (content, r#type) = if record.known != Known::Nothing {
            (record.content, record.r#type)
        } else {
            // The body itself knows, as long as it is here.
            let Some(body) = self.0.payload(&record.id)? else { return Ok(None) };
            Version::content_and_type(&body)
                .map_err(|error| StoreError::Damaged { what: format!("version {}: {error}", record.id) })?
        };
        Ok(Some(LiveVersion { id: record.id, body_bytes: record.body_bytes as usize, content, r#type }))
    }

    fn content(&self, hash: &Hash) -> Result<Option<ContentFact>, StoreError> {
        self.0.content(hash)
    }

    fn payload(&self, hash: &Hash) -> Result<Option<Bytes>, StoreError> {
        self.0.payload(hash)
    }
}
