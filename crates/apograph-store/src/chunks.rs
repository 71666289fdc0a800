//! Payloads too large for the engine: one file each, named by hash, in 256 folders.
//!
//! A file appears under its name only when whole (temporary name, then rename). It is durable only after
//! [`ChunkFiles::sync`], which the store calls before it applies the transaction that names it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use apograph_format::Hash;

use crate::error::StoreError;

pub(crate) struct ChunkFiles {
    root: PathBuf,
    unsynced: Mutex<BTreeSet<Hash>>,
}

impl ChunkFiles {
    pub(crate) fn open(root: PathBuf) -> Result<ChunkFiles, StoreError> {
        fs::create_dir_all(&root).map_err(|error| chunk_error(&root, error))?;
        Ok(ChunkFiles { root, unsynced: Mutex::default() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn write(&self, hash: &Hash, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(hash);
        let temporary = path.with_extension("part");
        let write = || -> io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            File::create(&temporary)?.write_all(bytes)?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|error| chunk_error(&path, error))?;
        self.unsynced().insert(*hash);
        Ok(())
    }

    /// Makes everything written so far durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let hashes = std::mem::take(&mut *self.unsynced());
        let mut folders = BTreeSet::from([self.root.clone()]);
        for hash in &hashes {
            let path = self.path(hash);
            match File::open(&path).and_then(|file| file.sync_data()) {
                // Erased again before anybody needed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result.map_err(|error| chunk_error(&path, error))?,
            }
            folders.extend(path.parent().map(Path::to_owned));
        }
        if hashes.is_empty() {
            return Ok(());
        }
        folders.iter().try_for_each(|folder| {
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|error| chunk_error(folder, error))
        })
    }

    /// Is there a file of this name?
    pub(crate) fn holds(&self, hash: &Hash) -> Result<bool, StoreError> {
        let path = self.path(hash);
        path.try_exists().map_err(|error| chunk_error(&path, error))
    }

    /// The bytes, checked against their name.
    pub(crate) fn read(&self, hash: &Hash) -> Result<Option<Bytes>, StoreError> {
        let path = self.path(hash);
        match fs::read(&path) {
            Ok(bytes) if Hash::of(&bytes) == *hash => Ok(Some(bytes.into())),
            Ok(_) => Err(StoreError::Payload { hash: *hash }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(chunk_error(&path, error)),
        }
    }

    /// Removes the file: its bytes are overwritten first, so that they are gone from the file system's free space
    /// as far as a program can see to it.
    pub(crate) fn erase(&self, hash: &Hash) -> Result<(), StoreError> {
        let path = self.path(hash);
        let erase = || -> io::Result<()> {
            let length = fs::metadata(&path)?.len();
            let mut file = File::options().write(true).open(&path)?;
            io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
            file.sync_data()?;
            fs::remove_file(&path)?;
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        match erase() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(chunk_error(&path, error)),
            _ => Ok(()),
        }
    }

    fn unsynced(&self) -> std::sync::MutexGuard<'_, BTreeSet<Hash>> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        let name = hash.to_string();
        let (folder, _) = name.split_at(2);
        self.root.join(folder).join(&name)
    }
}

fn chunk_error(path: &Path, error: io::Error) -> StoreError {
    StoreError::Chunk { path: path.to_owned(), error }
}
