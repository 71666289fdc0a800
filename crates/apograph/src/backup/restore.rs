//! Making a database of a backup: as it was at the time of the backup, at an earlier one, or, with later segments, at a
//! later one. It is built beside its place and moved there when it is proven.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use apograph_format::{Epoch, PartitionId, Position, Right, Timestamp};
use apograph_journal::{Beginning, Identity, Journal, JournalReader, LocateError};
use apograph_replication::order::Held;
use apograph_store::Store;

use super::create::{hash_file, make_folder, walk};
use super::list::{ListReader, Listed, inside};
use super::{BackupError, LIST, Manifest, Monitor, Phase, Progress, damaged, disk, tell};
use crate::Role;
use crate::database::roles::{EpochStart, Promoting};
use crate::database::{Applier, DatabaseFile, chain, open_journal, open_stores, partition_home, view_status};
use crate::folder::Folder;
use crate::settings::DatabaseSettings;
use crate::status::ViewStatus;

/// What is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The folder of the backup.
    pub backup: PathBuf,
    /// As of this time; the time of the backup when absent.
    pub at: Option<Timestamp>,
    /// A later backup, or a copy of the database's folder: its journals continue the backup's.
    pub archive: Option<PathBuf>,
    /// A database that is there already is moved aside.
    pub replace: bool,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The folder of the database.
    pub path: PathBuf,
    /// What the server of this data folder is for it.
    pub role: Role,
    /// Its epoch: a restored primary begins a new one.
    pub epoch: Epoch,
    /// The state is that of this time.
    pub at: Timestamp,
    /// The same for people.
    pub time: String,
    /// Digests of the state, by view.
    pub digests: Vec<ViewStatus>,
    /// Where the database that was there is now.
    pub moved_aside: Option<PathBuf>,
}

impl Folder {
    /// Makes a database of a backup. The settings of this folder name it, and say what the server is for it. Blocks;
    /// durable on return. Interrupted, nothing is there, and it may be repeated.
    pub fn restore(
        &self,
        name: &str,
        request: &RestoreRequest,
        monitor: Monitor<'_>,
    ) -> Result<Restored, BackupError> {
        let unknown = || BackupError::Unknown { name: name.to_owned() };
        let settings = self.settings().databases.get(name).ok_or_else(unknown)?;
        let (manifest, _) = Manifest::read(&request.backup)?;
        check(&manifest, settings, request)?;
        let home = self.database_path(name);
        let is_occupied = home.join("database.json").exists() || home.join("partitions").exists();
        if is_occupied && !request.replace {
            return Err(BackupError::Occupied { path: home });
        }
        let building = home.with_file_name(format!("{name}.restoring"));
        if building.exists() {
            fs::remove_dir_all(&building).map_err(disk(&building))?;
        }
        copy(&request.backup, &building, &manifest, monitor)?;
        let epoch_before = if is_occupied { last_epoch(&home) } else { Epoch::NONE };
        let build = Build { folder: self, name, settings, home: &building, manifest: &manifest };
        let restored = build.run(request, epoch_before, monitor)?;
        sync_folders(&building)?;
        let moved_aside = if home.exists() { Some(move_aside(&home)?) } else { None };
        fs::rename(&building, &home).map_err(disk(&home))?;
        if let Some(parent) = home.parent() {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(disk(parent))?;
        }
        Ok(Restored { path: home, moved_aside, ..restored })
    }
}

fn check(
    manifest: &Manifest,
    settings: &DatabaseSettings,
    request: &RestoreRequest,
) -> Result<(), BackupError> {
    let (found, wanted) = (manifest.view, settings.role.view());
    if found != wanted {
        return Err(BackupError::View { found, wanted });
    }
    if settings.role == Role::Primary && !manifest.whole {
        return Err(BackupError::NotWhole);
    }
    match request.at {
        Some(asked) if asked > manifest.at && request.archive.is_none() => {
            Err(BackupError::Ahead { end: manifest.at, asked })
        }
        Some(asked) if asked < manifest.horizon => {
            Err(BackupError::BelowHorizon { horizon: manifest.horizon, asked })
        }
        _ => Ok(()),
    }
}

/// Copies every file, and checks it on the way.
fn copy(from: &Path, to: &Path, manifest: &Manifest, monitor: Monitor<'_>) -> Result<(), BackupError> {
    let list = from.join(LIST);
    if hash_file(&list)?.0 != manifest.list {
        return Err(damaged(&list, "its hash is not that of the manifest"));
    }
    make_folder(to)?;
    let mut progress = Progress { phase: Phase::Copy, bytes_total: manifest.bytes, ..Progress::default() };
    for listed in ListReader::open(&list)? {
        let listed = listed?;
        let (Some(source), Some(target)) = (inside(from, &listed.path), inside(to, &listed.path)) else {
            continue;
        };
        if let Some(folder) = target.parent() {
            make_folder(folder)?;
        }
        copy_file(&source, &target, &listed)?;
        progress.files += 1;
        progress.bytes += listed.bytes;
        tell(monitor, progress)?;
    }
    Ok(())
}

fn copy_file(source: &Path, target: &Path, listed: &Listed) -> Result<(), BackupError> {
    let mut from = File::open(source).map_err(disk(source))?;
    let mut to =
        File::options().create_new(true).write(true).mode(0o600).open(target).map_err(disk(target))?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        let read = from.read(&mut piece).map_err(disk(source))?;
        let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
        hasher.update(piece);
        to.write_all(piece).map_err(disk(target))?;
    }
    if hasher.finalize().as_bytes() != listed.blake3.as_bytes() {
        return Err(damaged(source, "its hash differs"));
    }
    to.sync_all().map_err(disk(target))
}

/// A database that is built of the files of a backup.
struct Build<'a> {
    folder: &'a Folder,
    name: &'a str,
    settings: &'a DatabaseSettings,
    home: &'a Path,
    manifest: &'a Manifest,
}

impl Build<'_> {
    fn run(
        &self,
        request: &RestoreRequest,
        epoch_before: Epoch,
        monitor: Monitor<'_>,
    ) -> Result<Restored, BackupError> {
        let missing = || damaged(&request.backup, "it has no database.json");
        let mut file = DatabaseFile::read(self.home)?.ok_or_else(missing)?;
        file.role = self.settings.role;
        (file.promoting, file.handover, file.rival) = (None, None, None);
        let to = request.at.unwrap_or(self.manifest.at);
        tell(monitor, Progress { phase: Phase::Replay, ..Progress::default() })?;
        if to < self.manifest.at {
            let options = self.settings.store_options(file.partitions.count()).engine;
            for partition in file.partitions.all() {
                Store::rewind(&partition_home(self.home, partition).join("store"), &options, to)?;
            }
        }
        let stores = open_stores(self.home, &file, self.settings)?;
        let mut journals = Vec::new();
        for (partition, store) in file.partitions.all().zip(&stores) {
            journals.push(self.journal(&file, partition, store)?);
        }
        if let Some(archive) = &request.archive {
            for (partition, journal) in file.partitions.all().zip(&mut journals) {
                append(journal, archive, partition, to, monitor)?;
            }
        }
        let applier = apply(&file, &stores, &journals, self.manifest.whole)?;
        cut(&mut journals, &stores)?;
        let at = applier.applied();
        let digests = digests(&stores, at);
        if to == self.manifest.at && at == to && digests != self.manifest.digests {
            return Err(BackupError::Unequal { reason: "its digests are not those of the manifest".into() });
        }
        let mut epoch = self.manifest.epoch;
        if file.role == Role::Primary {
            // Decided here; the first start of the server writes it into the journals.
            let previous_epoch = journals.iter().map(|journal| journal.end().epoch).max().unwrap_or_default();
            let previous_epoch = previous_epoch.max(Epoch::FIRST);
            let heard = epoch.max(file.epoch).max(epoch_before);
            let me = self.folder.identity();
            let none_left = || BackupError::Stopped { reason: "no epoch is left".to_owned() };
            epoch = heard.next(&me.key, Right::Taken).ok_or_else(none_left)?;
            // What began behind the time asked for did not happen in this history.
            file.epochs.retain(|start| start.base <= at);
            file.note(EpochStart { epoch, previous: Some(previous_epoch), base: at, primary: me });
            let reason = format!("restored of a backup, as of {}", at.to_rfc3339());
            file.promoting = Some(Promoting { epoch, previous_epoch, reason });
        }
        file.write(self.home)?;
        for (journal, store) in journals.iter_mut().zip(&stores) {
            store.flush()?;
            let acknowledged = journal.end();
            let failed = |error: &dyn std::error::Error| journal_failed(self.name, error);
            journal.acknowledge(&acknowledged).map_err(|error| failed(&error))?;
            journal.sync_acknowledged().map_err(|error| failed(&error))?;
        }
        let path = self.home.to_owned();
        let time = at.to_rfc3339();
        Ok(Restored { path, role: file.role, epoch, at, time, digests, moved_aside: None })
    }

    /// The journal, ending where the store stands.
    fn journal(
        &self,
        file: &DatabaseFile,
        partition: PartitionId,
        store: &Store,
    ) -> Result<Journal, BackupError> {
        let home = partition_home(self.home, partition);
        let at = store.progress();
        let mut journal = open_journal(&home, file, self.settings, partition)?;
        let failed = |error: &dyn std::error::Error| journal_failed(self.name, error);
        if at.position.sequence >= journal.start().sequence {
            journal.rewind(&at.position).map_err(|error| failed(&error))?;
            return Ok(journal);
        }
        // The journal of the backup does not reach back so far; one that begins there does as well.
        drop(journal);
        let dir = home.join("journal");
        fs::remove_dir_all(&dir).map_err(disk(&dir))?;
        let view = file.role.view();
        let identity = Identity { database: file.id, view, partition, partitioning: file.partitions };
        let beginning = Beginning { after: at.position, timestamp: at.timestamp, bytes: 0 };
        let options = self.settings.journal_options(file.partitions.count(), file.role);
        Journal::create(&dir, identity, options, beginning).map_err(|error| failed(&error))
    }
}

/// Appends what a later journal of the same partition has up to a time.
fn append(
    journal: &mut Journal,
    archive: &Path,
    partition: PartitionId,
    to: Timestamp,
    monitor: Monitor<'_>,
) -> Result<(), BackupError> {
    let dir = archive.join(format!("partitions/{:03}/journal", partition.0));
    let failed =
        |error: &dyn std::error::Error| BackupError::Archive { path: dir.clone(), reason: chain(error) };
    let (reader, _) = JournalReader::open_read_only(&dir).map_err(|error| failed(&error))?;
    if reader.identity() != journal.identity() {
        let reason = format!("they are of {}, the backup is of {}", reader.identity(), journal.identity());
        return Err(BackupError::Archive { path: dir, reason });
    }
    if reader.end().sequence <= journal.end().sequence {
        // An idle partition has nothing later; another history is refused.
        return match journal.reader().locate(&reader.end()) {
            Ok(()) | Err(LocateError::Gone { .. }) => Ok(()),
            Err(error) => Err(failed(&error)),
        };
    }
    let mut entries = reader.entries(&journal.end()).map_err(|error| failed(&error))?;
    let mut progress = Progress { phase: Phase::Replay, ..Progress::default() };
    while let Some(entry) = entries.next().map_err(|error| failed(&error))? {
        if entry.header().timestamp > to {
            break;
        }
        journal.append(&entry).map_err(|error| failed(&error))?;
        progress.files += 1;
        progress.bytes += entry.bytes().len() as u64;
        tell(monitor, progress)?;
    }
    journal.sync().map(drop).map_err(|error| failed(&error))
}

/// Applies, in timestamp order, what the journals have beyond the stores.
fn apply(
    file: &DatabaseFile,
    stores: &[Arc<Store>],
    journals: &[Journal],
    whole: bool,
) -> Result<Applier, BackupError> {
    let held = Held::all(file.partitions.everyone());
    let mut applier = Applier::new(stores, journals.iter().map(Journal::reader).collect(), held);
    let mut unequal = None;
    let compared = applier.run(|compared| {
        for (view, found, documents) in &compared.found {
            if let Some(expected) = compared.checkpoint.digest(*view)
                && (expected.digest != *found || expected.documents != *documents)
            {
                unequal.get_or_insert(compared.at);
            }
        }
    });
    compared.map_err(|error| BackupError::Unequal { reason: chain(&error) })?;
    match unequal {
        Some(at) if whole => {
            Err(BackupError::Unequal { reason: format!("it differs from the checkpoint at {at}") })
        }
        _ => Ok(applier),
    }
}

/// What is not complete in all partitions did not happen yet.
fn cut(journals: &mut [Journal], stores: &[Arc<Store>]) -> Result<(), BackupError> {
    for (journal, store) in journals.iter_mut().zip(stores) {
        let position: Position = store.progress().position;
        if journal.end().sequence > position.sequence {
            journal.rewind(&position).map_err(|error| journal_failed("", &error))?;
        }
    }
    Ok(())
}

fn digests(stores: &[Arc<Store>], at: Timestamp) -> Vec<ViewStatus> {
    let of = |view| {
        let parts: Option<Vec<_>> = stores.iter().map(|store| store.digest(view)).collect();
        parts.map(|parts| view_status(view, &parts, at))
    };
    apograph_format::View::ALL.into_iter().filter_map(of).collect()
}

fn journal_failed(name: &str, error: &dyn std::error::Error) -> BackupError {
    BackupError::Stopped { reason: format!("a journal of {name}: {}", chain(error)) }
}

/// The highest epoch that a database which is there has heard of, as far as it can be read.
fn last_epoch(home: &Path) -> Epoch {
    let heard = DatabaseFile::read(home).ok().flatten().map_or(Epoch::NONE, |file| file.epoch);
    let Ok(partitions) = fs::read_dir(home.join("partitions")) else { return heard };
    let epoch = |entry: fs::DirEntry| {
        let (reader, _) = JournalReader::open_read_only(&entry.path().join("journal")).ok()?;
        Some(reader.end().epoch)
    };
    partitions.filter_map(Result::ok).filter_map(epoch).max().unwrap_or_default().max(heard)
}

fn move_aside(home: &Path) -> Result<PathBuf, BackupError> {
    let now = Timestamp(crate::database::now_us());
    let name = home.file_name().unwrap_or_default().to_string_lossy();
    let aside = home.with_file_name(format!("{name}.before-restore-{now}"));
    fs::rename(home, &aside).map_err(disk(home))?;
    Ok(aside)
}

fn sync_folders(dir: &Path) -> Result<(), BackupError> {
    let mut folders = std::collections::BTreeSet::from([dir.to_owned()]);
    walk(dir, dir, &mut |_, file| {
        let within = file.ancestors().skip(1).take_while(|folder| folder.starts_with(dir));
        folders.extend(within.map(Path::to_owned));
        Ok(())
    })?;
    for folder in folders.iter().rev() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk(folder))?;
    }
    Ok(())
}
