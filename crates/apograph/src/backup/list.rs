//! The list of the files of a backup: a line of JSON for each, in the order of their paths, read and written as a stream.

use std::cmp::Ordering;
use std::fs::{File, Metadata};
use std::io::{BufRead, BufReader, BufWriter, Lines, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use apograph_format::Hash;

use super::{BackupError, damaged, disk};

/// A file that was changed so recently that its time of change could be that of another change is not told by it.
const SETTLED: Duration = Duration::from_secs(2);

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    /// Its path in the backup, with `/`.
    pub(super) path: String,
    /// Its length.
    pub(super) bytes: u64,
    /// BLAKE3 of its bytes.
    pub(super) blake3: Hash,
    /// By what the file of the server can be told from a later one of the same name.
    pub(super) stamp: Option<Stamp>,
}

/// By what a file on a server's disk can be told from a later one of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    /// `is_immutable`: the file is never changed, so its time of change tells of its making.
    pub(super) fn of(metadata: &Metadata, is_immutable: bool) -> Option<Stamp> {
        let modified = metadata.modified().ok()?;
        let is_settled = SystemTime::now().duration_since(modified).is_ok_and(|age| age > SETTLED);
        (is_settled || is_immutable).then(|| Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        })
    }
}

/// The order of paths: component by component, so that it is the order in which folders are walked.
pub(super) fn order(a: &str, b: &str) -> Ordering {
    a.split('/').cmp(b.split('/'))
}

/// The path of a listed file, if it is one inside the folder of the backup.
pub(super) fn inside(dir: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path);
    let is_normal = |component| matches!(component, Component::Normal(_));
    (!path.is_empty() && relative.components().all(is_normal)).then(|| dir.join(relative))
}

/// Writes a list.
pub(super) struct ListWriter {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
    last: String,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl ListWriter {
    /// Nobody else may write this list from now on; what is in it stays.
    pub(super) fn lock(path: &Path) -> Result<File, BackupError> {
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path);
        let file = file.map_err(disk(path))?;
        file.try_lock().map_err(|_| BackupError::Running)?;
        Ok(file)
    }

    /// A new list in a file that was locked.
    pub(super) fn begin(path: &Path, file: File) -> Result<ListWriter, BackupError> {
        file.set_len(0).map_err(disk(path))?;
        Ok(ListWriter {
            path: path.to_owned(),
            file: BufWriter::new(file),
            hasher: blake3::Hasher::new(),
            last: String::new(),
            files: 0,
            bytes: 0,
        })
    }

    pub(super) fn add(&mut self, listed: &Listed) -> Result<(), BackupError> {
        debug_assert!(self.last.is_empty() || order(&self.last, &listed.path).is_lt(), "{}", listed.path);
        let mut line =
            serde_json::to_string(listed).map_err(|error| damaged(&self.path, error.to_string()))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(disk(&self.path))?;
        self.hasher.update(line.as_bytes());
        self.files += 1;
        self.bytes += listed.bytes;
        self.last.clone_from(&listed.path);
        Ok(())
    }

    /// Writes out what is still in memory, so that an interrupted backup can be taken up; not synced.
    pub(super) fn write_out(&mut self) -> Result<(), BackupError> {
        self.file.flush().map_err(disk(&self.path))
    }

    /// Durable on return; answers the hash of the list.
    pub(super) fn finish(mut self) -> Result<Hash, BackupError> {
        self.write_out()?;
        self.file.get_ref().sync_all().map_err(disk(&self.path))?;
        Ok(Hash(*self.hasher.finalize().as_bytes()))
    }
}

/// Reads a list from its beginning.
pub(super) struct ListReader {
    path: PathBuf,
    lines: Lines<BufReader<File>>,
    last: Option<String>,
}

impl ListReader {
    pub(super) fn open(path: &Path) -> Result<ListReader, BackupError> {
        let file = File::open(path).map_err(disk(path))?;
        let lines = BufReader::new(file).lines();
        Ok(ListReader { path: path.to_owned(), lines, last: None })
    }
}

impl Iterator for ListReader {
    type Item = Result<Listed, BackupError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = match self.lines.next()? {
            Ok(line) => line,
            Err(error) => return Some(Err(damaged(&self.path, error.to_string()))),
        };
        let listed = serde_json::from_str::<Listed>(&line)
            .map_err(|error| damaged(&self.path, error.to_string()))
            .and_then(|listed| match &self.last {
                Some(last) if order(last, &listed.path).is_ge() => {
                    Err(damaged(&self.path, format!("{} does not follow {last}", listed.path)))
                }
                _ if inside(Path::new(""), &listed.path).is_none() => {
                    Err(damaged(&self.path, format!("{:?} lies outside of the backup", listed.path)))
                }
                _ => Ok(listed),
            });
        if let Ok(listed) = &listed {
            self.last = Some(listed.path.clone());
        }
        Some(listed)
    }
}
