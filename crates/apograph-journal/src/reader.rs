//! Reading what is durable, beside the writer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apograph_format::{Position, Timestamp};

use crate::entries::Entries;
use crate::folder::segment_names;
use crate::inspect::{Recovery, inspect, read_acknowledged};
use crate::journal::open::OpenError;
use crate::locate::{LocateError, locate};
use crate::options::Identity;
use crate::shared::{SegmentSummary, Shared, Slot, State};

/// Sees every entry that was synced, none that was not. Cheap to clone; outlives its [`Journal`](crate::Journal).
#[derive(Debug, Clone)]
pub struct JournalReader {
    pub(crate) shared: Arc<Shared>,
    identity: Identity,
}

/// A callback that is called after every sync until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the subscription"]
pub struct Subscription {
    shared: Arc<Shared>,
    number: u64,
}

impl JournalReader {
    pub(crate) fn new(shared: Arc<Shared>, identity: Identity) -> JournalReader {
        JournalReader { shared, identity }
    }

    /// Reads a folder as it stands now, also while another process writes it; nothing is written, renamed or cut.
    /// The reader ends before a torn tail and sees interrupted erasures as finished; the second answer is what an
    /// opening for writing would repair. What is appended afterwards is not seen.
    ///
    /// Entries that another process has written, but not yet synced, are seen as well.
    pub fn open_read_only(dir: &Path) -> Result<(JournalReader, Recovery), OpenError> {
        let inspection = inspect(dir, None, false)?;
        let mut recovery = inspection.recovery.clone();
        recovery.erased = inspection.erasing.as_ref().map_or(0, |targets| targets.len() as u64);
        let shared = Arc::new(Shared::new(State::new(&inspection, 0, 0)));
        Ok((JournalReader::new(shared, inspection.identity), recovery))
    }

    /// Sequence of the last entry of a folder that was acknowledged. After a power cut it may be lower than it was, never higher.
    pub fn acknowledged_in(dir: &Path) -> Result<u64, OpenError> {
        Ok(read_acknowledged(dir, &segment_names(dir)?)?.record.position.sequence)
    }

    /// Whose journal it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The position after the last durable entry.
    pub fn end(&self) -> Position {
        self.shared.state().end
    }

    /// Timestamp of the last durable entry.
    pub fn end_timestamp(&self) -> Timestamp {
        self.shared.state().end_timestamp
    }

    /// The position before the oldest entry that is kept.
    pub fn start(&self) -> Position {
        self.shared.state().start()
    }

    /// All segments, oldest first; the last one is open.
    pub fn segments(&self) -> Vec<SegmentSummary> {
        self.shared.state().slots.iter().map(Slot::summary).collect()
    }

    /// Entries after `from`, once it is certain that this journal holds that very position.
    /// Costs at most a walk over the headers of 256 KiB of entries once a segment is known, of the segment before.
    pub fn entries(&self, from: &Position) -> Result<Entries, LocateError> {
        locate(&self.shared, from).map(|found| Entries::new(Arc::clone(&self.shared), found))
    }

    /// Is this position part of this journal?
    pub fn locate(&self, from: &Position) -> Result<(), LocateError> {
        locate(&self.shared, from).map(|_| ())
    }

    /// Bytes of the durable entries behind `from`. Costs what [`locate`](Self::locate) does.
    pub fn bytes_behind(&self, from: &Position) -> Result<u64, LocateError> {
        let walk = locate(&self.shared, from)?.walk;
        let state = self.shared.state();
        let first = state.slots.iter().position(|slot| Arc::ptr_eq(&slot.segment, &walk.segment));
        let Some(first) = first else { return Err(LocateError::Gone { at: *from, start: state.start() }) };
        let all: u64 = state.slots.range(first..).map(Slot::entry_bytes).sum();
        Ok(all - (walk.place.offset - walk.segment.beginning().offset))
    }

    /// Waits until the end lies beyond `sequence`, at most for `timeout`. Says whether it does.
    pub fn wait_beyond(&self, sequence: u64, timeout: Duration) -> bool {
        self.shared.wait(timeout, |state| state.end.sequence > sequence)
    }

    /// Calls `callback` after every sync that made entries durable, on the writer's thread: it must be short and must
    /// not call this journal's writer. Entries synced before are not announced: subscribe, then read.
    pub fn on_synced(&self, callback: impl Fn() + Send + Sync + 'static) -> Subscription {
        let number = self.shared.listen(Arc::new(callback));
        Subscription { shared: Arc::clone(&self.shared), number }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.unlisten(self.number);
    }
}
