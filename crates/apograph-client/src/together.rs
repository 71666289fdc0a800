//! What a set of servers has together: the largest timestamp that is complete in every partition by the best of them.
//!
//! Everything that a server shows up to its visible timestamp is complete in every partition that it holds. Only servers
//! of the highest epoch among them, that hold the full view, count: what another one shows may be of a history that was
//! cut off.

mod succession;

use apograph_format::{Epoch, PartitionId, Timestamp, View};
use serde::Serialize;

pub use succession::{Above, SetBlock, Succession, ToTakeIn, Unreachable, succession};

use crate::types::{DatabaseStatus, Role};

/// One server of the set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Where it answers.
    pub url: String,
    /// What it is.
    pub role: Role,
    /// Epoch of its history.
    pub epoch: Epoch,
    /// Everything that it holds is complete up to here.
    pub visible: Timestamp,
    /// How many partitions the database has, if it says so.
    pub partitioning: Option<u16>,
    /// The partitions that it holds.
    pub partitions: Vec<PartitionId>,
    /// Why it does not count, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
    #[serde(skip)]
    view: View,
    /// Why it cannot go on, if so.
    #[serde(skip)]
    stopped: Option<String>,
}

/// What the set has of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionTogether {
    /// Which.
    pub partition: PartitionId,
    /// Who has most of it; nobody, if none holds it.
    pub best: Option<String>,
    /// It is complete up to here.
    pub complete: Option<Timestamp>,
}

/// What a set of servers has together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Together {
    /// The largest timestamp that is complete in every partition; none, if a partition is held by none.
    pub common: Option<Timestamp>,
    /// The highest epoch among them.
    pub epoch: Epoch,
    /// All of them.
    pub members: Vec<Member>,
    /// Every partition of the database.
    pub partitions: Vec<PartitionTogether>,
    /// Those that none of them holds.
    pub missing: Vec<PartitionId>,
}

impl Member {
    /// What a server says of itself.
    pub fn of(url: &str, status: &DatabaseStatus) -> Member {
        Member {
            url: url.to_owned(),
            role: status.role,
            epoch: status.epoch,
            visible: status.visible,
            partitioning: status.partitioning,
            partitions: status.partitions.iter().map(|of| of.partition).collect(),
            left_out: None,
            view: status.view,
            stopped: status.stopped.clone(),
        }
    }
}

/// What these servers of one database have together.
pub fn together(mut members: Vec<Member>) -> Together {
    let full = |member: &&mut Member| member.view == View::Full;
    let epoch = members.iter_mut().filter(full).map(|member| member.epoch).max().unwrap_or_default();
    for member in &mut members {
        member.left_out = match (member.view, member.epoch == epoch) {
            (View::Published, _) => Some("it holds what is published only".to_owned()),
            (View::Full, false) => Some(format!("it is of epoch {}, which is over", member.epoch)),
            (View::Full, true) => None,
        };
    }
    // Who does not say it holds all of them.
    let says = |member: &Member| member.partitioning.map_or(member.partitions.len(), usize::from);
    let count = members.iter().map(says).max().unwrap_or_default();
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    let best_of = |partition: PartitionId| {
        let counts = members.iter().filter(|member| member.left_out.is_none());
        let best = counts
            .filter(|member| member.partitions.contains(&partition))
            // The first of those that are equal.
            .rev()
            .max_by_key(|member| member.visible);
        PartitionTogether {
            partition,
            best: best.map(|member| member.url.clone()),
            complete: best.map(|member| member.visible),
        }
    };
    let partitions: Vec<PartitionTogether> = (0..count).map(PartitionId).map(best_of).collect();
    let complete: Option<Vec<Timestamp>> = partitions.iter().map(|of| of.complete).collect();
    let missing = partitions.iter().filter(|of| of.best.is_none()).map(|of| of.partition).collect();
    let common = complete.and_then(|complete| complete.into_iter().min());
    Together { common, epoch, members, partitions, missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn member(url: &str, partitions: &[u16], visible: u64) -> Member {
        Member {
            url: url.to_owned(),
            role: Role::Replica,
            epoch: Epoch::FIRST,
            visible: Timestamp(visible),
            partitioning: Some(3),
            partitions: partitions.iter().copied().map(PartitionId).collect(),
            left_out: None,
            view: View::Full,
            stopped: None,
        }
    }

    #[test]
    fn the_best_of_each_partition_counts_and_the_worst_partition_decides() {
        let found = together(vec![member("a", &[0, 2], 90), member("b", &[1], 100), member("c", &[2], 95)]);
        assert_eq!(found.common, Some(Timestamp(90)));
        let best: Vec<_> = found.partitions.iter().filter_map(|of| of.best.as_deref()).collect();
        assert_eq!(best, ["a", "b", "c"]);
        let equal = together(vec![member("a", &[0, 1, 2], 90), member("b", &[1], 90)]);
        assert_eq!(equal.partitions[1].best.as_deref(), Some("a"));
    }

    #[test]
    fn what_nobody_holds_has_no_common_timestamp() {
        let found = together(vec![member("a", &[0], 90), member("b", &[2], 100)]);
        assert_eq!((found.common, found.missing), (None, vec![PartitionId(1)]));
    }

    #[test]
    fn an_older_epoch_and_what_is_published_do_not_count() {
        let newer = Epoch::FIRST.next(&apograph_format::ServerKey([1; 32]), apograph_format::Right::Taken);
        let new = Member { epoch: newer.unwrap(), ..member("new", &[0, 1, 2], 50) };
        let staging = Member { view: View::Published, ..member("staging", &[0, 1, 2], 200) };
        let found = together(vec![member("old", &[0, 1, 2], 100), new, staging]);
        assert_eq!(found.common, Some(Timestamp(50)));
        let left_out: Vec<_> = found.members.iter().map(|member| member.left_out.is_some()).collect();
        assert_eq!(left_out, [true, false, true]);
    }
}
