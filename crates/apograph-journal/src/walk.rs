//! From entry to entry through one segment, checking everything on the way.

use std::sync::Arc;

use apograph_format::header::HEADER_BYTES;
use apograph_format::payload::PayloadError;
use apograph_format::{Entry, EntryError, EntryHeader};
use bytes::Bytes;

use crate::error::{Damage, DamageReason, Fault, IoFailure};
use crate::segment::{Place, Segment};

/// Bytes read at once. An entry that is larger is read alone.
const READ_BYTES: usize = 256 << 10;

/// A place in a segment, and bytes read ahead of it.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) segment: Arc<Segment>,
    /// Nothing at or behind this offset is looked at.
    pub(crate) limit: u64,
    pub(crate) place: Place,
    ahead: Bytes,
    ahead_offset: u64,
}

impl Walk {
    /// From `place`, which is a boundary between entries of `segment`, to `limit`.
    pub(crate) fn new(segment: Arc<Segment>, place: Place, limit: u64) -> Walk {
        Walk { segment, limit, place, ahead: Bytes::new(), ahead_offset: 0 }
    }

    /// The next entry: header, chain, hash over the facts, payload checksums. `None` at the limit.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, Fault> {
        let Some(header) = self.peek()? else {
            return Ok(None);
        };
        let mut bytes = self.read(usize::try_from(header.entry_bytes()).unwrap_or(usize::MAX))?;
        let entry = Entry::decode(&mut bytes).map_err(|error| self.damage(error))?;
        check_payloads(&entry).map_err(|error| self.damage(error))?;
        self.advance(&header);
        Ok(Some(entry))
    }

    /// The next entry's header and where it begins; only header and chain are checked. `None` at the limit.
    pub(crate) fn next_header(&mut self) -> Result<Option<(u64, EntryHeader)>, Fault> {
        let offset = self.place.offset;
        let Some(header) = self.peek()? else {
            return Ok(None);
        };
        self.advance(&header);
        Ok(Some((offset, header)))
    }

    /// Steps over an entry that was read elsewhere.
    pub(crate) fn advance(&mut self, header: &EntryHeader) {
        self.place = Place {
            offset: self.place.offset + header.entry_bytes(),
            after: header.position(),
            after_timestamp: header.timestamp,
        };
        self.segment.note(self.place);
    }

    /// `length` bytes from the current place, fewer at the limit.
    pub(crate) fn read(&mut self, length: usize) -> Result<Bytes, IoFailure> {
        self.read_from(self.place.offset, length)
    }

    /// `length` bytes from `offset`, fewer at the limit.
    pub(crate) fn read_from(&mut self, offset: u64, length: usize) -> Result<Bytes, IoFailure> {
        let left = usize::try_from(self.limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = length.min(left);
        if let Some(bytes) = self.read_ahead(offset, length) {
            return Ok(bytes);
        }
        self.ahead = self.segment.read(offset, length.max(READ_BYTES).min(left))?;
        self.ahead_offset = offset;
        Ok(self.ahead.slice(..length.min(self.ahead.len())))
    }

    fn read_ahead(&self, offset: u64, length: usize) -> Option<Bytes> {
        let from = usize::try_from(offset.checked_sub(self.ahead_offset)?).ok()?;
        let to = from.checked_add(length)?;
        (to <= self.ahead.len()).then(|| self.ahead.slice(from..to))
    }

    fn peek(&mut self) -> Result<Option<EntryHeader>, Fault> {
        if self.place.offset >= self.limit {
            return Ok(None);
        }
        let bytes = self.read(HEADER_BYTES)?;
        let header = EntryHeader::decode(&bytes).map_err(|error| self.damage(EntryError::Header(error)))?;
        self.follows(&header).map_err(|reason| self.damage(reason))?;
        let (expected, found) = (header.entry_bytes(), self.limit - self.place.offset);
        if found < expected {
            return Err(self.damage(EntryError::Short { sequence: header.sequence, expected, found }).into());
        }
        Ok(Some(header))
    }

    fn follows(&self, header: &EntryHeader) -> Result<(), DamageReason> {
        follows(header, &self.place)?;
        if header.partition != self.segment.header.partition {
            return Err(DamageReason::Partition { found: header.partition });
        }
        if header.starts_segment && self.place.offset != self.segment.beginning().offset {
            return Err(DamageReason::StartsSegment);
        }
        Ok(())
    }

    /// What is wrong at the current place.
    pub(crate) fn damage(&self, reason: impl Into<DamageReason>) -> Damage {
        let place = self.place;
        Damage::new(&self.segment.path(), place.offset, place.after.sequence + 1, reason)
    }
}

/// Sequence, hash and epoch follow, and the timestamp does not fall: entries of one transaction share it.
pub(crate) fn follows(header: &EntryHeader, place: &Place) -> Result<(), DamageReason> {
    let after = place.after;
    if header.sequence != after.sequence + 1
        || header.previous_hash != after.hash
        || header.epoch < after.epoch
    {
        let (sequence, previous) = (header.sequence, header.previous_hash);
        return Err(EntryError::Chain { sequence, after, previous }.into());
    }
    if header.timestamp < place.after_timestamp {
        return Err(DamageReason::Timestamp { after: place.after_timestamp, found: header.timestamp });
    }
    Ok(())
}

/// Checksums of all payloads, and that their lengths add up.
pub(crate) fn check_payloads(entry: &Entry) -> Result<(), EntryError> {
    let mut bytes = 0;
    for payload in entry.payloads() {
        bytes += payload?.stored_bytes() as u64;
    }
    let sequence = entry.header().sequence;
    if bytes == entry.header().payloads_bytes {
        Ok(())
    } else {
        Err(EntryError::Payload { sequence, error: PayloadError::Header })
    }
}
