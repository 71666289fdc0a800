//! The model: what the design says of documents, over plain maps. Written from the design, not from the engine.

use std::collections::{BTreeMap, BTreeSet};

use apograph::error::Refusal;
use apograph::format::{
    Content, Hash, Head, Kind, Lock, Origin, Properties, State, Timestamp, Uri, Version, VersionRef,
};
use apograph::transaction::{Action, ContentChange, OperationResult, Precondition, Put, Transaction};
use bytes::Bytes;

use crate::steps::{bytes_of, canaries_in};

/// All documents of a database at one time.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    pub documents: BTreeMap<Uri, Document>,
    pub cursors: BTreeMap<String, String>,
}

/// A document, purged ones included.
#[derive(Debug, Clone)]
pub struct Document {
    pub head: Head,
    pub versions: BTreeMap<u64, Saved>,
}

/// A version with its bytes.
#[derive(Debug, Clone)]
pub struct Saved {
    pub id: Hash,
    pub version: Version,
    pub content: Option<Bytes>,
}

/// Why the model refuses a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum No {
    Operation(usize, Refusal),
    PurgeNotAlone,
    Cursor(Option<String>),
}

impl Documents {
    /// The transaction at this time: its results, or nothing of it.
    pub fn commit(&mut self, transaction: &Transaction, at: Timestamp) -> Result<Vec<OperationResult>, No> {
        let operations = &transaction.operations;
        let is_purge = |action: &Action| matches!(action, Action::Purge);
        if operations.len() > 1 && operations.iter().any(|operation| is_purge(&operation.action)) {
            return Err(No::PurgeNotAlone);
        }
        let mut next = Next { documents: self.clone(), transaction, at };
        if let Some(cursor) = &transaction.cursor {
            let found = self.cursors.get(&cursor.name).cloned();
            if found != cursor.previous {
                return Err(No::Cursor(found));
            }
            next.documents.cursors.insert(cursor.name.clone(), cursor.position.clone());
        }
        let mut results = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            let at = next.operation(&operation.uri, operation.precondition, &operation.action);
            let at = at.map_err(|refusal| No::Operation(index, refusal))?;
            let head = &next.documents.documents[&at].head;
            let (version, state) = (head.working, head.state);
            results.push(OperationResult { uri: at.clone(), version, state, recovery: None });
        }
        *self = next.documents;
        Ok(results)
    }

    /// Everything that somebody who may see the published view sees.
    pub fn live(&self) -> impl Iterator<Item = (&Uri, &Saved)> {
        self.documents
            .iter()
            .filter_map(|(uri, document)| Some((uri, &document.versions[&document.head.live?.number])))
    }

    /// Every canary that any version holds.
    pub fn canaries(&self) -> BTreeSet<String> {
        self.documents
            .values()
            .flat_map(|document| document.versions.values())
            .flat_map(Saved::canaries)
            .collect()
    }
}

impl Saved {
    pub fn canaries(&self) -> BTreeSet<String> {
        canaries_in(&[&self.version.encode()[..], self.content.as_deref().unwrap_or_default()].concat())
    }
}

/// A transaction on its way.
struct Next<'a> {
    documents: Documents,
    transaction: &'a Transaction,
    at: Timestamp,
}

impl Next<'_> {
    /// Does it, and answers where the document is afterwards.
    fn operation(&mut self, uri: &Uri, precondition: Precondition, action: &Action) -> Result<Uri, Refusal> {
        match action {
            Action::Purge if !self.transaction.privileged => {
                return Err(Refusal::Privileged { what: "purge" });
            }
            Action::Purge => return self.purge(uri, precondition),
            Action::Unlock => return self.unlock(uri, precondition),
            _ if uri.is_system() && !self.transaction.privileged => return Err(privilege()),
            Action::Put(put) => return self.put(uri, precondition, put),
            Action::Restore => return self.restore(uri, precondition),
            _ => {}
        }
        let mut head = self.visible(uri)?;
        check(precondition, Some(&head))?;
        self.check_lock(&head)?;
        self.expire(&mut head);
        match action {
            Action::Publish { version } => {
                let number = version.unwrap_or(head.working.unwrap().number);
                let versions = &self.documents.documents[uri].versions;
                let saved = versions.get(&number).ok_or(Refusal::NoSuchVersion { number })?;
                head.live = Some(VersionRef { number, id: saved.id });
                head.ever_live = true;
                head.state =
                    if head.live == head.working { State::Published } else { State::PublishedWithChanges };
            }
            Action::Withdraw => {
                head.live.take().ok_or(Refusal::NotPublished)?;
                head.state = State::Withdrawn;
            }
            Action::Trash => head = Head { state: State::Trashed, live: None, lock: None, ..head },
            Action::Lock { owner, seconds } => {
                let owner = owner.as_ref().unwrap_or(&self.transaction.author).clone();
                if owner != self.transaction.author && !self.transaction.privileged {
                    return Err(Refusal::Privileged { what: "lock in somebody else's name" });
                }
                let since = self.at.0 as i64;
                head.lock = Some(Lock { owner, since, expires: since + *seconds as i64 * 1_000_000 });
            }
            Action::Move { to } => return self.move_to(uri, head, to),
            _ => unreachable!("handled above"),
        }
        self.set(uri, head);
        Ok(uri.clone())
    }

    fn put(&mut self, uri: &Uri, precondition: Precondition, put: &Put) -> Result<Uri, Refusal> {
        let head = self.head(uri);
        check(precondition, head.as_ref())?;
        head.as_ref().map_or(Ok(()), |head| self.check_lock(head))?;
        let visible = head.clone().filter(Head::is_visible);
        let kind = put.kind.or(visible.as_ref().map(|head| head.kind)).unwrap_or(Kind::Document);
        let is_other = visible.as_ref().is_some_and(|head| head.kind != kind);
        if kind.is_system() != uri.is_system() || is_other {
            return Err(Refusal::Kind { reason: String::new() });
        }
        let before = visible.and_then(|head| head.working).map(|working| self.saved(uri, working));
        let kept = || {
            before.as_ref().and_then(|saved| Some((saved.version.content.clone()?, saved.content.clone()?)))
        };
        let content = match &put.content {
            ContentChange::Keep => kept(),
            ContentChange::None => None,
            ContentChange::Set { media_type, bytes } => {
                let bytes = bytes_of(bytes);
                let hash = Hash::of(&bytes);
                let content = Content { hash, bytes: bytes.len() as u64, media_type: media_type.clone() };
                Some((content, bytes))
            }
        };
        let before = before.map(|saved| saved.version);
        let made_from = put.made_from.as_ref();
        let other = made_from.and_then(|other| self.head(other)).and_then(|head| head.working);
        let mut parents: Vec<Hash> =
            head.as_ref().and_then(|head| head.working).iter().map(|working| working.id).collect();
        parents.extend(other.map(|other| other.id).filter(|id| !parents.contains(id)));
        let document = made_from.map(|uri| (uri.clone(), other.map(|other| other.id)));
        let external = put.external.clone().unwrap_or_default();
        let is_from_elsewhere = document.is_some() || !external.is_empty();
        let version = Version {
            number: head.as_ref().map_or(0, |head| head.versions) + 1,
            parents,
            r#type: put
                .r#type
                .clone()
                .or(before.as_ref().map(|before| before.r#type.clone()))
                .unwrap_or_default(),
            properties: put
                .properties
                .clone()
                .or(before.as_ref().map(|before| before.properties.clone()))
                .unwrap_or_else(Properties::empty),
            content: content.as_ref().map(|(content, _)| content.clone()),
            author: self.transaction.author.clone(),
            time: self.time(),
            comment: put.comment.as_ref().unwrap_or(&self.transaction.comment).clone(),
            origin: is_from_elsewhere.then(|| Origin { document, server: String::new(), external }),
        };
        let r#type = version.r#type.clone();
        let working = self.save(uri, version, content.map(|(_, bytes)| bytes));
        let mut new = head.unwrap_or(Head { lock: None, ..nothing(kind) });
        self.expire(&mut new);
        new.state = match new.state {
            State::Published | State::PublishedWithChanges => State::PublishedWithChanges,
            State::Withdrawn => State::Withdrawn,
            State::Working | State::Trashed | State::Purged => State::Working,
        };
        new.history = Head::extend_history(&new.history, &working.id);
        let new =
            Head { kind, working: Some(working), versions: working.number, moved_to: None, r#type, ..new };
        self.set(uri, new);
        Ok(uri.clone())
    }

    fn restore(&mut self, uri: &Uri, precondition: Precondition) -> Result<Uri, Refusal> {
        let head = self.existing(uri)?;
        if head.state != State::Trashed {
            return Err(Refusal::NotTrashed);
        }
        check(precondition, Some(&Head { state: State::Working, ..head.clone() }))?;
        self.set(uri, Head { state: State::Working, moved_to: None, ..head });
        Ok(uri.clone())
    }

    fn purge(&mut self, uri: &Uri, precondition: Precondition) -> Result<Uri, Refusal> {
        let head = self.existing(uri)?;
        check(precondition, Some(&Head { state: State::Working, ..head.clone() }))?;
        let (versions, ever_live) = (head.versions, head.ever_live);
        self.documents.documents.get_mut(uri).unwrap().versions.clear();
        self.set(uri, Head { state: State::Purged, versions, ever_live, ..nothing(head.kind) });
        Ok(uri.clone())
    }

    fn unlock(&mut self, uri: &Uri, precondition: Precondition) -> Result<Uri, Refusal> {
        let head = self.visible(uri)?;
        check(precondition, Some(&head))?;
        head.lock_at(self.at).ok_or(Refusal::NotLocked)?;
        self.check_lock(&head)?;
        self.set(uri, Head { lock: None, ..head });
        Ok(uri.clone())
    }

    /// The old document stays in the trash; the new one begins with what was live and what was worked on.
    fn move_to(&mut self, uri: &Uri, head: Head, to: &Uri) -> Result<Uri, Refusal> {
        if to.is_system() && !self.transaction.privileged {
            return Err(privilege());
        }
        let target = self.head(to);
        if target.as_ref().is_some_and(Head::is_visible) {
            return Err(Refusal::Exists);
        }
        if head.kind.is_system() != to.is_system() {
            return Err(Refusal::Kind { reason: String::new() });
        }
        let target = target.unwrap_or(nothing(head.kind));
        let mut number = target.versions.max(head.versions);
        let working = head.working.unwrap();
        let live = head.live.filter(|live| *live != working);
        let (mut also, mut history, mut moved) = (Vec::new(), target.history, Vec::new());
        for old in live.into_iter().chain([working]) {
            number += 1;
            let saved = self.saved(uri, old);
            let origin = Origin { document: Some((uri.clone(), Some(old.id))), ..Origin::default() };
            let version = Version {
                number,
                parents: [vec![old.id], also.clone()].concat(),
                author: self.transaction.author.clone(),
                time: self.time(),
                comment: self.transaction.comment.clone(),
                origin: Some(origin),
                ..saved.version
            };
            let new = self.save(to, version, saved.content);
            history = Head::extend_history(&history, &new.id);
            also.push(new.id);
            moved.push(new);
        }
        let here = Head {
            working: moved.last().copied(),
            live: head.live.map(|_| moved[0]),
            history,
            versions: number,
            ever_live: head.live.is_some() || target.ever_live,
            ..head.clone()
        };
        self.set(to, here);
        self.set(
            uri,
            Head { state: State::Trashed, live: None, lock: None, moved_to: Some(to.clone()), ..head },
        );
        Ok(to.clone())
    }

    fn head(&self, uri: &Uri) -> Option<Head> {
        self.documents
            .documents
            .get(uri)
            .map(|document| document.head.clone())
            .filter(|head| head.versions > 0)
    }

    fn existing(&self, uri: &Uri) -> Result<Head, Refusal> {
        self.head(uri).filter(|head| head.state != State::Purged).ok_or(Refusal::NotFound)
    }

    fn visible(&self, uri: &Uri) -> Result<Head, Refusal> {
        let head = self.existing(uri)?;
        match head.state {
            State::Trashed => Err(Refusal::Trashed { moved_to: head.moved_to }),
            _ => Ok(head),
        }
    }

    fn saved(&self, uri: &Uri, version: VersionRef) -> Saved {
        self.documents.documents[uri].versions[&version.number].clone()
    }

    fn save(&mut self, uri: &Uri, version: Version, content: Option<Bytes>) -> VersionRef {
        let (number, id) = (version.number, Hash::of(&version.encode()));
        let new = || Document { head: nothing(Kind::Document), versions: BTreeMap::new() };
        let document = self.documents.documents.entry(uri.clone()).or_insert_with(new);
        document.versions.insert(number, Saved { id, version, content });
        VersionRef { number, id }
    }

    fn set(&mut self, uri: &Uri, head: Head) {
        self.documents.documents.get_mut(uri).unwrap().head = Head { changed: self.at, ..head };
    }

    fn time(&self) -> i64 {
        self.transaction.time.unwrap_or(self.at.0 as i64)
    }

    fn expire(&self, head: &mut Head) {
        head.lock = head.lock_at(self.at).cloned();
    }

    fn check_lock(&self, head: &Head) -> Result<(), Refusal> {
        let is_mine = |lock: &&Lock| lock.owner == self.transaction.author || self.transaction.privileged;
        match head.lock_at(self.at).filter(|lock| !is_mine(lock)) {
            Some(lock) => Err(Refusal::Locked { owner: lock.owner.clone(), expires: lock.expires }),
            None => Ok(()),
        }
    }
}

fn check(precondition: Precondition, head: Option<&Head>) -> Result<(), Refusal> {
    let working = head.filter(|head| head.is_visible()).and_then(|head| head.working);
    let holds = match precondition {
        Precondition::None => true,
        Precondition::Absent if working.is_some() => return Err(Refusal::Exists),
        Precondition::Absent => true,
        Precondition::Present => working.is_some(),
        Precondition::Version(number) => working.is_some_and(|working| working.number == number),
        Precondition::Id(id) => working.is_some_and(|working| working.id == id),
    };
    let found = working.map(|working| working.number);
    if holds { Ok(()) } else { Err(Refusal::VersionMismatch { found }) }
}

fn privilege() -> Refusal {
    Refusal::Privileged { what: "change documents under /_system" }
}

fn nothing(kind: Kind) -> Head {
    Head {
        kind,
        state: State::Working,
        working: None,
        live: None,
        lock: None,
        history: Head::NO_HISTORY,
        versions: 0,
        moved_to: None,
        changed: Timestamp::ZERO,
        r#type: String::new(),
        ever_live: false,
    }
}
