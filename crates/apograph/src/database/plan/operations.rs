//! All operations but `put`: what each asks of a document, and the head it leaves.

use apograph_format::{Change, Head, Lock, Operation as Done, Origin, State, Uri, Version, VersionRef};

use super::check::{check_kind, without_expired_lock};
use super::{Part, PlanError, Planning};
use crate::error::Refusal;
use crate::transaction::{Action, Operation, OperationResult, Precondition};

/// Longest a lock lasts without being taken again: a forgotten one must not outlive a working day.
const LOCK_SECONDS_MAX: u64 = 24 * 60 * 60;

impl Planning<'_, '_> {
    pub(super) fn operation(&mut self, operation: &Operation) -> Result<(), PlanError> {
        let Operation { uri, precondition, action } = operation;
        let changes = match action {
            Action::Put(put) => vec![self.put(uri, *precondition, put)?],
            Action::Publish { version } => vec![self.publish(uri, *precondition, *version)?],
            Action::Withdraw => vec![self.withdraw(uri, *precondition)?],
            Action::Trash => vec![self.trash(uri, *precondition)?],
            Action::Restore => vec![self.restore(uri, *precondition)?],
            Action::Purge => vec![self.purge(uri, *precondition)?],
            Action::Move { to } => self.move_to(uri, *precondition, to)?,
            Action::Lock { owner, seconds } => {
                vec![self.lock(uri, *precondition, owner.as_deref(), *seconds)?]
            }
            Action::Unlock => vec![self.unlock(uri, *precondition)?],
            Action::Load(load) => self.load(uri, *precondition, load)?,
            Action::Recover(recover) => return self.recover(recover),
            Action::RollBack(roll) => return self.roll_back(roll),
        };
        if let Some(last) = changes.last() {
            self.plan.results.push(OperationResult {
                uri: last.uri.clone(),
                version: last.head.working,
                state: last.head.state,
                recovery: None,
            });
        }
        changes.into_iter().for_each(|change| self.keep(change));
        Ok(())
    }

    /// What follows is planned against it.
    pub(super) fn keep(&mut self, change: Change) {
        self.state.set_head(&change.uri, &change.head);
        let partition = self.state.partitioning().of(&change.uri);
        self.part(partition).changes.push(change);
    }

    fn publish(
        &mut self,
        uri: &Uri,
        precondition: Precondition,
        number: Option<u64>,
    ) -> Result<Change, PlanError> {
        let head = self.editable(uri, precondition)?;
        let Some(working) = head.working else {
            return Err(Refusal::NotFound.into());
        };
        let live = match number {
            None => working,
            Some(number) => {
                let id = self.state.version_id(uri, number)?;
                VersionRef { number, id: id.ok_or(Refusal::NoSuchVersion { number })? }
            }
        };
        let state = if live == working { State::Published } else { State::PublishedWithChanges };
        let head = Head { state, live: Some(live), ever_live: true, ..head };
        Ok(self.change(Done::Publish, uri, head, Vec::new()))
    }

    fn withdraw(&mut self, uri: &Uri, precondition: Precondition) -> Result<Change, PlanError> {
        let head = self.editable(uri, precondition)?;
        if head.live.is_none() {
            return Err(Refusal::NotPublished.into());
        }
        let head = Head { state: State::Withdrawn, live: None, ..head };
        Ok(self.change(Done::Withdraw, uri, head, Vec::new()))
    }

    fn trash(&mut self, uri: &Uri, precondition: Precondition) -> Result<Change, PlanError> {
        let head = self.editable(uri, precondition)?;
        let head = Head { state: State::Trashed, live: None, lock: None, ..head };
        Ok(self.change(Done::Trash, uri, head, Vec::new()))
    }

    fn restore(&mut self, uri: &Uri, precondition: Precondition) -> Result<Change, PlanError> {
        self.check_privilege(uri)?;
        let head = self.existing_head(uri)?;
        if head.state != State::Trashed {
            return Err(Refusal::NotTrashed.into());
        }
        self.check_precondition(precondition, Some(&out_of_the_trash(&head)))?;
        let head = Head { state: State::Working, moved_to: None, ..head };
        Ok(self.change(Done::Restore, uri, head, Vec::new()))
    }

    pub(super) fn purge(&mut self, uri: &Uri, precondition: Precondition) -> Result<Change, PlanError> {
        if !self.transaction.privileged {
            return Err(Refusal::Privileged { what: "purge" }.into());
        }
        let head = self.existing_head(uri)?;
        self.check_precondition(precondition, Some(&out_of_the_trash(&head)))?;
        let erased = self.state.store_of(uri).purge_set(uri, self.timestamp)?.erased;
        let head = Head {
            state: State::Purged,
            working: None,
            live: None,
            lock: None,
            history: Head::NO_HISTORY,
            moved_to: None,
            r#type: String::new(),
            ..head
        };
        let mut change = self.change(Done::Purge, uri, head, Vec::new());
        change.erased = erased;
        Ok(change)
    }

    fn lock(
        &mut self,
        uri: &Uri,
        precondition: Precondition,
        owner: Option<&str>,
        seconds: u64,
    ) -> Result<Change, PlanError> {
        let head = self.editable(uri, precondition)?;
        let owner = owner.unwrap_or(&self.transaction.author);
        if owner != self.transaction.author && !self.transaction.privileged {
            return Err(Refusal::Privileged { what: "lock in somebody else's name" }.into());
        }
        let since = i64::try_from(self.timestamp.0).unwrap_or(i64::MAX);
        let micros = i64::try_from(seconds.min(LOCK_SECONDS_MAX) * 1_000_000).unwrap_or(i64::MAX);
        let lock = Lock { owner: owner.to_owned(), since, expires: since.saturating_add(micros) };
        let head = Head { lock: Some(lock), ..head };
        Ok(self.change(Done::Lock, uri, head, Vec::new()))
    }

    fn unlock(&mut self, uri: &Uri, precondition: Precondition) -> Result<Change, PlanError> {
        let head = self.visible_head(uri)?;
        self.check_precondition(precondition, Some(&head))?;
        if head.lock_at(self.timestamp).is_none() {
            return Err(Refusal::NotLocked.into());
        }
        self.check_lock(&head)?;
        let head = Head { lock: None, ..head };
        Ok(self.change(Done::Unlock, uri, head, Vec::new()))
    }

    /// The old URI keeps its history in the trash; the new one continues it, with the old versions as parents.
    fn move_to(&mut self, uri: &Uri, precondition: Precondition, to: &Uri) -> Result<Vec<Change>, PlanError> {
        let head = self.editable(uri, precondition)?;
        self.check_privilege(to)?;
        let target = self.state.head(to)?;
        if target.as_ref().is_some_and(Head::is_visible) {
            return Err(Refusal::Exists.into());
        }
        check_kind(to, head.kind, None)?;
        let Some(working) = head.working else {
            return Err(Refusal::NotFound.into());
        };
        let first = target.as_ref().map_or(0, |target| target.versions).max(head.versions) + 1;
        let history = target.as_ref().map_or(Head::NO_HISTORY, |target| target.history);
        let mut moved = Vec::new();
        if let Some(live) = head.live.filter(|live| *live != working) {
            moved.push(self.continue_version(uri, &live, to, first, &[])?);
        }
        let so_far: Vec<_> = moved.iter().map(|version: &VersionRef| version.id).collect();
        let number = first + moved.len() as u64;
        moved.push(self.continue_version(uri, &working, to, number, &so_far)?);
        let history =
            moved.iter().fold(history, |history, version| Head::extend_history(&history, &version.id));
        let here = Head {
            working: moved.last().copied(),
            live: head.live.and(moved.first().copied()),
            history,
            versions: number,
            moved_to: None,
            ever_live: head.live.is_some() || target.is_some_and(|target| target.ever_live),
            ..head.clone()
        };
        let away = Head { state: State::Trashed, live: None, lock: None, moved_to: Some(to.clone()), ..head };
        let mut away = self.change(Done::MoveAway, uri, away, Vec::new());
        away.counterpart = Some(to.clone());
        let mut here = self.change(Done::MoveHere, to, here, moved);
        here.counterpart = Some(uri.clone());
        Ok(vec![away, here])
    }

    /// A version of `to` with everything a version of `uri` has; its content comes along.
    fn continue_version(
        &mut self,
        uri: &Uri,
        old: &VersionRef,
        to: &Uri,
        number: u64,
        also_from: &[apograph_format::Hash],
    ) -> Result<VersionRef, PlanError> {
        let Some(version) = self.read_version(uri, old)? else {
            return Err(Refusal::NotFound.into());
        };
        if let Some(content) = &version.content {
            let (from, home) = (self.state.partitioning().of(uri), self.state.partitioning().of(to));
            if from != home
                && let Some((fact, sources)) = self.state.content(from, &content.hash)?
            {
                self.bring(home, &fact, sources)?;
            }
        }
        let parents = [&[old.id], also_from].concat();
        let origin = Origin { document: Some((uri.clone(), Some(old.id))), ..Origin::default() };
        let version = Version {
            number,
            parents,
            author: self.transaction.author.clone(),
            time: self.plan.time,
            comment: self.transaction.comment.clone(),
            origin: Some(origin),
            ..version
        };
        Ok(self.add_version(to, &version))
    }

    /// The head of a document that this author may change now.
    fn editable(&self, uri: &Uri, precondition: Precondition) -> Result<Head, PlanError> {
        self.check_privilege(uri)?;
        let head = self.visible_head(uri)?;
        self.check_precondition(precondition, Some(&head))?;
        self.check_lock(&head)?;
        Ok(without_expired_lock(head, self.timestamp))
    }

    pub(super) fn part(&mut self, partition: apograph_format::PartitionId) -> &mut Part {
        self.plan.parts.entry(partition).or_default()
    }

    pub(super) fn change(&self, operation: Done, uri: &Uri, head: Head, versions: Vec<VersionRef>) -> Change {
        let was_live = self.state.head(uri).ok().flatten().is_some_and(|head| head.live.is_some());
        let head = Head { changed: self.timestamp, ..head };
        Change {
            operation,
            uri: uri.clone(),
            head,
            versions,
            erased: Vec::new(),
            counterpart: None,
            was_live,
        }
    }
}

/// For preconditions of operations that take documents out of the trash, or do not mind: as if it were not in there.
fn out_of_the_trash(head: &Head) -> Head {
    Head { state: State::Working, ..head.clone() }
}
