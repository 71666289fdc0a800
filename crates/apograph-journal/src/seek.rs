//! From a timestamp to a place in a file.

use std::sync::Arc;

use apograph_format::Timestamp;

use crate::entries::Entries;
use crate::error::Fault;
use crate::locate::{LocateError, Located};
use crate::reader::JournalReader;
use crate::segment::Segment;
use crate::walk::Walk;

impl JournalReader {
    /// Entries of `timestamp` and later, in order; `None` when the journal no longer reaches back to it. Costs a walk
    /// over the headers of one segment at most.
    pub fn entries_since(&self, timestamp: Timestamp) -> Result<Option<Entries>, LocateError> {
        let (segment, limit, generation) = {
            let state = self.shared.state();
            let Some(slot) =
                state.slots.iter().find(|slot| slot.last_timestamp >= timestamp).or(state.slots.back())
            else {
                return Ok(None);
            };
            (Arc::clone(&slot.segment), slot.bytes, state.generation)
        };
        // Entries of one transaction share a timestamp, so some of this one may have been before the oldest that is kept.
        if timestamp <= segment.beginning().after_timestamp {
            return Ok(None);
        }
        let walk = walk_to(segment, limit, timestamp)?;
        Ok(Some(Entries::new(Arc::clone(&self.shared), Located { walk, generation })))
    }

    /// Everything later than this is in the journal.
    pub fn reaches_back_to(&self) -> Timestamp {
        let state = self.shared.state();
        state.slots.front().map_or(state.end_timestamp, |slot| slot.segment.beginning().after_timestamp)
    }
}

fn walk_to(segment: Arc<Segment>, limit: u64, timestamp: Timestamp) -> Result<Walk, LocateError> {
    let place = segment.place_below(timestamp);
    let mut walk = Walk::new(segment, place, limit);
    loop {
        let before = walk.place;
        match walk.next_header() {
            Ok(Some((_, header))) if header.timestamp < timestamp => {}
            Ok(_) => {
                walk.place = before;
                return Ok(walk);
            }
            Err(Fault::Io(failure)) => return Err(failure.into()),
            Err(Fault::Damaged(damage)) => return Err(damage.into()),
        }
    }
}
