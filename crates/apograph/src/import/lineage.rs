//! What the versions of a document add up to, and the heads that fit them.

use apograph_format::{Hash, Head, Kind, State, VersionRef};

use crate::error::LoadRefusal;
use crate::transaction::LoadedVersion;

/// The versions of a document that were met so far, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Lineage {
    count: u64,
    last: Option<VersionRef>,
    history: Hash,
}

impl Default for Lineage {
    fn default() -> Lineage {
        Lineage { count: 0, last: None, history: Head::NO_HISTORY }
    }
}

impl Lineage {
    /// A document of which the versions up to `last` are there. `has_gaps`: not all of them.
    pub(crate) fn continued(last: VersionRef, history: Hash, has_gaps: bool) -> Lineage {
        Lineage { count: last.number - u64::from(has_gaps), last: Some(last), history }
    }

    /// The next version.
    pub(crate) fn add(&mut self, version: VersionRef) -> Result<(), LoadRefusal> {
        let after = self.last.map_or(0, |last| last.number);
        if version.number <= after {
            return Err(LoadRefusal::Order { after, found: version.number });
        }
        self.count += 1;
        self.history = Head::extend_history(&self.history, &version.id);
        self.last = Some(version);
        Ok(())
    }

    pub(crate) fn last(&self) -> Option<VersionRef> {
        self.last
    }

    pub(crate) fn history(&self) -> Hash {
        self.history
    }

    /// Are versions missing? A purge takes them, a move skips numbers, and an operator may have said that a copy gets only
    /// the newest ones. What they add to the history cannot be known.
    fn has_gaps(&self) -> bool {
        self.last.is_none_or(|last| last.number != self.count)
    }
}

/// Checks that a version is what its id says, as far as that can be seen without its content.
pub(crate) fn check_version(loaded: &LoadedVersion) -> Result<VersionRef, LoadRefusal> {
    let version = &loaded.version;
    let number = version.number;
    let found = Hash::of(&version.encode());
    if found != loaded.id {
        return Err(LoadRefusal::Id { number, expected: loaded.id, found });
    }
    if version.content.is_some() != loaded.content.is_some() {
        return Err(LoadRefusal::Content { number });
    }
    Ok(VersionRef { number, id: found })
}

/// Checks a head against the versions that lead to it. `live` is the id of the version that has the live one's number.
pub(crate) fn check_head(
    kind: Kind,
    head: &Head,
    lineage: &Lineage,
    live: Option<Hash>,
) -> Result<(), LoadRefusal> {
    match rules(kind, head, lineage, live).into_iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(LoadRefusal::Head { rule }),
        None => Ok(()),
    }
}

fn rules(kind: Kind, head: &Head, lineage: &Lineage, live: Option<Hash>) -> [(bool, &'static str); 12] {
    let is_purged = head.state == State::Purged;
    let is_gone = is_purged || head.state == State::Trashed;
    let is_public = matches!(head.state, State::Published | State::PublishedWithChanges);
    let last = lineage.last();
    [
        (head.kind == kind, "the kind is the document's"),
        (head.versions > 0, "a document has or had versions"),
        (head.working == last, "the working version is the last one"),
        (is_purged == last.is_none(), "a purged document has no versions, any other has"),
        (
            is_purged || last.is_some_and(|last| last.number == head.versions),
            "`versions` is the number of the last one",
        ),
        (head.live.is_some() == is_public, "a version is live exactly when the document is published"),
        (
            head.live.map(|live| live.id) == live.filter(|_| head.live.is_some()),
            "the live version is one of them",
        ),
        (
            !is_public || (head.state == State::Published) == (head.live == head.working),
            "`published` means that the working version is live",
        ),
        // What was moved, and so skipped numbers, was withdrawn at another place, perhaps.
        (
            head.ever_live || !(is_public || head.state == State::Withdrawn && !lineage.has_gaps()),
            "what is or was published was live once",
        ),
        (head.lock.is_none() || !is_gone, "what is in the trash or purged is not locked"),
        (head.moved_to.is_none() || head.state == State::Trashed, "what was moved away is in the trash"),
        (
            head.history == lineage.history() || (!is_purged && lineage.has_gaps()),
            "the history is that of the versions",
        ),
    ]
}
