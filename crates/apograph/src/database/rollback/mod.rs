//! The state of an earlier time becomes the current one, by transactions: copies follow it like any edit, history keeps
//! what stood in between, and rolling back to the moment before takes it back.
//!
//! What differs is found by going through the documents ([`RollbackPreview`]), and judged by
//! [`plan::turn`](super::plan::turn), the same for those who only ask and for the committer. Doing it: [`run`].

mod mark;
mod run;

use std::sync::Arc;

use apograph_format::{Head, State as Standing, Timestamp, Uri, View};

pub use super::plan::Lost;
use super::plan::{Overlay, State, Turn, turn};
use super::reads::Merged;
use super::{Database, Shared};
use crate::error::ReadError;
pub use mark::LastRollback;
pub(super) use run::Running;
pub use run::{RollbackError, RollbackEvent, RollbackProgress, RollbackRequest, RolledBack};

/// What a rollback would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackQuery {
    /// To when.
    pub to: Timestamp,
    /// From which state; none means the newest one.
    pub at: Option<Timestamp>,
    /// Only documents behind this one.
    pub after: Option<Uri>,
}

/// A document that does not stand as it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackDocument {
    /// Which.
    pub uri: Uri,
    /// How it stands now.
    pub now: Head,
    /// What becomes of it.
    pub outcome: RollbackOutcome,
}

/// What a rollback makes of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollbackOutcome {
    /// It was not there: it goes to the trash.
    Trashed,
    /// It stands as it stood.
    Back {
        /// Where it stands then.
        state: Standing,
        /// The version that has the text, if another text stands now: it is saved again, behind all others.
        text_of: Option<u64>,
        /// The version that is live then.
        live: Option<u64>,
    },
    /// It cannot become what it was.
    Lost {
        /// Why.
        why: Lost,
        /// What stands at its place began later, and goes to the trash.
        trashed: bool,
    },
}

/// The documents that a rollback would change, and those that it cannot, in the order of their URIs, read when they are
/// asked for.
pub struct RollbackPreview {
    shared: Arc<Shared>,
    to: Timestamp,
    at: Timestamp,
    documents: Merged,
}

/// The next document, changed or not.
enum Looked {
    Same,
    Differs(Box<RollbackDocument>, Weight),
}

/// What a document adds to a transaction: upper bounds.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    facts_bytes: usize,
    bodies_bytes: usize,
}

impl Database {
    /// Says what a rollback would do; on any server that holds everything.
    pub fn rollback_preview(&self, query: RollbackQuery) -> Result<RollbackPreview, ReadError> {
        let RollbackQuery { to, at, after } = query;
        if self.view() != View::Full {
            return Err(ReadError::NoSuchView { view: View::Full });
        }
        // Only what is there is kept; looked at again behind that, it stays.
        self.read_at(Some(to))?;
        self.shared.pins.touch(to);
        let (at, to) = (self.read_at(at)?, self.read_at(Some(to))?);
        // A wrong year would send everything to the trash.
        if to < at && Merged::new(&self.shared.stores, "", None, to).next().transpose()?.is_none() {
            return Err(ReadError::NothingYet { asked: to });
        }
        let documents = Merged::new(&self.shared.stores, "", after.as_ref(), at);
        Ok(RollbackPreview { shared: Arc::clone(&self.shared), to, at, documents })
    }
}

impl RollbackPreview {
    /// The state that the documents are compared with that of then.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    fn look(&mut self) -> Option<Result<Looked, ReadError>> {
        let (uri, now) = match self.documents.next()? {
            Ok(document) => document,
            Err(error) => return Some(Err(error.into())),
        };
        if now.changed <= self.to || uri.is_server() {
            return Some(Ok(Looked::Same));
        }
        Some(self.judge(uri, now))
    }

    fn judge(&self, uri: Uri, now: Head) -> Result<Looked, ReadError> {
        let then = self.shared.store_of(&uri)?.head(&uri, self.to)?;
        let (shared, mut overlay) = (&self.shared, Overlay::default());
        let state = State::new(&shared.stores, shared.partitioning, self.at, &mut overlay);
        // The URI and the type in two changes, and what a head has besides.
        let mut weight =
            Weight { facts_bytes: 2 * (uri.as_str().len() + now.r#type.len() + 400), bodies_bytes: 0 };
        let outcome = match turn(&state, &uri, &now, then)? {
            Turn::None => return Ok(Looked::Same),
            Turn::Away => RollbackOutcome::Trashed,
            Turn::Lost { why, away } => {
                if why == Lost::Damaged {
                    self.shared.suspect(&uri);
                }
                RollbackOutcome::Lost { why, trashed: away }
            }
            Turn::Back(back) => {
                let saved = back.again.as_ref().map(|(of, version)| {
                    weight.bodies_bytes = version.encode().len() + 2_048;
                    (of.number, apograph_format::VersionRef { number: now.versions + 1, id: of.id })
                });
                let head = back.head(&now, saved.map(|(_, saved)| saved));
                let more = head.r#type.len() + head.moved_to.as_ref().map_or(0, |uri| 2 * uri.as_str().len());
                weight.facts_bytes += 2 * more;
                RollbackOutcome::Back {
                    state: head.state,
                    text_of: saved.map(|(of, _)| of),
                    live: head.live.map(|live| live.number),
                }
            }
        };
        Ok(Looked::Differs(Box::new(RollbackDocument { uri, now, outcome }), weight))
    }
}

impl RollbackOutcome {
    /// Does the rollback change the document?
    pub fn is_change(&self) -> bool {
        !matches!(self, RollbackOutcome::Lost { trashed: false, .. })
    }
}

impl Iterator for RollbackPreview {
    type Item = Result<RollbackDocument, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.look()? {
                Ok(Looked::Same) => {}
                Ok(Looked::Differs(document, _)) => {
                    // Whoever goes on reading needs the history of then.
                    self.shared.pins.touch(self.to);
                    return Some(Ok(*document));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
