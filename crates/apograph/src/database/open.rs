//! Opening a database: journals, stores, and everything that a crash left undone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apograph_format::partition::PartitioningError;
use apograph_format::seeded::{self, Seeded};
use apograph_format::{PartitionId, SourcePoint, View};
use apograph_journal::{Beginning, Identity, Journal};
use apograph_replication::order::Held;
use apograph_store::{Store, StoreError};

use super::applier::{Applier, Compared};
use super::file::DatabaseFile;
use super::part;
use super::side_files::SideFiles;
use super::synchronize::{
    SyncError, SyncMarker, SyncOutcome, finish_installing, is_installing, partition_home, replay_logs,
};
use super::worker::{Worker, chain, compare};
use super::{Database, Drive, Driven, Shared, upkeep};
use crate::Role;
use crate::folder::{Folder, FolderError, disk};
use crate::settings::DatabaseSettings;

/// Why a database cannot be opened. Nothing in it was changed, except what recovery may change.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder does not name it.
    #[error("the settings name no database {name:?}")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// A file of the data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A number of partitions out of range.
    #[error(transparent)]
    Partitioning(#[from] PartitioningError),
    /// A digest key in `database.json` cannot be read.
    #[error("the digest key of the {view} view cannot be read")]
    DigestKey {
        /// Of which view.
        view: View,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes: {reason}")]
    Random {
        /// Why.
        reason: String,
    },
    /// The journal of a partition is damaged, foreign, or in use.
    #[error("journal of partition {partition}: {error}")]
    Journal {
        /// Which.
        partition: PartitionId,
        /// What is wrong.
        #[source]
        error: apograph_journal::OpenError,
    },
    /// The journal of a partition cannot be made.
    #[error("journal of partition {partition}: {error}")]
    Create {
        /// Which.
        partition: PartitionId,
        /// What is wrong.
        #[source]
        error: apograph_journal::CreateError,
    },
    /// The store of a partition is damaged or in use.
    #[error("store of partition {partition}: {error}")]
    Store {
        /// Which.
        partition: PartitionId,
        /// What is wrong.
        #[source]
        error: StoreError,
    },
    /// These are the files of the primary, and this server is another: two would take writes.
    #[error(
        "this is the database as its primary {primary} has it, and this server is another: give this one an empty folder, and it becomes a copy"
    )]
    OfAnotherServer {
        /// Name of the primary.
        primary: String,
    },
    /// A partition was there, and is not.
    #[error("partition {partition} is lost: {} holds no journal; make this server a new copy, or restore a backup", path.display())]
    Lost {
        /// Which.
        partition: PartitionId,
        /// Where its journal was.
        path: PathBuf,
    },
    /// The store of a partition was there, and is not, and its journal does not have what a synchronization brought.
    #[error(
        "partition {partition} is lost: {} is not there, and a synchronization that was begun is not over; make this server a new copy", path.display()
    )]
    LostStore {
        /// Which.
        partition: PartitionId,
        /// Where its store was.
        path: PathBuf,
    },
    /// A synchronization that was begun cannot be taken up again.
    #[error("a synchronization that was begun cannot be taken up: {0}")]
    Synchronize(#[from] SyncError),
    /// The partitions that the settings name cannot be held.
    #[error(transparent)]
    Held(#[from] part::HeldError),
    /// Store and journal do not fit together, or replay failed.
    #[error("recovery failed: {reason}")]
    Recovery {
        /// Why.
        reason: String,
    },
}

impl Database {
    pub(crate) fn open(
        folder: &Folder,
        name: &str,
        path: &Path,
        settings: &DatabaseSettings,
        file: DatabaseFile,
    ) -> Result<Database, OpenError> {
        // Who was fenced knows another primary by now, and its own epoch as well.
        let is_mine = file.epochs.iter().any(|start| start.primary.key == folder.identity().key);
        if file.role == Role::Primary && !is_mine {
            return Err(OpenError::OfAnotherServer { primary: file.primary.name });
        }
        part::check(settings, &file)?;
        let side_files = SideFiles::open(path, file.partitions)?;
        let mut marker = SyncMarker::read(path)?;
        if file.complete && !is_installing(marker.as_ref()) {
            find_lost(path, &file)?;
        }
        if file.complete && marker.is_some() {
            find_lost_stores(path, &file)?;
        }
        prepare_spool(path)?;
        let stores = open_stores(path, &file, settings)?;
        if let Some(marker) = &marker {
            let homes = file.held().iter().map(|partition| partition_home(path, partition));
            replay_logs(homes.zip(stores.iter().map(Arc::as_ref)), marker.snapshot.at)?;
        }
        if let Some(installing) = marker.take_if(|marker| is_installing(Some(marker))) {
            let options = settings.journal_options(file.held_count(), file.role);
            finish_installing(path, &file, options, &stores, &installing, &side_files)?;
        }
        let mut journals = Vec::new();
        for partition in file.held().iter() {
            let home = partition_home(path, partition);
            journals.push(open_journal(&home, &file, settings, partition)?);
        }
        let is_primary = file.role == Role::Primary;
        let upkeep = folder.drive().has_threads().then(|| upkeep::Upkeep::start(name, &stores));
        let held = part::read(path, name, &file);
        let (applier, passed) = replay(name, &stores, &mut journals, is_primary, &held)?;
        let readers = journals.iter().map(Journal::reader).collect();
        let key = folder.signing_key();
        let sync = (marker, SyncOutcome::read(path)?);
        let path = path.to_owned();
        let server = folder.identity();
        let shared = Shared::new(name, file, settings, server, key, stores, readers, path, sync, side_files);
        let shared = Arc::new(shared);
        if !shared.file().complete {
            shared.change_file(|file| file.complete = true)?;
        }
        shared.find_sources().map_err(|reason| OpenError::Recovery { reason })?;
        for compared in passed.values() {
            compare(&shared, compared);
        }
        let database = Database::start(shared, journals, applier, upkeep, folder.drive());
        if is_primary && database.fenced().is_none() && database.stopped().is_none() {
            let announced = database.announce(&folder.identity());
            announced
                .map_err(|error| OpenError::Recovery { reason: format!("the server document: {error}") })?;
        }
        Ok(database)
    }

    fn start(
        shared: Arc<Shared>,
        journals: Vec<Journal>,
        applier: Applier,
        upkeep: Option<upkeep::Upkeep>,
        drive: Drive,
    ) -> Database {
        let mut worker = Worker::new(Arc::clone(&shared), journals, applier);
        // Publishes what recovery found: positions, bytes, and what can be read.
        if let Err(reason) = worker.apply() {
            shared.stall(reason);
        }
        let promoting = shared.file().promoting.clone();
        if let Some(promoting) = promoting
            && let Err(reason) = worker.finish_promotion(&promoting)
        {
            shared.stop(format!("a promotion could not be finished, the next start does: {reason}"));
        }
        let driven = Driven::start(Arc::clone(&shared), worker, upkeep, drive);
        Database { shared, driven: Arc::new(driven) }
    }
}

pub(crate) fn open_stores(
    path: &Path,
    file: &DatabaseFile,
    settings: &DatabaseSettings,
) -> Result<Vec<Arc<Store>>, OpenError> {
    let count = file.held_count();
    let open = |partition: PartitionId| {
        let home = partition_home(path, partition);
        let genesis = Beginning::genesis(&identity(file, partition));
        let beginning = (genesis.after, genesis.timestamp);
        Store::open(&home.join("store"), &settings.store_options(count), file.trees()?, beginning)
            .map(Arc::new)
            .map_err(|error| OpenError::Store { partition, error })
    };
    let stores = file.held().iter().map(open).collect::<Result<_, _>>()?;
    sync_names(path, file)?;
    Ok(stores)
}

/// The names of folders that may have been made just now are on disk before anything in them counts: a store that a power
/// cut took is not missed, where its journal still has everything, but it is by readers of a copy that synchronizes.
fn sync_names(path: &Path, file: &DatabaseFile) -> Result<(), FolderError> {
    let sync =
        |folder: &Path| fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk(folder));
    for partition in file.held().iter() {
        let home = partition_home(path, partition);
        sync(&home.join("store"))?;
        sync(&home)?;
    }
    sync(&path.join("partitions"))?;
    sync(path)
}

/// Whoever makes a lost partition anew cuts every transaction that it had a part in.
fn find_lost(path: &Path, file: &DatabaseFile) -> Result<(), OpenError> {
    for partition in file.held().iter() {
        let journal = partition_home(path, partition).join("journal");
        let is_segment =
            |entry: fs::DirEntry| entry.path().extension().is_some_and(|found| found == "segment");
        let mut entries = fs::read_dir(&journal).into_iter().flatten().flatten();
        if !entries.any(is_segment) {
            return Err(OpenError::Lost { partition, path: journal });
        }
    }
    Ok(())
}

/// A store is made again from its journal, but not what a synchronization brought: the log of that has only what no flush
/// had yet.
fn find_lost_stores(path: &Path, file: &DatabaseFile) -> Result<(), OpenError> {
    for partition in file.held().iter() {
        let store = partition_home(path, partition).join("store/engine");
        if !store.exists() {
            return Err(OpenError::LostStore { partition, path: store });
        }
    }
    Ok(())
}

fn identity(file: &DatabaseFile, partition: PartitionId) -> Identity {
    Identity { database: file.id, view: file.role.view(), partition, partitioning: file.partitions }
}

fn prepare_spool(path: &Path) -> Result<(), OpenError> {
    let spool = path.join("spool");
    if spool.exists() {
        fs::remove_dir_all(&spool).map_err(disk(&spool))?;
    }
    fs::create_dir_all(&spool).map_err(disk(&spool))?;
    Ok(())
}

pub(crate) fn open_journal(
    home: &Path,
    file: &DatabaseFile,
    settings: &DatabaseSettings,
    partition: PartitionId,
) -> Result<Journal, OpenError> {
    let dir = home.join("journal");
    let identity = identity(file, partition);
    let options = settings.journal_options(file.held_count(), file.role);
    let genesis = Beginning::genesis(&identity);
    let opened = match Journal::open(&dir, Some(&identity), options) {
        Err(apograph_journal::OpenError::Empty { .. }) => None,
        Err(apograph_journal::OpenError::Io(failure)) if !dir.exists() => {
            tracing::debug!(%failure, "a new journal");
            None
        }
        opened => Some(opened.map_err(|error| OpenError::Journal { partition, error })?),
    };
    let Some((journal, recovery)) = opened else {
        let journal = Journal::create(&dir, identity, options, genesis)
            .map_err(|error| OpenError::Create { partition, error })?;
        return Ok(journal);
    };
    if let Some(torn) = recovery.torn_tail {
        tracing::warn!(
            file = %torn.file.display(), offset = torn.offset, bytes = torn.bytes, reason = %torn.reason,
            "cut a torn tail"
        );
    }
    // A journal that begins mid-history needs a store that is at least as far: `replay` finds out that a new one,
    // which stands at the genesis, is not.
    Ok(journal)
}

impl Shared {
    /// A copy of a derived view may hold entries that it could not apply yet; they count for where it goes on.
    pub(super) fn find_sources(&self) -> Result<(), String> {
        if self.view() == View::Full {
            return Ok(());
        }
        let of_store =
            |store: &Arc<Store>| store.progress().source.map(|position| SourcePoint { position, entries: 0 });
        self.health().sources = self.stores.iter().map(of_store).collect();
        for (partition, store) in self.held.iter().zip(&self.stores) {
            let Some(journal) = self.journal(partition) else { continue };
            let mut entries = journal.entries(&store.progress().position).map_err(|error| chain(&error))?;
            while let Some(entry) = entries.next().map_err(|error| chain(&error))? {
                self.advance_source(partition, &[entry]);
            }
        }
        Ok(())
    }
}

/// Brings the stores to the end of the journals. On a primary what is incomplete at the end was never acknowledged,
/// and is cut; on a copy the rest is still to come. Answers the last checkpoints passed, to be compared.
fn replay(
    name: &str,
    stores: &[Arc<Store>],
    journals: &mut [Journal],
    is_primary: bool,
    held: &Held,
) -> Result<(Applier, BTreeMap<PartitionId, Compared>), OpenError> {
    let recovery = |reason: String| OpenError::Recovery { reason };
    for (index, (store, journal)) in held.partitions.iter().zip(stores.iter().zip(journals.iter())) {
        let (at, end, start) = (store.progress().position, journal.end(), journal.start());
        if at.sequence > end.sequence || at.sequence < start.sequence {
            return Err(recovery(format!(
                "partition {index}: the store stands at entry {}, the journal holds {} to {}; restore the folder from a copy",
                at.sequence,
                start.sequence + 1,
                end.sequence
            )));
        }
        let located = journal.reader().locate(&at);
        located.map_err(|error| {
            recovery(format!("partition {index}: store and journal differ: {}", chain(&error)))
        })?;
    }
    let mut applier = Applier::new(stores, journals.iter().map(Journal::reader).collect(), held.clone());
    let mut passed = BTreeMap::new();
    let pass = |compared: Compared| drop(passed.insert(compared.partition, compared));
    applier.run(pass).map_err(|error| recovery(chain(&error)))?;
    if !is_primary || seeded::is(Seeded::TailNotCut) {
        return Ok((applier, passed));
    }
    let mut cut = 0;
    for (partition, journal) in held.partitions.iter().zip(journals.iter_mut()) {
        let Some(position) = applier.position(partition) else { continue };
        if position.sequence < journal.end().sequence {
            cut += journal.cut_after(&position).map_err(|error| recovery(chain(&error)))?;
        }
    }
    if cut > 0 {
        tracing::warn!(
            database = name,
            entries = cut,
            "cut entries of transactions that were never complete"
        );
        let readers = journals.iter().map(Journal::reader).collect();
        applier = Applier::new(stores, readers, held.clone());
    }
    Ok((applier, passed))
}
