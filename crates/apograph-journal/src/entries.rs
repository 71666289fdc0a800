//! Following a journal from a position.

use std::sync::Arc;

use apograph_format::{Entry, EntryHeader, Position};
use bytes::{Bytes, BytesMut};

use crate::error::{Damage, DamageReason, Fault, IoFailure};
use crate::locate::{LocateError, Located, locate};
use crate::segment::Segment;
use crate::shared::Shared;
use crate::walk::Walk;

/// Entries after a position, in order, across segments, up to the synced end; later calls see what was synced since.
///
/// Everything returned was checked: header, chain, hash over the facts, payload checksums. An entry may share a
/// buffer of 256 KiB with its neighbours; keep copies of what is kept for long.
#[derive(Debug)]
pub struct Entries {
    shared: Arc<Shared>,
    walk: Walk,
    generation: u64,
}

/// Why the next entry cannot be read. The reader stays where it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// Retention has deleted the next entry.
    #[error("entry {sequence} was retired: the journal now starts after {start}")]
    Gone {
        /// The entry that would be next.
        sequence: u64,
        /// The position before the oldest entry that is left.
        start: Position,
    },
    /// Entries that were read already have been cut off.
    #[error("the journal was cut behind the reader, which stands at {at}; it now ends at {end}")]
    Cut {
        /// Where the reader is.
        at: Position,
        /// The end of the journal.
        end: Position,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// A file is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// Where the next entry is.
enum Source {
    End,
    Memory(Entry, Arc<Segment>),
    File(Arc<Segment>, u64),
    /// Something was cut or erased since.
    Changed,
}

impl Entries {
    pub(crate) fn new(shared: Arc<Shared>, found: Located) -> Entries {
        Entries { shared, walk: found.walk, generation: found.generation }
    }

    /// The position after the entry that was returned last.
    pub fn position(&self) -> Position {
        self.walk.place.after
    }

    /// Was everything read that is synced by now?
    pub fn is_at_end(&self) -> bool {
        matches!(self.source(), Ok(Source::End))
    }

    /// Will [`Entries::next`] answer without reading a file?
    pub fn is_in_memory(&self) -> bool {
        matches!(self.source(), Ok(Source::End | Source::Memory(..)))
    }

    /// The next entry; `None` at the synced end. Call again later.
    #[expect(clippy::should_implement_trait, reason = "the end is not final, as an iterator's would be")]
    pub fn next(&mut self) -> Result<Option<Entry>, ReadError> {
        loop {
            match self.source()? {
                Source::End => return Ok(None),
                Source::Memory(entry, segment) => {
                    self.enter(segment, 0)?;
                    self.walk.advance(entry.header());
                    return Ok(Some(entry));
                }
                Source::File(segment, limit) => {
                    self.enter(segment, limit)?;
                    return self.walk.next_entry().map_err(ReadError::from);
                }
                Source::Changed => self.relocate()?,
            }
        }
    }

    /// The stored bytes of the next entries: as many whole ones as fit into `bytes_max`, at least one, at most a
    /// segment's; `None` at the synced end. Every entry in them was checked as [`Entries::next`] does.
    pub fn next_bytes(&mut self, bytes_max: usize) -> Result<Option<Bytes>, ReadError> {
        let Some(first) = self.next()? else {
            return Ok(None);
        };
        let mut gathered = Gathered::One(first.bytes().clone());
        while let Some(length) = self.peek_length()? {
            if gathered.len() + length > bytes_max {
                break;
            }
            match self.next() {
                Ok(Some(entry)) => gathered.add(entry.bytes(), bytes_max),
                // What was gathered is sound; the error comes back with the next call.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(Some(gathered.freeze()))
    }

    /// Length of the next entry, `None` at the end, or where [`Entries::next`] will say why it cannot be read.
    fn peek_length(&mut self) -> Result<Option<usize>, ReadError> {
        let Ok(source) = self.source() else { return Ok(None) };
        match source {
            Source::End | Source::Changed => Ok(None),
            Source::Memory(entry, _) => Ok(Some(entry.bytes().len())),
            Source::File(segment, limit) => {
                if self.enter(segment, limit).is_err() {
                    return Ok(None);
                }
                let header = self.walk.read(apograph_format::header::HEADER_BYTES)?;
                let header = EntryHeader::decode(&header).ok();
                Ok(header.and_then(|header| usize::try_from(header.entry_bytes()).ok()))
            }
        }
    }

    fn source(&self) -> Result<Source, ReadError> {
        let state = self.shared.state();
        let at = self.walk.place.after;
        if state.generation != self.generation {
            return Ok(Source::Changed);
        }
        if at.sequence >= state.end.sequence {
            return Ok(Source::End);
        }
        let gone = || ReadError::Gone { sequence: at.sequence + 1, start: state.start() };
        let slot = state.slot_after(at.sequence).ok_or_else(gone)?;
        let segment = Arc::clone(&slot.segment);
        Ok(match state.tail.get(at.sequence + 1) {
            Some(entry) => Source::Memory(entry.clone(), segment),
            None => Source::File(segment, slot.bytes),
        })
    }

    /// Makes `segment` the current one; another one than before is entered at its beginning.
    fn enter(&mut self, segment: Arc<Segment>, limit: u64) -> Result<(), ReadError> {
        if !Arc::ptr_eq(&self.walk.segment, &segment) {
            let (at, place) = (self.walk.place.after, segment.beginning());
            if place.after != at {
                let reason = DamageReason::SegmentAfter { expected: at, found: place.after };
                let sequence = at.sequence + 1;
                return Err(Damage::new(&segment.path(), 0, sequence, reason).into());
            }
            self.walk = Walk::new(segment, place, limit);
        }
        self.walk.limit = limit;
        Ok(())
    }

    fn relocate(&mut self) -> Result<(), ReadError> {
        let at = self.position();
        match locate(&self.shared, &at) {
            Ok(found) => {
                self.walk = found.walk;
                self.generation = found.generation;
                Ok(())
            }
            Err(LocateError::Unknown { .. } | LocateError::Ahead { .. }) => {
                Err(ReadError::Cut { at, end: self.shared.state().end })
            }
            Err(LocateError::Gone { start, .. }) => Err(ReadError::Gone { sequence: at.sequence + 1, start }),
            Err(LocateError::Io(failure)) => Err(failure.into()),
            Err(LocateError::Damaged(damage)) => Err(damage.into()),
        }
    }
}

/// Bytes of consecutive entries; copied only when there is more than one.
enum Gathered {
    One(Bytes),
    Many(BytesMut),
}

impl Gathered {
    fn len(&self) -> usize {
        match self {
            Gathered::One(bytes) => bytes.len(),
            Gathered::Many(bytes) => bytes.len(),
        }
    }

    fn add(&mut self, entry: &Bytes, bytes_max: usize) {
        if let Gathered::One(first) = self {
            let mut many = BytesMut::with_capacity(bytes_max.min(1 << 20).max(first.len() + entry.len()));
            many.extend_from_slice(first);
            *self = Gathered::Many(many);
        }
        if let Gathered::Many(bytes) = self {
            bytes.extend_from_slice(entry);
        }
    }

    fn freeze(self) -> Bytes {
        match self {
            Gathered::One(bytes) => bytes,
            Gathered::Many(bytes) => bytes.freeze(),
        }
    }
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> ReadError {
        match fault {
            Fault::Io(failure) => failure.into(),
            Fault::Damaged(damage) => damage.into(),
        }
    }
}
