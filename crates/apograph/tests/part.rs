//! Replicas that hold some of the partitions: what they show is, at every moment, what the primary showed of these
//! partitions at that timestamp, whatever arrives when, and whatever stops in between.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

#[path = "support/mod.rs"]
mod support;

#[path = "support/part.rs"]
mod part;

use apograph::database::part::HeldError;
use apograph::database::roles::{Block, Promote, RoleError};
use apograph::error::{FeedError, ReadError};
use apograph::format::{Participants, PartitionId, Timestamp, Token, View};
use apograph::read::{ExportQuery, Scope, Which};
use apograph::{OpenError, Role};
use part::{Parts, held, uri_in};
use proptest::prelude::*;
use support::synchronize::Cost;
use support::uri;

#[test]
fn what_is_held_is_exact_and_nothing_else_is_there() {
    let mut parts = Parts::start();
    for n in 0..20 {
        parts.commit(&[(n % 3, n)]);
        parts.commit(&[(n % 3, 100 + n), ((n + 1) % 3, 200 + n)]);
    }
    parts.commit(&[(0, 1), (1, 1), (2, 1)]);
    parts.settle();
    parts.check_exact("left");
    parts.check_exact("right");
    assert!(!parts.path("left").join("databases/main/partitions/001").exists());
    let status = parts.copy("left").status().unwrap();
    assert_eq!((status.partitioning, status.partitions.len()), (3, 2));
    assert_eq!(status.alarms, Vec::<String>::new());
    parts.restart("left");
    parts.check_exact("left");
}

#[test]
fn a_transaction_elsewhere_moves_nothing_but_time() {
    let mut parts = Parts::start();
    parts.settle();
    let before = parts.export("left");
    let token = parts.commit(&[(1, 7)]);
    let end = parts.copy("left").resume();
    for _ in 0..2 {
        parts.pump("left", 0, usize::MAX, true);
        assert!(parts.copy("left").visible() < token.timestamp, "partition 2 may have something before");
    }
    parts.pump("left", 2, usize::MAX, true);
    assert_eq!(parts.copy("left").visible(), token.timestamp);
    assert_eq!(parts.copy("left").resume(), end);
    assert_eq!(parts.export("left"), before);
    // Also after a crash, though nothing is in a journal that would say so.
    parts.crash("left");
    assert_eq!(parts.copy("left").visible(), token.timestamp);
}

#[test]
fn an_entry_waits_until_the_one_before_it_is_surely_elsewhere() {
    let mut parts = Parts::start();
    parts.settle();
    let shown = parts.copy("left").visible();
    let hidden = parts.commit(&[(1, 1)]);
    let first = parts.commit(&[(2, 1)]);
    let second = parts.commit(&[(0, 1)]);
    // Behind `first`, which partition 2 has and this copy not yet.
    parts.pump("left", 0, usize::MAX, true);
    assert_eq!(parts.copy("left").visible(), shown);
    parts.pump("left", 2, usize::MAX, false);
    let left = parts.copy("left");
    assert!(hidden.timestamp < first.timestamp);
    // Partition 0 said that it is complete, and partition 2 has `first`: what was before it is elsewhere.
    assert_eq!(left.visible(), second.timestamp);
}

#[test]
fn held_parts_of_a_transaction_come_together() {
    let mut parts = Parts::start();
    parts.settle();
    let shown = parts.copy("left").visible();
    let token = parts.commit(&[(0, 1), (1, 1), (2, 1)]);
    parts.pump("left", 0, usize::MAX, true);
    assert_eq!(parts.copy("left").visible(), shown);
    parts.crash("left");
    assert_eq!(parts.copy("left").visible(), shown);
    parts.pump("left", 2, usize::MAX, false);
    assert_eq!(parts.copy("left").visible(), token.timestamp);
    parts.check_shown("left");
    // Its third part is nowhere here: a start does not take the transaction for one that is not complete.
    parts.crash("left");
    assert_eq!(parts.copy("left").visible(), token.timestamp);
    parts.restart("left");
    parts.check_shown("left");
    assert_eq!(parts.copy("left").visible(), token.timestamp);
}

#[test]
fn reads_elsewhere_say_where() {
    let mut parts = Parts::start();
    parts.commit(&[(0, 1), (1, 1), (2, 1)]);
    parts.settle();
    let left = parts.copy("left");
    let at = uri(&uri_in(1, 1));
    let elsewhere = |error: ReadError| match error {
        ReadError::Elsewhere { partition, held: here, url } => {
            assert_eq!((partition, here), (PartitionId(1), held(&[0, 2])));
            assert_eq!(url.as_deref(), Some("http://127.0.0.1:1"));
        }
        error => panic!("{error}"),
    };
    elsewhere(left.document(&at, Which::Working, None).unwrap_err());
    elsewhere(left.head(&at, None).unwrap_err());
    elsewhere(left.history(&at, None, 10).unwrap_err());
    elsewhere(left.check_held(&at).unwrap_err());
    assert!(left.document(&uri(&uri_in(0, 1)), Which::Working, None).is_ok());
    let query = |partitions| ExportQuery {
        view: View::Full,
        scope: Scope::Whole,
        partitions: Some(partitions),
        as_of: None,
        lists_damage: false,
    };
    elsewhere(left.export_of(query(held(&[0, 1]))).err().unwrap());
    let first = left.export(View::Full, None).unwrap().next().unwrap().unwrap();
    assert!(first.contains(r#""partitions":[0,2],"of":3"#), "{first}");
    let whole = parts.primary().export(View::Full, None).unwrap().next().unwrap().unwrap();
    assert!(!whole.contains("partitions"), "{whole}");
    let feed = left.feed(PartitionId(1), View::Full, parts.primary().resume()[1].1, None);
    assert!(matches!(feed.err().unwrap(), FeedError::Elsewhere { .. }));
    // A token of a write elsewhere is waited for as any other.
    let token = parts.commit(&[(1, 2)]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let wait = |token: Token| {
        runtime.block_on(left.wait_for(token, std::time::Duration::ZERO, std::future::ready(())))
    };
    assert!(wait(token).is_err());
    parts.pump("left", 0, usize::MAX, true);
    parts.pump("left", 2, usize::MAX, true);
    wait(token).unwrap();
}

#[test]
fn a_part_is_nobodys_successor_and_says_so() {
    let mut parts = Parts::start();
    parts.commit(&[(0, 1), (1, 1), (2, 1)]);
    parts.settle();
    let left = parts.copy("left");
    assert!(!left.may_acknowledge());
    let plan = left.plan_promotion().unwrap();
    let missing = Block::PartitionsElsewhere { held: held(&[0, 2]), missing: held(&[1]) };
    assert!(plan.blocks.contains(&missing), "{:?}", plan.blocks);
    let order = Promote { reason: "x".into(), force: true, handover: None };
    match left.promote(order).unwrap_err() {
        RoleError::Blocked { blocks } => assert!(blocks.contains(&missing), "{blocks:?}"),
        error => panic!("{error}"),
    }
    assert_eq!((left.role(), left.fenced().is_some()), (Role::Replica, false));
}

#[test]
fn a_setting_does_not_change_what_is_held() {
    let mut parts = Parts::start();
    parts.settle();
    let refused = |error: OpenError| match error {
        OpenError::Held(HeldError::Changed { asked, found }) => (asked, found),
        error => panic!("{error}"),
    };
    let found = "partitions 0, 2".to_owned();
    assert_eq!(refused(parts.reopen_with("left", Some(&[0, 1]))), ("partitions 0, 1".into(), found.clone()));
    assert_eq!(refused(parts.reopen_with("left", None)), ("all partitions".into(), found));
    assert!(matches!(
        parts.reopen_with("left", Some(&[0, 3])),
        OpenError::Held(HeldError::NoSuchPartition { .. })
    ));
    parts.set_held("left", Some(&[2, 0]));
    parts.open("left").unwrap();
    // And a copy that holds everything does not become a part.
    let found = refused(parts.reopen_with("whole", Some(&[1])));
    assert_eq!(found, ("partitions 1".into(), "all partitions".into()));
}

#[test]
fn a_part_synchronizes_from_nothing_and_by_difference() {
    let mut parts = Parts::start();
    for n in 0..30 {
        parts.commit(&[(n % 3, n), ((n + 1) % 3, 100 + n)]);
    }
    let mut cost = Cost::default();
    parts.synchronize("left", &mut cost);
    parts.check_shown("left");
    parts.settle();
    parts.check_shown("left");
    parts.commit(&[(0, 3)]);
    parts.commit(&[(1, 3)]);
    // What it was told before the snapshot counts no more, and what is shown is not less after a start.
    let mut difference = Cost::default();
    parts.synchronize("left", &mut difference);
    assert!(difference.bytes < cost.bytes, "{difference:?} {cost:?}");
    let shown = parts.copy("left").visible();
    parts.check_shown("left");
    parts.crash("left");
    assert_eq!(parts.copy("left").visible(), shown);
    parts.check_shown("left");
    parts.commit(&[(1, 1)]);
    parts.commit(&[(0, 1), (1, 1), (2, 1)]);
    parts.settle();
    parts.check_shown("left");
}

#[test]
fn a_part_feeds_copies_of_what_it_holds() {
    let mut parts = Parts::start();
    parts.commit(&[(0, 1), (1, 1), (2, 1)]);
    parts.settle();
    let there = parts.adopt_from("left", "second", &[2]);
    there.unwrap();
    for n in 0..9 {
        parts.commit(&[(n % 3, n)]);
        parts.settle();
        while parts.pump_from("left", "second", 2, usize::MAX, true) {}
        parts.pump_from("left", "second", 2, usize::MAX, true);
        parts.check_shown("second");
        assert_eq!(parts.copy("second").visible(), parts.copy("left").visible());
    }
    for asked in [&[0_u16, 1][..], &[1], &[0, 1, 2]] {
        let refused = parts.adopt_from("left", "third", asked).unwrap_err();
        assert!(matches!(refused, OpenError::Held(HeldError::NotThere { .. })), "{refused}");
    }
}

#[test]
fn a_promotion_elsewhere_is_followed_although_no_server_document_is_here() {
    for only in [0_u16, 1, 2] {
        let mut parts = Parts::start();
        parts.adopt_from("primary", "only", &[only]).unwrap();
        parts.name_server("whole");
        parts.settle();
        // What this copy is told by the primary, before that is lost.
        parts.greet_all();
        parts.commit(&[(0, 3), (1, 3), (2, 3)]);
        parts.settle();
        parts.promote("whole");
        parts.greet_all();
        parts.commit(&[(0, 4), (1, 4), (2, 4)]);
        parts.settle();
        assert_eq!(parts.copy("only").epoch(), parts.copy("whole").epoch());
        parts.check_exact("only");
    }
}

/// Nobody names the source yet when the copy meets it; later it is named, and becomes primary.
#[test]
fn the_source_of_the_first_contact_is_believed_about_others_before_anybody_names_it() {
    for only in [0_u16, 1, 2] {
        let mut parts = Parts::start();
        parts.adopt_from("whole", "only", &[only]).unwrap();
        parts.settle();
        let whole = parts.copy("whole").handshake(View::Full).unwrap().server.key;
        let knows = |parts: &Parts| parts.copy("only").knows_server(&whole);
        assert!(!knows(&parts), "it could become primary without a document that names it");
        parts.name_server("whole");
        parts.settle();
        for other in ["left", "right", "whole"] {
            parts.greet("primary", other);
        }
        parts.promote("whole");
        parts.greet_all();
        assert!(knows(&parts));
        parts.commit(&[(0, 4), (1, 4), (2, 4)]);
        parts.settle();
        assert_eq!(parts.copy("only").epoch(), parts.copy("whole").epoch());
        parts.check_exact("only");
    }
}

#[test]
fn what_was_said_of_a_history_that_is_cut_off_counts_no_more() {
    let mut parts = Parts::start();
    parts.name_server("whole");
    parts.settle();
    parts.greet_all();
    let base = parts.copy("whole").visible();
    // Partition 0 says more than the new primary ever had; partition 2 says nothing, so nothing is shown by it.
    parts.commit(&[(1, 5)]);
    parts.commit(&[(1, 6)]);
    parts.pump("left", 0, usize::MAX, true);
    assert_eq!(parts.copy("left").visible(), base);
    parts.promote("whole");
    parts.greet_all();
    parts.commit(&[(0, 7)]);
    parts.commit(&[(2, 7)]);
    // Partition 2 goes ahead: what it has last follows an entry that partition 0 does not have yet.
    while parts.pump("left", 2, usize::MAX, true) {}
    parts.check_shown("left");
    parts.crash("left");
    parts.check_shown("left");
    parts.settle();
    parts.check_exact("left");
}

#[derive(Debug, Clone)]
enum Step {
    /// Changes documents of these partitions, in one transaction.
    Commit(Vec<(u16, u16)>),
    /// Some entries of a partition come to a copy; with what its source says when all of them are there.
    Take {
        right: bool,
        slot: u16,
        entries: usize,
    },
    Restart(bool),
    Crash(bool),
    Synchronize(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let documents = prop::collection::vec((0..3_u16, 0..6_u16), 1..4);
    let entries = prop_oneof![3 => Just(usize::MAX), 2 => 1..4_usize];
    let step = prop_oneof![
        8 => documents.prop_map(Step::Commit),
        12 => (any::<bool>(), 0..2_u16, entries)
            .prop_map(|(right, slot, entries)| Step::Take { right, slot, entries }),
        1 => any::<bool>().prop_map(Step::Restart),
        2 => any::<bool>().prop_map(Step::Crash),
        1 => any::<bool>().prop_map(Step::Synchronize),
    ];
    prop::collection::vec(step, 1..60)
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(16)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(), max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_shown_is_always_what_the_primary_showed_then(steps in steps()) {
        let mut parts = Parts::start();
        let name = |right| if right { "right" } else { "left" };
        let mut shown = [Timestamp::ZERO; 2];
        for step in steps {
            match step {
                Step::Commit(documents) => drop(parts.commit(&documents)),
                Step::Take { right, slot, entries } => {
                    let held: Vec<PartitionId> = parts.copy(name(right)).held_partitions().iter().collect();
                    let partition = held[usize::from(slot) % held.len()].0;
                    parts.pump(name(right), partition, entries, true);
                }
                Step::Restart(right) => parts.restart(name(right)),
                Step::Crash(right) => parts.crash(name(right)),
                Step::Synchronize(right) => parts.synchronize(name(right), &mut Cost::default()),
            }
            for (index, copy) in ["left", "right"].into_iter().enumerate() {
                let visible = parts.copy(copy).visible();
                prop_assert!(visible >= shown[index], "{copy}: {visible} after {}", shown[index]);
                shown[index] = visible;
                parts.check_shown(copy);
            }
        }
        parts.settle();
        for copy in ["left", "right"] {
            prop_assert_eq!(parts.copy(copy).visible(), parts.primary().visible());
            parts.check_shown(copy);
        }
    }
}

#[test]
fn sets_of_partitions_are_lists() {
    let set: Participants = serde_json::from_str("[2, 0]").unwrap();
    assert_eq!(serde_json::to_string(&set).unwrap(), "[0,2]");
    assert!(serde_json::from_str::<Participants>("[64]").is_err());
}
