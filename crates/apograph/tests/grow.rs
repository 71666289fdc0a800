//! Replicas of some partitions take in others: from nothing or by difference, broken off anywhere, and what they show is always
//! what the primary showed then. A set of them that has lost its primary goes on without it.
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

use std::path::Path;

use apograph::OpenError;
use apograph::Role;
use apograph::database::part::{GrowError, HeldError};
use apograph::database::roles::Block;
use apograph::format::{PartitionId, Timestamp, View};
use apograph::synchronize::SnapshotError;
use part::{PARTITIONS, Parts, held, uri_in};
use proptest::prelude::*;
use support::synchronize::{Cost, synchronize};
use support::{copy_folder, uri};

const ALL: usize = usize::MAX;

/// Some transactions, in one partition and in several.
fn fill(parts: &mut Parts, turns: u16) {
    for n in 0..turns {
        parts.commit(&[(n % 3, n)]);
        parts.commit(&[(n % 3, 100 + n), ((n + 1) % 3, 200 + n)]);
    }
    parts.commit(&[(0, 1), (1, 1), (2, 1)]);
}

#[test]
fn a_part_becomes_whole_and_follows_as_a_full_copy() {
    let mut parts = Parts::start();
    fill(&mut parts, 20);
    parts.settle();
    let shown = parts.copy("left").visible();
    // The source is ahead of the copy: what comes is of the copy's time.
    fill(&mut parts, 5);
    assert!(parts.grow("left", "primary", None, ALL).unwrap());
    let left = parts.copy("left");
    assert_eq!((left.is_part(), left.visible()), (false, shown));
    assert!(!parts.path("left").join("databases/main/growing").exists());
    parts.check_shown("left");
    assert!(
        left.plan_promotion()
            .unwrap()
            .blocks
            .iter()
            .all(|block| { !matches!(block, Block::PartitionsElsewhere { .. }) })
    );
    parts.settle();
    parts.check_shown("left");
    assert_eq!(parts.copy("left").visible(), parts.primary().visible());
    parts.crash("left");
    parts.check_shown("left");
    // Again changes nothing, and the settings say what is held.
    assert!(parts.grow("left", "primary", Some(&[0, 1, 2]), ALL).unwrap());
    let settings = std::fs::read_to_string(parts.path("left").join("server.json")).unwrap();
    assert!(!settings.contains("held_partitions"), "{settings}");
}

#[test]
fn it_takes_in_one_after_the_other_from_several() {
    let mut parts = Parts::start();
    parts.adopt_from("primary", "one", &[0]).unwrap();
    fill(&mut parts, 10);
    parts.settle();
    for (source, partition, expected) in [("right", 1, &[0_u16, 1][..]), ("left", 2, &[0, 1, 2])] {
        assert!(parts.grow("one", source, Some(&[partition]), ALL).unwrap());
        assert_eq!(parts.copy("one").held_partitions(), held(expected));
        parts.check_shown("one");
        parts.crash("one");
        parts.check_shown("one");
        fill(&mut parts, 3);
        parts.settle();
        parts.check_shown("one");
        assert_eq!(parts.copy("one").visible(), parts.primary().visible());
    }
}

#[test]
fn settings_may_say_what_it_held_at_first_or_holds_now() {
    let mut parts = Parts::start();
    fill(&mut parts, 3);
    parts.settle();
    parts.grow("left", "primary", None, ALL).unwrap();
    for partitions in [Some(&[0_u16, 2][..]), Some(&[0, 1, 2]), None] {
        parts.close("left");
        parts.set_held("left", partitions);
        parts.open("left").unwrap();
        assert!(!parts.copy("left").is_part());
    }
    let refused = parts.reopen_with("left", Some(&[0, 1]));
    assert!(matches!(refused, OpenError::Held(HeldError::Changed { .. })), "{refused}");
}

#[test]
fn broken_off_after_any_question_it_goes_on() {
    for turns in [2, 40] {
        let mut parts = Parts::start();
        fill(&mut parts, turns);
        parts.settle();
        let shown = parts.copy("left").visible();
        let mut tries = 0;
        while !parts.grow("left", "right", None, 1 + tries / 2).unwrap() {
            tries += 1;
            assert!(tries < 50, "it never ends");
            if tries % 2 == 0 {
                // It starts as what it was, follows, and stands elsewhere when it goes on.
                parts.open("left").unwrap();
                assert!(parts.copy("left").is_part());
                assert_eq!(parts.copy("left").visible(), shown);
                parts.check_shown("left");
            }
        }
        assert!(tries > 0);
        assert_eq!((parts.copy("left").is_part(), parts.copy("left").visible()), (false, shown));
        parts.check_shown("left");
    }
}

#[test]
fn what_came_for_an_earlier_time_is_not_asked_for_again() {
    let mut parts = Parts::start();
    fill(&mut parts, 30);
    parts.settle();
    assert!(!parts.grow("left", "right", None, 1).unwrap());
    parts.open("left").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    parts.commit(&[(1, 5)]);
    fill(&mut parts, 2);
    parts.settle();
    assert!(parts.grow("left", "right", None, ALL).unwrap());
    parts.check_shown("left");
    parts.settle();
    parts.check_shown("left");
}

/// Every state that a crash between the decision and the end can leave.
#[test]
fn a_crash_while_it_is_moved_in_is_finished_by_the_next_start() {
    for whole in [true, false] {
        let mut parts = Parts::start();
        let name = if whole { "left" } else { "one" };
        if !whole {
            parts.adopt_from("primary", "one", &[0]).unwrap();
        }
        fill(&mut parts, 6);
        parts.settle();
        let shown = parts.copy(name).visible();
        // All questions are answered, and nothing is decided.
        let mut questions = 1;
        let before = parts.path("before");
        while !parts.grow(name, "right", None, questions).unwrap() {
            if before.exists() {
                std::fs::remove_dir_all(&before).unwrap();
            }
            copy_folder(&parts.path(name), &before).unwrap();
            questions += 1;
        }
        parts.close(name);
        let after = std::fs::read(parts.path(name).join("databases/main/database.json")).unwrap();
        let mut decided: serde_json::Value = serde_json::from_slice(&after).unwrap();
        let members = decided.as_object_mut().unwrap();
        members.remove("checksum");
        members.insert("taking_in".into(), serde_json::json!({ "partitions": [1], "at": shown }));
        let decided = serde_json::to_vec(&decided).unwrap();
        let rename = |from: &Path, to: &Path| std::fs::rename(from, to).unwrap();
        let steps: [&dyn Fn(&Path); 5] = [
            &|_| (),
            &|main| rename(&main.join("growing/partitions/001"), &main.join("partitions/001")),
            &|main| drop(std::fs::remove_file(main.join("words.json"))),
            &|main| rename(&main.join("growing"), &main.join("growing.done")),
            &|main| std::fs::remove_file(main.join("growing.done/database.json")).unwrap(),
        ];
        for count in 1..=steps.len() {
            // The synchronization itself is over in the copy beside: as `finish` leaves it.
            std::fs::remove_dir_all(parts.path(name)).unwrap();
            copy_folder(&before, &parts.path(name)).unwrap();
            finish_beside(&parts, name);
            let main = parts.path(name).join("databases/main");
            std::fs::write(main.join("database.json"), &decided).unwrap();
            for step in &steps[..count] {
                step(&main);
            }
            parts.open(name).unwrap();
            assert_eq!(parts.copy(name).is_part(), !whole);
            // Without words less is shown until the source speaks again.
            if whole || count < 3 {
                assert_eq!(parts.copy(name).visible(), shown, "step {count}");
            }
            parts.check_shown(name);
            assert!(!main.join("growing").exists() && !main.join("growing.done").exists());
            parts.restart(name);
            parts.check_shown(name);
            parts.close(name);
        }
        parts.open(name).unwrap();
        fill(&mut parts, 2);
        parts.settle();
        parts.check_shown(name);
        assert_eq!(parts.copy(name).visible(), parts.primary().visible());
    }
}

/// What is beside is at the snapshot, and nothing is decided.
fn finish_beside(parts: &Parts, name: &str) {
    let folder = apograph::Folder::open(&parts.path(name)).unwrap();
    let source = parts.copy("right");
    let growth = folder.grow("main", None, &source.handshake(View::Full).unwrap()).unwrap().unwrap();
    if !growth.is_there() {
        growth.beside().finish_sync(0).unwrap();
    }
    growth.beside().shutdown();
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_changed() {
    let mut parts = Parts::start();
    fill(&mut parts, 3);
    parts.settle();
    let refused = |outcome: Result<bool, GrowError>| outcome.unwrap_err();
    // `right` falls behind.
    fill(&mut parts, 1);
    for partition in [0, 2] {
        while parts.pump("left", partition, ALL, true) {}
        parts.pump("left", partition, ALL, true);
    }
    let error = refused(parts.grow("left", "right", None, ALL));
    assert!(matches!(error, GrowError::SourceBehind { .. }), "{error}");
    let error = refused(parts.grow("right", "left", Some(&[0, 3]), ALL));
    assert!(matches!(error, GrowError::Held(HeldError::NoSuchPartition { .. })), "{error}");
    parts.adopt_from("left", "second", &[2]).unwrap();
    let error = refused(parts.grow("right", "second", Some(&[0]), ALL));
    assert!(matches!(error, GrowError::Held(HeldError::NotThere { .. })), "{error}");
    let error = refused(parts.grow("primary", "whole", None, ALL));
    assert!(matches!(error, GrowError::NotAReplica { role: Role::Primary }), "{error}");
    // Others than were begun.
    assert!(!parts.grow("right", "left", Some(&[0]), 1).unwrap());
    let error = refused(parts.grow("right", "left", Some(&[2]), ALL));
    assert!(matches!(error, GrowError::Begun { .. }), "{error}");
    assert!(parts.grow("right", "left", Some(&[0]), ALL).unwrap());
    parts.check_shown("right");
    // Another database.
    let mut others = Parts::start();
    others.settle();
    parts.close("left");
    let folder = apograph::Folder::open(&parts.path("left"));
    let error = part::grow(&folder.unwrap(), &others.primary(), None, ALL).unwrap_err();
    assert!(matches!(error, GrowError::AnotherDatabase { .. }), "{error}");
    parts.open("left").unwrap();
    parts.check_shown("left");
}

#[test]
fn a_source_gives_its_state_of_a_time_as_far_as_it_remembers() {
    let mut parts = Parts::start();
    fill(&mut parts, 3);
    parts.settle();
    let primary = parts.primary();
    let at = primary.visible();
    let expected = primary.snapshot(View::Full, Timestamp::ZERO).unwrap();
    fill(&mut parts, 3);
    parts.settle();
    let found = primary.snapshot_as_of(View::Full, at).unwrap();
    assert_eq!(found, expected);
    let later = Timestamp(primary.visible().0 + 1);
    let refused = primary.snapshot_as_of(View::Full, later).unwrap_err();
    assert!(matches!(refused, SnapshotError::NotReached { .. }), "{refused}");
    // A copy that synchronized does not remember what was before.
    let mut cost = Cost::default();
    synchronize(&primary, &parts.copy("whole"), "requested", &mut cost);
    let refused = parts.copy("whole").snapshot_as_of(View::Full, at).unwrap_err();
    assert!(matches!(refused, SnapshotError::Expired { .. }), "{refused}");
}

/// The member that has come least far takes in what the others hold, and is promoted.
fn go_on(parts: &mut Parts, target: &str, other: &str, kill_every: usize) {
    let base = parts.copy(target).visible();
    let is_ahead = parts.copy(other).visible() > base;
    let mut tries = 0;
    while !parts.grow(target, other, None, kill_every.saturating_add(tries)).unwrap() {
        tries += 1;
        assert!(tries < 100);
    }
    assert_eq!(parts.copy(target).visible(), base);
    // The primary is gone for them, and not for this test.
    parts.check_shown(target);
    let whole = parts.copy(target);
    assert_eq!(whole.plan_promotion().unwrap().blocks, []);
    drop(whole);
    parts.close("whole");
    parts.promote(target);
    let start = parts.primary().epochs().last().unwrap().clone();
    assert_eq!(start.base, base);
    parts.greet_all();
    if is_ahead {
        // What it shows is beyond the fork: it is refused, synchronizes, and keeps what was cut off.
        assert!(parts.copy(other).is_forked() || parts.copy(other).visible() > base);
        parts.synchronize(other, &mut Cost::default());
        let orphans = parts.copy(other).orphans(Timestamp::ZERO, 1_000).unwrap();
        assert!(orphans.iter().all(|orphan| orphan.token.timestamp > base), "{orphans:?}");
    }
    parts.commit(&[(0, 400), (1, 400), (2, 400)]);
    parts.settle();
    parts.check_shown(other);
    assert_eq!(parts.copy(other).visible(), parts.primary().visible());
    let (here, there) = (parts.copy(other).status().unwrap(), parts.primary().status().unwrap());
    for of in &here.partitions {
        let expected = &there.partitions[usize::from(of.partition.0)];
        assert_eq!((of.applied, of.journal_end), (expected.applied, expected.journal_end));
    }
    parts.crash(other);
    parts.check_shown(other);
    parts.crash(target);
    parts.check_shown(other);
}

/// Both are named, and know it.
fn named() -> Parts {
    let mut parts = Parts::start();
    for name in ["left", "right"] {
        parts.name_server(name);
    }
    parts.settle();
    parts.greet_all();
    parts
}

#[test]
fn a_set_goes_on_from_what_is_complete_everywhere() {
    for (target, other) in [("left", "right"), ("right", "left")] {
        for ahead in [false, true] {
            let mut parts = named();
            fill(&mut parts, 10);
            parts.settle();
            if ahead {
                fill(&mut parts, 3);
                for partition in parts.copy(other).held_partitions().iter() {
                    while parts.pump(other, partition.0, ALL, true) {}
                    parts.pump(other, partition.0, ALL, true);
                }
                assert!(parts.copy(other).visible() > parts.copy(target).visible());
            }
            go_on(&mut parts, target, other, 1);
            if ahead {
                let other = parts.copy(other);
                assert!(!other.orphans(Timestamp::ZERO, 100).unwrap().is_empty());
            }
        }
    }
}

#[test]
fn a_transaction_of_which_one_part_came_is_cut() {
    let mut parts = named();
    fill(&mut parts, 4);
    parts.settle();
    let base = parts.copy("left").visible();
    let lost = parts.commit(&[(0, 7), (1, 7), (2, 7)]);
    // All its entries of `left` are there, and nothing of `right`; and no word that `left` could show it by.
    parts.pump("left", 0, ALL, false);
    assert_eq!(parts.copy("left").visible(), base);
    assert!(lost.timestamp > base);
    go_on(&mut parts, "left", "right", ALL);
    let cut = parts.primary().document(&uri(&uri_in(0, 7)), apograph::read::Which::Working, None);
    assert!(cut.is_err(), "it was never complete in this set");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_came_the_set_goes_on_from_its_common_timestamp(
        commits in prop::collection::vec(prop::collection::vec((0..PARTITIONS, 0..6_u16), 1..4), 1..20),
        takes in prop::collection::vec((any::<bool>(), 0..2_u16, prop_oneof![Just(ALL), 1..4_usize], any::<bool>()), 0..24),
        kill_every in prop_oneof![Just(1_usize), Just(3), Just(ALL)],
    ) {
        let mut parts = named();
        let mut commits = commits.into_iter();
        for (right, slot, entries, with_word) in takes {
            if let Some(documents) = commits.next() {
                parts.commit(&documents);
            }
            let name = if right { "right" } else { "left" };
            let held: Vec<PartitionId> = parts.copy(name).held_partitions().iter().collect();
            let partition = held[usize::from(slot) % held.len()].0;
            parts.pump(name, partition, entries, with_word);
        }
        let behind = parts.copy("left").visible() <= parts.copy("right").visible();
        let (target, other) = if behind { ("left", "right") } else { ("right", "left") };
        go_on(&mut parts, target, other, kill_every);
    }
}
