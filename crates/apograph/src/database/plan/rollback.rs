//! A document becomes again what it was: what that takes ([`turn`]), and what the journal says of it.
//!
//! Nothing of its history goes away. A text that stands no more comes back as a new version behind all others, for the
//! newest version is the working one everywhere; what is live is named as it was. A document that was not there then goes
//! to the trash, where it keeps what it has.

use apograph_format::{
    Change, Head, Operation as Done, Origin, State as Standing, Timestamp, Uri, Version, VersionRef,
};
use apograph_store::StoreError;

use super::check::without_expired_lock;
use super::overlay::State;
use super::{PlanError, Planning};
use crate::error::Refusal;
use crate::transaction::RollBack;

/// What it takes that a document stands as it stood.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Nothing.
    None,
    /// It was not there: into the trash.
    Away,
    /// It changes.
    Back(Box<Back>),
    /// It cannot become what it was.
    Lost {
        why: Lost,
        /// What stands there now began later, and goes to the trash.
        away: bool,
    },
}

/// A document on its way back.
#[derive(Debug)]
pub(crate) struct Back {
    /// The head of then.
    pub(crate) then: Head,
    /// The version of then that is saved again, where another text stands now.
    pub(crate) again: Option<(VersionRef, Version)>,
}

/// Why a document cannot become what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// A purge.
    #[error("it was purged since: nothing brings it back")]
    Purged,
    /// A synchronization left it out.
    #[error("the version of that time is not on this server: a synchronization left it out")]
    NotHere,
    /// Its bytes are not what they were.
    #[error("the version of that time is damaged on this server")]
    Damaged,
}

/// What does it take that a document stands as it stood at `then`? Of `state` only what is there now is asked.
pub(crate) fn turn(state: &State<'_>, uri: &Uri, now: &Head, then: Option<Head>) -> Result<Turn, StoreError> {
    let away = now.is_visible();
    let then = then.filter(|then| then.state != Standing::Purged);
    let Some((then, text)) = then.and_then(|then| then.working.map(|text| (then, text))) else {
        return Ok(if away { Turn::Away } else { Turn::None });
    };
    if state.version_id(uri, text.number)? != Some(text.id) {
        return Ok(Turn::Lost { why: Lost::Purged, away });
    }
    let lost = |why| Ok(Turn::Lost { why, away: false });
    let again = match now.working {
        Some(working) if working == text => None,
        working => {
            let wanted = match read(state, uri, &text)? {
                Ok(wanted) => wanted,
                Err(why) => return lost(why),
            };
            let found = working.map(|working| read(state, uri, &working)).transpose()?;
            let is_same =
                found.and_then(Result::ok).is_some_and(|found| same_text(&found) == same_text(&wanted));
            (!is_same).then_some((text, wanted))
        }
    };
    if let Some(content) = again.as_ref().and_then(|(_, version)| version.content.as_ref())
        && state.content(state.partitioning().of(uri), &content.hash)?.is_none()
    {
        return lost(Lost::NotHere);
    }
    // What becomes live is shown to staging servers: its bytes are needed.
    if let Some(live) = then.live.filter(|live| now.live != Some(*live) && *live != text)
        && let Err(why) = read(state, uri, &live)?
    {
        return lost(why);
    }
    let back = Back { then, again };
    let is_there = back.again.is_none() && stands(now, &back.head(now, None));
    Ok(if is_there { Turn::None } else { Turn::Back(Box::new(back)) })
}

/// A version, or why it cannot be read.
fn read(state: &State<'_>, uri: &Uri, version: &VersionRef) -> Result<Result<Version, Lost>, StoreError> {
    match state.body(uri, &version.id) {
        Ok(Some(body)) => Ok(Version::decode(&body).map_err(|_| Lost::Damaged)),
        Ok(None) => Ok(Err(Lost::NotHere)),
        Err(StoreError::Payload { .. }) => Ok(Err(Lost::Damaged)),
        Err(error) => Err(error),
    }
}

/// Do these heads say the same of where a document stands?
fn stands(one: &Head, other: &Head) -> bool {
    let of = |head: &Head| (head.kind, head.state, head.working, head.live, head.moved_to.clone());
    of(one) == of(other)
}

/// What a reader would compare.
pub(super) fn same_text(version: &Version) -> (&str, &str, Option<&apograph_format::Content>) {
    (&version.r#type, version.properties.as_str(), version.content.as_ref())
}

impl Back {
    /// The head that the document is given; `saved` is the version that was saved again. Locks are of their moment: the one
    /// of now stays, unless there is nothing left to work on.
    pub(crate) fn head(&self, now: &Head, saved: Option<VersionRef>) -> Head {
        let then = &self.then;
        let working = saved.or(now.working);
        let live =
            if then.live == then.working { working.filter(|_| then.live.is_some()) } else { then.live };
        let history = saved.map_or(now.history, |saved| Head::extend_history(&now.history, &saved.id));
        Head {
            kind: then.kind,
            state: then.state,
            working,
            live,
            lock: now.lock.clone().filter(|_| then.is_visible()),
            history,
            versions: saved.map_or(now.versions, |saved| saved.number),
            moved_to: then.moved_to.clone(),
            changed: now.changed,
            r#type: then.r#type.clone(),
            ever_live: now.ever_live || live.is_some() || then.ever_live,
        }
    }
}

impl Planning<'_, '_> {
    pub(super) fn roll_back(&mut self, roll: &RollBack) -> Result<(), PlanError> {
        if !self.transaction.privileged {
            return Err(Refusal::Privileged { what: "roll a database back" }.into());
        }
        for uri in roll.documents.iter().filter(|uri| !uri.is_server()) {
            for change in self.rolled_back(uri, roll.to)? {
                self.keep(change);
            }
        }
        Ok(())
    }

    fn rolled_back(&mut self, uri: &Uri, to: Timestamp) -> Result<Vec<Change>, PlanError> {
        let store = self.state.store_of(uri);
        let horizon = store.horizon();
        if to < horizon {
            // Below it a document that was there looks like one that was not.
            return Err(StoreError::BelowHorizon { horizon, asked: to }.into());
        }
        let then = store.head(uri, to)?;
        let Some(now) = self.state.head(uri)? else { return Ok(Vec::new()) };
        let now = without_expired_lock(now, self.timestamp);
        Ok(match turn(self.state, uri, &now, then)? {
            Turn::None | Turn::Lost { away: false, .. } => Vec::new(),
            Turn::Away | Turn::Lost { away: true, .. } => {
                let head = Head { state: Standing::Trashed, live: None, lock: None, ..now };
                vec![self.change(Done::Trash, uri, head, Vec::new())]
            }
            Turn::Back(back) => self.brought_back(uri, &now, *back),
        })
    }

    /// The operations that lead there, one after the other, as people would have done them.
    fn brought_back(&mut self, uri: &Uri, now: &Head, mut back: Back) -> Vec<Change> {
        let mut changes = Vec::with_capacity(2);
        let again = back.again.take();
        let saved = again.map(|(of, version)| self.save_again(uri, now, of, version));
        let head = back.head(now, saved);
        let mut before = now.clone();
        if let Some(saved) = saved {
            before = self.saved_head(Some(before), head.kind, saved, head.r#type.clone());
            changes.push(self.change(Done::Put, uri, before.clone(), vec![saved]));
        } else if !now.is_visible() && head.is_visible() {
            before = Head { state: Standing::Working, moved_to: None, ..before };
            changes.push(self.change(Done::Restore, uri, before.clone(), Vec::new()));
        }
        if stands(&before, &head) {
            return changes;
        }
        let operation = match head.state {
            Standing::Published | Standing::PublishedWithChanges => Done::Publish,
            Standing::Trashed if head.moved_to.is_some() => Done::MoveAway,
            Standing::Trashed => Done::Trash,
            Standing::Working if now.live.is_none() => Done::Restore,
            // What was never published then is taken from readers like anything else.
            _ => Done::Withdraw,
        };
        let mut last = self.change(operation, uri, head, Vec::new());
        last.counterpart.clone_from(&last.head.moved_to);
        changes.push(last);
        changes
    }

    fn save_again(&mut self, uri: &Uri, now: &Head, of: VersionRef, version: Version) -> VersionRef {
        let origin = Origin { document: Some((uri.clone(), Some(of.id))), ..Origin::default() };
        let version = Version {
            number: now.versions + 1,
            parents: now.working.iter().map(|working| working.id).collect(),
            author: self.transaction.author.clone(),
            time: self.plan.time,
            comment: self.transaction.comment.clone(),
            origin: Some(origin),
            ..version
        };
        self.add_version(uri, &version)
    }
}
