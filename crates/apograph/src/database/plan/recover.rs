//! A transaction that a failover cut off comes back. Nothing that was written since is overwritten.
//!
//! - A document that stands as the lost transaction had found it becomes what that had made of it: the same versions,
//!   with the same numbers and ids.
//! - One that was changed since keeps what it has. The lost text becomes a version whose parent is the one that both
//!   histories share, and a version after it continues what stood: the newest version is the working one, as ever.
//! - Changes without a text (a publication, a withdrawal, a move) of a document that was changed since are left out.

use std::collections::BTreeMap;

use apograph_format::{
    Change, Hash, Head, Operation as Done, Origin, State, Timestamp, Uri, Version, VersionRef,
};

use super::check::{check_kind, without_expired_lock};
use super::rollback::same_text;
use super::{PlanError, Planning};
use crate::error::{LoadRefusal, Refusal};
use crate::transaction::{LeftOut, OperationResult, Precondition, Recover, RecoveredChange, Recovery};

/// Versions that are looked at for the same text, or for the recovered form of a parent: those saved since a failover.
const LOOK_BACK: u64 = 64;

/// How a document stands, seen from the lost history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As the lost transaction had found it.
    Same,
    /// As both histories had it last: the lost history went on, and that was not brought back.
    Shared,
    /// Something happened to it in the new history.
    Changed,
    /// It was purged in the new history.
    Purged,
}

impl Planning<'_, '_> {
    pub(super) fn recover(&mut self, recover: &Recover) -> Result<(), PlanError> {
        if !self.transaction.privileged {
            return Err(Refusal::Privileged { what: "bring back what a failover cut off" }.into());
        }
        // Judged before anything is done: a move looks at two documents.
        let mut standings = BTreeMap::new();
        for of in &recover.changes {
            if !standings.contains_key(&of.change.uri) {
                standings.insert(of.change.uri.clone(), self.standing(recover, of)?);
            }
        }
        for of in &recover.changes {
            let (changes, recovery) = self.recovered(recover, of, &standings)?;
            changes.into_iter().for_each(|change| self.keep(change));
            let head = self.state.head(&of.change.uri)?;
            self.plan.results.push(OperationResult {
                uri: of.change.uri.clone(),
                version: head.as_ref().and_then(|head| head.working),
                state: head.map_or(State::Working, |head| head.state),
                recovery: Some(recovery),
            });
        }
        Ok(())
    }

    fn standing(&self, recover: &Recover, of: &RecoveredChange) -> Result<Standing, PlanError> {
        let uri = &of.change.uri;
        let Some(head) = self.state.head(uri)? else {
            return Ok(if of.before.is_none() { Standing::Same } else { Standing::Shared });
        };
        let is_shared = head.changed <= recover.base;
        match of.before {
            None if is_shared => return Ok(Standing::Same),
            Some(before) if head.essence() == before => return Ok(Standing::Same),
            _ => {}
        }
        if is_shared {
            return Ok(Standing::Shared);
        }
        // What both histories had is not there any more: only a purge takes versions away.
        let first = match self.fork_head(uri, recover.base)? {
            Some(Head { working: Some(working), .. }) => Some((working.number, Some(working.id))),
            Some(_) => None,
            None => Some((1, None)),
        };
        let is_gone = match first {
            Some((number, id)) => {
                let found = self.state.version_id(uri, number)?;
                found.is_none() || (id.is_some() && found != id)
            }
            None => false,
        };
        let is_purged = head.state == State::Purged || is_gone;
        Ok(if is_purged { Standing::Purged } else { Standing::Changed })
    }

    /// The head that both histories share, as far as history reaches back.
    fn fork_head(&self, uri: &Uri, base: Timestamp) -> Result<Option<Head>, PlanError> {
        let store = self.state.store_of(uri);
        if base < store.horizon() {
            return Ok(None);
        }
        Ok(store.head(uri, base)?.filter(|head| head.state != State::Purged))
    }

    fn recovered(
        &mut self,
        recover: &Recover,
        of: &RecoveredChange,
        standings: &BTreeMap<Uri, Standing>,
    ) -> Result<(Vec<Change>, Recovery), PlanError> {
        let change = &of.change;
        let left = |why| Ok((Vec::new(), Recovery::Left(why)));
        if matches!(change.operation, Done::Lock | Done::Unlock | Done::Retract) {
            return left(LeftOut::Lock);
        }
        if change.uri.is_server() {
            return left(LeftOut::Server);
        }
        let standing = |uri: &Uri| standings.get(uri).copied().unwrap_or(Standing::Changed);
        let here = standing(&change.uri);
        if here == Standing::Purged {
            return left(LeftOut::Purged);
        }
        let Some(versions) = of.versions.iter().cloned().collect::<Option<Vec<Version>>>() else {
            return left(LeftOut::Erased);
        };
        let is_move = matches!(change.operation, Done::MoveAway | Done::MoveHere);
        let counterpart = change.counterpart.as_ref().filter(|_| is_move);
        let is_whole = counterpart.is_none_or(|uri| standing(uri) == Standing::Same);
        if here == Standing::Same
            && is_whole
            && let Some(again) = self.again(recover, change, &versions)?
        {
            return Ok((vec![again], Recovery::Current));
        }
        // A move brings no text of its own.
        if versions.is_empty() || is_move {
            return left(LeftOut::Changed);
        }
        self.another(recover, change, versions, here)
    }

    /// The change as it was: none if the document does not lead to what it had left.
    fn again(
        &mut self,
        recover: &Recover,
        change: &Change,
        versions: &[Version],
    ) -> Result<Option<Change>, PlanError> {
        let uri = &change.uri;
        let head = self.state.head(uri)?;
        if change.operation == Done::Purge {
            return match head.is_some_and(|head| head.working.is_some()) {
                true => self.purge(uri, Precondition::None).map(Some),
                false => Ok(None),
            };
        }
        let mut history = head.as_ref().map_or(Head::NO_HISTORY, |head| head.history);
        let mut after = head.as_ref().map_or(0, |head| head.versions);
        for (named, version) in change.versions.iter().zip(versions) {
            let is_next = version.number == named.number && version.number > after;
            if !is_next || Hash::of(&version.encode()) != named.id {
                return Ok(None);
            }
            after = named.number;
            history = Head::extend_history(&history, &named.id);
        }
        if history != change.head.history || after != change.head.versions {
            return Ok(None);
        }
        check_kind(uri, change.head.kind, head.as_ref())?;
        for version in versions {
            self.bring_named(recover, uri, version)?;
            self.add_version(uri, version);
        }
        let lock = head.map(|head| without_expired_lock(head, self.timestamp)).and_then(|head| head.lock);
        let lock = lock.filter(|_| change.head.is_visible());
        let mut again =
            self.change(change.operation, uri, Head { lock, ..change.head.clone() }, change.versions.clone());
        again.counterpart.clone_from(&change.counterpart);
        Ok(Some(again))
    }

    /// Its text as a new version: the working one if nothing was changed since both histories parted, or beside it.
    fn another(
        &mut self,
        recover: &Recover,
        change: &Change,
        versions: Vec<Version>,
        standing: Standing,
    ) -> Result<(Vec<Change>, Recovery), PlanError> {
        let uri = &change.uri;
        let before = self.state.head(uri)?;
        let newest = versions.last().map(same_text);
        if let (Some(head), Some(newest), Standing::Changed) = (&before, newest, standing) {
            // An older version may say the same: going back to it was the change.
            let shared = self.fork_head(uri, recover.base)?.map(|shared| shared.versions);
            let first = change.versions.first().map_or(0, |first| first.number.saturating_sub(1));
            let since = shared.unwrap_or(first);
            let found = self.find(uri, head.versions, |version| same_text(version) == newest)?;
            if let Some(version) = found.filter(|found| *found > since) {
                return Ok((Vec::new(), Recovery::There { version }));
            }
        }
        let is_beside = standing == Standing::Changed && before.is_some();
        let kind =
            before.as_ref().filter(|head| head.is_visible()).map_or(change.head.kind, |head| head.kind);
        check_kind(uri, kind, before.as_ref())?;
        let mut head = before.clone();
        let mut added = Vec::with_capacity(versions.len() + 1);
        for (named, version) in change.versions.iter().zip(versions) {
            let parents = self.shared_parents(recover, uri, &version, head.as_ref())?;
            let origin = version.origin.clone().unwrap_or_default();
            let origin = Origin {
                document: origin.document.clone().or_else(|| Some((uri.clone(), Some(named.id)))),
                server: if origin.server.is_empty() { recover.from.clone() } else { origin.server.clone() },
                ..origin
            };
            let number = head.as_ref().map_or(0, |head| head.versions) + 1;
            let version = Version { number, parents, origin: Some(origin), ..version };
            self.bring_named(recover, uri, &version)?;
            let id = self.add_version(uri, &version);
            head = Some(self.saved_head(head, kind, id, version.r#type));
            added.push(id);
        }
        let (Some(mut head), Some(last)) = (head, added.last().copied()) else {
            return Ok((Vec::new(), Recovery::Left(LeftOut::Erased)));
        };
        let mut recovery = Recovery::Current;
        if let (true, Some(stood)) = (is_beside, before) {
            recovery = Recovery::Beside { version: last.number };
            let goes_on = self.go_on(uri, &stood, last.number)?;
            added.push(goes_on);
            head = Head {
                working: Some(goes_on),
                versions: goes_on.number,
                history: Head::extend_history(&head.history, &goes_on.id),
                state: match stood.state {
                    State::Published => State::PublishedWithChanges,
                    state => state,
                },
                ..without_expired_lock(stood, self.timestamp)
            };
        }
        Ok((vec![self.change(Done::Put, uri, head, added)], recovery))
    }

    /// A version that says again what the working one says.
    fn go_on(&mut self, uri: &Uri, stood: &Head, beside: u64) -> Result<VersionRef, PlanError> {
        let Some(working) = stood.working else { return Err(Refusal::NotFound.into()) };
        let Some(version) = self.read_version(uri, &working)? else { return Err(Refusal::NotFound.into()) };
        let version = Version {
            number: beside + 1,
            parents: vec![working.id],
            author: self.transaction.author.clone(),
            time: self.plan.time,
            comment: format!("goes on as it stood; version {beside} is what a failover had cut off"),
            origin: None,
            ..version
        };
        Ok(self.add_version(uri, &version))
    }

    /// The parents that are here: themselves, what they became when they were brought back, or the version that both
    /// histories share.
    fn shared_parents(
        &self,
        recover: &Recover,
        uri: &Uri,
        version: &Version,
        head: Option<&Head>,
    ) -> Result<Vec<Hash>, PlanError> {
        let Some(head) = head else { return Ok(Vec::new()) };
        let mut parents = Vec::new();
        for parent in &version.parents {
            let before = self.state.version_id(uri, version.number.saturating_sub(1))?;
            let found = if before == Some(*parent) {
                before
            } else {
                let is_of = |version: &Version| {
                    let of = version.origin.as_ref().and_then(|origin| origin.document.as_ref());
                    of.is_some_and(|(of, id)| of == uri && *id == Some(*parent))
                };
                let number = self.find(uri, head.versions, is_of)?;
                number.map(|number| self.state.version_id(uri, number)).transpose()?.flatten()
            };
            parents.extend(found.filter(|id| !parents.contains(id)));
        }
        if parents.is_empty() {
            let shared = match head.changed <= recover.base {
                true => Some(head.clone()),
                false => self.fork_head(uri, recover.base)?,
            };
            parents.extend(shared.and_then(|head| head.working).map(|working| working.id));
        }
        Ok(parents)
    }

    /// The newest of the last versions that is so.
    fn find(&self, uri: &Uri, last: u64, is_it: impl Fn(&Version) -> bool) -> Result<Option<u64>, PlanError> {
        for number in (last.saturating_sub(LOOK_BACK).max(1)..=last).rev() {
            let Some(id) = self.state.version_id(uri, number)? else { continue };
            if self.read_version(uri, &VersionRef { number, id })?.is_some_and(|version| is_it(&version)) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn bring_named(&mut self, recover: &Recover, uri: &Uri, version: &Version) -> Result<(), PlanError> {
        let Some(named) = &version.content else { return Ok(()) };
        let partition = self.state.partitioning().of(uri);
        if self.state.content(partition, &named.hash)?.is_some() {
            return Ok(());
        }
        let Some(bytes) = recover.contents.get(&named.hash) else {
            return Err(Refusal::ContentMissing { hash: named.hash }.into());
        };
        let brought = self.bring_content(uri, &named.media_type, bytes)?;
        if brought != *named {
            return Err(LoadRefusal::Content { number: version.number }.into());
        }
        Ok(())
    }
}
