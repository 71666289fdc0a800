//! An import that stopped anywhere goes on as if it had not.

use super::super::{Import, ImportError, Oid, PlannedTransaction};
use super::history::Edit::{File, Renamed};
use super::history::{History, Written, git, text};
use super::model::check;

fn rest(mut import: Import) -> Vec<PlannedTransaction> {
    std::iter::from_fn(|| import.next().unwrap()).collect()
}

/// A branch from an old commit, merged by an octopus whose other parent is newer, comes early in git's own order.
fn written() -> Written {
    let mut history = History::default();
    let a = text("a");
    history
        .commit("m1", &[], &[File(b"a", &a)])
        .commit("old", &["m1"], &[Renamed(b"a", b"b"), File(b"old", "o")])
        .commit("m2", &["m1"], &[File(b"m", "2")])
        .commit("s1", &["m1"], &[File(b"s", "1")])
        .commit("m3", &["m2", "s1"], &[File(b"s", "1")])
        .commit("s2", &["s1"], &[File(b"s", "2")])
        .commit("new", &["m3"], &[File(b"new", "n")])
        .commit("m4", &["m3", "old", "new"], &[File(b"old", "o"), File(b"new", "n")])
        .commit("m5", &["m4", "s2"], &[File(b"s", "2")]);
    history.write()
}

#[test]
fn resuming_after_any_commit_yields_the_rest() {
    let written = written();
    let (all, _) = check(&written);
    for (index, transaction) in all.iter().enumerate() {
        let last = Some(&transaction.commit);
        let import = Import::start(&written.repository, &written.main_line, last).unwrap();
        assert_eq!(import.passed(), index as u64 + 1);
        assert_eq!(rest(import), all[index + 1..]);
    }
}

#[test]
fn a_shorter_main_line_is_a_prefix() {
    let written = written();
    let (all, _) = check(&written);
    for transaction in all.iter().filter(|transaction| transaction.on_main_line) {
        let shorter = written.main_line_at(&transaction.commit);
        let part = rest(Import::start(&written.repository, &shorter, None).unwrap());
        assert_eq!(part, all[..part.len()]);
        assert_eq!(part.last(), Some(transaction));
    }
}

/// If this fails, the repository above shows nothing any more.
#[test]
fn the_order_is_not_that_of_git() {
    let written = written();
    let (all, _) = check(&written);
    let arguments = ["fast-export", "--no-data", "--show-original-ids", "main"];
    let export = String::from_utf8(git(written.path(), &arguments, b"")).unwrap();
    let theirs: Vec<&str> = export.lines().filter_map(|line| line.strip_prefix("original-oid ")).collect();
    let ours: Vec<&str> = all.iter().map(|transaction| transaction.commit.as_str()).collect();
    let place = |order: &[&str], oid: &str| order.iter().position(|other| *other == oid);
    let old = &all.iter().find(|transaction| transaction.comment == "old").unwrap().commit;
    let m2 = &all.iter().find(|transaction| transaction.comment == "m2").unwrap().commit;
    assert!(place(&theirs, old.as_str()) < place(&theirs, m2.as_str()));
    assert!(place(&ours, old.as_str()) > place(&ours, m2.as_str()));
}

#[test]
fn a_rewritten_history_is_named() {
    let written = written();
    let foreign = Oid::parse(&"ab".repeat(20)).unwrap();
    let error = Import::start(&written.repository, &written.main_line, Some(&foreign)).unwrap_err();
    assert!(matches!(&error, ImportError::HistoryRewritten { commit, .. } if *commit == foreign), "{error}");
    // A commit that exists, but not below the head.
    let shorter = written.main_line_at(&written.main_line.root);
    let head = Some(&written.main_line.head);
    let error = Import::start(&written.repository, &shorter, head).unwrap_err();
    assert!(matches!(error, ImportError::HistoryRewritten { .. }), "{error}");
}
