//! What the writer publishes and all readers share.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use apograph_format::segment::SEGMENT_HEADER_BYTES;
use apograph_format::{Position, Timestamp};

use crate::inspect::Inspection;
use crate::segment::Segment;
use crate::tail::Tail;

/// A segment, as people and carriers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Its file. A retired one is gone.
    pub path: PathBuf,
    /// Sequence of its first entry, whether or not it is there already.
    pub first: u64,
    /// Sequence of its last entry; `first - 1` when it is empty.
    pub last: u64,
    /// Length in bytes, with the segment header.
    pub bytes: u64,
    /// It may still grow.
    pub open: bool,
    /// Timestamp of its first entry.
    pub first_timestamp: Option<Timestamp>,
    /// Timestamp of its last entry, or of the entry before when it is empty.
    pub last_timestamp: Timestamp,
}

/// A segment up to its last published entry.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) segment: Arc<Segment>,
    pub(crate) bytes: u64,
    pub(crate) last: u64,
    pub(crate) first_timestamp: Option<Timestamp>,
    pub(crate) last_timestamp: Timestamp,
    pub(crate) open: bool,
}

/// State of a journal as readers see it: durable entries only.
#[derive(Debug)]
pub(crate) struct State {
    /// Oldest first, without gaps, never empty.
    pub(crate) slots: VecDeque<Slot>,
    pub(crate) end: Position,
    pub(crate) end_timestamp: Timestamp,
    pub(crate) tail: Tail,
    /// Grows when published entries were cut or erased: readers forget what they read ahead.
    pub(crate) generation: u64,
}

/// The state, and those who wait for it to move.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    moved: Condvar,
    listeners: Mutex<Listeners>,
}

type Callback = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Listeners {
    next: u64,
    callbacks: Vec<(u64, Callback)>,
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} listeners", self.callbacks.len())
    }
}

impl Slot {
    /// Bytes of its entries, without the segment header.
    pub(crate) fn entry_bytes(&self) -> u64 {
        self.bytes - SEGMENT_HEADER_BYTES as u64
    }

    pub(crate) fn summary(&self) -> SegmentSummary {
        SegmentSummary {
            path: self.segment.path(),
            first: self.segment.header.first_sequence(),
            last: self.last,
            bytes: self.bytes,
            open: self.open,
            first_timestamp: self.first_timestamp,
            last_timestamp: self.last_timestamp,
        }
    }
}

impl State {
    pub(crate) fn new(inspection: &Inspection, tail_bytes_max: u64, generation: u64) -> State {
        State {
            slots: inspection.slots.iter().cloned().collect(),
            end: inspection.end.after,
            end_timestamp: inspection.end.after_timestamp,
            tail: Tail::new(tail_bytes_max),
            generation,
        }
    }

    /// The position before the oldest entry.
    pub(crate) fn start(&self) -> Position {
        self.slots.front().map_or(self.end, |slot| slot.segment.header.after)
    }

    /// The segment that holds, or will hold, the entry after `sequence`.
    pub(crate) fn slot_after(&self, sequence: u64) -> Option<&Slot> {
        let beyond = self.slots.partition_point(|slot| slot.segment.header.after.sequence <= sequence);
        self.slots.get(beyond.checked_sub(1)?)
    }

    pub(crate) fn entry_bytes(&self) -> u64 {
        self.slots.iter().map(Slot::entry_bytes).sum()
    }
}

impl Shared {
    pub(crate) fn new(state: State) -> Shared {
        Shared { state: Mutex::new(state), moved: Condvar::new(), listeners: Mutex::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Lets `condition` become true, or `timeout` pass. Says whether it is true.
    pub(crate) fn wait(
        &self,
        timeout: std::time::Duration,
        mut condition: impl FnMut(&State) -> bool,
    ) -> bool {
        let waited = self.moved.wait_timeout_while(self.state(), timeout, |state| !condition(state));
        let (state, _) = waited.expect("no holder panics");
        condition(&state)
    }

    /// Wakes everybody who waits. Call it without holding the state.
    pub(crate) fn wake(&self) {
        self.moved.notify_all();
        let callbacks: Vec<Callback> =
            self.listeners().callbacks.iter().map(|(_, callback)| Arc::clone(callback)).collect();
        for callback in callbacks {
            callback();
        }
    }

    pub(crate) fn listen(&self, callback: Callback) -> u64 {
        let mut listeners = self.listeners();
        listeners.next += 1;
        let number = listeners.next;
        listeners.callbacks.push((number, callback));
        number
    }

    pub(crate) fn unlisten(&self, number: u64) {
        self.listeners().callbacks.retain(|(other, _)| *other != number);
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().expect("no holder panics")
    }
}
