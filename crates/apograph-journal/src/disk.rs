//! Everything this crate changes on disk goes through here: a seam where tests let writes fail, tear, or stop.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use apograph_format::seeded::{self, Seeded};

use crate::error::IoFailure;

/// The disk. In tests it can be told to fail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) faults: std::sync::Arc<crate::tests::faults::Faults>,
}

impl Disk {
    /// Writes all of `bytes` at `offset`. Not durable.
    pub(crate) fn write(&self, file: &File, path: &Path, bytes: &[u8], offset: u64) -> Result<(), IoFailure> {
        #[cfg(test)]
        self.faults.write(file, bytes, offset).map_err(IoFailure::of("write", path))?;
        file.write_all_at(bytes, offset).map_err(IoFailure::of("write", path))
    }

    /// Bytes that the file's disk has left; none where that is not known.
    pub(crate) fn room(&self, file: &File) -> u64 {
        rustix::fs::fstatvfs(file).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Data and length of the file are durable on return.
    pub(crate) fn sync(&self, file: &File, path: &Path) -> Result<(), IoFailure> {
        if seeded::is(Seeded::SyncLeftOut) {
            return Ok(());
        }
        #[cfg(test)]
        self.faults.sync().map_err(IoFailure::of("sync", path))?;
        let synced = file.sync_data();
        if seeded::is(Seeded::SyncFailureIgnored) {
            return Ok(());
        }
        synced.map_err(IoFailure::of("sync", path))
    }

    /// The names in the folder are durable on return.
    pub(crate) fn sync_folder(&self, dir: &Path) -> Result<(), IoFailure> {
        if seeded::is(Seeded::FolderSyncLeftOut) {
            return Ok(());
        }
        #[cfg(test)]
        self.faults.sync().map_err(IoFailure::of("sync", dir))?;
        File::open(dir).and_then(|folder| folder.sync_all()).map_err(IoFailure::of("sync", dir))
    }

    /// Opens for reading and writing; with `create` an empty file, whatever was there before.
    pub(crate) fn open(&self, path: &Path, create: bool) -> Result<File, IoFailure> {
        #[cfg(test)]
        self.faults.step(create).map_err(IoFailure::of("create", path))?;
        let action = if create { "create" } else { "open" };
        File::options()
            .read(true)
            .write(true)
            .create(create)
            .truncate(create)
            .open(path)
            .map_err(IoFailure::of(action, path))
    }

    /// Cuts the file to `length` bytes. Not durable.
    pub(crate) fn truncate(&self, file: &File, path: &Path, length: u64) -> Result<(), IoFailure> {
        #[cfg(test)]
        self.faults.step(true).map_err(IoFailure::of("truncate", path))?;
        file.set_len(length).map_err(IoFailure::of("truncate", path))
    }

    /// Not durable until the folder is synced.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), IoFailure> {
        #[cfg(test)]
        self.faults.step(true).map_err(IoFailure::of("rename", from))?;
        fs::rename(from, to).map_err(IoFailure::of("rename", from))
    }

    /// Not durable until the folder is synced.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), IoFailure> {
        #[cfg(test)]
        self.faults.step(true).map_err(IoFailure::of("remove", path))?;
        fs::remove_file(path).map_err(IoFailure::of("remove", path))
    }
}
