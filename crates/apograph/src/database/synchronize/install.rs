//! The last step of a synchronization: stores and journals move to the snapshot, all partitions or, after a crash in the
//! middle, all of them at the next start.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use apograph_format::{PartitionId, SourcePoint};
use apograph_journal::{Beginning, Identity, Journal, Options};
use apograph_store::Store;

use super::copy::partition_home;
use super::log::SyncLog;
use super::marker::{SyncMarker, SyncPhase};
use super::outcome::SyncOutcome;
use super::{Snapshot, SnapshotPartition, SyncError};
use crate::database::applier::Applier;
use crate::database::file::DatabaseFile;
use crate::database::part;
use crate::database::roles::FORK;
use crate::database::side_files::SideFiles;
use crate::database::worker::{Worker, chain};
use crate::folder::{FolderError, disk, sync_name};

/// Is a synchronization to be finished before the database can be opened?
pub(in crate::database) fn is_installing(marker: Option<&SyncMarker>) -> bool {
    marker.is_some_and(|marker| marker.phase == SyncPhase::Installing)
}

/// Finishes at a start what a crash interrupted. The stores are open, the journals not yet.
pub(in crate::database) fn finish_installing(
    database: &Path,
    file: &DatabaseFile,
    options: Options,
    stores: &[Arc<Store>],
    marker: &SyncMarker,
    side_files: &SideFiles,
) -> Result<(), SyncError> {
    part::begin_at(database, file, marker.snapshot.at)?;
    for (of, store) in marker.snapshot.partitions.iter().zip(stores) {
        move_store(store, of)?;
    }
    for of in &marker.snapshot.partitions {
        let identity = identity(file, of.partition);
        drop(renew_journal(database, identity, options, &marker.snapshot, of, marker.keep_journals)?);
    }
    clean_up(database, &marker.snapshot)?;
    side_files.note_present(file.partitions)?;
    SyncOutcome::of(marker, stores)?.write(database, side_files)?;
    Ok(SyncMarker::remove(database, side_files)?)
}

impl Worker {
    /// Moves everything to the snapshot, while readers still see what was there before; then they see the snapshot.
    pub(super) fn move_to(&mut self, snapshot: &Snapshot, keep_journals: bool) -> Result<(), SyncError> {
        let shared = Arc::clone(&self.shared);
        // What was said of the history before says nothing of this one.
        self.forget_words(snapshot.at).map_err(|error| SyncError::Stopped { reason: chain(&error) })?;
        for (of, store) in snapshot.partitions.iter().zip(&shared.stores) {
            move_store(store, of)?;
        }
        // They hold the locks of the folders that are renewed.
        self.journals.clear();
        let options = shared.settings.journal_options(shared.held_count(), shared.role());
        let mut journals = Vec::with_capacity(snapshot.partitions.len());
        for of in &snapshot.partitions {
            let identity = identity(&shared.file(), of.partition);
            let path = &shared.path;
            journals.push(renew_journal(path, identity, options, snapshot, of, keep_journals)?);
        }
        clean_up(&shared.path, snapshot)?;
        // Journals that were put aside just now.
        shared.side_files.note_present(shared.partitioning)?;
        self.journals = journals;
        let readers: Vec<_> = self.journals.iter().map(Journal::reader).collect();
        let held = self.applier.held().clone();
        self.applier = Applier::new(&shared.stores, readers.clone(), held);
        shared.begin_anew(snapshot, readers);
        Ok(())
    }
}

impl crate::database::Shared {
    fn begin_anew(&self, snapshot: &Snapshot, readers: Vec<apograph_journal::JournalReader>) {
        *self.journals.write().unwrap_or_else(std::sync::PoisonError::into_inner) = readers;
        self.generation.fetch_add(1, Ordering::AcqRel);
        {
            let mut health = self.health();
            health.difference = None;
            health.proofs = vec![None; snapshot.partitions.len()];
            let source =
                |of: &SnapshotPartition| of.source.map(|position| SourcePoint { position, entries: 0 });
            health.sources = snapshot.partitions.iter().map(source).collect();
        }
        for (of, appended) in snapshot.partitions.iter().zip(&self.appended) {
            appended.store(of.journal_bytes, Ordering::Release);
            self.entered(of.position.epoch);
        }
        self.visible.send_replace(snapshot.at);
    }
}

fn identity(file: &DatabaseFile, partition: PartitionId) -> Identity {
    Identity { database: file.id, view: file.role.view(), partition, partitioning: file.partitions }
}

fn move_store(store: &Store, of: &SnapshotPartition) -> Result<(), SyncError> {
    if store.syncing().is_some() {
        store.finish_sync(of.position, of.source, of.last_published)?;
    }
    Ok(())
}

/// A journal that begins at the snapshot, in place of the one that was there. Repeated after a crash it finds what it
/// made.
fn renew_journal(
    database: &Path,
    identity: Identity,
    options: Options,
    snapshot: &Snapshot,
    of: &SnapshotPartition,
    keep: bool,
) -> Result<Journal, SyncError> {
    let partition = of.partition;
    let home = partition_home(database, partition);
    let dir = home.join("journal");
    let failed = |reason: String| SyncError::Journal { partition, reason };
    if let Ok((journal, _)) = Journal::open(&dir, Some(&identity), options)
        && journal.start() == of.position
    {
        return Ok(journal);
    }
    let aside = aside(&home, snapshot, keep);
    if dir.exists() && !aside.exists() {
        fs::rename(&dir, &aside).map_err(disk(&dir))?;
    } else if dir.exists() {
        // The one from before is aside already: this is what a crash left of the new one.
        fs::remove_dir_all(&dir).map_err(disk(&dir))?;
    }
    let beginning = Beginning { after: of.position, timestamp: snapshot.at, bytes: of.journal_bytes };
    Journal::create(&dir, identity, options, beginning).map_err(|error| failed(chain(&error)))
}

/// Where the journal from before goes: it stays if it holds what the source does not know.
fn aside(home: &Path, snapshot: &Snapshot, keep: bool) -> std::path::PathBuf {
    if keep { home.join(format!("{FORK}{}", snapshot.at)) } else { home.join("journal.before") }
}

fn clean_up(database: &Path, snapshot: &Snapshot) -> Result<(), FolderError> {
    for of in &snapshot.partitions {
        let home = partition_home(database, of.partition);
        SyncLog::remove(&home)?;
        let before = aside(&home, snapshot, false);
        if before.exists() {
            fs::remove_dir_all(&before).map_err(disk(&before))?;
            // Nobody looks for it again: what a power cut brings back would stay, and a purge would not reach it.
            sync_name(&before).map_err(disk(&before))?;
        }
    }
    Ok(())
}
