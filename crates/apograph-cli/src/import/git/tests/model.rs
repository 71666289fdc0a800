//! A model of the target: what operations mean, and the laws that every transaction keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::path::uri_of;
use super::super::plan::Entry;
use super::super::{Mode, Oid, PlannedOperation, PlannedTransaction, Skipped};
use super::history::{Written, git};

#[derive(Debug, Clone)]
struct Head {
    working: (u64, Entry),
    live: Option<(u64, Entry)>,
}

/// Documents that are not in the trash.
#[derive(Debug, Default)]
pub(super) struct Model {
    heads: BTreeMap<String, Head>,
    versions: u64,
    pub(super) skipped: Vec<Skipped>,
}

/// Imports all of `written` and checks every law. Answers the transactions, and what was left out.
pub(super) fn check(written: &Written) -> (Vec<PlannedTransaction>, Vec<Skipped>) {
    let mut import = written.import();
    let mut model = Model::default();
    let mut transactions = Vec::new();
    while let Some(transaction) = import.next().unwrap() {
        model.apply(&transaction);
        if transaction.on_main_line {
            model.compare(written.path(), &transaction.commit);
        }
        transactions.push(transaction);
        assert_eq!(import.passed(), transactions.len() as u64);
    }
    assert!(import.next().unwrap().is_none(), "the end is no error, twice");
    assert_eq!(transactions.len() as u64, written.main_line.commits);
    assert_eq!(transactions.last().unwrap().commit, written.main_line.head);
    (transactions, model.skipped)
}

impl Model {
    pub(super) fn apply(&mut self, transaction: &PlannedTransaction) {
        let main = transaction.on_main_line;
        let mut put = BTreeSet::new();
        for operation in &transaction.operations {
            match operation {
                PlannedOperation::Put { uri, blob, mode, moved_from } => {
                    assert!(put.insert(uri.clone()), "one put of {uri} per transaction");
                    assert_ne!(moved_from.as_ref(), Some(uri));
                    assert_eq!(uri_of(&uri.as_bytes()[1..]).as_deref(), Ok(uri.as_str()));
                    self.put(uri, Entry { mode: *mode, blob: blob.clone() });
                }
                PlannedOperation::Publish { uri } => {
                    assert!(main, "a side branch published {uri}");
                    let head = self.heads.get_mut(uri).expect("publish of a document that exists");
                    assert_ne!(
                        head.live.as_ref().map(|live| live.0),
                        Some(head.working.0),
                        "needless publish"
                    );
                    head.live = Some(head.working.clone());
                }
                PlannedOperation::Trash { uri } => {
                    let head = self.heads.remove(uri).expect("trash of a document that exists");
                    assert!(main || head.live.is_none(), "a side branch took {uri} away");
                }
                PlannedOperation::Move { uri, to } => {
                    let head = self.heads.remove(uri).expect("move of a document that exists");
                    assert!(main || head.live.is_none(), "a side branch moved {uri} away");
                    assert!(self.heads.insert(to.clone(), head).is_none(), "move over {to}");
                }
            }
        }
        self.skipped.extend(transaction.skipped.iter().cloned());
    }

    /// Live is what `git ls-tree` says of `commit`, and nothing is being worked on.
    pub(super) fn compare(&self, repository: &Path, commit: &Oid) {
        let live = self.heads.iter().map(|(uri, head)| {
            let live = head.live.as_ref().unwrap_or_else(|| panic!("{uri} is not published at {commit}"));
            assert_eq!(live.0, head.working.0, "{uri} has changes at {commit}");
            (uri.clone(), live.1.clone())
        });
        assert_eq!(live.collect::<BTreeMap<_, _>>(), self.tree(repository, commit), "at {commit}");
    }

    fn put(&mut self, uri: &str, entry: Entry) {
        assert_ne!(entry.mode, Mode::Gitlink);
        self.versions += 1;
        let version = (self.versions, entry);
        match self.heads.get_mut(uri) {
            Some(head) => {
                assert_ne!(head.working.1, version.1, "needless put of {uri}");
                head.working = version;
            }
            None => {
                self.heads.insert(uri.to_owned(), Head { working: version, live: None });
            }
        }
    }

    /// The files of a commit, without those that were left out.
    fn tree(&self, repository: &Path, commit: &Oid) -> BTreeMap<String, Entry> {
        let skipped: BTreeSet<&str> = self.skipped.iter().map(|skipped| skipped.path.as_str()).collect();
        let listing = git(repository, &["ls-tree", "-r", "-z", commit.as_str()], b"");
        let mut tree = BTreeMap::new();
        for line in listing.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let tab = line.iter().position(|byte| *byte == b'\t').unwrap();
            let words: Vec<&str> = std::str::from_utf8(&line[..tab]).unwrap().split(' ').collect();
            let path = &line[tab + 1..];
            let mode = Mode::parse(words[0]).unwrap();
            assert_eq!(mode.as_str(), words[0]);
            if mode == Mode::Gitlink || skipped.contains(String::from_utf8_lossy(path).as_ref()) {
                continue;
            }
            let entry = Entry { mode, blob: Oid::parse(words[2]).unwrap() };
            assert!(tree.insert(uri_of(path).unwrap(), entry).is_none());
        }
        tree
    }
}

/// Operations in short: `put /a`, `put /b from /a`, `move /a /b`, in the order of the plan.
pub(super) fn brief(transaction: &PlannedTransaction) -> Vec<String> {
    let brief = |operation: &PlannedOperation| match operation {
        PlannedOperation::Put { uri, moved_from: None, .. } => format!("put {uri}"),
        PlannedOperation::Put { uri, moved_from: Some(from), .. } => format!("put {uri} from {from}"),
        PlannedOperation::Publish { uri } => format!("publish {uri}"),
        PlannedOperation::Trash { uri } => format!("trash {uri}"),
        PlannedOperation::Move { uri, to } => format!("move {uri} {to}"),
    };
    transaction.operations.iter().map(brief).collect()
}

/// The operations of the commit with this message.
pub(super) fn operations(transactions: &[PlannedTransaction], comment: &str) -> Vec<String> {
    brief(transactions.iter().find(|transaction| transaction.comment == comment).unwrap())
}
