//! Edits, deletions and renames on one line.

use super::super::{Mode, PlannedOperation};
use super::history::Edit::{Executable, File, Gone, Link, Renamed};
use super::history::{History, text};
use super::model::{check, operations};

#[test]
fn a_line_of_edits() {
    let mut history = History::default();
    history
        .commit("one", &[], &[File(b"a", "1"), File(b"b/c", "2")])
        .commit("two", &["one"], &[File(b"a", "3")])
        .commit("nothing", &["two"], &[])
        .commit("mode", &["nothing"], &[Executable(b"a", "3")])
        .commit("gone", &["mode"], &[Gone(b"a")])
        .commit("back", &["gone"], &[File(b"a", "1")]);
    let (transactions, skipped) = check(&history.write());
    assert_eq!(operations(&transactions, "one"), ["put /a", "publish /a", "put /b/c", "publish /b/c"]);
    assert_eq!(operations(&transactions, "nothing"), [""; 0]);
    assert_eq!(operations(&transactions, "mode"), ["put /a", "publish /a"]);
    assert_eq!(operations(&transactions, "gone"), ["trash /a"]);
    assert_eq!(operations(&transactions, "back"), ["put /a", "publish /a"]);
    assert!(skipped.is_empty());
    let first = &transactions[0];
    assert_eq!((first.author.as_str(), first.sequence), ("Ada <ada@example.org>", 1));
    assert_eq!(first.time_us, 1_700_000_001_000_000);
}

#[test]
fn renames_move_documents() {
    let mut history = History::default();
    let changed = text("a") + "one more line\n";
    history
        .commit("start", &[], &[File(b"a", &text("a")), File(b"old dir/x \"y\"", &text("x"))])
        .commit("pure", &["start"], &[Renamed(b"a", b"b"), Renamed(b"old dir", b"new")])
        .commit("changed", &["pure"], &[Gone(b"b"), File(b"c", &changed)])
        .commit("back", &["changed"], &[Renamed(b"c", b"a")]);
    let (transactions, _) = check(&history.write());
    assert_eq!(operations(&transactions, "pure"), ["move /a /b", "move /old dir/x \"y\" /new/x \"y\""]);
    assert_eq!(operations(&transactions, "changed"), ["move /b /c", "put /c", "publish /c"]);
    assert_eq!(operations(&transactions, "back"), ["move /c /a"]);
}

#[test]
fn swaps_chains_and_renames_over_others() {
    let mut history = History::default();
    let (a, b, c) = (text("a"), text("b"), text("c"));
    history
        .commit("start", &[], &[File(b"a", &a), File(b"b", &b), File(b"c", &c)])
        .commit("swap", &["start"], &[File(b"a", &b), File(b"b", &a)])
        .commit("chain", &["swap"], &[Gone(b"a"), File(b"b", &b), File(b"d", &a)])
        .commit("over", &["chain"], &[Gone(b"b"), File(b"c", &b)])
        .commit("folder", &["over"], &[Gone(b"c"), File(b"c/d", &b)])
        .commit("file", &["folder"], &[Gone(b"c/d"), File(b"c", &b)]);
    let (transactions, _) = check(&history.write());
    assert_eq!(operations(&transactions, "swap"), ["put /a", "publish /a", "put /b", "publish /b"]);
    assert_eq!(operations(&transactions, "folder"), ["move /c /c/d"]);
    assert_eq!(operations(&transactions, "file"), ["move /c/d /c"]);
}

#[test]
fn one_source_with_two_copies_moves_once() {
    let mut history = History::default();
    let a = text("a");
    history.commit("start", &[], &[File(b"a", &a)]).commit(
        "two",
        &["start"],
        &[Gone(b"a"), File(b"b", &a), File(b"c", &a)],
    );
    let (transactions, _) = check(&history.write());
    let two = operations(&transactions, "two");
    assert_eq!(two.iter().filter(|operation| operation.starts_with("move /a ")).count(), 1, "{two:?}");
}

#[test]
fn a_symbolic_link_is_its_text() {
    let mut history = History::default();
    history.commit("link", &[], &[Link(b"latest", "text/0001.md"), File(b"file", "x")]).commit(
        "file",
        &["link"],
        &[File(b"latest", "text/0001.md"), Link(b"file", "x")],
    );
    let written = history.write();
    let (transactions, _) = check(&written);
    let Some(PlannedOperation::Put { blob, mode: Mode::Symlink, .. }) = transactions[0].operations.get(2)
    else {
        panic!("{transactions:?}");
    };
    let mut import = written.import();
    assert_eq!(import.blob(blob).unwrap(), b"text/0001.md");
    assert_eq!(import.blob_size(blob).unwrap(), 12);
    assert_eq!(
        operations(&transactions, "file"),
        ["put /file", "publish /file", "put /latest", "publish /latest"]
    );
}
