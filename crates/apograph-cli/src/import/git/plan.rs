//! From commits to transactions.
//!
//! The target has one working version per document, written by whoever came last, and a live version, which must
//! equal the main line. So a commit of a side branch only saves working versions; a commit of the main line settles
//! every document that it, or a side commit since the last one, touched: working and live both become what the
//! main line holds.
//!
//! Laws, after each transaction:
//! - live documents are exactly the main line's files as of its last commit;
//! - after a commit of the main line every document's live version is its working version.

mod operation;
mod state;
mod wanted;

use std::collections::{BTreeSet, HashMap};

pub(crate) use operation::{Entry, Mode, PlannedOperation, PlannedTransaction, Skipped, SkippedReason};

use super::changes::Changes;
use super::oid::Oid;
use super::path::uri_of;
use state::Documents;
use wanted::{Settling, Wanted};

/// What the planner knows of the target: it has seen every transaction before.
#[derive(Debug, Default)]
pub(crate) struct Planner {
    documents: Documents,
    /// Documents that side commits touched since the last commit of the main line.
    touched: BTreeSet<String>,
}

/// The part of a planned transaction that comes from its changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// To be applied in this order.
    pub(crate) operations: Vec<PlannedOperation>,
    /// What is left out.
    pub(crate) skipped: Vec<Skipped>,
}

impl Planner {
    /// Plans one commit, and takes the plan as applied.
    pub(crate) fn plan(&mut self, commit: &Oid, on_main_line: bool, changes: &Changes) -> Plan {
        let mut plan = Plan::default();
        let wanted =
            Settling { documents: &self.documents, commit, on_main_line, skipped: &mut plan.skipped }
                .wanted(&self.touched, changes);
        let moved_from = self.move_documents(&wanted, changes, &mut plan.operations);
        self.trash(&wanted, &mut plan.operations);
        for (uri, placed) in &wanted {
            if let Some(placed) = placed {
                if self.documents.save(uri, placed) {
                    let moved_from = moved_from.get(uri).cloned();
                    let Entry { blob, mode } = placed.entry.clone();
                    plan.operations.push(PlannedOperation::Put { uri: uri.clone(), blob, mode, moved_from });
                }
                if on_main_line && self.documents.publish(uri) {
                    plan.operations.push(PlannedOperation::Publish { uri: uri.clone() });
                }
            }
        }
        match on_main_line {
            true => self.touched.clear(),
            false => self.touched.extend(wanted.into_keys()),
        }
        plan
    }

    /// Moves what was renamed as far as the target's rules allow: the old document goes away, and there is none at
    /// the new URI. A chain moves from its end; a circle, and a rename over another document, become Put and Trash.
    /// Answers where the documents came from that are still to be put.
    fn move_documents(
        &mut self,
        wanted: &Wanted,
        changes: &Changes,
        operations: &mut Vec<PlannedOperation>,
    ) -> HashMap<String, String> {
        let uris = |(from, to): &(Vec<u8>, Vec<u8>)| Some((uri_of(from).ok()?, uri_of(to).ok()?));
        let arrives = |path: &[u8], uri: &str| matches!(wanted.get(uri), Some(Some(p)) if p.path == path);
        let mut renames: Vec<_> = changes
            .renames
            .iter()
            .filter_map(|rename| uris(rename).map(|(from, to)| (from, to, rename)))
            .filter(|(from, to, (_, path))| from != to && arrives(path, to))
            .collect();
        loop {
            let waiting = renames.len();
            renames.retain(|(from, to, (old_path, new_path))| {
                let leaves = matches!(wanted.get(from), Some(None))
                    && self.documents.working(from).is_some_and(|placed| placed.path == *old_path);
                if leaves && self.documents.working(to).is_none() {
                    self.documents.move_to(from, to, new_path);
                    operations.push(PlannedOperation::Move { uri: from.clone(), to: to.clone() });
                    return false;
                }
                true
            });
            if renames.len() == waiting {
                break;
            }
        }
        renames.into_iter().map(|(from, to, _)| (to, from)).collect()
    }

    fn trash(&mut self, wanted: &Wanted, operations: &mut Vec<PlannedOperation>) {
        for (uri, placed) in wanted {
            if placed.is_none() && self.documents.trash(uri) {
                operations.push(PlannedOperation::Trash { uri: uri.clone() });
            }
        }
    }
}
