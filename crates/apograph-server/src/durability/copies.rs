//! What the full copies of this server's databases acknowledged, and who waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use apograph_client::types::{Acknowledgement, LinkReport};
use apograph_format::{Epoch, PartitionId, ServerKey, Token};
use apograph_replication::acknowledged::Acknowledged;

use crate::limits::{COPIES_MAX, DURABILITY_WAITERS_MAX};

/// Copies are asked to acknowledge at once for so long after the last write that waited for them.
const WANTED_FOR: Duration = Duration::from_secs(10);

/// As many partitions as a database may have.
const PARTITIONS_MAX: usize = 64;

/// What copies acknowledged.
#[derive(Debug)]
pub(crate) struct Copies {
    databases: Mutex<BTreeMap<String, Of>>,
    changes: watch::Sender<u64>,
    waiters: Arc<Semaphore>,
}

/// Of one database.
#[derive(Debug)]
struct Of {
    acknowledged: Acknowledged<Instant>,
    /// The last word of each, by name.
    words: BTreeMap<String, LastWord>,
    /// Somebody waits, or waited a moment ago.
    wanted_until: Option<Instant>,
}

/// What a copy acknowledged last.
#[derive(Debug, Clone)]
pub(crate) struct LastWord {
    pub(crate) word: Word,
    pub(crate) heard: Instant,
}

/// How far a copy is.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    /// Everything up to here is on its disk.
    pub(crate) up_to: Token,
    /// Sequence of the last entry, and bytes ever appended.
    pub(crate) partitions: BTreeMap<PartitionId, (u64, u64)>,
}

impl Word {
    fn of(said: &Acknowledgement) -> Word {
        let ends = said.partitions.iter().take(PARTITIONS_MAX);
        let ends = ends.map(|of| (of.partition, (of.durable.sequence, of.journal_bytes_appended)));
        Word { up_to: Token { epoch: said.epoch, timestamp: said.durable }, partitions: ends.collect() }
    }

    /// What its report says. The epoch is that of its entries.
    pub(crate) fn of_report(report: &LinkReport) -> Word {
        let epoch =
            report.partitions.iter().map(|of| of.durable.epoch).max().unwrap_or_default().max(Epoch::FIRST);
        let ends = report.partitions.iter().take(PARTITIONS_MAX);
        let ends = ends
            .map(|of| (of.partition, (of.durable.sequence, of.journal_bytes_appended.unwrap_or_default())));
        Word { up_to: Token { epoch, timestamp: report.visible }, partitions: ends.collect() }
    }
}

impl Default for Copies {
    fn default() -> Copies {
        Copies {
            databases: Mutex::default(),
            changes: watch::Sender::default(),
            waiters: Arc::new(Semaphore::new(DURABILITY_WAITERS_MAX)),
        }
    }
}

impl Copies {
    /// A copy has something on disk. Answers whether somebody waits for the next one.
    pub(crate) fn note(&self, database: &str, said: &Acknowledgement) -> bool {
        let now = Instant::now();
        let up_to = Token { epoch: said.epoch, timestamp: said.durable };
        let mut databases = self.locked();
        let of = of(&mut databases, database);
        of.acknowledged.note(said.server.key, &said.server.name, up_to, now);
        let word = LastWord { word: Word::of(said), heard: now };
        of.words.insert(said.server.name.clone(), word);
        if of.words.len() > COPIES_MAX {
            let oldest = of.words.iter().min_by_key(|(_, word)| word.heard).map(|(name, _)| name.clone());
            oldest.map(|oldest| of.words.remove(&oldest));
        }
        let is_wanted = of.wanted_until.is_some_and(|until| now < until);
        drop(databases);
        self.changes.send_modify(|count| *count += 1);
        is_wanted
    }

    /// Did this copy acknowledge anything before?
    pub(crate) fn knows(&self, database: &str, key: &ServerKey) -> bool {
        self.locked().get(database).is_some_and(|of| of.acknowledged.knows(key))
    }

    /// Who has what the token names on disk; each server once.
    pub(super) fn reached(&self, database: &str, token: Token) -> BTreeMap<ServerKey, String> {
        let databases = self.locked();
        let of = databases.get(database);
        let reached = of.into_iter().flat_map(|of| of.acknowledged.reached(token));
        reached.map(|(key, name)| (key, name.to_owned())).collect()
    }

    /// What the copy of this name acknowledged last.
    pub(crate) fn last_word(&self, database: &str, server: &str) -> Option<LastWord> {
        self.locked().get(database)?.words.get(server).cloned()
    }

    /// Copies should acknowledge at once: somebody is going to wait.
    pub(super) fn want(&self, database: &str) {
        of(&mut self.locked(), database).wanted_until = Some(Instant::now() + WANTED_FOR);
    }

    /// Tells of every acknowledgement.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A place for one who waits; `None` when too many do.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiters).try_acquire_owned().ok()
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        DURABILITY_WAITERS_MAX.saturating_sub(self.waiters.available_permits())
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Of>> {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names of databases come from the settings, so there are not many.
fn of<'a>(databases: &'a mut BTreeMap<String, Of>, database: &str) -> &'a mut Of {
    let new =
        || Of { acknowledged: Acknowledged::new(COPIES_MAX), words: BTreeMap::new(), wanted_until: None };
    databases.entry(database.to_owned()).or_insert_with(new)
}
