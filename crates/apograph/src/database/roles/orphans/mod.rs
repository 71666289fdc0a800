//! Orphans: transactions that only this server had when a later epoch cut them off. They are no part of the database any
//! more; the journals that a synchronization put aside (`journal.fork-TIMESTAMP`) keep them until somebody discards them.
//!
//! They can be brought back ([`restore`]): the server that keeps them reads them one after the other ([`kept`]), the
//! primary takes them, and both remember which ones it took ([`marks`]).

mod kept;
mod marks;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;

use apograph_format::{
    Entry, Epoch, Facts, Hash, Operation, PartitionId, Timestamp, Token, TransactionFacts, Uri, Version,
    VersionRef,
};
use apograph_journal::JournalReader;

use super::super::synchronize::partition_home;
use super::super::worker::chain;
use super::Database;
use crate::folder::disk;

pub(in crate::database) use marks::whole_marks;

pub use kept::{KeptContent, KeptOrphan, KeptOrphans, OrphanLabel};
pub use restore::{OrphanIntake, RestoreError, RestoredOrphan};

/// How the name of a cursor begins that remembers which orphan was brought back.
const RESTORED: &str = "orphan:";
/// How the folder of a journal that was put aside begins.
pub(in crate::database) const FORK: &str = "journal.fork-";
/// Documents of one orphan that are listed.
const DOCUMENTS_MAX: usize = 1_000;

/// A transaction that a later epoch cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// What its author was answered.
    pub token: Token,
    /// Whose.
    pub author: String,
    /// Why.
    pub comment: String,
    /// When, by its author, microseconds since 1970.
    pub time: i64,
    /// What it did, in the order of partitions; at most a thousand.
    pub documents: Vec<OrphanChange>,
    /// Partitions that have a part of it here.
    pub partitions: BTreeSet<PartitionId>,
    /// All of them are here.
    pub is_whole: bool,
    /// The transaction that brought it back, if that was done from here.
    pub restored: Option<Token>,
}

/// What an orphan did to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrphanChange {
    /// Which document.
    pub uri: Uri,
    /// What was done.
    pub operation: Operation,
    /// Versions that were added.
    pub versions: Vec<VersionRef>,
}

/// A version that an orphan added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrphanVersion {
    /// Of which document.
    pub uri: Uri,
    /// Its number and id in the history that was cut off.
    pub version: VersionRef,
    /// What was saved; none if its bytes were erased.
    pub body: Option<Version>,
    /// Its content, if it has one, if it is here, and not longer than was asked.
    pub content: Option<Bytes>,
}

/// Why orphans cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OrphanError {
    /// A journal that was put aside.
    #[error("the journal of partition {partition} that was put aside cannot be read: {reason}")]
    Journal {
        /// Of which partition.
        partition: PartitionId,
        /// Why.
        reason: String,
    },
    /// A folder.
    #[error(transparent)]
    Folder(#[from] crate::folder::FolderError),
}

/// Why; where the transaction does not say it, its first version may.
fn comment_of(entry: &Entry, facts: &TransactionFacts) -> String {
    if !facts.comment.is_empty() {
        return facts.comment.clone();
    }
    let first = facts.changes.iter().find_map(|change| change.versions.first());
    let body = first.and_then(|first| {
        entry.payloads().filter_map(Result::ok).find(|payload| payload.hash == first.id && !payload.erased)
    });
    let version = body.and_then(|body| Version::decode(&body.bytes).ok());
    version.map(|version| version.comment).unwrap_or_default()
}

/// How much of a transaction the journals that were put aside hold.
#[derive(Debug, Default)]
struct Extent {
    here: BTreeSet<PartitionId>,
    is_whole: bool,
    is_shown: bool,
}

impl Extent {
    /// Another entry of it.
    fn add(&mut self, partition: PartitionId, entry: &Entry, is_shown: bool) {
        self.here.insert(partition);
        self.is_whole = entry.header().participants.iter().all(|of| self.here.contains(&of));
        self.is_shown |= is_shown;
    }

    /// A part of what this server never showed is none: a start would have cut it off, too.
    fn is_orphan(&self) -> bool {
        self.is_whole || self.is_shown
    }
}

impl Database {
    /// Orphans behind `after`, oldest first, at most `limit`. Reads files, and writes nothing. Blocks.
    pub fn orphans(&self, after: Timestamp, limit: usize) -> Result<Vec<Orphan>, OrphanError> {
        let mut orphans = Vec::new();
        let mut read_to = Some(after);
        while let Some(after) = read_to
            && orphans.len() < limit
        {
            let (found, last) = self.orphans_among(after, limit - orphans.len())?;
            orphans.extend(found);
            read_to = last;
        }
        Ok(orphans)
    }

    /// Those among the `limit` transactions behind `after`, and the last one of these if there may be more.
    fn orphans_among(
        &self,
        after: Timestamp,
        limit: usize,
    ) -> Result<(Vec<Orphan>, Option<Timestamp>), OrphanError> {
        let mut found: BTreeMap<Timestamp, Orphan> = BTreeMap::new();
        let restored = self.restored_orphans()?;
        let mut extents: BTreeMap<Timestamp, Extent> = BTreeMap::new();
        self.each_orphan(after, |partition, entry, facts, is_shown| {
            let Facts::Transaction(facts) = facts else { return true };
            let (header, timestamp) = (entry.header(), entry.header().timestamp);
            let is_full = found.len() >= limit && !found.contains_key(&timestamp);
            if is_full && found.last_key_value().is_none_or(|(last, _)| timestamp > *last) {
                return false;
            }
            let orphan = found.entry(timestamp).or_insert_with(|| Orphan {
                token: Token { epoch: header.epoch, timestamp },
                author: facts.author.clone(),
                comment: comment_of(entry, facts),
                time: facts.time,
                documents: Vec::new(),
                partitions: BTreeSet::new(),
                is_whole: false,
                restored: restored.get(&Token { epoch: header.epoch, timestamp }).copied(),
            });
            if orphan.partitions.insert(partition) {
                let room = DOCUMENTS_MAX.saturating_sub(orphan.documents.len());
                orphan.documents.extend(facts.changes.iter().take(room).map(|change| OrphanChange {
                    uri: change.uri.clone(),
                    operation: change.operation,
                    versions: change.versions.clone(),
                }));
            }
            let extent = extents.entry(timestamp).or_default();
            extent.add(partition, entry, is_shown);
            orphan.is_whole = extent.is_whole;
            while found.len() > limit {
                found.pop_last();
                extents.pop_last();
            }
            true
        })?;
        let last = found.last_key_value().map(|(timestamp, _)| *timestamp).filter(|_| found.len() >= limit);
        found.retain(|timestamp, _| extents.get(timestamp).is_some_and(Extent::is_orphan));
        Ok((found.into_values().collect(), last))
    }

    /// The versions that one orphan added, with contents of at most `content_bytes_max`. Blocks.
    pub fn orphan_versions(
        &self,
        timestamp: Timestamp,
        content_bytes_max: u64,
    ) -> Result<Vec<OrphanVersion>, OrphanError> {
        let mut versions = Vec::new();
        let mut payloads: BTreeMap<Hash, Bytes> = BTreeMap::new();
        self.each_orphan(Timestamp(timestamp.0.saturating_sub(1)), |_, entry, facts, _| {
            if entry.header().timestamp != timestamp {
                return false;
            }
            let sound = entry.payloads().filter_map(Result::ok).filter(|payload| !payload.erased);
            payloads.extend(sound.map(|payload| (payload.hash, payload.bytes)));
            if let Facts::Transaction(facts) = facts {
                for change in &facts.changes {
                    versions.extend(change.versions.iter().map(|version| (change.uri.clone(), *version)));
                }
                // Chunks of contents that came with this transaction.
                for content in facts.contents.iter().filter(|content| content.bytes <= content_bytes_max) {
                    let chunks: Option<Vec<&Bytes>> =
                        content.chunks.iter().map(|chunk| payloads.get(chunk)).collect();
                    if let Some(chunks) = chunks.filter(|chunks| chunks.len() > 1) {
                        let whole: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.to_vec()).collect();
                        payloads.insert(content.hash, whole.into());
                    }
                }
            }
            true
        })?;
        let of = |(uri, version): (Uri, VersionRef)| {
            let body = payloads.get(&version.id).and_then(|bytes| Version::decode(bytes).ok());
            let content = body.as_ref().and_then(|body| body.content.as_ref());
            let content = content.filter(|content| content.bytes <= content_bytes_max);
            let bytes = content.and_then(|content| payloads.get(&content.hash).cloned());
            // A content that was there before is in the store still.
            let bytes = bytes.or_else(|| {
                let pieces = self.content(&uri, content?, 0..content?.bytes).ok()?;
                let whole: Vec<Bytes> = pieces.collect::<Result<_, _>>().ok()?;
                Some(whole.concat().into())
            });
            OrphanVersion { uri, version, content: bytes, body }
        };
        Ok(versions.into_iter().map(of).collect())
    }

    /// Removes all journals that were put aside, and with them every orphan. Answers how many orphans there were. Blocks.
    pub fn discard_orphans(&self) -> Result<u64, OrphanError> {
        let mut gone: BTreeMap<Timestamp, Extent> = BTreeMap::new();
        self.each_orphan(Timestamp::ZERO, |partition, entry, facts, is_shown| {
            if matches!(facts, Facts::Transaction(_)) {
                gone.entry(entry.header().timestamp).or_default().add(partition, entry, is_shown);
            }
            true
        })?;
        self.shared.side_files.forget_orphans()?;
        for (_, _, folder) in self.forks()? {
            fs::remove_dir_all(&folder).map_err(disk(&folder))?;
        }
        self.forget_restored()?;
        Ok(gone.values().filter(|extent| extent.is_orphan()).count() as u64)
    }

    /// Was something written here that a later epoch cut off, and that is in the journals still?
    pub fn is_forked(&self) -> bool {
        let file = self.shared.file().clone();
        let journals = self.shared.journals.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        journals.iter().any(|journal| file.is_cut(journal.end().epoch, journal.end_timestamp()))
    }

    /// Journals that were put aside, and at which snapshot, oldest first.
    fn forks(&self) -> Result<Vec<(Timestamp, PartitionId, PathBuf)>, OrphanError> {
        let mut forks = Vec::new();
        for partition in self.held_partitions().iter() {
            let home = partition_home(&self.shared.path, partition);
            for entry in fs::read_dir(&home).map_err(disk(&home))? {
                let path = entry.map_err(disk(&home))?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let put_aside = name.strip_prefix(FORK).and_then(|at| at.parse().ok());
                if let Some(put_aside) = put_aside {
                    forks.push((Timestamp(put_aside), partition, path));
                }
            }
        }
        forks.sort();
        Ok(forks)
    }

    /// Entries of all journals that were put aside, as far as a later epoch cut them off, and whether this server had shown
    /// them for certain; `take` says whether it wants more of this journal.
    fn each_orphan(
        &self,
        after: Timestamp,
        mut take: impl FnMut(PartitionId, &Entry, &Facts, bool) -> bool,
    ) -> Result<(), OrphanError> {
        let file = self.shared.file().clone();
        // No epoch cut off anything before the lowest base.
        let bases = file.epochs.iter().filter(|start| start.epoch > Epoch::FIRST).map(|start| start.base);
        let Some(first) = bases.min() else { return Ok(()) };
        let since = Timestamp(first.max(after).0.saturating_add(1));
        for (_, partition, folder) in self.forks()? {
            let failed =
                |error: &dyn std::error::Error| OrphanError::Journal { partition, reason: chain(error) };
            let (journal, _) = JournalReader::open_read_only(&folder).map_err(|error| failed(&error))?;
            let acknowledged = JournalReader::acknowledged_in(&folder).map_err(|error| failed(&error))?;
            if since > journal.end_timestamp() {
                continue;
            }
            let found = journal.entries_since(since).map_err(|error| failed(&error))?;
            let mut entries = match found {
                Some(entries) => entries,
                // Retention took what was before: everything that is there may be one.
                None => journal.entries(&journal.start()).map_err(|error| failed(&error))?,
            };
            while let Some(entry) = entries.next().map_err(|error| failed(&error))? {
                let header = entry.header();
                if header.timestamp < since || !file.is_cut(header.epoch, header.timestamp) {
                    continue;
                }
                let facts = entry.facts().map_err(|error| failed(&error))?;
                if !take(partition, &entry, &facts, header.sequence <= acknowledged) {
                    break;
                }
            }
        }
        Ok(())
    }
}
