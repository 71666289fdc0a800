//! What a journal is told when it is created or opened.

use std::time::Duration;

use apograph_format::segment::SegmentHeader;
use apograph_format::{DatabaseId, PartitionId, Partitioning, Position, Timestamp, View};

/// When segments end, and how much of the newest stays in memory. May change with every opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A segment is closed before the entry that would make it larger. Default 64 MiB: small enough to ship and to
    /// scan at every start, large enough that a folder of 100 GB has fewer than two thousand files.
    pub segment_bytes_max: u64,
    /// A segment is closed before the first entry that is younger than its first by this much. Default one day.
    pub segment_age_max: Duration,
    /// Synced entries kept in memory for readers near the end. Default 4 MiB; 0 keeps none.
    pub tail_bytes_max: u64,
    /// Zeros that are written ahead of the last entry, so that a sync need not make the file longer, which costs as much
    /// again as the entry. Only the open segment has them. Default 256 KiB; 0 writes none.
    pub ahead_bytes: u64,
    /// The entries are copies. What their headers say was synced, was synced at their source: when a power cut leaves a hole
    /// among entries that were not acknowledged here, that is no damage, and what is cut comes again. Default false.
    pub is_copy: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes_max: 64 << 20,
            segment_age_max: Duration::from_secs(24 * 60 * 60),
            tail_bytes_max: 4 << 20,
            ahead_bytes: 256 << 10,
            is_copy: false,
        }
    }
}

/// Whose journal it is; every segment header says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Of which database.
    pub database: DatabaseId,
    /// Of which view.
    pub view: View,
    /// Of which partition.
    pub partition: PartitionId,
    /// Of how many.
    pub partitioning: Partitioning,
}

/// Where a new journal begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// The position before its first entry.
    pub after: Position,
    /// Timestamp of the entry at that position; [`Timestamp::ZERO`] at the very beginning.
    pub timestamp: Timestamp,
    /// Bytes of entries up to that position, so that [`Journal::bytes_appended`](crate::Journal::bytes_appended) of
    /// source and copy can be compared.
    pub bytes: u64,
}

impl Beginning {
    /// Before the first entry of this identity's history.
    pub fn genesis(identity: &Identity) -> Beginning {
        let genesis = identity.database.genesis(identity.view, identity.partition);
        Beginning { after: Position::beginning(genesis), timestamp: Timestamp::ZERO, bytes: 0 }
    }
}

impl Identity {
    /// The identity a segment header tells.
    pub fn of(header: &SegmentHeader) -> Identity {
        Identity {
            database: header.database,
            view: header.view,
            partition: header.partition,
            partitioning: header.partitioning,
        }
    }

    pub(crate) fn segment_after(&self, after: Position, after_timestamp: Timestamp) -> SegmentHeader {
        SegmentHeader {
            database: self.database,
            view: self.view,
            partition: self.partition,
            partitioning: self.partitioning,
            after,
            after_timestamp,
        }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let partitions = self.partitioning.count();
        write!(
            f,
            "database {}, view {}, partition {} of {partitions}",
            self.database, self.view, self.partition
        )
    }
}
