//! Paths that a URI cannot hold as they are, and files that have no content.

use super::super::{Skipped, SkippedReason};
use super::history::Edit::{File, Gone, Link, Module};
use super::history::{History, text};
use super::model::{check, operations};

fn reasons(skipped: &[Skipped]) -> Vec<(&str, SkippedReason)> {
    skipped.iter().map(|skipped| (skipped.path.as_str(), skipped.reason.clone())).collect()
}

#[test]
fn odd_names_are_kept() {
    let mut history = History::default();
    let paths: [&[u8]; 7] = [
        "Grüße/日本語.md".as_bytes(),
        b"tab\tand\nline",
        b"quote\"back\\slash",
        b" leading and trailing ",
        b"bad\xff\x80utf8",
        b"_system/role/admin",
        b"100%/%41",
    ];
    let files: Vec<_> = paths.iter().map(|path| File(path, "x")).collect();
    let gone: Vec<_> = paths.iter().map(|path| Gone(path)).collect();
    history.commit("all", &[], &files).commit("none", &["all"], &gone);
    let (transactions, skipped) = check(&history.write());
    assert!(skipped.is_empty(), "{skipped:?}");
    let all = operations(&transactions, "all");
    assert!(all.contains(&"put /bad%FF%80utf8".to_owned()), "{all:?}");
    assert!(all.contains(&"put /%5Fsystem/role/admin".to_owned()), "{all:?}");
    assert_eq!(operations(&transactions, "none").len(), paths.len());
}

#[test]
fn a_path_that_is_too_long_is_listed() {
    let mut history = History::default();
    let long = ["x".repeat(200).as_str(); 6].join("/");
    history.commit("long", &[], &[File(long.as_bytes(), &text("l")), File(b"a", "a")]).commit(
        "short",
        &["long"],
        &[Gone(long.as_bytes()), File(b"short", &text("l"))],
    );
    let (transactions, skipped) = check(&history.write());
    assert_eq!(reasons(&skipped), [(long.as_str(), SkippedReason::TooLong { bytes: 1206 })]);
    assert_eq!(skipped[0].commit, transactions[0].commit);
    assert_eq!(operations(&transactions, "short"), ["put /short", "publish /short"]);
}

#[test]
fn a_submodule_is_listed() {
    let mut history = History::default();
    history
        .commit("file", &[], &[File(b"lib", "x"), File(b"a", "a")])
        .commit("module", &["file"], &[Module(b"lib")])
        .commit("gone", &["module"], &[Gone(b"lib")])
        .commit("link", &["gone"], &[Link(b"lib", "a")]);
    let (transactions, skipped) = without_model(&mut history);
    assert_eq!(skipped, 1);
    assert_eq!(
        transactions,
        [vec!["trash /lib".to_owned()], vec![], vec!["put /lib".to_owned(), "publish /lib".to_owned()]]
    );
}

/// A submodule's path may hold a file at other times, so that the model cannot leave the path out for good.
fn without_model(history: &mut History) -> (Vec<Vec<String>>, usize) {
    let written = history.write();
    let mut import = written.import();
    let (mut operations, mut skipped) = (Vec::new(), 0);
    while let Some(transaction) = import.next().unwrap() {
        skipped += transaction.skipped.len();
        operations.push(super::model::brief(&transaction));
    }
    (operations.split_off(1), skipped)
}

#[test]
fn two_spellings_of_one_name() {
    let (composed, decomposed) = ("é".as_bytes(), "e\u{301}".as_bytes());
    let mut history = History::default();
    history
        .commit("first", &[], &[File(composed, "1")])
        .commit("second", &["first"], &[File(decomposed, "2")])
        .commit("edit", &["second"], &[File(composed, "3")])
        .commit("drop", &["edit"], &[Gone(decomposed)]);
    let (transactions, skipped) = check(&history.write());
    let reason = SkippedReason::SameUri { uri: "/é".to_owned(), owner: "é".to_owned() };
    assert_eq!(reasons(&skipped), [("e\u{301}", reason)]);
    assert_eq!(operations(&transactions, "drop"), [""; 0]);
}

#[test]
fn a_new_spelling_is_the_same_document() {
    let (composed, decomposed) = ("é".as_bytes(), "e\u{301}".as_bytes());
    let mut history = History::default();
    history
        .commit("first", &[], &[File(decomposed, &text("1"))])
        .commit("side", &["first"], &[Gone(decomposed), File(composed, &text("1"))])
        .commit("discard", &["first", "side"], &[])
        .commit("line", &["discard"], &[Gone(decomposed), File(composed, &text("1"))])
        .commit("end", &["line"], &[Gone(composed)]);
    let (transactions, skipped) = check(&history.write());
    assert!(skipped.is_empty(), "{skipped:?}");
    assert_eq!(operations(&transactions, "side"), [""; 0]);
    assert_eq!(operations(&transactions, "line"), [""; 0]);
    assert_eq!(operations(&transactions, "end"), ["trash /é"]);
}
