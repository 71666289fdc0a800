//! The file `erasing`: which payloads an erasure is about to overwrite.
//!
//! It is durable before the first byte is overwritten and removed after the last. A crash in between leaves payloads
//! that are whole, half overwritten or erased; the file tells which they may be, so that they are no damage: they
//! are read as erased, and the next opening finishes the work.

use std::path::{Path, PathBuf};

use apograph_format::{Hash, Payload};

use crate::disk::Disk;
use crate::error::IoFailure;
use crate::folder::ERASING;

const MAGIC: [u8; 4] = *b"ApoX";
const FORMAT_VERSION: u16 = 1;
const HEADER_BYTES: usize = 8;
const TARGET_BYTES: usize = 52;

/// A payload to erase, and where its header begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// First sequence of its segment.
    pub(crate) segment: u64,
    /// In the segment's file.
    pub(crate) offset: u64,
    /// Its name.
    pub(crate) hash: Hash,
    /// Its length without header.
    pub(crate) bytes: u32,
}

impl Target {
    /// What stands there afterwards.
    pub(crate) fn erased(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Payload::erased(self.hash, self.bytes as usize).encode(&mut bytes);
        bytes
    }

    /// Erases in `bytes`, which were read from `offset` of the segment.
    pub(crate) fn apply(&self, bytes: &mut [u8], offset: u64) {
        let erased = self.erased();
        let from = self.offset.max(offset);
        let to = (self.offset + erased.len() as u64).min(offset + bytes.len() as u64);
        let slice = |base: u64| {
            Some(
                usize::try_from(from.checked_sub(base)?).ok()?
                    ..usize::try_from(to.checked_sub(base)?).ok()?,
            )
        };
        if from >= to {
            return;
        }
        let source = slice(self.offset).and_then(|range| erased.get(range));
        let target = slice(offset).and_then(|range| bytes.get_mut(range));
        if let (Some(source), Some(target)) = (source, target) {
            target.copy_from_slice(source);
        }
    }
}

/// Writes the file; durable on return.
pub(crate) fn write(disk: &Disk, dir: &Path, targets: &[Target]) -> Result<(), IoFailure> {
    let path = path(dir);
    let file = disk.open(&path, true)?;
    disk.write(&file, &path, &encode(targets), 0)?;
    disk.sync(&file, &path)?;
    disk.sync_folder(dir)
}

/// Removes the file; durable on return.
pub(crate) fn remove(disk: &Disk, dir: &Path) -> Result<(), IoFailure> {
    disk.remove(&path(dir))?;
    disk.sync_folder(dir)
}

/// What the file says; `None` without one. A torn file says nothing: nothing was overwritten before it was whole.
pub(crate) fn read(dir: &Path) -> Result<Option<Vec<Target>>, IoFailure> {
    let path = path(dir);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(decode(&bytes).unwrap_or_default())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(IoFailure::of("read", &path)(error)),
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(ERASING)
}

fn encode(targets: &[Target]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT_VERSION.to_le_bytes());
    bytes.extend([0; 2]);
    for target in targets {
        bytes.extend(target.segment.to_le_bytes());
        bytes.extend(target.offset.to_le_bytes());
        bytes.extend(target.hash.0);
        bytes.extend(target.bytes.to_le_bytes());
    }
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Vec<Target>> {
    let (covered, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    let (header, targets) = covered.split_at_checked(HEADER_BYTES)?;
    let sound = crc32c::crc32c(covered).to_le_bytes() == checksum
        && header.starts_with(&MAGIC)
        && header.get(4..6)? == FORMAT_VERSION.to_le_bytes();
    if !sound || !targets.len().is_multiple_of(TARGET_BYTES) {
        return None;
    }
    let word =
        |target: &[u8], at: usize| target.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word));
    let read = |target: &[u8]| {
        Some(Target {
            segment: word(target, 0)?,
            offset: word(target, 8)?,
            hash: Hash::from_slice(target.get(16..48)?)?,
            bytes: target.get(48..)?.first_chunk().map(|word| u32::from_le_bytes(*word))?,
        })
    };
    targets.chunks_exact(TARGET_BYTES).map(read).collect()
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_overlay() {
        let target = Target { segment: 1, offset: 100, hash: Hash::of(b"x"), bytes: 20 };
        let bytes = encode(&[target, target]);
        assert_eq!(decode(&bytes), Some(vec![target, target]));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None, "cut at {cut}");
        }
        let whole = target.erased();
        for base in 40..180 {
            let mut seen = vec![0xee; 50];
            target.apply(&mut seen, base);
            for (index, byte) in seen.iter().enumerate() {
                let at = base + index as u64;
                let expected = at.checked_sub(100).and_then(|at| whole.get(at as usize)).unwrap_or(&0xee);
                assert_eq!(byte, expected, "base {base}, byte {at}");
            }
        }
    }
}
