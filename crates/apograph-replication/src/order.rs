//! In which order the entries of several partitions become visible: the order of their timestamps, transactions whole.
//!
//! The same rule serves the primary after a sync, a copy after entries arrived, and every start after a crash.

use apograph_format::seeded::{self, Seeded};
use apograph_format::{EntryHeader, Participants, PartitionId, Timestamp};

/// What the ordering needs to know of the next entry of a partition that is not applied yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// Which partition.
    pub partition: PartitionId,
    /// Commit time of the entry.
    pub timestamp: Timestamp,
    /// Commit time before it in the database.
    pub previous: Timestamp,
    /// Partitions that have an entry of this timestamp.
    pub participants: Participants,
}

impl Next {
    /// Of an entry.
    pub fn of(header: &EntryHeader) -> Next {
        Next {
            partition: header.partition,
            timestamp: header.timestamp,
            previous: header.previous_timestamp,
            participants: header.participants,
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Apply the next entries of these partitions; all have this timestamp.
    Apply {
        /// Of all of them.
        timestamp: Timestamp,
        /// Which partitions.
        partitions: Participants,
    },
    /// Nothing is there.
    Idle,
    /// Entries are there, but something before them or beside them is missing.
    Wait {
        /// The timestamp that cannot be applied yet.
        timestamp: Timestamp,
        /// What is missing.
        missing: Missing,
    },
}

/// Why entries cannot be applied yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The transaction of this timestamp, somewhere.
    Before(Timestamp),
    /// Parts of the same transaction in these partitions.
    Parts(Participants),
}

/// Decides which entries come next. `applied` is the largest timestamp up to which everything is applied somewhere;
/// `nexts` has at most one entry for each partition: its first `transaction`, `checkpoint` or `epoch` not applied.
///
/// After a crash the stores of the partitions may have come to different places. What lies at or before `applied` was
/// complete once, so it is applied where it is missing; beyond that a transaction must be complete, and the one before it
/// must have been applied.
pub fn step(applied: Timestamp, nexts: &[Next]) -> Step {
    let Some(first) = nexts.iter().min_by_key(|next| next.timestamp) else {
        return Step::Idle;
    };
    let timestamp = first.timestamp;
    let partitions: Participants =
        nexts.iter().filter(|next| next.timestamp == timestamp).map(|next| next.partition).collect();
    if timestamp <= applied {
        return Step::Apply { timestamp, partitions };
    }
    if first.previous != applied && !seeded::is(Seeded::OrderNotKept) {
        return Step::Wait { timestamp, missing: Missing::Before(first.previous) };
    }
    let absent = Participants(first.participants.0 & !partitions.0);
    if absent.count() > 0 && !seeded::is(Seeded::PartsNotAwaited) {
        return Step::Wait { timestamp, missing: Missing::Parts(absent) };
    }
    Step::Apply { timestamp, partitions }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(partition: u16, timestamp: u64, previous: u64, participants: u64) -> Next {
        Next {
            partition: PartitionId(partition),
            timestamp: Timestamp(timestamp),
            previous: Timestamp(previous),
            participants: Participants(participants),
        }
    }

    #[test]
    fn whole_transactions_in_timestamp_order() {
        let apply =
            |at, partitions| Step::Apply { timestamp: Timestamp(at), partitions: Participants(partitions) };
        assert_eq!(step(Timestamp(0), &[]), Step::Idle);
        assert_eq!(step(Timestamp(0), &[next(0, 5, 0, 1)]), apply(5, 1));
        assert_eq!(step(Timestamp(5), &[next(0, 9, 7, 1), next(1, 7, 5, 2)]), apply(7, 2));
        assert_eq!(step(Timestamp(5), &[next(0, 7, 5, 3), next(1, 7, 5, 3)]), apply(7, 3));
    }

    #[test]
    fn gaps_and_missing_parts_wait() {
        assert_eq!(
            step(Timestamp(5), &[next(0, 9, 7, 1)]),
            Step::Wait { timestamp: Timestamp(9), missing: Missing::Before(Timestamp(7)) }
        );
        assert_eq!(
            step(Timestamp(5), &[next(0, 7, 5, 3), next(1, 8, 7, 2)]),
            Step::Wait { timestamp: Timestamp(7), missing: Missing::Parts(Participants(2)) }
        );
    }

    #[test]
    fn after_a_crash_the_partition_that_is_behind_catches_up() {
        // Partition 1 was flushed at 9, partition 0 at 5: its entries at 7 and 9 were complete.
        let behind = step(Timestamp(9), &[next(0, 7, 5, 1)]);
        assert_eq!(behind, Step::Apply { timestamp: Timestamp(7), partitions: Participants(1) });
        let part = step(Timestamp(9), &[next(0, 9, 7, 3)]);
        assert_eq!(part, Step::Apply { timestamp: Timestamp(9), partitions: Participants(1) });
    }
}
