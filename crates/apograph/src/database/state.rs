//! What the worker and all readers of a database share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use tokio::sync::watch;

use apograph_format::{
    DatabaseId, Entry, EntryKind, Epoch, Participants, PartitionId, Partitioning, Position, SourcePoint,
    Timestamp, Uri, View,
};
use apograph_journal::JournalReader;
use apograph_store::{Store, StoreError};

use super::file::DatabaseFile;
use super::gate::Gate;
use super::rollback::Running;
use super::side_files::SideFiles;
use super::stages::Stages;
use super::synchronize::{Pins, SyncMarker, SyncOutcome};
use super::worker::chain;
use crate::Role;
use crate::error::{CommitError, ReadError, TakeError};
use crate::folder::FolderError;
use crate::settings::DatabaseSettings;
use crate::status::ServerIdentity;

/// What the worker and all readers of a database share.
pub(crate) struct Shared {
    pub(crate) name: String,
    /// What is durable in `database.json`: role, epochs, keys.
    file: RwLock<DatabaseFile>,
    pub(crate) settings: DatabaseSettings,
    pub(crate) server: ServerIdentity,
    pub(crate) key: SigningKey,
    pub(crate) partitioning: Partitioning,
    /// The partitions that are here; stores, journals and all lists by partition have one element for each of them.
    pub(crate) held: Participants,
    id: DatabaseId,
    held_view: View,
    pub(crate) stores: Vec<Arc<Store>>,
    /// Replaced when the worker had to open a journal again.
    pub(crate) journals: RwLock<Vec<JournalReader>>,
    /// The folder of the database.
    pub(crate) path: PathBuf,
    pub(crate) spool: PathBuf,
    pub(crate) visible: watch::Sender<Timestamp>,
    pub(crate) epoch: AtomicU64,
    /// Entry bytes ever appended, by partition.
    pub(crate) appended: Vec<AtomicU64>,
    pub(crate) health: Mutex<Health>,
    /// Grows when the journals begin anew: whoever reads the old ones has to ask again.
    pub(crate) generation: AtomicU64,
    /// By partition, in the journals of this generation: of what came by then, the source had erased nothing by a purge that
    /// had not come, too.
    caught_up: Mutex<BTreeMap<PartitionId, (u64, Timestamp)>>,
    /// Snapshots that copies read.
    pub(crate) pins: Pins,
    /// While a backup is made nothing is taken out of the journals.
    pub(crate) backing_up: AtomicBool,
    /// Why writes are kept back, if they are.
    pub(super) gate: Mutex<Option<Gate>>,
    /// How many are.
    pub(super) waiting: AtomicUsize,
    /// The rollback that runs.
    rollback: Mutex<Option<Running>>,
    /// Where the time of writes goes.
    pub(super) stages: Stages,
    sync: Mutex<(Option<SyncMarker>, Option<SyncOutcome>)>,
    /// Which files must be there.
    pub(super) side_files: SideFiles,
}

/// What somebody should know.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Why the database stopped: it has to be opened again.
    pub(crate) stopped: Option<String>,
    /// Why something durable could not be applied: it will be tried again.
    pub(crate) stalled: Option<String>,
    pub(crate) alarms: Vec<String>,
    /// Last checkpoint written or compared, by partition.
    pub(crate) proofs: Vec<Option<Position>>,
    /// In a derived journal: its place in the source's journal, by partition.
    pub(crate) sources: Vec<Option<SourcePoint>>,
    /// The last comparison found another digest.
    pub(crate) difference: Option<TakeError>,
    /// Documents of which something was found damaged.
    pub(crate) suspects: BTreeSet<Uri>,
}

/// Suspects kept by name; who has more finds them again.
const SUSPECTS_MAX: usize = 10_000;

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "one call, at open")]
    pub(crate) fn new(
        name: &str,
        file: DatabaseFile,
        settings: &DatabaseSettings,
        server: ServerIdentity,
        key: &SigningKey,
        stores: Vec<Arc<Store>>,
        journals: Vec<JournalReader>,
        path: PathBuf,
        sync: (Option<SyncMarker>, Option<SyncOutcome>),
        side_files: SideFiles,
    ) -> Shared {
        let count = stores.len();
        let visible = stores.iter().map(|store| store.progress().timestamp).max().unwrap_or_default();
        let epoch =
            journals.iter().map(|journal| journal.end().epoch).max().unwrap_or_default().max(Epoch::FIRST);
        let proofs = stores.iter().map(|store| store.progress().checkpoint).collect();
        let of_store =
            |store: &Arc<Store>| store.progress().source.map(|position| SourcePoint { position, entries: 0 });
        let sources = stores.iter().map(of_store).collect();
        Shared {
            name: name.to_owned(),
            partitioning: file.partitions,
            held: file.held(),
            id: file.id,
            held_view: file.role.view(),
            file: RwLock::new(file),
            settings: settings.clone(),
            server,
            key: key.clone(),
            stores,
            journals: RwLock::new(journals),
            spool: path.join("spool"),
            path,
            visible: watch::Sender::new(visible),
            epoch: AtomicU64::new(epoch.bits()),
            appended: (0..count).map(|_| AtomicU64::new(0)).collect(),
            health: Mutex::new(Health { proofs, sources, ..Health::default() }),
            generation: AtomicU64::new(0),
            caught_up: Mutex::default(),
            pins: Pins::default(),
            backing_up: AtomicBool::new(false),
            gate: Mutex::default(),
            waiting: AtomicUsize::new(0),
            rollback: Mutex::default(),
            stages: Stages::new(settings.slow_write()),
            sync: Mutex::new(sync),
            side_files,
        }
    }

    pub(crate) fn view(&self) -> View {
        self.held_view
    }

    pub(crate) fn id(&self) -> DatabaseId {
        self.id
    }

    /// What `database.json` says.
    pub(crate) fn file(&self) -> RwLockReadGuard<'_, DatabaseFile> {
        self.file.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes `database.json`, all of it or nothing; durable on return. For the worker only. What fails may be in the file all
    /// the same, and the next start would believe it: the file as it was is put back, or this server does not go on.
    pub(crate) fn change_file(&self, change: impl FnOnce(&mut DatabaseFile)) -> Result<(), FolderError> {
        let mut changed = self.file().clone();
        change(&mut changed);
        if let Err(error) = changed.write(&self.path) {
            let before = self.file().clone();
            let is_as_it_was =
                DatabaseFile::read(&self.path).is_ok_and(|there| there.as_ref() == Some(&before));
            if !is_as_it_was && let Err(again) = before.write(&self.path) {
                self.stop(format!("nobody knows what database.json says after a restart: {}", chain(&again)));
            }
            return Err(error);
        }
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = changed;
        // What somebody waits for may be cut off now.
        self.visible.send_modify(|_| {});
        Ok(())
    }

    /// What this server is for the database.
    pub(crate) fn role(&self) -> Role {
        self.file().role
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::from_bits(self.epoch.load(Ordering::Acquire))
    }

    /// The history here goes on in this epoch. It never goes back.
    pub(super) fn entered(&self, epoch: Epoch) {
        self.epoch.fetch_max(epoch.bits(), Ordering::AcqRel);
    }

    pub(crate) fn visible(&self) -> Timestamp {
        *self.visible.borrow()
    }

    /// Where a partition stands in lists by partition; `None` if it is not held here.
    pub(crate) fn slot(&self, partition: PartitionId) -> Option<usize> {
        self.held.slot(partition)
    }

    pub(crate) fn store(&self, partition: PartitionId) -> Option<&Arc<Store>> {
        self.stores.get(self.slot(partition)?)
    }

    /// The store of a document, if its partition is held here.
    pub(crate) fn store_of(&self, uri: &Uri) -> Result<&Arc<Store>, ReadError> {
        let partition = self.partitioning.of(uri);
        self.store(partition).ok_or_else(|| self.elsewhere(partition))
    }

    /// A partition is not here.
    pub(crate) fn elsewhere(&self, partition: PartitionId) -> ReadError {
        ReadError::Elsewhere { partition, held: self.held, url: self.elsewhere_url() }
    }

    /// Where a partition that is not held here can be read: at the primary, or at the source that the settings name.
    pub(crate) fn elsewhere_url(&self) -> Option<String> {
        self.primary_url().or_else(|| self.settings.source.as_ref().map(|source| source.url.clone()))
    }

    pub(crate) fn journal(&self, partition: PartitionId) -> Option<JournalReader> {
        let journals = self.journals.read().unwrap_or_else(PoisonError::into_inner);
        journals.get(self.slot(partition)?).cloned()
    }

    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stopped(&self) -> Option<String> {
        let health = self.health();
        health.stopped.clone().or_else(|| health.stalled.clone())
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.health().stalled.is_some()
    }

    pub(crate) fn stopped_error(&self) -> CommitError {
        let health = self.health();
        match (&health.stopped, &health.stalled) {
            (Some(reason), _) => CommitError::Stopped { reason: reason.clone() },
            (None, Some(reason)) => CommitError::Stalled { reason: reason.clone() },
            (None, None) => CommitError::Stopped { reason: "the server is shutting down".into() },
        }
    }

    /// This server cannot go on with the database; the first reason counts.
    pub(crate) fn stop(&self, reason: String) {
        tracing::error!(database = %self.name, %reason, "the database stopped");
        self.health().stopped.get_or_insert(reason);
        // Wake everybody who waits, so that they see it.
        self.visible.send_modify(|_| {});
    }

    /// Something durable could not be applied. Nothing is taken until it is.
    pub(crate) fn stall(&self, reason: String) {
        let known = self.health().stalled.replace(reason.clone());
        if known.as_ref() != Some(&reason) {
            tracing::error!(database = %self.name, %reason, "the database cannot apply what is durable");
        }
        self.visible.send_modify(|_| {});
    }

    /// It is applied.
    pub(crate) fn go_on(&self) {
        if self.health().stalled.take().is_some() {
            tracing::info!(database = %self.name, "the database goes on");
        }
    }

    pub(crate) fn alarm(&self, alarm: String) {
        tracing::error!(database = %self.name, %alarm, "alarm");
        let mut health = self.health();
        if !health.alarms.contains(&alarm) && health.alarms.len() < 100 {
            health.alarms.push(alarm);
        }
    }

    /// The rollback that runs.
    pub(super) fn rollback(&self) -> MutexGuard<'_, Option<Running>> {
        self.rollback.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sync_marker(&self) -> Option<SyncMarker> {
        self.sync.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Durable on return.
    pub(crate) fn set_marker(&self, marker: Option<SyncMarker>) -> Result<(), FolderError> {
        let mut sync = self.sync.lock().unwrap_or_else(PoisonError::into_inner);
        match &marker {
            Some(marker) => marker.write(&self.path, &self.side_files)?,
            None => SyncMarker::remove(&self.path, &self.side_files)?,
        }
        sync.0 = marker;
        Ok(())
    }

    pub(crate) fn sync_outcome(&self) -> Option<SyncOutcome> {
        self.sync.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Durable on return.
    pub(crate) fn set_outcome(&self, outcome: SyncOutcome) -> Result<(), FolderError> {
        let mut sync = self.sync.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.write(&self.path, &self.side_files)?;
        sync.1 = Some(outcome);
        Ok(())
    }

    /// Something of this document is damaged here.
    pub(crate) fn suspect(&self, uri: &Uri) {
        self.suspect_because(uri, damaged);
    }

    /// Something of this document was erased before it came here, and was never purged.
    pub(crate) fn suspect_erased(&self, uri: &Uri) {
        self.suspect_because(uri, erased);
    }

    /// Everything that the source had when it read this partition's entries to their end is here.
    pub(super) fn note_caught_up(&self, partition: PartitionId, at: Timestamp) {
        let generation = self.generation.load(Ordering::Acquire);
        let mut caught_up = self.caught_up.lock().unwrap_or_else(PoisonError::into_inner);
        caught_up.insert(partition, (generation, at));
    }

    /// Documents that came without what a purge had erased, and whose purge may still come: how many, and the first.
    pub(super) fn erased_ahead(&self) -> Result<Option<(u64, Uri)>, StoreError> {
        let generation = self.generation.load(Ordering::Acquire);
        let caught_up = self.caught_up.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found: Option<(u64, Uri)> = None;
        for (partition, store) in self.held.iter().zip(&self.stores) {
            let known = caught_up.get(&partition).filter(|(of, _)| *of == generation);
            for awaiting in store.awaiting_purges(store.progress().timestamp) {
                let (uri, since) = awaiting?;
                if known.is_none_or(|(_, at)| since > *at) {
                    found.get_or_insert((0, uri)).0 += 1;
                }
            }
        }
        Ok(found)
    }

    fn suspect_because(&self, uri: &Uri, why: fn(&Uri) -> String) {
        let is_new = {
            let mut health = self.health();
            health.suspects.len() < SUSPECTS_MAX && health.suspects.insert(uri.clone())
        };
        if is_new {
            self.alarm(why(uri));
        }
    }

    /// They came anew.
    pub(crate) fn clear_suspects(&self) {
        let mut health = self.health();
        for uri in std::mem::take(&mut health.suspects) {
            health.alarms.retain(|alarm| *alarm != damaged(&uri) && *alarm != erased(&uri));
        }
    }

    /// Passes an answer of the store on, and remembers the document if it is not what it was.
    pub(crate) fn noticing<T>(&self, uri: &Uri, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Payload { .. } | StoreError::Head { .. }) = &answer {
            self.suspect(uri);
        }
        answer
    }

    pub(crate) fn set_proof(&self, partition: PartitionId, at: Position) {
        let Some(slot) = self.slot(partition) else { return };
        if let Some(proof) = self.health().proofs.get_mut(slot) {
            *proof = Some(at);
        }
    }

    pub(crate) fn source_of(&self, partition: PartitionId) -> Option<SourcePoint> {
        self.health().sources.get(self.slot(partition)?).copied().flatten()
    }

    /// These entries of a derived journal are durable here.
    pub(crate) fn advance_source(&self, partition: PartitionId, entries: &[Entry]) {
        let Some(slot) = self.slot(partition) else { return };
        let mut health = self.health();
        if let Some(known) = health.sources.get_mut(slot) {
            let genesis = Position::beginning(self.id().genesis(View::Full, partition));
            for entry in entries {
                *known = advance(*known, entry, genesis);
            }
        }
    }
}

fn damaged(uri: &Uri) -> String {
    format!("{uri} is damaged here; a copy brings it anew from its source")
}

fn erased(uri: &Uri) -> String {
    format!(
        "{uri} came here without what a purge had erased, and a promotion cut that purge off; a copy brings it anew from its source"
    )
}

/// The place in the source's journal after one more entry of a derived journal.
fn advance(known: Option<SourcePoint>, entry: &Entry, genesis: Position) -> Option<SourcePoint> {
    if entry.header().kind == EntryKind::Contents {
        let known = known.unwrap_or(SourcePoint { position: genesis, entries: 0 });
        return Some(SourcePoint { entries: known.entries + 1, ..known });
    }
    let position = entry.facts().ok().and_then(|facts| facts.source());
    position.map(|position| SourcePoint { position, entries: 0 }).or(known)
}

/// The wall clock in microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX >> 1)
}
