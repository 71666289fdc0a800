//! The state of a database at one moment, pinned while it is copied into a backup.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use apograph_format::PartitionId;
use apograph_journal::{Journal, JournalReader};
use apograph_store::Store;
use apograph_store::engine::{Pinned, PinnedBytes};

use super::status::view_status;
use super::worker::{Worker, chain};
use super::{Database, Shared, upkeep};
use crate::backup::{
    BackedUpPartition, BackupError, BackupRequest, Frozen, FrozenPartition, Made, Manifest, Monitor, Source,
    SourceBytes, check_target, write,
};
use crate::folder::disk;

/// A backup is being made: nothing is taken out of journals meanwhile, neither by retention nor by purges.
struct Hold<'a>(&'a AtomicBool);

impl<'a> Hold<'a> {
    fn take(shared: &'a Shared) -> Result<Hold<'a>, BackupError> {
        match shared.backing_up.swap(true, Ordering::AcqRel) {
            true => Err(BackupError::Running),
            false => Ok(Hold(&shared.backing_up)),
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Database {
    /// Writes a backup of the database as it is at one moment, while it is read and written. Transactions wait while that
    /// moment is pinned, not while files are copied. Blocks; durable on return. One at a time.
    pub fn backup(&self, request: &BackupRequest, monitor: Monitor<'_>) -> Result<Made, BackupError> {
        check_target(&request.dir)?;
        let shared = &self.shared;
        if shared.is_part() {
            return Err(BackupError::Part { held: shared.held });
        }
        let hold = Hold::take(shared)?;
        let generation = shared.generation.load(Ordering::Acquire);
        // Most of what is in memory is written out here, so that little is left for the moment when writers wait.
        for store in &shared.stores {
            store.flush()?;
        }
        let frozen = self.on_worker(|worker| worker.freeze());
        let frozen = frozen.map_err(|error| BackupError::Stopped { reason: chain(&error) })??;
        let made = write(frozen, request, &shared.key, monitor);
        drop(hold);
        if shared.generation.load(Ordering::Acquire) != generation {
            // Its journals were replaced while they were copied.
            return Err(BackupError::Synchronizing);
        }
        made
    }
}

impl Worker {
    /// Pins what is durable and applied now. Purged bytes are taken out of all files before.
    fn freeze(&mut self) -> Result<Frozen, BackupError> {
        let begun = Instant::now();
        let shared = Arc::clone(&self.shared);
        if shared.sync_marker().is_some() {
            return Err(BackupError::Synchronizing);
        }
        if let Some(reason) = shared.stopped() {
            return Err(BackupError::Stopped { reason });
        }
        for (store, journal) in shared.stores.iter().zip(&mut self.journals) {
            upkeep::erase(store, journal).map_err(|reason| BackupError::Stopped { reason })?;
        }
        let at = self.applier.applied();
        let mut partitions = Vec::new();
        let mut positions = Vec::new();
        for ((id, store), journal) in shared.partitioning.all().zip(&shared.stores).zip(&self.journals) {
            let reader = journal.reader();
            let position = store.progress().position;
            positions.push(BackedUpPartition { partition: id, position, journal_start: reader.start() });
            partitions.push(freeze_partition(id, store, journal, &reader)?);
        }
        let view = |view| {
            let parts: Option<Vec<_>> = shared.stores.iter().map(|store| store.digest(view)).collect();
            parts.map(|parts| view_status(view, &parts, at))
        };
        let path = shared.path.join("database.json");
        let manifest = Manifest {
            database: shared.id(),
            name: shared.name.clone(),
            role: shared.role(),
            view: shared.view(),
            whole: shared.sync_outcome().is_none_or(|outcome| outcome.is_whole()),
            epoch: shared.epoch(),
            at,
            time: at.to_rfc3339(),
            horizon: shared.stores.iter().map(|store| store.horizon()).max().unwrap_or_default(),
            server: shared.server.clone(),
            software: env!("CARGO_PKG_VERSION").to_owned(),
            partitions: positions,
            digests: apograph_format::View::ALL.into_iter().filter_map(view).collect(),
            files: 0,
            bytes: 0,
            bytes_linked: 0,
            list: apograph_format::Hash([0; 32]),
            previous: None,
        };
        let database_json = fs::read(&path).map_err(disk(&path))?;
        let synchronized = shared.path.join("synchronized.json");
        let synchronized_json = match fs::read(&synchronized) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            read => Some(read.map_err(disk(&synchronized))?),
        };
        let pause_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(Frozen { manifest, database_json, synchronized_json, partitions, pause_us })
    }
}

fn freeze_partition(
    id: PartitionId,
    store: &Arc<Store>,
    journal: &Journal,
    reader: &JournalReader,
) -> Result<FrozenPartition, BackupError> {
    let pinned = store.pin()?.unwrap_or_else(Pinned::default);
    let mut files = journal_files(journal.dir(), reader)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut engine: Vec<Source> = pinned
        .files
        .iter()
        .map(|file| Source {
            name: file.name.to_string_lossy().into_owned(),
            bytes: match &file.bytes {
                PinnedBytes::Here(bytes) => SourceBytes::Here(bytes.clone()),
                PinnedBytes::File(path) => SourceBytes::File { path: path.clone(), is_immutable: true },
            },
        })
        .collect();
    engine.sort_by(|a, b| a.name.split('/').cmp(b.name.split('/')));
    let store = Arc::clone(store);
    Ok(FrozenPartition { id, store, journal: files, engine, _pinned: Box::new(pinned) })
}

/// The segments up to what is durable, and what was acknowledged.
fn journal_files(dir: &Path, reader: &JournalReader) -> Result<Vec<Source>, BackupError> {
    let acknowledged = dir.join("acknowledged");
    let bytes = fs::read(&acknowledged).map_err(disk(&acknowledged))?;
    let mut files = vec![Source { name: "acknowledged".into(), bytes: SourceBytes::Here(bytes) }];
    for segment in reader.segments() {
        let name = segment.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = segment.path;
        let bytes = if segment.open {
            // Its name changes when it is closed, and it grows: what counts is what is in it now.
            let file = File::open(&path).map_err(disk(&path))?;
            SourceBytes::Growing(file, path, segment.bytes)
        } else {
            SourceBytes::File { path, is_immutable: false }
        };
        files.push(Source { name, bytes });
    }
    Ok(files)
}
