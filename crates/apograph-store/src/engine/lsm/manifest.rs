//! The check of a tree's manifest that the library leaves out.
//!
//! Its file `current` names the manifest and carries its checksum, but opening does not compare: a flipped bit could
//! lose a table or move its versions.
//!
//! ```text
//! current:  0  8  number of the manifest, little-endian; the file is v<number>
//!           8 16  XXH3-128 of the manifest, little-endian
//!          24  1  0, the kind of checksum
//! ```

use std::{fs, io::ErrorKind, path::Path};

use xxhash_rust::xxh3::xxh3_128;

use super::{folder::io_error, reading::damaged};
use crate::engine::EngineError;

/// Checks the manifest in the folder of a tree. Without one the library would start an empty tree, so it may be
/// absent only where `may_be_new`.
pub(super) fn check(folder: &Path, may_be_new: bool) -> Result<(), EngineError> {
    let Some(current) = read(folder, "current")? else {
        let missing = || damaged(folder, "the file current is missing");
        return if may_be_new { Ok(()) } else { Err(missing()) };
    };
    let (number, checksum) = decode(folder, &current)?;

    let name = format!("v{number}");
    let manifest = read(folder, &name)?.ok_or_else(|| damaged(folder, "the manifest is missing"))?;
    if xxh3_128(&manifest) != checksum {
        return Err(damaged(&folder.join(name), "the checksum of the manifest differs"));
    }
    Ok(())
}

/// The manifest of a tree, as it stands in its files.
pub(super) struct Manifest {
    pub(super) number: u64,
    /// The file `current`.
    pub(super) current: Vec<u8>,
    pub(super) bytes: Vec<u8>,
}

/// `None` if it is being replaced: try again.
pub(super) fn read_whole(folder: &Path) -> Result<Option<Manifest>, EngineError> {
    let current = read(folder, "current")?.ok_or_else(|| damaged(folder, "the file current is missing"))?;
    let (number, checksum) = decode(folder, &current)?;
    let name = format!("v{number}");
    match read(folder, &name)? {
        None => Ok(None),
        Some(bytes) if xxh3_128(&bytes) == checksum => Ok(Some(Manifest { number, current, bytes })),
        Some(_) => Err(damaged(&folder.join(name), "the checksum of the manifest differs")),
    }
}

fn decode(folder: &Path, current: &[u8]) -> Result<(u64, u128), EngineError> {
    let malformed = || damaged(&folder.join("current"), "malformed");
    let current: &[u8; 25] = current.try_into().map_err(|_| malformed())?;
    let (number, checksum) = current.split_at(8);
    let number = u64::from_le_bytes(number.try_into().map_err(|_| malformed())?);
    match checksum.split_first_chunk::<16>() {
        Some((checksum, [0])) => Ok((number, u128::from_le_bytes(*checksum))),
        _ => Err(malformed()),
    }
}

fn read(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, EngineError> {
    let path = folder.join(name);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error(&path, source)),
    }
}
