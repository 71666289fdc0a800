//! The file `acknowledged`: the highest acknowledged position, in two slots that are written in turn.
//!
//! Byte table: `docs/formats/journal.md`. A torn write of one slot leaves the other, which is one step older.

use std::fs::File;
use std::path::{Path, PathBuf};

use apograph_format::{Epoch, Hash, Position};

use crate::disk::Disk;
use crate::error::{Damage, DamageReason, IoFailure};
use crate::folder::ACKNOWLEDGED;
use crate::segment::read_at;

const MAGIC: [u8; 4] = *b"ApoA";
const FORMAT_VERSION: u16 = 1;
const SLOT_BYTES: usize = 88;
/// Distance between the slots: no device tears two blocks of 4 KiB with one write.
const SLOT_STRIDE_BYTES: usize = 4096;
const FILE_BYTES: usize = SLOT_STRIDE_BYTES + SLOT_BYTES;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    /// The highest acknowledged position.
    pub(crate) position: Position,
    /// Sequence before the oldest entry that retention left.
    pub(crate) kept_after: u64,
    /// Bytes of all entries up to `kept_after`, gone or never here.
    pub(crate) bytes_before: u64,
}

/// The file as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) record: Record,
    generation: u64,
    /// What is not sound: a torn write, if it is one slot and the folder was not closed in order.
    pub(crate) damage: Vec<Damage>,
}

impl Reading {
    /// Nothing was ever acknowledged here.
    pub(crate) fn is_fresh(&self) -> bool {
        self.record.position.sequence == self.record.kept_after
    }
}

/// Why there is no record.
#[derive(Debug, Clone)]
pub(crate) enum Unreadable {
    Io(IoFailure),
    Missing,
    Format(u16),
    Damaged(Damage),
}

/// The file, open for writing and locked: the one writer of the folder holds it.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    file: File,
    path: PathBuf,
    pub(crate) record: Record,
    generation: u64,
}

impl Acknowledged {
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(ACKNOWLEDGED)
    }

    pub(crate) fn new(file: File, dir: &Path, reading: &Reading) -> Acknowledged {
        let path = Acknowledged::path(dir);
        Acknowledged { file, path, record: reading.record, generation: reading.generation }
    }

    /// Both slots say `record`; durable on return, but for the file's name.
    pub(crate) fn create(
        disk: &Disk,
        file: File,
        dir: &Path,
        record: Record,
    ) -> Result<Acknowledged, IoFailure> {
        let mut created = Acknowledged { file, path: Acknowledged::path(dir), record, generation: 0 };
        created.write(disk, record)?;
        created.write(disk, record)?;
        created.sync(disk)?;
        Ok(created)
    }

    /// Writes the older slot. Survives a crash of this process, not yet one of the machine.
    pub(crate) fn write(&mut self, disk: &Disk, record: Record) -> Result<(), IoFailure> {
        let generation = self.generation + 1;
        let offset = if generation.is_multiple_of(2) { 0 } else { SLOT_STRIDE_BYTES as u64 };
        disk.write(&self.file, &self.path, &encode(&record, generation), offset)?;
        self.generation = generation;
        self.record = record;
        Ok(())
    }

    /// What was written is durable on return.
    pub(crate) fn sync(&self, disk: &Disk) -> Result<(), IoFailure> {
        disk.sync(&self.file, &self.path)
    }
}

/// Reads the file of a folder.
pub(crate) fn read(dir: &Path) -> Result<Reading, Unreadable> {
    let path = Acknowledged::path(dir);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Unreadable::Missing),
        Err(error) => return Err(Unreadable::Io(IoFailure::of("open", &path)(error))),
    };
    let bytes = read_at(&file, 0, FILE_BYTES + 1)
        .map_err(|error| Unreadable::Io(IoFailure::of("read", &path)(error)))?;
    read_slots(&path, &bytes)
}

fn read_slots(path: &Path, bytes: &[u8]) -> Result<Reading, Unreadable> {
    let damage = |slot: u8, reason| Damage::new(path, u64::from(slot) * SLOT_STRIDE_BYTES as u64, 0, reason);
    let mut best: Option<Reading> = None;
    let mut unsound = Vec::new();
    for slot in [0, 1] {
        let start = usize::from(slot) * SLOT_STRIDE_BYTES;
        match bytes.get(start..).ok_or(None).and_then(decode) {
            Ok((record, generation)) if generation % 2 == u64::from(slot) => {
                if best.as_ref().is_none_or(|best| best.generation < generation) {
                    best = Some(Reading { record, generation, damage: Vec::new() });
                }
            }
            Err(Some(format)) => return Err(Unreadable::Format(format)),
            Ok(_) | Err(None) => unsound.push(damage(slot, DamageReason::Slot { slot })),
        }
    }
    let padding =
        bytes.get(SLOT_BYTES..SLOT_STRIDE_BYTES).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
    if (!padding || bytes.len() != FILE_BYTES) && unsound.is_empty() {
        unsound.push(damage(0, DamageReason::Slot { slot: 0 }));
    }
    let mut best = best.ok_or_else(|| Unreadable::Damaged(damage(0, DamageReason::AcknowledgedLost)))?;
    best.damage = unsound;
    Ok(best)
}

fn encode(record: &Record, generation: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(FORMAT_VERSION.to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(generation.to_le_bytes());
    bytes.extend(record.position.epoch.bits().to_le_bytes());
    bytes.extend(record.position.sequence.to_le_bytes());
    bytes.extend(record.position.hash.0);
    bytes.extend(record.kept_after.to_le_bytes());
    bytes.extend(record.bytes_before.to_le_bytes());
    bytes.extend([0; 4]);
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}

/// `Err(Some(version))` if it is sound, but of a format not known here.
fn decode(bytes: &[u8]) -> Result<(Record, u64), Option<u16>> {
    let bytes = bytes.first_chunk::<SLOT_BYTES>().ok_or(None)?;
    let (covered, checksum) = bytes.split_at(SLOT_BYTES - 4);
    if !covered.starts_with(&MAGIC) || crc32c::crc32c(covered).to_le_bytes() != checksum {
        return Err(None);
    }
    let word = |at: usize| {
        covered.get(at..).and_then(|rest| rest.first_chunk::<8>()).map(|word| u64::from_le_bytes(*word))
    };
    let format =
        covered.get(4..).and_then(|rest| rest.first_chunk::<2>()).map(|word| u16::from_le_bytes(*word));
    if format != Some(FORMAT_VERSION) {
        return Err(format);
    }
    let read = || {
        let hash = Hash::from_slice(covered.get(32..64)?)?;
        let position = Position { epoch: Epoch::from_bits(word(16)?), sequence: word(24)?, hash };
        Some((Record { position, kept_after: word(64)?, bytes_before: word(72)? }, word(8)?))
    };
    read().ok_or(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64) -> Record {
        let position = Position { epoch: Epoch::FIRST, sequence, hash: Hash::of(b"a") };
        Record { position, kept_after: 2, bytes_before: 300 }
    }

    #[test]
    fn a_torn_write_leaves_the_step_before_and_every_flipped_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = Acknowledged::path(dir.path());
        let disk = Disk::default();
        let file = disk.open(&path, true).unwrap();
        let mut acknowledged = Acknowledged::create(&disk, file, dir.path(), record(3)).unwrap();
        acknowledged.write(&disk, record(4)).unwrap();
        acknowledged.write(&disk, record(5)).unwrap();
        let good = std::fs::read(&path).unwrap();
        let reading = read(dir.path()).unwrap();
        assert_eq!((reading.record, reading.damage.len()), (record(5), 0));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            let reading = read_slots(&path, &bad).unwrap();
            assert_eq!(reading.damage.len(), 1, "byte {at}");
            let expected = if at < SLOT_BYTES { record(4) } else { record(5) };
            assert_eq!(reading.record, expected, "byte {at}");
        }
        assert!(matches!(read_slots(&path, &[0; FILE_BYTES]), Err(Unreadable::Damaged(_))));
    }
}
