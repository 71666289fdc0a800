//! A document that was elsewhere: its versions come verbatim, and its head is left as it stood there.
//!
//! The journal says it with the operations it has: the versions are put; then the document is published, withdrawn,
//! trashed, moved away or locked, as its head says. So whoever follows derives from it what it derives from edits.

use apograph_format::limits::{COMMENT_BYTES_MAX, PARENTS_MAX};
use apograph_format::{Change, Head, Operation as Done, State, Uri, VersionRef};

use super::check::{check_kind, check_name};
use super::{PlanError, Planning};
use crate::error::{LoadRefusal, Refusal};
use crate::import::{Lineage, check_head, check_version};
use crate::transaction::{Load, LoadedVersion, Precondition};

impl Planning<'_, '_> {
    pub(super) fn load(
        &mut self,
        uri: &Uri,
        precondition: Precondition,
        load: &Load,
    ) -> Result<Vec<Change>, PlanError> {
        if !self.transaction.privileged {
            return Err(Refusal::Privileged { what: "load versions as they were elsewhere" }.into());
        }
        check_kind(uri, load.kind, None)?;
        let before = self.state.head(uri)?;
        self.check_precondition(precondition, before.as_ref())?;
        let mut lineage = self.lineage(uri, before.as_ref(), load)?;
        let mut added = Vec::with_capacity(load.versions.len());
        for loaded in &load.versions {
            let version = check_version(loaded)?;
            lineage.add(version)?;
            self.bring_version(uri, loaded)?;
            added.push(version);
        }
        let r#type = match load.versions.last() {
            Some(last) => last.version.r#type.clone(),
            None => before.map_or(String::new(), |head| head.r#type),
        };
        let on_its_way = Head {
            kind: load.kind,
            state: State::Working,
            working: lineage.last(),
            live: None,
            lock: None,
            history: lineage.history(),
            versions: lineage.last().map_or(0, |last| last.number),
            moved_to: None,
            changed: self.timestamp,
            r#type,
            ever_live: false,
        };
        match &load.head {
            None if added.is_empty() => Err(LoadRefusal::Head { rule: "a part has versions" }.into()),
            None => Ok(vec![self.change(Done::Put, uri, on_its_way, added)]),
            Some(head) => {
                let live = match head.live {
                    Some(live) => self.state.version_id(uri, live.number)?,
                    None => None,
                };
                check_head(load.kind, head, &lineage, live)?;
                check_name("the owner of a lock", head.lock.as_ref().map_or("", |lock| &lock.owner))?;
                Ok(self.changes(uri, &on_its_way, head, added))
            }
        }
    }

    /// What is there of the document already.
    fn lineage(&self, uri: &Uri, before: Option<&Head>, load: &Load) -> Result<Lineage, PlanError> {
        match (before, load.after) {
            (None, None) => Ok(Lineage::default()),
            (Some(head), None) => Err(LoadRefusal::Occupied { state: head.state }.into()),
            (Some(head), Some(after)) if is_a_part(head, after) && head.kind == load.kind => {
                let has_gaps = load.head.is_some() && self.has_gaps(uri, after)?;
                Ok(Lineage::continued(after, head.history, has_gaps))
            }
            (_, Some(_)) => Err(LoadRefusal::Changed.into()),
        }
    }

    /// Is one of the versions up to `last` missing? Asked once for a document that comes in parts, with the last one.
    fn has_gaps(&self, uri: &Uri, last: VersionRef) -> Result<bool, PlanError> {
        for number in 1..last.number {
            if self.state.version_id(uri, number)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn bring_version(&mut self, uri: &Uri, loaded: &LoadedVersion) -> Result<(), PlanError> {
        let LoadedVersion { version, content, .. } = loaded;
        check_name("a type", &version.r#type)?;
        check_name("an author's name", &version.author)?;
        for (what, max, found) in [
            ("a comment", COMMENT_BYTES_MAX, version.comment.len()),
            ("the list of a version's parents", PARENTS_MAX * 32, version.parents.len() * 32),
        ] {
            if found > max {
                return Err(Refusal::TooLong { what, max, found }.into());
            }
        }
        if let (Some(named), Some(bytes)) = (&version.content, content) {
            let brought = self.bring_content(uri, &named.media_type, bytes)?;
            if brought != *named {
                return Err(LoadRefusal::Content { number: version.number }.into());
            }
        }
        self.add_version(uri, version);
        Ok(())
    }

    /// The operations that lead to the head, one after the other.
    fn changes(&self, uri: &Uri, on_its_way: &Head, head: &Head, added: Vec<VersionRef>) -> Vec<Change> {
        let given = Head { r#type: on_its_way.r#type.clone(), ..head.clone() };
        if given.state == State::Purged {
            return vec![self.change(Done::Purge, uri, Head { r#type: String::new(), ..given }, Vec::new())];
        }
        let unlocked = Head { lock: None, ..given.clone() };
        let mut changes = Vec::with_capacity(3);
        let put = match given.state {
            State::Working => unlocked.clone(),
            // Given by the last version of the history, which may not be known whole.
            _ => Head { history: given.history, ..on_its_way.clone() },
        };
        changes.push(self.change(Done::Put, uri, put, added));
        let then = match (given.state, &given.moved_to) {
            (State::Working, _) | (State::Purged, _) => None,
            (State::Published | State::PublishedWithChanges, _) => Some(Done::Publish),
            (State::Withdrawn, _) => Some(Done::Withdraw),
            (State::Trashed, None) => Some(Done::Trash),
            (State::Trashed, Some(_)) => Some(Done::MoveAway),
        };
        if let Some(operation) = then {
            let mut change = self.change(operation, uri, unlocked, Vec::new());
            change.counterpart = change.head.moved_to.clone();
            changes.push(change);
        }
        if given.lock.is_some() {
            changes.push(self.change(Done::Lock, uri, given, Vec::new()));
        }
        changes
    }
}

/// Is this what the part before left, untouched?
fn is_a_part(head: &Head, after: VersionRef) -> bool {
    head.working == Some(after)
        && head.state == State::Working
        && head.live.is_none()
        && head.lock.is_none()
        && !head.ever_live
}
