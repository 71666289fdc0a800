//! Purge: the bytes of payloads are overwritten where they stand.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use apograph_format::header::HEADER_BYTES;
use apograph_format::payload::{PAYLOAD_HEADER_BYTES, PayloadError};
use apograph_format::{EntryError, EntryHeader, Hash};
use bytes::Bytes;

use crate::disk::Disk;
use crate::erasing::{self, Target};
use crate::error::{Damage, Fault, IoFailure};
use crate::journal::Journal;
use crate::segment::Segment;
use crate::shared::Slot;
use crate::walk::Walk;

/// What was erased. Payloads that had been erased before do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erased {
    /// Entries that carried them.
    pub entries: u64,
    /// Payloads.
    pub payloads: u64,
    /// Bytes of these payloads.
    pub bytes: u64,
}

/// Why payloads were not all erased. Erase again, or open the journal again: both finish the work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EraseError {
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// A segment cannot be walked.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

impl Journal {
    /// Overwrites the payloads of these names with zeros, in all synced entries below `before_sequence`. Headers,
    /// facts, hashes and lengths stay. The same call on an equal journal gives equal bytes. Durable on return.
    ///
    /// Reads the headers of all segments, which costs about as much as reading a journal of small entries once.
    pub fn erase(&mut self, payloads: &HashSet<Hash>, before_sequence: u64) -> Result<Erased, EraseError> {
        let slots = self.shared.state().slots.clone();
        if let Some(unfinished) = erasing::read(&self.dir)? {
            self.overwrite(&slots, &unfinished)?;
        }
        let mut found = Found { payloads, targets: Vec::new(), erased: Erased::default() };
        for slot in &slots {
            if !payloads.is_empty() && slot.segment.header.first_sequence() < before_sequence {
                found.search(&slot.segment, slot.bytes, before_sequence)?;
            }
        }
        let Found { targets, erased, .. } = found;
        if targets.is_empty() {
            return Ok(erased);
        }
        erasing::write(&self.disk, &self.dir, &targets)?;
        self.overwrite(&slots, &targets)?;
        Ok(erased)
    }

    fn overwrite(&mut self, slots: &VecDeque<Slot>, targets: &[Target]) -> Result<(), IoFailure> {
        for slot in slots {
            let first = slot.segment.header.first_sequence();
            let _nobody_reads = slot.segment.exclusively();
            finish(&self.disk, &[(first, slot.segment.path())], targets)?;
        }
        erasing::remove(&self.disk, &self.dir)?;
        let mut state = self.shared.state();
        state.tail.clear();
        state.generation += 1;
        Ok(())
    }
}

/// Overwrites those of `targets` that lie in `files`, given with their first sequences. Durable on return.
pub(crate) fn finish(disk: &Disk, files: &[(u64, PathBuf)], targets: &[Target]) -> Result<u64, IoFailure> {
    let mut by_segment: HashMap<u64, Vec<&Target>> = HashMap::new();
    for target in targets {
        by_segment.entry(target.segment).or_default().push(target);
    }
    let mut erased = 0;
    for (first, path) in files {
        let Some(targets) = by_segment.get(first) else { continue };
        let file = disk.open(path, false)?;
        for target in targets {
            disk.write(&file, path, &target.erased(), target.offset)?;
            erased += 1;
        }
        disk.sync(&file, path)?;
    }
    Ok(erased)
}

/// Collects the places of payloads.
struct Found<'a> {
    payloads: &'a HashSet<Hash>,
    targets: Vec<Target>,
    erased: Erased,
}

impl Found<'_> {
    fn search(&mut self, segment: &Arc<Segment>, bytes: u64, before_sequence: u64) -> Result<(), EraseError> {
        let mut walk = Walk::new(Arc::clone(segment), segment.beginning(), bytes);
        while walk.place.after.sequence + 1 < before_sequence {
            match walk.next_header() {
                Ok(Some((offset, header))) => self.search_entry(&mut walk, offset, &header)?,
                Ok(None) => break,
                Err(Fault::Io(failure)) => return Err(failure.into()),
                Err(Fault::Damaged(damage)) => return Err(damage.into()),
            }
        }
        Ok(())
    }

    fn search_entry(&mut self, walk: &mut Walk, entry: u64, header: &EntryHeader) -> Result<(), EraseError> {
        let before = self.targets.len();
        let mut offset = entry + HEADER_BYTES as u64 + u64::from(header.facts_bytes);
        for _ in 0..header.payloads {
            let bytes = walk.read_from(offset, PAYLOAD_HEADER_BYTES)?;
            let Some(payload) = PayloadHeader::decode(&bytes) else {
                let (sequence, error) = (header.sequence, PayloadError::Header);
                let reason = EntryError::Payload { sequence, error };
                return Err(Damage::new(&walk.segment.path(), offset, sequence, reason).into());
            };
            if !payload.erased && self.payloads.contains(&payload.hash) {
                let segment = walk.segment.header.first_sequence();
                self.targets.push(Target { segment, offset, hash: payload.hash, bytes: payload.bytes });
                self.erased.payloads += 1;
                self.erased.bytes += u64::from(payload.bytes);
            }
            offset += PAYLOAD_HEADER_BYTES as u64 + u64::from(payload.bytes);
        }
        self.erased.entries += u64::from(self.targets.len() > before);
        Ok(())
    }
}

/// The header of a payload without its bytes.
struct PayloadHeader {
    hash: Hash,
    bytes: u32,
    erased: bool,
}

impl PayloadHeader {
    fn decode(bytes: &Bytes) -> Option<PayloadHeader> {
        let bytes = bytes.first_chunk::<PAYLOAD_HEADER_BYTES>()?;
        let (covered, checksum) = bytes.split_at(PAYLOAD_HEADER_BYTES - 4);
        if crc32c::crc32c(covered).to_le_bytes() != checksum {
            return None;
        }
        let length = covered.get(32..)?.first_chunk()?;
        Some(PayloadHeader {
            hash: Hash::from_slice(covered.get(..32)?)?,
            bytes: u32::from_le_bytes(*length),
            erased: *covered.get(37)? != 0,
        })
    }
}
