//! The order of transactions: side branches wait until the main line takes them in.
//!
//! A commit of the main line comes directly after the commits that it brings in, and those come in the order of a
//! walk from its parents, parents first. This order depends on the history below a commit and on nothing else: a
//! longer main line, or a branch begun at an old commit and merged later, adds transactions at the end only.
//! Git's own order is nearly this one, but it may put a branch before main-line commits that do not contain it;
//! an import resumed at a commit would then pass such a branch over.

use std::collections::{HashMap, VecDeque};

use super::fast_export::{Commit, Parent};

/// Commits of side branches that the main line has not reached. They are all that is held.
#[derive(Debug, Default)]
pub(crate) struct Order {
    held: HashMap<u64, Commit>,
}

impl Order {
    /// Keeps a commit of a side branch, by its mark.
    pub(crate) fn hold(&mut self, mark: u64, commit: Commit) {
        self.held.insert(mark, commit);
    }

    /// Appends to `ready` what `tip`, a commit of the main line, brings in, and `tip` last.
    pub(crate) fn release(&mut self, tip: Commit, ready: &mut VecDeque<Commit>) {
        let mut path = vec![(tip, 0)];
        while let Some((commit, visited)) = path.last_mut() {
            match commit.parents.get(*visited) {
                Some(parent) => {
                    *visited += 1;
                    // A parent that is not held has been released before.
                    if let Some(parent) = self.take(parent) {
                        path.push((parent, 0));
                    }
                }
                None => ready.extend(path.pop().map(|(commit, _)| commit)),
            }
        }
    }

    /// Commits that are waiting.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    fn take(&mut self, parent: &Parent) -> Option<Commit> {
        match parent {
            Parent::Mark(mark) => self.held.remove(mark),
            Parent::Name(_) => None,
        }
    }
}
