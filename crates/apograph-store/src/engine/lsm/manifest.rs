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
    let malformed = || damaged(&folder.join("current"), "malformed");
    let current: [u8; 25] = current.try_into().map_err(|_| malformed())?;
    let (number, checksum) = current.split_at(8);
    let number = u64::from_le_bytes(number.try_into().map_err(|_| malformed())?);
    let Some((checksum, [0])) = checksum.split_first_chunk::<16>() else { return Err(malformed()) };

    let name = format!("v{number}");
    let manifest = read(folder, &name)?.ok_or_else(|| damaged(folder, "the manifest is missing"))?;
    if xxh3_128(&manifest) != u128::from_le_bytes(*checksum) {
        return Err(damaged(&folder.join(name), "the checksum of the manifest differs"));
    }
    Ok(())
}

fn read(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, EngineError> {
    let path = folder.join(name);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error(&path, source)),
    }
}
