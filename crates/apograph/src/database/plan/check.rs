//! Checks that several operations share.

use apograph_format::limits::NAME_BYTES_MAX;
use apograph_format::{Head, Kind, Timestamp, Uri};

use super::{PlanError, Planning};
use crate::error::Refusal;
use crate::transaction::Precondition;

impl Planning<'_, '_> {
    /// The head of a document that is there, neither trashed nor purged.
    pub(super) fn visible_head(&self, uri: &Uri) -> Result<Head, PlanError> {
        let head = self.existing_head(uri)?;
        if head.is_visible() {
            return Ok(head);
        }
        Err(Refusal::Trashed { moved_to: head.moved_to }.into())
    }

    /// The head of a document that is there, perhaps in the trash.
    pub(super) fn existing_head(&self, uri: &Uri) -> Result<Head, PlanError> {
        let head = self.state.head(uri)?;
        head.filter(|head| head.working.is_some()).ok_or_else(|| Refusal::NotFound.into())
    }

    pub(super) fn check_precondition(
        &self,
        precondition: Precondition,
        head: Option<&Head>,
    ) -> Result<(), PlanError> {
        let visible = head.filter(|head| head.is_visible());
        let working = visible.and_then(|head| head.working);
        let holds = match precondition {
            Precondition::None => true,
            Precondition::Version(number) => working.is_some_and(|working| working.number == number),
            Precondition::Id(id) => working.is_some_and(|working| working.id == id),
            Precondition::Absent if visible.is_some() => return Err(Refusal::Exists.into()),
            Precondition::Absent => true,
            Precondition::Present => visible.is_some(),
        };
        if holds {
            return Ok(());
        }
        Err(Refusal::VersionMismatch { found: working.map(|working| working.number) }.into())
    }

    /// Others' locks are respected; administrators may pass them.
    pub(super) fn check_lock(&self, head: &Head) -> Result<(), PlanError> {
        match head.lock_at(self.timestamp) {
            Some(lock) if lock.owner != self.transaction.author && !self.transaction.privileged => {
                Err(Refusal::Locked { owner: lock.owner.clone(), expires: lock.expires }.into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_privilege(&self, uri: &Uri) -> Result<(), PlanError> {
        if uri.is_system() && !self.transaction.privileged {
            return Err(Refusal::Privileged { what: "change documents under /_system" }.into());
        }
        Ok(())
    }
}

pub(super) fn check_kind(uri: &Uri, kind: Kind, head: Option<&Head>) -> Result<(), PlanError> {
    let refuse = |reason: String| Err(Refusal::Kind { reason }.into());
    if kind.is_system() != uri.is_system() {
        return refuse(if kind.is_system() {
            format!("documents of kind {kind} live under /_system/")
        } else {
            format!("under /_system/ there are no documents of kind {kind}")
        });
    }
    match head.filter(|head| head.is_visible()) {
        Some(head) if head.kind != kind => {
            refuse(format!("the document is of kind {}, and a kind does not change", head.kind))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_name(what: &'static str, text: &str) -> Result<(), PlanError> {
    if text.len() > NAME_BYTES_MAX {
        return Err(Refusal::TooLong { what, max: NAME_BYTES_MAX, found: text.len() }.into());
    }
    Ok(())
}

/// The lock goes when it has expired, so that heads do not carry it for ever.
pub(super) fn without_expired_lock(mut head: Head, now: Timestamp) -> Head {
    if head.lock_at(now).is_none() {
        head.lock = None;
    }
    head
}
