//! Writing a backup: what is frozen is copied, or linked to the same bytes of an earlier backup; the manifest comes last.
//!
//! An interrupted backup has no manifest. Made again into the same folder, it keeps the files that are the same by then.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::iter::Peekable;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use apograph_format::{Hash, PartitionId, Timestamp};
use apograph_store::Store;

use super::list::{ListReader, ListWriter, Listed, Stamp, inside, order};
use super::{BackupError, LIST, MANIFEST, Manifest, Phase, Progress, damaged, disk, tell};

/// Bytes read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Where a backup is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRequest {
    /// The folder: new, empty, or with an interrupted backup.
    pub dir: PathBuf,
    /// An earlier backup of the same database: what did not change is linked to it.
    pub previous: Option<PathBuf>,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its manifest.
    pub manifest: Manifest,
    /// Hash of the manifest.
    pub hash: Hash,
    /// How long transactions waited while the state was pinned, in microseconds.
    pub pause_us: u64,
}

/// The state of a database at one moment, pinned.
pub(crate) struct Frozen {
    /// What the manifest says; the list of files is still to come.
    pub(crate) manifest: Manifest,
    pub(crate) database_json: Vec<u8>,
    /// `synchronized.json` of a copy that was synchronized.
    pub(crate) synchronized_json: Option<Vec<u8>>,
    pub(crate) partitions: Vec<FrozenPartition>,
    pub(crate) pause_us: u64,
}

/// One partition of it.
pub(crate) struct FrozenPartition {
    pub(crate) id: PartitionId,
    pub(crate) store: Arc<Store>,
    /// Files below `journal/`.
    pub(crate) journal: Vec<Source>,
    /// Files below `store/engine/`.
    pub(crate) engine: Vec<Source>,
    /// What keeps the engine's files in place.
    pub(crate) _pinned: Box<dyn std::any::Any + Send>,
}

/// One file.
pub(crate) struct Source {
    /// Relative to its folder.
    pub(crate) name: String,
    pub(crate) bytes: SourceBytes,
}

/// Where the bytes of a file are.
pub(crate) enum SourceBytes {
    Here(Vec<u8>),
    /// Whole; `is_immutable` if it never changes under this name.
    File {
        path: PathBuf,
        is_immutable: bool,
    },
    /// The beginning of a file that grows.
    Growing(File, PathBuf, u64),
}

/// Writes a backup of what is frozen.
pub(crate) fn write(
    frozen: Frozen,
    request: &BackupRequest,
    key: &SigningKey,
    monitor: &mut dyn FnMut(Progress) -> bool,
) -> Result<Made, BackupError> {
    let Frozen { mut manifest, database_json, synchronized_json, partitions, pause_us } = frozen;
    let previous = request.previous.as_deref().map(|dir| Previous::open(dir, &manifest)).transpose()?;
    manifest.previous = previous.as_ref().map(|(hash, _)| *hash);
    let mut writer = Writer::begin(&request.dir, previous.map(|(_, previous)| previous), monitor)?;
    writer.add("database.json", &SourceBytes::Here(database_json))?;
    for partition in &partitions {
        writer.partition(partition, manifest.at)?;
    }
    if let Some(json) = synchronized_json {
        writer.add("synchronized.json", &SourceBytes::Here(json))?;
    }
    let (files, bytes, linked, list) = writer.finish()?;
    let manifest = Manifest { files, bytes, bytes_linked: linked, list, ..manifest };
    let hash = manifest.write(&request.dir, key)?;
    Ok(Made { manifest, hash, pause_us })
}

/// Checks, before anything is frozen, that a backup can be written there.
pub(crate) fn check_target(dir: &Path) -> Result<(), BackupError> {
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(disk(dir)(error)),
    };
    match Manifest::read(dir) {
        Err(BackupError::Incomplete { .. }) => Ok(()),
        Err(BackupError::NotABackup { .. }) if entries.next().is_none() => Ok(()),
        Err(BackupError::NotABackup { .. }) => Err(BackupError::NotEmpty { path: dir.to_owned() }),
        Err(error) => Err(error),
        Ok(_) => Err(BackupError::Exists { path: dir.to_owned() }),
    }
}

/// Files that may be the same: those of an earlier backup, or those that an interruption left in the folder.
struct Previous {
    dir: PathBuf,
    files: Peekable<ListReader>,
}

impl Previous {
    fn open(dir: &Path, now: &Manifest) -> Result<(Hash, Previous), BackupError> {
        let (manifest, hash) = Manifest::read(dir)?;
        if manifest.database != now.database {
            let (expected, found) = (now.database, manifest.database);
            return Err(BackupError::Foreign { path: dir.to_owned(), expected, found });
        }
        let list = dir.join(LIST);
        if hash_file(&list)?.0 != manifest.list {
            return Err(damaged(&list, "its hash differs"));
        }
        Ok((hash, Previous::of(dir, &list)?))
    }

    fn of(dir: &Path, list: &Path) -> Result<Previous, BackupError> {
        Ok(Previous { dir: dir.to_owned(), files: ListReader::open(list)?.peekable() })
    }

    /// The file of this path, if it has the same stamp. Paths are asked for in their order.
    fn same(&mut self, path: &str, stamp: Option<Stamp>) -> Option<Listed> {
        let is_before = |listed: &Result<Listed, BackupError>| {
            listed.as_ref().is_ok_and(|listed| order(&listed.path, path).is_lt())
        };
        while self.files.next_if(is_before).is_some() {}
        let listed = self.files.peek()?.as_ref().ok()?;
        (listed.path == path && listed.stamp.is_some() && listed.stamp == stamp).then(|| listed.clone())
    }
}

struct Writer<'a> {
    dir: PathBuf,
    list: ListWriter,
    previous: Option<Previous>,
    /// What an interruption left in this folder.
    before: Option<Previous>,
    folders: BTreeSet<PathBuf>,
    progress: Progress,
    linked: u64,
    monitor: &'a mut dyn FnMut(Progress) -> bool,
}

impl<'a> Writer<'a> {
    fn begin(
        dir: &Path,
        previous: Option<Previous>,
        monitor: &'a mut dyn FnMut(Progress) -> bool,
    ) -> Result<Writer<'a>, BackupError> {
        check_target(dir)?;
        make_folder(dir)?;
        let (part, whole, before) = (part(dir), dir.join(LIST), before(dir));
        // The longest list of what an earlier attempt brought is worth keeping.
        let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let lock = ListWriter::lock(&part)?;
        if let Some(best) = [&part, &whole].into_iter().max_by_key(|path| length(path))
            && length(best) > length(&before)
        {
            fs::copy(best, &before).map_err(disk(&before))?;
        }
        if whole.exists() {
            fs::remove_file(&whole).map_err(disk(&whole))?;
        }
        let list = ListWriter::begin(&part, lock)?;
        let before = before.exists().then(|| Previous::of(dir, &before)).transpose()?;
        let progress = Progress { phase: Phase::Copy, ..Progress::default() };
        let folders = BTreeSet::from([dir.to_owned()]);
        Ok(Writer { dir: dir.to_owned(), list, previous, before, folders, progress, linked: 0, monitor })
    }

    fn partition(&mut self, partition: &FrozenPartition, at: Timestamp) -> Result<(), BackupError> {
        let home = format!("partitions/{:03}", partition.id.0);
        let sizes = partition.journal.iter().chain(&partition.engine).map(|source| source.bytes.length());
        self.progress.bytes_total += sizes.sum::<u64>();
        for source in &partition.journal {
            self.add(&format!("{home}/journal/{}", source.name), &source.bytes)?;
        }
        for file in partition.store.chunk_files(at)? {
            let (hash, path) = file?;
            let name = hash.to_string();
            let (folder, _) = name.split_at(2);
            let source = SourceBytes::File { path, is_immutable: true };
            self.progress.bytes_total += source.length();
            let listed = self.add(&format!("{home}/store/chunks/{folder}/{name}"), &source)?;
            if listed != hash {
                let path = self.dir.join(format!("{home}/store/chunks/{folder}/{name}"));
                return Err(damaged(&path, "the server's file holds other bytes than its name says"));
            }
        }
        for source in &partition.engine {
            self.add(&format!("{home}/store/engine/{}", source.name), &source.bytes)?;
        }
        Ok(())
    }

    /// Brings one file into the backup, and lists it; answers its hash.
    fn add(&mut self, path: &str, source: &SourceBytes) -> Result<Hash, BackupError> {
        tell(self.monitor, self.progress)?;
        let to = inside(&self.dir, path).ok_or_else(|| damaged(Path::new(path), "not a path"))?;
        if let Some(folder) = to.parent()
            && self.folders.insert(folder.to_owned())
        {
            make_folder(folder)?;
            let within = folder.ancestors().take_while(|above| above.starts_with(&self.dir));
            self.folders.extend(within.map(Path::to_owned));
        }
        let stamp = source.stamp()?;
        let listed = match self.reuse(path, &to, stamp)? {
            Some(listed) => {
                self.progress.bytes += listed.bytes;
                listed
            }
            None => self.copy(path, &to, source, stamp)?,
        };
        self.list.add(&listed)?;
        self.progress.files += 1;
        if self.progress.files.is_multiple_of(256) || listed.bytes > PIECE_BYTES as u64 {
            self.list.write_out()?;
        }
        Ok(listed.blake3)
    }

    /// The same bytes from the interrupted backup in this folder, or from an earlier backup.
    fn reuse(&mut self, path: &str, to: &Path, stamp: Option<Stamp>) -> Result<Option<Listed>, BackupError> {
        if stamp.is_none() {
            return Ok(None);
        }
        if let Some(listed) = self.before.as_mut().and_then(|before| before.same(path, stamp))
            // It was perhaps not synced, or only begun.
            && hash_file(to).is_ok_and(|(hash, bytes)| hash == listed.blake3 && bytes == listed.bytes)
        {
            File::open(to).and_then(|file| file.sync_all()).map_err(disk(to))?;
            return Ok(Some(listed));
        }
        let Some(previous) = &mut self.previous else { return Ok(None) };
        let Some(listed) = previous.same(path, stamp) else { return Ok(None) };
        let Some(from) = inside(&previous.dir, path) else { return Ok(None) };
        let is_whole = fs::metadata(&from).is_ok_and(|metadata| metadata.len() == listed.bytes);
        remove_if_there(to)?;
        if is_whole && fs::hard_link(&from, to).is_ok() {
            self.linked += listed.bytes;
            return Ok(Some(listed));
        }
        // Another file system, or too many links: it is copied from the server again.
        Ok(None)
    }

    fn copy(
        &mut self,
        path: &str,
        to: &Path,
        source: &SourceBytes,
        stamp: Option<Stamp>,
    ) -> Result<Listed, BackupError> {
        remove_if_there(to)?;
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(to).map_err(disk(to))?;
        let mut hasher = blake3::Hasher::new();
        let mut bytes = 0;
        let mut reader = source.reader()?;
        let mut piece =
            vec![0; PIECE_BYTES.min(usize::try_from(source.length()).unwrap_or(PIECE_BYTES)).max(1)];
        loop {
            let read = reader.read(&mut piece).map_err(disk(source.path().unwrap_or(to)))?;
            let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
            hasher.update(piece);
            file.write_all(piece).map_err(disk(to))?;
            bytes += piece.len() as u64;
            self.progress.bytes += piece.len() as u64;
            tell(self.monitor, self.progress)?;
        }
        if bytes != source.length() {
            return Err(damaged(source.path().unwrap_or(to), "the server's file ended early"));
        }
        file.sync_all().map_err(disk(to))?;
        Ok(Listed { path: path.to_owned(), bytes, blake3: Hash(*hasher.finalize().as_bytes()), stamp })
    }

    /// Everything but the manifest: durable on return.
    fn finish(self) -> Result<(u64, u64, u64, Hash), BackupError> {
        let Writer { dir, list, folders, linked, .. } = self;
        let (files, bytes) = (list.files, list.bytes);
        let hash = list.finish()?;
        let (part, whole, before) = (part(&dir), dir.join(LIST), before(&dir));
        fs::rename(&part, &whole).map_err(disk(&whole))?;
        remove_if_there(&before)?;
        remove_unlisted(&dir, &whole)?;
        for folder in folders.iter().rev() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk(folder))?;
        }
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(disk(parent))?;
        }
        Ok((files, bytes, linked, hash))
    }
}

impl SourceBytes {
    fn length(&self) -> u64 {
        match self {
            SourceBytes::Here(bytes) => bytes.len() as u64,
            SourceBytes::File { path, .. } => fs::metadata(path).map_or(0, |metadata| metadata.len()),
            SourceBytes::Growing(_, _, length) => *length,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            SourceBytes::Here(_) => None,
            SourceBytes::File { path, .. } | SourceBytes::Growing(_, path, _) => Some(path),
        }
    }

    fn stamp(&self) -> Result<Option<Stamp>, BackupError> {
        match self {
            SourceBytes::Here(_) | SourceBytes::Growing(..) => Ok(None),
            SourceBytes::File { path, is_immutable } => {
                Ok(Stamp::of(&fs::metadata(path).map_err(disk(path))?, *is_immutable))
            }
        }
    }

    fn reader(&self) -> Result<Box<dyn Read + '_>, BackupError> {
        Ok(match self {
            SourceBytes::Here(bytes) => Box::new(bytes.as_slice()),
            SourceBytes::File { path, .. } => Box::new(File::open(path).map_err(disk(path))?),
            SourceBytes::Growing(file, _, length) => Box::new(Beginning { file, at: 0, length: *length }),
        })
    }
}

/// The first bytes of a file that others append to.
struct Beginning<'a> {
    file: &'a File,
    at: u64,
    length: u64,
}

impl Read for Beginning<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..left).unwrap_or_default();
        let read = self.file.read_at(into, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// What an attempt before left, and the list does not name.
fn remove_unlisted(dir: &Path, list: &Path) -> Result<(), BackupError> {
    let mut listed = ListReader::open(list)?.peekable();
    walk(dir, dir, &mut |path, file| {
        while listed.next_if(|listed| listed.as_ref().is_ok_and(|of| order(&of.path, path).is_lt())).is_some()
        {
        }
        let is_listed = listed.peek().is_some_and(|listed| listed.as_ref().is_ok_and(|of| of.path == path));
        if is_listed || [LIST, MANIFEST].contains(&path) { Ok(()) } else { remove_if_there(file) }
    })
}

/// Calls `see` with the path of every file below `folder`, relative to `dir`, in the order of the list.
pub(super) fn walk(
    dir: &Path,
    folder: &Path,
    see: &mut dyn FnMut(&str, &Path) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let entries = fs::read_dir(folder).map_err(disk(folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.map_err(disk(folder))?;
    paths.sort();
    for path in paths {
        if fs::symlink_metadata(&path).map_err(disk(&path))?.is_dir() {
            walk(dir, &path, see)?;
        } else {
            let relative = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
            see(&relative, &path)?;
        }
    }
    Ok(())
}

/// Hash and length of a file.
pub(super) fn hash_file(path: &Path) -> Result<(Hash, u64), BackupError> {
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).map_err(disk(path))?;
    let mut piece = vec![0; 64 << 10];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut piece).map_err(disk(path))?;
        let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
        hasher.update(piece);
        bytes += read as u64;
    }
    Ok((Hash(*hasher.finalize().as_bytes()), bytes))
}

pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(disk(path))
}

fn remove_if_there(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk(path)(error)),
        _ => Ok(()),
    }
}

fn part(dir: &Path) -> PathBuf {
    dir.join(format!("{LIST}.part"))
}

fn before(dir: &Path) -> PathBuf {
    dir.join(format!("{LIST}.before"))
}
