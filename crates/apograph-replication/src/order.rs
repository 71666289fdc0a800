//! In which order the entries of several partitions become visible: the order of their timestamps, transactions whole.
//!
//! The same rule serves the primary after a sync, a copy after entries arrived, and every start after a crash.
//!
//! A copy that holds some of the partitions does not see every predecessor. What it needs instead are the **words** of its
//! source: a heartbeat in the stream of a partition says that everything of that partition up to a timestamp was sent.
//! The entry of `t` that follows `q` may be applied when every held partition is known to be there up to `q`: by its next
//! entry, which is later, or by a word. Between `q` and `t` nothing was committed anywhere.

use std::collections::BTreeMap;

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
    /// In a part of the partitions: nothing was written in them up to here.
    Pass {
        /// The new time.
        to: Timestamp,
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

/// Which partitions are held here, and up to when everything of them is known to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Those that have a journal and a store here.
    pub partitions: Participants,
    /// All that the database has.
    pub everyone: Participants,
    /// By a word of the source: everything of this partition up to then is in the journal here. Of held partitions;
    /// nothing is needed where all of them are held.
    pub words: BTreeMap<PartitionId, Timestamp>,
}

impl Held {
    /// Of a server that has all of them.
    pub fn all(everyone: Participants) -> Held {
        Held { partitions: everyone, everyone, words: BTreeMap::new() }
    }

    /// Are some partitions not here?
    pub fn is_part(&self) -> bool {
        self.partitions != self.everyone
    }

    /// Everything of all held partitions up to here is in the journals, as far as words say.
    pub fn complete(&self) -> Timestamp {
        let word = |partition| self.words.get(&partition).copied().unwrap_or_default();
        self.partitions.iter().map(word).min().unwrap_or_default()
    }

    /// Everything up to `at` of those partitions that have no next entry is there.
    fn is_there(&self, at: Timestamp, nexts: &[Next]) -> bool {
        let has_next = |partition| nexts.iter().any(|next| next.partition == partition);
        let word = |partition| self.words.get(&partition).is_some_and(|word| *word >= at);
        self.partitions.iter().all(|partition| has_next(partition) || word(partition))
    }
}

/// Decides which entries come next. `applied` is the largest timestamp up to which everything is applied somewhere;
/// `nexts` has at most one entry for each partition: its first `transaction`, `checkpoint` or `epoch` not applied.
///
/// After a crash the stores of the partitions may have come to different places. What lies at or before `applied` was
/// complete once, so it is applied where it is missing; beyond that a transaction must be complete, and the one before it
/// must have been applied.
///
/// Where a part of the partitions is held, parts and predecessors elsewhere are not waited for; time passes also when
/// nothing was written here ([`Step::Pass`]).
pub fn step(applied: Timestamp, held: &Held, nexts: &[Next]) -> Step {
    let Some(first) = nexts.iter().min_by_key(|next| next.timestamp) else {
        return pass(applied, held, None).unwrap_or(Step::Idle);
    };
    let timestamp = first.timestamp;
    let partitions: Participants =
        nexts.iter().filter(|next| next.timestamp == timestamp).map(|next| next.partition).collect();
    if timestamp <= applied {
        return Step::Apply { timestamp, partitions };
    }
    let is_next = match held.is_part() {
        true => first.previous <= applied || held.is_there(first.previous, nexts),
        false => first.previous == applied,
    };
    if !is_next && !seeded::is(Seeded::OrderNotKept) {
        let wait = Step::Wait { timestamp, missing: Missing::Before(first.previous) };
        return pass(applied, held, Some(timestamp)).unwrap_or(wait);
    }
    let absent = first.participants.and(held.partitions).without(partitions);
    if absent.count() > 0 && !seeded::is(Seeded::PartsNotAwaited) {
        let wait = Step::Wait { timestamp, missing: Missing::Parts(absent) };
        return pass(applied, held, Some(timestamp)).unwrap_or(wait);
    }
    Step::Apply { timestamp, partitions }
}

/// Time passes in a part as far as words reach, and never past an entry that is not applied.
fn pass(applied: Timestamp, held: &Held, before: Option<Timestamp>) -> Option<Step> {
    let to = held.complete();
    let is_free = before.is_none_or(|before| to < before);
    (held.is_part() && to > applied && is_free).then_some(Step::Pass { to })
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

    fn all() -> Held {
        Held::all(Participants(3))
    }

    /// Partitions 0 and 1 of three, with these words.
    fn part(words: &[u64]) -> Held {
        let words = (0..).map(PartitionId).zip(words.iter().copied().map(Timestamp));
        Held {
            partitions: Participants(3),
            everyone: Participants(7),
            words: words.filter(|(_, word)| *word > Timestamp::ZERO).collect(),
        }
    }

    #[test]
    fn whole_transactions_in_timestamp_order() {
        let apply =
            |at, partitions| Step::Apply { timestamp: Timestamp(at), partitions: Participants(partitions) };
        assert_eq!(step(Timestamp(0), &all(), &[]), Step::Idle);
        assert_eq!(step(Timestamp(0), &all(), &[next(0, 5, 0, 1)]), apply(5, 1));
        assert_eq!(step(Timestamp(5), &all(), &[next(0, 9, 7, 1), next(1, 7, 5, 2)]), apply(7, 2));
        assert_eq!(step(Timestamp(5), &all(), &[next(0, 7, 5, 3), next(1, 7, 5, 3)]), apply(7, 3));
    }

    #[test]
    fn gaps_and_missing_parts_wait() {
        assert_eq!(
            step(Timestamp(5), &all(), &[next(0, 9, 7, 1)]),
            Step::Wait { timestamp: Timestamp(9), missing: Missing::Before(Timestamp(7)) }
        );
        assert_eq!(
            step(Timestamp(5), &all(), &[next(0, 7, 5, 3), next(1, 8, 7, 2)]),
            Step::Wait { timestamp: Timestamp(7), missing: Missing::Parts(Participants(2)) }
        );
    }

    #[test]
    fn after_a_crash_the_partition_that_is_behind_catches_up() {
        // Partition 1 was flushed at 9, partition 0 at 5: its entries at 7 and 9 were complete.
        let behind = step(Timestamp(9), &all(), &[next(0, 7, 5, 1)]);
        assert_eq!(behind, Step::Apply { timestamp: Timestamp(7), partitions: Participants(1) });
        let part = step(Timestamp(9), &all(), &[next(0, 9, 7, 3)]);
        assert_eq!(part, Step::Apply { timestamp: Timestamp(9), partitions: Participants(1) });
    }

    #[test]
    fn a_part_waits_for_words_where_it_does_not_see_the_predecessor() {
        let apply =
            |at, partitions| Step::Apply { timestamp: Timestamp(at), partitions: Participants(partitions) };
        let before = |at, previous| Step::Wait {
            timestamp: Timestamp(at),
            missing: Missing::Before(Timestamp(previous)),
        };
        // What was at 7 may be in partition 2, or on its way in partition 1.
        assert_eq!(step(Timestamp(5), &part(&[]), &[next(0, 9, 7, 1)]), before(9, 7));
        assert_eq!(step(Timestamp(5), &part(&[9, 6]), &[next(0, 9, 7, 1)]), Step::Pass { to: Timestamp(6) });
        assert_eq!(step(Timestamp(6), &part(&[9, 6]), &[next(0, 9, 7, 1)]), before(9, 7));
        assert_eq!(step(Timestamp(5), &part(&[0, 7]), &[next(0, 9, 7, 1)]), apply(9, 1));
        // Partition 1 goes on later: it had nothing before.
        assert_eq!(step(Timestamp(5), &part(&[]), &[next(0, 9, 7, 1), next(1, 11, 9, 2)]), apply(9, 1));
        // The one before is applied, or time passed it.
        assert_eq!(step(Timestamp(7), &part(&[]), &[next(0, 9, 7, 1)]), apply(9, 1));
        assert_eq!(step(Timestamp(8), &part(&[]), &[next(0, 9, 7, 1)]), apply(9, 1));
    }

    #[test]
    fn a_part_waits_for_held_parts_only() {
        let both = [next(0, 7, 5, 7), next(1, 7, 5, 7)];
        let apply = Step::Apply { timestamp: Timestamp(7), partitions: Participants(3) };
        assert_eq!(step(Timestamp(5), &part(&[]), &both), apply);
        let wait = Step::Wait { timestamp: Timestamp(7), missing: Missing::Parts(Participants(2)) };
        assert_eq!(step(Timestamp(5), &part(&[8, 6]), &both[..1]), Step::Pass { to: Timestamp(6) });
        assert_eq!(step(Timestamp(6), &part(&[8, 6]), &both[..1]), wait);
    }

    #[test]
    fn time_passes_in_a_part_as_far_as_all_words_reach() {
        assert_eq!(step(Timestamp(5), &part(&[9, 8]), &[]), Step::Pass { to: Timestamp(8) });
        assert_eq!(step(Timestamp(5), &part(&[9]), &[]), Step::Idle);
        assert_eq!(step(Timestamp(8), &part(&[9, 8]), &[]), Step::Idle);
    }
}
