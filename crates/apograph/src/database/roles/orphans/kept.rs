//! Orphans in the order of their commits, with everything that is needed to bring them back.
//!
//! Journals that were put aside together are read together, one transaction after the other; those that were put aside
//! first come first. Memory holds one transaction of ordinary size; a larger one is read again when it is sent.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;

use bytes::Bytes;

use apograph_format::{Entry, Epoch, Facts, Hash, PartitionId, Position, Timestamp, Token, Uri};
use apograph_journal::{Entries, JournalReader};
use serde::{Deserialize, Serialize};

use super::super::super::worker::chain;
use super::super::Database;
use super::{Extent, OrphanError, RESTORED};

/// Entries of a transaction that are held until it is sent; those of a larger one are read again.
const HELD_BYTES_MAX: usize = 16 << 20;
/// Documents whose last lost head is remembered while a journal is read: some 30 MiB. Changes of others behind this count
/// as if the document had been changed since, and are kept beside it.
const HEADS_MAX: usize = 250_000;

/// What a server that kept an orphan says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanLabel {
    /// What its author was answered.
    pub token: Token,
    /// The server that kept it.
    pub from: String,
    /// The last timestamp of the history that it shares with that of the primary.
    pub base: Timestamp,
    /// Documents that an earlier transaction of the same lost history had changed, and the essence of the head that it left.
    pub before: BTreeMap<Uri, Hash>,
}

/// An orphan that can be sent.
#[derive(Debug)]
pub struct KeptOrphan {
    /// What it is.
    pub label: OrphanLabel,
    /// All of its parts are here.
    pub is_whole: bool,
    /// The importer whose cursor it moved.
    pub importer: Option<String>,
    entries: Kept,
}

#[derive(Debug)]
enum Kept {
    Held(Vec<Entry>),
    /// Journals, and where the transaction begins in them.
    Long(Vec<(PartitionId, PathBuf, Position)>),
}

/// Reads orphans, oldest first. Blocks.
pub struct KeptOrphans {
    database: Database,
    wanted: Option<BTreeSet<Token>>,
    /// Journals that were put aside together.
    sets: VecDeque<Vec<(PartitionId, PathBuf)>>,
    lanes: Vec<Lane>,
    heads: HashMap<Hash, Hash>,
}

/// A journal that is read.
struct Lane {
    partition: PartitionId,
    path: PathBuf,
    /// Sequence of the last entry that this server showed for certain.
    acknowledged: u64,
    entries: Entries,
    /// The next entry, and where it begins.
    next: Option<(Position, Entry)>,
}

/// Parts of one transaction.
#[derive(Default)]
struct Parts {
    entries: Vec<Entry>,
    bytes: usize,
    begins: Vec<(PartitionId, PathBuf, Position)>,
    extent: Extent,
    is_transaction: bool,
    cursor: Option<String>,
    before: BTreeMap<Uri, Hash>,
    left: Vec<(Uri, Hash)>,
}

impl Database {
    /// Orphans with what they brought: all, or those of these tokens. Reads files, and writes nothing.
    pub fn kept_orphans(&self, wanted: Option<BTreeSet<Token>>) -> Result<KeptOrphans, OrphanError> {
        let mut sets: BTreeMap<Timestamp, Vec<(PartitionId, PathBuf)>> = BTreeMap::new();
        for (put_aside, partition, path) in self.forks()? {
            sets.entry(put_aside).or_default().push((partition, path));
        }
        let (sets, lanes) = (sets.into_values().collect(), Vec::new());
        Ok(KeptOrphans { database: self.clone(), wanted, sets, lanes, heads: HashMap::new() })
    }

    /// Entries of journals that were put aside that brought this content, for an orphan that names it without bringing it.
    pub fn kept_content(&self, content: &Hash) -> Result<Option<KeptContent>, OrphanError> {
        for (_, partition, path) in self.forks()? {
            let failed =
                |error: &dyn std::error::Error| OrphanError::Journal { partition, reason: chain(error) };
            let (journal, _) = JournalReader::open_read_only(&path).map_err(|error| failed(&error))?;
            let mut entries = journal.entries(&journal.start()).map_err(|error| failed(&error))?;
            let mut begin = (Timestamp::ZERO, journal.start());
            loop {
                let at = entries.position();
                let Some(entry) = entries.next().map_err(|error| failed(&error))? else { break };
                if entry.header().timestamp != begin.0 {
                    begin = (entry.header().timestamp, at);
                }
                let Facts::Transaction(facts) = entry.facts().map_err(|error| failed(&error))? else {
                    continue;
                };
                if facts.contents.iter().any(|brought| brought.hash == *content) {
                    let places = vec![(partition, path, begin.1)];
                    return Ok(Some(KeptContent { timestamp: begin.0, places }));
                }
            }
        }
        Ok(None)
    }
}

/// Where a content came into a journal that was put aside.
#[derive(Debug, Clone)]
pub struct KeptContent {
    timestamp: Timestamp,
    places: Vec<(PartitionId, PathBuf, Position)>,
}

impl KeptContent {
    /// The entries, as they are stored.
    pub fn bytes(&self) -> Box<dyn Iterator<Item = Result<Bytes, OrphanError>> + Send> {
        Box::new(read_again(self.places.clone(), self.timestamp))
    }
}

impl KeptOrphan {
    /// Its entries, as they are stored.
    pub fn bytes(&self) -> Box<dyn Iterator<Item = Result<Bytes, OrphanError>> + Send> {
        match &self.entries {
            Kept::Held(entries) => {
                Box::new(entries.clone().into_iter().map(|entry| Ok(entry.bytes().clone())))
            }
            Kept::Long(places) => Box::new(read_again(places.clone(), self.label.token.timestamp)),
        }
    }
}

fn read_again(
    places: Vec<(PartitionId, PathBuf, Position)>,
    timestamp: Timestamp,
) -> impl Iterator<Item = Result<Bytes, OrphanError>> + Send {
    let mut places = VecDeque::from(places);
    let mut open: Option<(PartitionId, Entries)> = None;
    std::iter::from_fn(move || {
        loop {
            if open.is_none() {
                let (partition, path, at) = places.pop_front()?;
                match lane(partition, &path)
                    .and_then(|journal| journal.entries(&at).map_err(|error| damaged(partition, &error)))
                {
                    Ok(entries) => open = Some((partition, entries)),
                    Err(error) => return Some(Err(error)),
                }
            }
            let (partition, entries) = open.as_mut()?;
            match entries.next() {
                Err(error) => return Some(Err(damaged(*partition, &error))),
                Ok(Some(entry)) if entry.header().timestamp == timestamp => {
                    return Some(Ok(entry.bytes().clone()));
                }
                Ok(_) => open = None,
            }
        }
    })
}

fn lane(partition: PartitionId, path: &std::path::Path) -> Result<JournalReader, OrphanError> {
    let (journal, _) = JournalReader::open_read_only(path).map_err(|error| damaged(partition, &error))?;
    Ok(journal)
}

fn damaged(partition: PartitionId, error: &dyn std::error::Error) -> OrphanError {
    OrphanError::Journal { partition, reason: chain(error) }
}

impl Iterator for KeptOrphans {
    type Item = Result<KeptOrphan, OrphanError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

impl KeptOrphans {
    fn advance(&mut self) -> Result<Option<KeptOrphan>, OrphanError> {
        loop {
            let at = self.lanes.iter().filter_map(Lane::at).min();
            let Some((timestamp, epoch)) = at else {
                let Some(set) = self.sets.pop_front() else { return Ok(None) };
                self.open(set)?;
                continue;
            };
            let token = Token { epoch, timestamp };
            let parts = self.collect(token)?;
            let is_wanted = self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&token));
            let before = parts.before.clone();
            for (uri, essence) in &parts.left {
                let key = Hash::of(uri.as_str().as_bytes());
                if self.heads.len() < HEADS_MAX || self.heads.contains_key(&key) {
                    self.heads.insert(key, *essence);
                }
            }
            if !is_wanted || !parts.is_transaction || !parts.extent.is_orphan() {
                continue;
            }
            let Some(base) = self.base_of(token) else { continue };
            let from = self.database.shared.server.name.clone();
            let entries = match parts.bytes <= HELD_BYTES_MAX {
                true => Kept::Held(parts.entries),
                false => Kept::Long(parts.begins),
            };
            return Ok(Some(KeptOrphan {
                label: OrphanLabel { token, from, base, before },
                is_whole: parts.extent.is_whole,
                importer: parts.cursor.filter(|cursor| !cursor.starts_with(RESTORED)),
                entries,
            }));
        }
    }

    /// The last timestamp of its history that is one of the history that cut it off, too.
    fn base_of(&self, token: Token) -> Option<Timestamp> {
        self.database.shared.file().parted_at(token.epoch, token.timestamp)
    }

    fn open(&mut self, set: Vec<(PartitionId, PathBuf)>) -> Result<(), OrphanError> {
        self.lanes.clear();
        self.heads.clear();
        let lowest = {
            let file = self.database.shared.file();
            file.epochs.iter().filter(|start| start.epoch > Epoch::FIRST).map(|start| start.base).min()
        };
        let Some(lowest) = lowest else { return Ok(()) };
        for (partition, path) in set {
            let journal = lane(partition, &path)?;
            let acknowledged =
                JournalReader::acknowledged_in(&path).map_err(|error| damaged(partition, &error))?;
            let since = Timestamp(lowest.0.saturating_add(1));
            if since > journal.end_timestamp() {
                continue;
            }
            let found = journal.entries_since(since).map_err(|error| damaged(partition, &error))?;
            let entries = match found {
                Some(entries) => entries,
                None => journal.entries(&journal.start()).map_err(|error| damaged(partition, &error))?,
            };
            let mut lane = Lane { partition, path, acknowledged, entries, next: None };
            lane.advance(&self.database)?;
            self.lanes.push(lane);
        }
        Ok(())
    }

    /// All entries of one transaction, from all journals.
    fn collect(&mut self, token: Token) -> Result<Parts, OrphanError> {
        let mut parts = Parts::default();
        for lane in &mut self.lanes {
            let mut has_begun = false;
            while let Some((begins, entry)) =
                lane.next.take_if(|(_, entry)| of(entry) == (token.timestamp, token.epoch))
            {
                if !has_begun {
                    parts.begins.push((lane.partition, lane.path.clone(), begins));
                    has_begun = true;
                }
                let facts = entry.facts().map_err(|error| damaged(lane.partition, &error))?;
                let is_shown = entry.header().sequence <= lane.acknowledged;
                parts.take((lane.partition, is_shown), &entry, &facts, &self.heads);
                lane.advance(&self.database)?;
            }
        }
        Ok(parts)
    }
}

impl Parts {
    fn take(
        &mut self,
        (partition, is_shown): (PartitionId, bool),
        entry: &Entry,
        facts: &Facts,
        heads: &HashMap<Hash, Hash>,
    ) {
        self.bytes = self.bytes.saturating_add(entry.bytes().len());
        if self.bytes <= HELD_BYTES_MAX {
            self.entries.push(entry.clone());
        } else {
            self.entries.clear();
        }
        let Facts::Transaction(facts) = facts else { return };
        self.is_transaction = true;
        self.extent.add(partition, entry, is_shown);
        self.cursor = facts.cursor.as_ref().map(|cursor| cursor.name.clone()).or(self.cursor.take());
        for change in &facts.changes {
            let key = Hash::of(change.uri.as_str().as_bytes());
            if let Some(before) = heads.get(&key) {
                self.before.entry(change.uri.clone()).or_insert(*before);
            }
            self.left.push((change.uri.clone(), change.head.essence()));
        }
    }
}

impl Lane {
    fn at(&self) -> Option<(Timestamp, Epoch)> {
        self.next.as_ref().map(|(_, entry)| of(entry))
    }

    /// To the next entry that a later epoch cut off.
    fn advance(&mut self, database: &Database) -> Result<(), OrphanError> {
        loop {
            let at = self.entries.position();
            let next = self.entries.next().map_err(|error| damaged(self.partition, &error))?;
            let is_cut = |entry: &Entry| {
                let (timestamp, epoch) = of(entry);
                database.shared.file().is_cut(epoch, timestamp)
            };
            match next {
                Some(entry) if !is_cut(&entry) => {}
                next => {
                    self.next = next.map(|entry| (at, entry));
                    return Ok(());
                }
            }
        }
    }
}

fn of(entry: &Entry) -> (Timestamp, Epoch) {
    (entry.header().timestamp, entry.header().epoch)
}
