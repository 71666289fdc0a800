//! What can be wrong with files, shared by all operations.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apograph_format::segment::SegmentHeaderError;
use apograph_format::{EntryError, PartitionId, Position, Timestamp};

use crate::options::Identity;

/// The operating system refused something.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct IoFailure {
    /// What was tried: a verb.
    pub action: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// Its answer.
    #[source]
    pub error: Arc<io::Error>,
}

impl IoFailure {
    pub(crate) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IoFailure {
        move |error| IoFailure { action, path: path.to_owned(), error: Arc::new(error) }
    }
}

/// Stored bytes are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at byte {offset}, entry {sequence}: {reason}", file.display())]
pub struct Damage {
    /// In which file.
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// The entry that stands there or should.
    pub sequence: u64,
    /// What is wrong.
    pub reason: Box<DamageReason>,
}

impl Damage {
    pub(crate) fn new(file: &Path, offset: u64, sequence: u64, reason: impl Into<DamageReason>) -> Damage {
        Damage { file: file.to_owned(), offset, sequence, reason: Box::new(reason.into()) }
    }
}

/// What is wrong with stored bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DamageReason {
    /// An entry is not sound, or does not follow the one before.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The segment header is not sound.
    #[error(transparent)]
    SegmentHeader(#[from] SegmentHeaderError),
    /// The file name does not say what the header says.
    #[error("by its header this file is {expected}")]
    Name {
        /// The name it should have.
        expected: String,
    },
    /// A file of this name stands there both open and closed.
    #[error("the segment is there twice, open and closed")]
    Twice,
    /// A file between two others is not there, or its end is not.
    #[error("expected the segment of entry {first}; it is missing")]
    SegmentMissing {
        /// Its first entry.
        first: u64,
    },
    /// A closed segment does not end with the entry that the next one follows.
    #[error("the segment does not end with {expected}, which the next one follows")]
    SegmentEnd {
        /// The end it should have.
        expected: Position,
    },
    /// A segment does not follow the one before.
    #[error("the segment follows {found}, but the one before ends with {expected}")]
    SegmentAfter {
        /// End of the segment before.
        expected: Position,
        /// What the header says.
        found: Position,
    },
    /// An entry of another partition.
    #[error("the entry belongs to partition {found}")]
    Partition {
        /// Its partition.
        found: PartitionId,
    },
    /// An entry is older than the one before.
    #[error("its timestamp is {found}, the one before has {after}")]
    Timestamp {
        /// Timestamp of the entry before.
        after: Timestamp,
        /// Its own.
        found: Timestamp,
    },
    /// An entry that begins a segment stands inside one.
    #[error("the entry begins a segment, but stands inside one")]
    StartsSegment,
    /// Another entry stands where an acknowledged one was.
    #[error("{acknowledged} was acknowledged, but the entry there is {found}")]
    Acknowledged {
        /// What was acknowledged.
        acknowledged: Position,
        /// What is there.
        found: Position,
    },
    /// Entries that were acknowledged are not there.
    #[error("entries up to {acknowledged} were acknowledged, but are missing")]
    Lost {
        /// What was acknowledged.
        acknowledged: Position,
    },
    /// A segment of another database, view or partition.
    #[error("the segment belongs to {found}; expected {expected}")]
    Foreign {
        /// What the first segment says.
        expected: Box<Identity>,
        /// What this one says.
        found: Box<Identity>,
    },
    /// A slot of the `acknowledged` file is not sound.
    #[error("slot {slot} of the acknowledged position is not sound")]
    Slot {
        /// 0 or 1.
        slot: u8,
    },
    /// No slot of the `acknowledged` file can be read, or the file is not there.
    #[error("the acknowledged position is lost")]
    AcknowledgedLost,
}

/// Reading failed: the operating system, or the bytes.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Io(#[from] IoFailure),
    #[error(transparent)]
    Damaged(#[from] Damage),
}
