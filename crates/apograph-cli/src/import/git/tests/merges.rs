//! Side branches: worked on, merged, discarded.

use super::history::Edit::{File, Gone, Renamed};
use super::history::{History, text};
use super::model::{check, operations};

const NONE: [&str; 0] = [];

#[test]
fn a_side_branch_is_live_when_merged() {
    let mut history = History::default();
    history
        .commit("start", &[], &[File(b"a", "1"), File(b"b", "1")])
        .commit("side", &["start"], &[File(b"a", "2"), File(b"new", "n")])
        .commit("main", &["start"], &[File(b"b", "2")])
        .commit("merge", &["main", "side"], &[File(b"a", "2"), File(b"new", "n")]);
    let (transactions, _) = check(&history.write());
    let comments: Vec<_> = transactions.iter().map(|t| (t.comment.as_str(), t.on_main_line)).collect();
    assert_eq!(comments, [("start", true), ("main", true), ("side", false), ("merge", true)]);
    assert_eq!(operations(&transactions, "side"), ["put /a", "put /new"]);
    assert_eq!(operations(&transactions, "merge"), ["publish /a", "publish /new"]);
}

#[test]
fn a_discarded_branch_leaves_nothing() {
    let mut history = History::default();
    history
        .commit("start", &[], &[File(b"a", "1"), File(b"b", "1")])
        .commit("side", &["start"], &[File(b"a", "2"), File(b"new", "n"), Gone(b"b")])
        .commit("merge", &["start", "side"], &[])
        .commit("after", &["merge"], &[File(b"new", "n")]);
    let (transactions, _) = check(&history.write());
    assert_eq!(operations(&transactions, "side"), ["put /a", "put /new"]);
    assert_eq!(operations(&transactions, "merge"), ["trash /new", "put /a", "publish /a"]);
}

#[test]
fn a_change_taken_back_on_the_side_is_settled() {
    let mut history = History::default();
    history
        .commit("start", &[], &[File(b"a", "1")])
        .commit("side", &["start"], &[File(b"a", "2")])
        .commit("revert", &["side"], &[File(b"a", "1")])
        .commit("merge", &["start", "revert"], &[]);
    let (transactions, _) = check(&history.write());
    assert_eq!(operations(&transactions, "merge"), ["publish /a"]);
}

#[test]
fn a_deletion_on_the_side_comes_with_the_merge() {
    let mut history = History::default();
    history
        .commit("start", &[], &[File(b"a", "1"), File(b"b", "1")])
        .commit("add", &["start"], &[File(b"own", "o")])
        .commit("delete", &["add"], &[Gone(b"a"), Gone(b"own")])
        .commit("merge", &["start", "delete"], &[Gone(b"a")]);
    let (transactions, _) = check(&history.write());
    assert_eq!(operations(&transactions, "delete"), ["trash /own"]);
    assert_eq!(operations(&transactions, "merge"), ["trash /a"]);
}

#[test]
fn a_rename_on_the_side() {
    let mut history = History::default();
    let (a, own) = (text("a"), text("own"));
    history
        .commit("start", &[], &[File(b"a", &a), File(b"z", "z")])
        .commit("side", &["start"], &[Renamed(b"a", b"b"), File(b"own", &own)])
        .commit("again", &["side"], &[Renamed(b"own", b"mine")])
        .commit("merge", &["start", "again"], &[Renamed(b"a", b"b"), File(b"mine", &own)]);
    let (transactions, _) = check(&history.write());
    assert_eq!(operations(&transactions, "side"), ["put /b from /a", "put /own"]);
    assert_eq!(operations(&transactions, "again"), ["move /own /mine"]);
    assert_eq!(operations(&transactions, "merge"), ["trash /a", "publish /b", "publish /mine"]);
}

#[test]
fn a_rename_on_the_side_keeps_the_content_of_the_side() {
    let mut history = History::default();
    let (a, changed) = (text("a"), text("a") + "more\n");
    history
        .commit("start", &[], &[File(b"dir/a", &a)])
        .commit("other", &["start"], &[File(b"dir/a", &changed)])
        .commit("side", &["start"], &[Renamed(b"dir/a", b"dir/b")])
        .commit("merge", &["start", "other", "side"], &[Gone(b"dir/a"), File(b"dir/b", &a)]);
    let (transactions, _) = check(&history.write());
    assert_eq!(operations(&transactions, "side"), ["put /dir/b from /dir/a"]);
    assert_eq!(operations(&transactions, "merge"), ["trash /dir/a", "publish /dir/b"]);
}

#[test]
fn octopus_and_nested_merges() {
    let mut history = History::default();
    history
        .commit("start", &[], &[File(b"a", "1")])
        .commit("old", &["start"], &[File(b"old", "o")])
        .commit("main", &["start"], &[File(b"a", "2")])
        .commit("x", &["main"], &[File(b"x", "x"), File(b"both", "x")])
        .commit("y", &["start"], &[File(b"y", "y"), File(b"both", "y")])
        .commit("xy", &["x", "y"], &[File(b"y", "y")])
        .commit("octopus", &["main", "old", "xy"], &[File(b"old", "o"), File(b"x", "x"), File(b"both", "x")]);
    let (transactions, _) = check(&history.write());
    let comments: Vec<_> = transactions.iter().map(|t| t.comment.as_str()).collect();
    assert_eq!(comments, ["start", "main", "old", "x", "y", "xy", "octopus"]);
    assert_eq!(
        operations(&transactions, "octopus"),
        ["trash /y", "put /both", "publish /both", "publish /old", "publish /x"]
    );
}

#[test]
fn unrelated_histories() {
    let mut history = History::default();
    history
        .commit("start", &[], &[File(b"a", "1")])
        .commit("other root", &[], &[File(b"a", "other"), File(b"b", "b")])
        .commit("merge", &["start", "other root"], &[File(b"b", "b")]);
    let (transactions, _) = check(&history.write());
    assert!(!transactions[1].on_main_line);
    assert_eq!(operations(&transactions, "merge"), ["put /a", "publish /a", "publish /b"]);
    assert_ne!(operations(&transactions, "start"), NONE);
}
