//! The one writer of a journal.

pub(crate) mod append;
pub(crate) mod cut;
pub(crate) mod discard;
pub(crate) mod erase;
pub(crate) mod open;
pub(crate) mod retire;
pub(crate) mod sync;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apograph_format::{Position, Timestamp};

use crate::acknowledged::Acknowledged;
use crate::disk::Disk;
use crate::error::IoFailure;
use crate::options::{Identity, Options};
use crate::reader::JournalReader;
use crate::segment::{Place, Segment};
use crate::shared::{Shared, Slot};
use crate::tail::Tail;

/// The journal of one partition, open for writing. There is one per folder, in all processes.
///
/// - An entry is *appended*, then *synced* (durable, visible to readers), then *acknowledged* (never cut again).
/// - A failed fsync poisons the journal: every later append and sync fails, and the process must stop, because
///   nobody knows what is on disk. A failed write does not: nothing was added, and it may be tried again.
/// - Dropping it without [`Journal::close`] is a crash: what was not synced may be lost.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    identity: Identity,
    options: Options,
    disk: Disk,
    shared: Arc<Shared>,
    acknowledged: Acknowledged,
    open: OpenSegment,
    /// Behind the last appended entry, in the open segment.
    end: Place,
    /// The last durable entry; published by the next sync.
    durable: Position,
    /// Segments that ended since the last publication.
    ended: Vec<Slot>,
    /// Appended since the last publication.
    pending: Tail,
    /// The open segment was begun, but the one before is not renamed yet.
    closing: Option<Arc<Segment>>,
    /// Bytes of entries before the oldest kept segment.
    bytes_before: u64,
    poisoned: Option<IoFailure>,
}

/// The segment that grows.
#[derive(Debug)]
struct OpenSegment {
    segment: Arc<Segment>,
    file: File,
    /// Bytes of entries in the file, with the segment header.
    written: u64,
    /// The file is not longer than this: what lies behind `written` are zeros.
    length: u64,
    /// Bytes behind them that are not written yet.
    buffer: Vec<u8>,
    first_timestamp: Option<Timestamp>,
}

impl Journal {
    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whose journal it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The position after the last appended entry, durable or not.
    pub fn end(&self) -> Position {
        self.end.after
    }

    /// Timestamp of the last appended entry.
    pub fn end_timestamp(&self) -> Timestamp {
        self.end.after_timestamp
    }

    /// The position before the oldest entry that is kept.
    pub fn start(&self) -> Position {
        self.shared.state().start()
    }

    /// Sequence of the last synced entry.
    pub fn synced_sequence(&self) -> u64 {
        self.shared.state().end.sequence
    }

    /// The highest acknowledged position.
    pub fn acknowledged(&self) -> Position {
        self.acknowledged.record.position
    }

    /// Bytes of all entries of this history up to the end, retired ones and those before a copy's beginning included.
    pub fn bytes_appended(&self) -> u64 {
        let published = self.shared.state();
        let ended: u64 = self.ended.iter().map(Slot::entry_bytes).sum();
        let open = self.end.offset - self.open.segment.beginning().offset;
        // The published slot of the segment that was open then counts through `ended` or `open`.
        let growing = published.slots.back().map_or(0, Slot::entry_bytes);
        self.bytes_before + published.entry_bytes() - growing + ended + open
    }

    /// Reads what is synced, beside this writer and after it.
    pub fn reader(&self) -> JournalReader {
        JournalReader::new(Arc::clone(&self.shared), self.identity)
    }

    fn check_poisoned(&self) -> Result<(), IoFailure> {
        self.poisoned.clone().map_or(Ok(()), Err)
    }

    /// The open segment as it will be published.
    fn open_slot(&self) -> Slot {
        Slot {
            segment: Arc::clone(&self.open.segment),
            bytes: self.end.offset,
            last: self.end.after.sequence,
            first_timestamp: self.open.first_timestamp,
            last_timestamp: self.end.after_timestamp,
            open: true,
        }
    }
}
