//! From durable entries to visible documents: on a primary, on a copy, and after every start, by the same code.
//!
//! Entries come from memory when the worker has just appended them, else from the journals; nothing waits in a queue of
//! its own, so a partition that is far ahead of the others costs no memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use apograph_format::{
    Checkpoint, Digest, Entry, EntryError, Facts, Participants, PartitionId, Position, Timestamp, View,
};
use apograph_journal::{Entries, JournalReader};
use apograph_replication::order::{Held, Next, Step, step};
use apograph_store::engine::Pressure;
use apograph_store::{Applied, Store, StoreError};

/// Entries kept in memory between append and apply, by partition.
const RECENT_BYTES_MAX: usize = 8 << 20;
/// How long a writer waits for maintenance before it looks again.
const PRESSURE_PAUSE: Duration = Duration::from_millis(2);

/// Applies the entries of all partitions of a database in timestamp order.
pub(crate) struct Applier {
    partitions: Vec<Partition>,
    held: Held,
    /// Everything up to here is applied somewhere, and was complete.
    applied: Timestamp,
}

struct Partition {
    id: PartitionId,
    store: Arc<Store>,
    journal: JournalReader,
    cursor: Option<Entries>,
    recent: VecDeque<(Entry, Facts)>,
    recent_bytes: usize,
    /// The last entry taken from the journal, `contents` included.
    taken: Position,
    next: Option<(Entry, Facts)>,
}

/// What happened while applying that the worker must act on.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) partition: PartitionId,
    pub(crate) at: Position,
    pub(crate) checkpoint: Box<Checkpoint>,
    pub(crate) found: Vec<(View, Digest, u64)>,
}

/// Why applying cannot go on. Always local to this server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("partition {partition}: {error}")]
    Store { partition: PartitionId, error: StoreError },
    #[error("partition {partition}: {reason}")]
    Journal { partition: PartitionId, reason: String },
    #[error("partition {partition}: {error}")]
    Entry { partition: PartitionId, error: EntryError },
}

impl Applier {
    /// Of the partitions that are held, in order.
    pub(crate) fn new(stores: &[Arc<Store>], journals: Vec<JournalReader>, held: Held) -> Applier {
        let partition = |(id, (store, journal)): (PartitionId, (&Arc<Store>, JournalReader))| Partition {
            id,
            store: Arc::clone(store),
            journal,
            cursor: None,
            recent: VecDeque::new(),
            recent_bytes: 0,
            taken: store.progress().position,
            next: None,
        };
        let partitions = held.partitions.iter().zip(stores.iter().zip(journals)).map(partition).collect();
        let applied = stores.iter().map(|store| store.progress().timestamp).max().unwrap_or_default();
        let passed = if held.is_part() { held.complete() } else { Timestamp::ZERO };
        Applier { partitions, held, applied: applied.max(passed) }
    }

    /// What is held, and the words that count.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// From now on these words count. They are durable.
    pub(crate) fn set_words(&mut self, words: BTreeMap<PartitionId, Timestamp>) {
        self.held.words = words;
    }

    /// Would anything happen if these words counted?
    pub(crate) fn moves_with(&mut self, words: BTreeMap<PartitionId, Timestamp>) -> Result<bool, ApplyError> {
        if self.is_syncing() {
            return Ok(false);
        }
        let held = Held { words, ..self.held.clone() };
        let nexts = self.nexts()?;
        Ok(matches!(step(self.applied, &held, &nexts), Step::Apply { .. } | Step::Pass { .. }))
    }

    /// While a synchronization goes on readers keep what they have.
    fn is_syncing(&self) -> bool {
        self.partitions.iter().any(|partition| partition.store.is_syncing())
    }

    fn nexts(&mut self) -> Result<Vec<Next>, ApplyError> {
        let mut nexts = Vec::with_capacity(self.partitions.len());
        for partition in &mut self.partitions {
            nexts.extend(partition.peek()?);
        }
        Ok(nexts)
    }

    fn of(&mut self, partition: PartitionId) -> Option<&mut Partition> {
        self.partitions.get_mut(self.held.partitions.slot(partition)?)
    }

    pub(crate) fn applied(&self) -> Timestamp {
        self.applied
    }

    /// The last entry of a partition that was applied with its whole transaction.
    pub(crate) fn position(&self, partition: PartitionId) -> Option<Position> {
        let partition = self.partitions.get(self.held.partitions.slot(partition)?)?;
        Some(partition.store.progress().position)
    }

    /// An entry that was appended; it may be applied once it is synced.
    pub(crate) fn offer(&mut self, entry: Entry, facts: Facts) {
        if let Some(partition) = self.of(entry.header().partition) {
            partition.offer(entry, facts);
        }
    }

    /// Forgets what was offered: the worker took it back before it was synced.
    pub(crate) fn forget_offers(&mut self) {
        for partition in &mut self.partitions {
            partition.forget();
        }
    }

    /// Applies everything durable that is complete and in order. Hands over the checkpoints it passes.
    pub(crate) fn run(&mut self, mut pass: impl FnMut(Compared)) -> Result<(), ApplyError> {
        if self.is_syncing() {
            return Ok(());
        }
        loop {
            let nexts = self.nexts()?;
            let (timestamp, partitions) = match step(self.applied, &self.held, &nexts) {
                Step::Apply { timestamp, partitions } => (timestamp, partitions),
                Step::Pass { to } => (to, Participants::default()),
                Step::Idle | Step::Wait { .. } => return Ok(()),
            };
            for partition in partitions.iter() {
                if let Some(partition) = self.of(partition) {
                    partition.apply()?.map(&mut pass);
                }
            }
            self.applied = self.applied.max(timestamp);
        }
    }
}

impl Partition {
    fn offer(&mut self, entry: Entry, facts: Facts) {
        let last = self.recent.back().map(|(entry, _)| entry.header().sequence);
        let expected = last.unwrap_or(self.taken.sequence) + 1;
        let bytes = entry.bytes().len();
        if entry.header().sequence != expected || self.recent_bytes + bytes > RECENT_BYTES_MAX {
            // From the journal then, from where the memory ends.
            return;
        }
        self.recent_bytes += bytes;
        self.recent.push_back((entry, facts));
    }

    fn forget(&mut self) {
        self.recent.clear();
        self.recent_bytes = 0;
        self.cursor = None;
    }

    /// The next entry that decides something; `contents` before it are applied on the way.
    fn peek(&mut self) -> Result<Option<Next>, ApplyError> {
        while self.next.is_none() {
            let Some((entry, facts)) = self.take()? else {
                return Ok(None);
            };
            self.taken = entry.position();
            if matches!(facts, Facts::Contents(_)) {
                self.store_apply(&entry, &facts)?;
            } else {
                self.next = Some((entry, facts));
            }
        }
        Ok(self.next.as_ref().map(|(entry, _)| Next::of(entry.header())))
    }

    fn take(&mut self) -> Result<Option<(Entry, Facts)>, ApplyError> {
        if let Some((entry, facts)) = self.recent.pop_front() {
            self.recent_bytes -= entry.bytes().len();
            if entry.header().sequence == self.taken.sequence + 1 {
                return Ok(Some((entry, facts)));
            }
            self.forget();
        }
        if self.journal.end().sequence <= self.taken.sequence {
            return Ok(None);
        }
        let partition = self.id;
        let reason =
            |error: &dyn std::fmt::Display| ApplyError::Journal { partition, reason: error.to_string() };
        let cursor = match self.cursor.take().filter(|cursor| cursor.position() == self.taken) {
            Some(cursor) => cursor,
            None => self.journal.entries(&self.taken).map_err(|error| reason(&error))?,
        };
        let cursor = self.cursor.insert(cursor);
        let Some(entry) = cursor.next().map_err(|error| reason(&error))? else {
            return Ok(None);
        };
        let facts = entry.facts().map_err(|error| ApplyError::Entry { partition, error })?;
        Ok(Some((entry, facts)))
    }

    fn apply(&mut self) -> Result<Option<Compared>, ApplyError> {
        let Some((entry, facts)) = self.next.take() else {
            return Ok(None);
        };
        Ok(match self.store_apply(&entry, &facts)? {
            Applied::Checkpoint { checkpoint, found } => {
                Some(Compared { partition: self.id, at: entry.position(), checkpoint, found })
            }
            Applied::Already | Applied::Now => None,
        })
    }

    fn store_apply(&self, entry: &Entry, facts: &Facts) -> Result<Applied, ApplyError> {
        let applied = relieve(&self.store).and_then(|()| self.store.apply(entry, facts));
        applied.map_err(|error| ApplyError::Store { partition: self.id, error })
    }
}

/// Back-pressure: the writer waits while maintenance is behind, so that memory stays bounded. It lends a hand, and so it
/// learns why maintenance cannot go on, if the disk is full.
pub(crate) fn relieve(store: &Store) -> Result<(), StoreError> {
    loop {
        match store.pressure() {
            Pressure::None => return Ok(()),
            Pressure::Slow(pause) => {
                std::thread::sleep(pause);
                return Ok(());
            }
            Pressure::Stop => {
                if !store.relieve()? {
                    std::thread::sleep(PRESSURE_PAUSE);
                }
            }
        }
    }
}
