//! From a position to a place in a file.

use std::sync::Arc;

use apograph_format::Position;

use crate::error::{Damage, Fault, IoFailure};
use crate::segment::{Place, Segment};
use crate::shared::Shared;
use crate::walk::Walk;

/// Why nothing can be read from a position.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LocateError {
    /// Another entry stands there: the histories differ at or before it.
    #[error("position {at} is not part of this journal: the position there is {found}")]
    Unknown {
        /// The position asked for.
        at: Position,
        /// The position of this journal with the same sequence.
        found: Position,
    },
    /// The journal does not reach that far.
    #[error("position {at} lies beyond the end of the journal, {end}")]
    Ahead {
        /// The position asked for.
        at: Position,
        /// The end of this journal.
        end: Position,
    },
    /// Retention has deleted what follows it.
    #[error("position {at} is no longer covered: the journal now starts after {start}")]
    Gone {
        /// The position asked for.
        at: Position,
        /// The position before the oldest entry that is left.
        start: Position,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] IoFailure),
    /// A file is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// A position that was found.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) walk: Walk,
    pub(crate) generation: u64,
}

/// Finds `from`: its hash and epoch must be those of the entry there.
pub(crate) fn locate(shared: &Shared, from: &Position) -> Result<Located, LocateError> {
    let (segment, limit, generation) = {
        let state = shared.state();
        let (start, end) = (state.start(), state.end);
        if from.sequence < start.sequence {
            return Err(LocateError::Gone { at: *from, start });
        }
        if from.sequence > end.sequence {
            return Err(LocateError::Ahead { at: *from, end });
        }
        let slot = state.slot_after(from.sequence).ok_or(LocateError::Gone { at: *from, start })?;
        if from.sequence == end.sequence {
            let place = Place { offset: slot.bytes, after: end, after_timestamp: state.end_timestamp };
            let found = Located {
                walk: Walk::new(Arc::clone(&slot.segment), place, slot.bytes),
                generation: state.generation,
            };
            return same(from, &end).map(|()| found);
        }
        (Arc::clone(&slot.segment), slot.bytes, state.generation)
    };
    let walk = walk_to(segment, limit, from.sequence).map_err(|fault| match fault {
        Fault::Io(failure) => LocateError::Io(failure),
        Fault::Damaged(damage) => LocateError::Damaged(damage),
    })?;
    same(from, &walk.place.after)?;
    Ok(Located { walk, generation })
}

/// To the end of the entry with this sequence, or to the beginning of the segment behind it.
pub(crate) fn walk_to(segment: Arc<Segment>, limit: u64, sequence: u64) -> Result<Walk, Fault> {
    let place = segment.place_before(sequence);
    let mut walk = Walk::new(segment, place, limit);
    while walk.place.after.sequence < sequence {
        if walk.next_header()?.is_none() {
            let (expected, found) = (sequence, walk.place.offset);
            let error = apograph_format::EntryError::Short { sequence, expected, found };
            return Err(walk.damage(error).into());
        }
    }
    Ok(walk)
}

fn same(at: &Position, found: &Position) -> Result<(), LocateError> {
    if at == found { Ok(()) } else { Err(LocateError::Unknown { at: *at, found: *found }) }
}
