//! Which server of a set goes on when the primary is lost, and what it has to take in before.
//!
//! The history goes on after the common timestamp. So the one that is made whole is one that shows exactly that: what it
//! shows is complete everywhere, and every partition that it lacks is at a server that has come as far. Others may have more of
//! some partitions; what they show after the common timestamp was never complete in the set, and becomes orphans there.

use std::collections::BTreeMap;

use apograph_format::{PartitionId, Timestamp};
use serde::Serialize;

use super::{Member, Together, together};
use crate::types::Role;

/// A server that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreachable {
    /// Where it should.
    pub url: String,
    /// What happened instead.
    pub reason: String,
}

/// Partitions that are taken in from one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToTakeIn {
    /// Which.
    pub partitions: Vec<PartitionId>,
    /// From where.
    pub from: String,
}

/// A server that shows more than the common timestamp.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Above {
    /// Which.
    pub url: String,
    /// What it shows.
    pub visible: Timestamp,
    /// By how much that is later.
    pub seconds: f64,
}

/// Something that stands against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetBlock {
    /// Its stable name.
    pub code: &'static str,
    /// What it is, for people.
    pub detail: String,
}

/// How a set of servers goes on without its primary.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Succession {
    /// What they have together.
    #[serde(flatten)]
    pub together: Together,
    /// The one to be made whole, and promoted; none if something is missing.
    pub target: Option<String>,
    /// What it takes in first; nothing, if it holds everything.
    pub take_in: Vec<ToTakeIn>,
    /// Servers that show more: what that is becomes orphans there.
    pub above: Vec<Above>,
    /// Servers that did not answer: they may have more.
    pub unreachable: Vec<Unreachable>,
    /// What stands against it.
    pub blocks: Vec<SetBlock>,
}

/// How these servers of one database go on without their primary.
pub fn succession(members: Vec<Member>, unreachable: Vec<Unreachable>) -> Succession {
    let together = together(members);
    let counted: Vec<&Member> = together.members.iter().filter(|member| member.left_out.is_none()).collect();
    let replicas = || counted.iter().filter(|member| member.role == Role::Replica);
    let target = together.common.and_then(|common| {
        let stands_there = replicas().filter(|member| member.visible == common);
        // The first of those that hold most.
        stands_there.rev().max_by_key(|member| member.partitions.len())
    });
    let take_in = target.map(|target| to_take_in(&together, target)).unwrap_or_default();
    let above = together.common.map(|common| above(&counted, common)).unwrap_or_default();
    let blocks = blocks(&together, &counted, &unreachable, target.is_some());
    let target = target.map(|target| target.url.clone());
    Succession { target, take_in, above, unreachable, blocks, together }
}

/// From the one that has most of each.
fn to_take_in(together: &Together, target: &Member) -> Vec<ToTakeIn> {
    let mut from: BTreeMap<&str, Vec<PartitionId>> = BTreeMap::new();
    for of in together.partitions.iter().filter(|of| !target.partitions.contains(&of.partition)) {
        if let Some(best) = &of.best {
            from.entry(best).or_default().push(of.partition);
        }
    }
    let step = |(from, partitions): (&str, Vec<PartitionId>)| ToTakeIn { partitions, from: from.to_owned() };
    from.into_iter().map(step).collect()
}

fn above(counted: &[&Member], common: Timestamp) -> Vec<Above> {
    let more = counted.iter().filter(|member| member.visible > common);
    let above = |member: &&&Member| {
        let by = std::time::Duration::from_micros(member.visible.0 - common.0);
        Above { url: member.url.clone(), visible: member.visible, seconds: by.as_secs_f64() }
    };
    more.map(|member| above(&member)).collect()
}

fn blocks(
    together: &Together,
    counted: &[&Member],
    unreachable: &[Unreachable],
    has_target: bool,
) -> Vec<SetBlock> {
    let mut blocks = Vec::new();
    let mut block = |code: &'static str, detail: String| blocks.push(SetBlock { code, detail });
    for member in counted.iter().filter(|member| member.role == Role::Primary) {
        let what = "is the primary, and answers: a switchover loses nothing, and replicas take partitions in from it";
        block("primary-answers", format!("{} {what}", member.url));
    }
    if !together.missing.is_empty() {
        let missing: Vec<String> = together.missing.iter().map(ToString::to_string).collect();
        let detail = format!("none of these servers that counts holds partitions {}", missing.join(", "));
        block("partitions-missing", detail);
    } else if !has_target && counted.iter().all(|member| member.role != Role::Primary) {
        block("no-replica", "none of these servers can become the primary".to_owned());
    }
    for member in together.members.iter().filter(|member| member.stopped.is_some()) {
        let reason = member.stopped.as_deref().unwrap_or_default();
        block("stopped", format!("{} stopped: {reason}", member.url));
    }
    for of in unreachable {
        let what = "and may have more, or a later epoch; name the others only, if it is lost";
        block("unreachable", format!("{} does not answer ({}), {what}", of.url, of.reason));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::super::tests::member;
    use super::*;

    #[test]
    fn the_one_at_the_common_timestamp_takes_in_what_it_lacks() {
        let found = succession(
            vec![member("a", &[0, 2], 90), member("b", &[1], 2_000_100), member("c", &[2], 95)],
            vec![],
        );
        assert_eq!((found.target.as_deref(), found.together.common), (Some("a"), Some(Timestamp(90))));
        assert_eq!(found.take_in, [ToTakeIn { partitions: vec![PartitionId(1)], from: "b".into() }]);
        let above: Vec<&str> = found.above.iter().map(|above| above.url.as_str()).collect();
        assert_eq!((above, found.blocks), (vec!["b", "c"], vec![]));
        assert!(found.above[0].seconds > 2.0);
        // The other way round the other one.
        let found = succession(vec![member("a", &[0, 2], 90), member("b", &[1], 80)], vec![]);
        assert_eq!(found.target.as_deref(), Some("b"));
        let both = vec![PartitionId(0), PartitionId(2)];
        assert_eq!(found.take_in, [ToTakeIn { partitions: both, from: "a".into() }]);
    }

    #[test]
    fn one_that_is_whole_and_as_far_as_all_needs_nothing() {
        let found = succession(vec![member("a", &[0], 90), member("b", &[0, 1, 2], 90)], vec![]);
        assert_eq!((found.target.as_deref(), found.take_in), (Some("b"), vec![]));
    }

    #[test]
    fn what_stands_against_it_is_named() {
        let lost = Unreachable { url: "c".into(), reason: "nobody there".into() };
        let primary = Member { role: Role::Primary, ..member("p", &[0, 1, 2], 100) };
        let codes = |found: Succession| found.blocks.iter().map(|block| block.code).collect::<Vec<_>>();
        assert_eq!(
            codes(succession(vec![member("a", &[0], 90)], vec![lost])),
            ["partitions-missing", "unreachable"]
        );
        assert_eq!(codes(succession(vec![member("a", &[0], 90), primary], vec![])), ["primary-answers"]);
        let stopped = Member { stopped: Some("its disk".into()), ..member("a", &[0, 1, 2], 90) };
        assert_eq!(codes(succession(vec![stopped], vec![])), ["stopped"]);
    }
}
