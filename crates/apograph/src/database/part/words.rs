//! What the source says of partitions: everything up to a timestamp was sent.
//!
//! The source sends a heartbeat only after everything up to its visible timestamp, so who has taken all that came before it
//! in the stream of a partition has all of that partition up to then. That is what a copy of some partitions goes by
//! where it does not see the predecessor of an entry ([`apograph_replication::order`]).
//!
//! A word is in `words.json` before anything is shown by it: the next start shows no less. What was said of a history that
//! a later epoch cut off is forgotten as far as it was cut.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use apograph_format::{PartitionId, Timestamp};
use apograph_replication::order::Held;

use super::TakingIn;
use crate::Role;
use crate::database::worker::{Command, Worker, chain};
use crate::database::{Database, DatabaseFile};
use crate::folder::{FolderError, disk, sync_name};
use crate::sealed::{read_sealed, write_sealed};

/// What the source said of a partition.
#[derive(Debug, Clone, Copy)]
pub(in crate::database) struct Word {
    partition: PartitionId,
    /// Everything up to here was sent, and taken.
    at: Timestamp,
    /// Of the journals that it was taken into.
    generation: u64,
}

/// What was said and does not count yet.
#[derive(Debug, Default)]
pub(in crate::database) struct Heard(BTreeMap<PartitionId, Timestamp>);

/// `words.json`
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WordsFile {
    partitions: Vec<WordOf>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WordOf {
    partition: PartitionId,
    at: Timestamp,
}

type Words = BTreeMap<PartitionId, Timestamp>;

/// What is held, and the words that count, at a start.
pub(in crate::database) fn read(database: &Path, name: &str, file: &DatabaseFile) -> Held {
    let mut held = Held { partitions: file.held(), ..Held::all(file.partitions.everyone()) };
    let path = path(database);
    if !held.is_part() || !path.exists() {
        return held;
    }
    match read_sealed::<WordsFile>(&path) {
        Ok(file) => held.words = file.partitions.into_iter().map(|word| (word.partition, word.at)).collect(),
        // The source says it again; until then less is shown.
        Err(error) => {
            tracing::warn!(database = name, %error, "what the source said cannot be read; it is asked again");
        }
    }
    held
}

/// Partitions were taken in: everything of them is there up to then. Where all are held no words are needed.
pub(super) fn take_in(database: &Path, file: &DatabaseFile, taking_in: &TakingIn) -> Result<(), FolderError> {
    let path = path(database);
    if file.held() == file.partitions.everyone() {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk(&path)(error)),
            _ => sync_name(&path).map_err(disk(&path)),
        };
    }
    let mut words = read(database, &database.display().to_string(), file).words;
    words.extend(taking_in.partitions.iter().map(|partition| (*partition, taking_in.at)));
    write(database, &words)
}

/// A snapshot takes the place of everything: all of it is there, and nothing that was said before counts.
pub(in crate::database) fn begin_at(
    database: &Path,
    file: &DatabaseFile,
    at: Timestamp,
) -> Result<Words, FolderError> {
    let words: Words = file.held().iter().map(|partition| (partition, at)).collect();
    if file.held() != file.partitions.everyone() {
        write(database, &words)?;
    }
    Ok(words)
}

fn write(database: &Path, words: &Words) -> Result<(), FolderError> {
    let of = |(partition, at): (&PartitionId, &Timestamp)| WordOf { partition: *partition, at: *at };
    write_sealed(&path(database), &WordsFile { partitions: words.iter().map(of).collect() })
}

fn path(database: &Path) -> PathBuf {
    database.join("words.json")
}

impl Database {
    /// Grows when the journals begin anew: a word says something of the journals that it was taken into.
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    /// The source said, in the stream of a partition, that everything up to `at` was sent; and everything before it in
    /// this stream was taken, into the journals of this generation. Matters where some partitions are held only.
    pub fn hear(&self, partition: PartitionId, at: Timestamp, generation: u64) {
        if self.is_part() {
            // If the queue is full, the next one says more.
            let _ = self.driven.queue.try_send(Command::Heard(Word { partition, at, generation }));
        }
    }
}

impl Worker {
    pub(in crate::database) fn hear(&mut self, word: Word) {
        let Word { partition, at, generation } = word;
        let shared = &self.shared;
        if shared.role() != Role::Replica
            || generation != shared.generation.load(Ordering::Acquire)
            || shared.sync_marker().is_some()
        {
            return;
        }
        let Some(journal) = shared.slot(partition).and_then(|slot| self.journals.get(slot)) else { return };
        // Of a history that was cut off there.
        if shared.file().is_cut(journal.end().epoch, at) {
            return;
        }
        let heard = self.heard.0.entry(partition).or_default();
        *heard = at.max(*heard);
    }

    /// What was said counts, if something can be shown by it: durable first, then shown.
    pub(in crate::database) fn believe(&mut self) {
        if self.heard.0.is_empty() || self.shared.stopped().is_some() || self.shared.sync_marker().is_some() {
            return;
        }
        let mut words = self.applier.held().words.clone();
        for (partition, at) in &self.heard.0 {
            let word = words.entry(*partition).or_default();
            *word = (*at).max(*word);
        }
        match self.applier.moves_with(words.clone()) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.shared.stall(chain(&error)),
        }
        if let Err(error) = write(&self.shared.path, &words) {
            tracing::warn!(%error, "what the source said cannot be kept; nothing is shown by it");
            return;
        }
        self.applier.set_words(words);
        self.heard.0.clear();
        if let Err(reason) = self.apply() {
            self.shared.stall(reason);
        }
    }

    /// A later epoch begins after `base`: what was said of later times was of another history. Of one partition, or of
    /// all. Durable on return.
    pub(in crate::database) fn cap_words(
        &mut self,
        only: Option<PartitionId>,
        base: Timestamp,
    ) -> Result<(), FolderError> {
        let is_meant = |partition: &PartitionId| only.is_none_or(|only| only == *partition);
        let cap = |words: &mut Words| {
            for (_, word) in words.iter_mut().filter(|(partition, _)| is_meant(partition)) {
                *word = base.min(*word);
            }
        };
        cap(&mut self.heard.0);
        let mut words = self.applier.held().words.clone();
        cap(&mut words);
        if words != self.applier.held().words {
            write(&self.shared.path, &words)?;
            self.applier.set_words(words);
        }
        Ok(())
    }

    /// A snapshot takes the place of everything.
    pub(in crate::database) fn forget_words(&mut self, at: Timestamp) -> Result<(), FolderError> {
        let words = begin_at(&self.shared.path, &self.shared.file(), at)?;
        self.heard.0.clear();
        self.applier.set_words(words);
        Ok(())
    }
}
