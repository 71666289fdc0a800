//! The published view: what of a source's journal a staging server is given.
//!
//! A pure function of the source's entries and of what its store remembers of the versions they name. So the same view
//! comes out wherever it is derived, on the primary or on any replica, and its chain continues after any interruption.
//!
//! What never crosses: versions that were never live, comments of transactions, locks, types and states of working
//! versions, documents that were never published, and who trashed them.

use std::collections::HashMap;

use bytes::Bytes;

use apograph_format::packing::pack;
use apograph_format::seeded::{self, Seeded};
use apograph_format::{
    Change, Checkpoint, ContentFact, ContentsFacts, Entry, EntryHeader, EntryKind, EpochFacts, Facts, Hash,
    Head, Operation, Participants, Payload, Position, State, Timestamp, TransactionFacts, Uri, VersionRef,
    View,
};

/// What a derivation asks of the source's store. All of it is immutable, so *when* it asks does not matter.
pub trait Lookup {
    /// Why the store could not answer.
    type Error;
    /// What is known of a version as of a timestamp, even when its body was purged since. `None` also if not all of it is
    /// known: what is derived must not depend on who derives it.
    fn version(&self, uri: &Uri, number: u64, at: Timestamp) -> Result<Option<LiveVersion>, Self::Error>;
    /// How a content is cut.
    fn content(&self, hash: &Hash) -> Result<Option<ContentFact>, Self::Error>;
    /// The bytes of a payload; `None` when they were purged.
    fn payload(&self, hash: &Hash) -> Result<Option<Bytes>, Self::Error>;
}

/// What the store remembers of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveVersion {
    /// Its id.
    pub id: Hash,
    /// Length of its body.
    pub body_bytes: usize,
    /// Its content.
    pub content: Option<Hash>,
    /// Its type.
    pub r#type: String,
}

/// Why a derivation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError<E> {
    /// The store could not answer.
    #[error("{0}")]
    Lookup(E),
    /// The copy says that it has more entries of a source entry than there are.
    #[error("the copy has {skipped} entries of a source entry that gives fewer")]
    Ahead {
        /// How many it says it has.
        skipped: u32,
    },
    /// The store does not remember a version that the journal names: its history does not reach back so far.
    #[error("version {number} of {uri} is not remembered any more")]
    Forgotten {
        /// The document.
        uri: Uri,
        /// The version.
        number: u64,
    },
}

/// Where a derived journal stands, and how it goes on.
///
/// - `position` is the last derived entry; `source` the source entry it stood for;
/// - a source segment that began since then makes the next derived entry begin one, too.
#[derive(Debug, Clone)]
pub struct Derivation {
    position: Position,
    segment_due: bool,
    /// Entries of the first source entry that shows which the copy has already.
    skip: u32,
}

/// The derived entries of one source entry. Payloads are read only when their entry is asked for, so memory holds one
/// entry however large a published content is.
pub struct DerivedEntries {
    facts: Facts,
    template: EntryHeader,
    source: Position,
    groups: std::vec::IntoIter<Vec<Wanted>>,
}

/// A payload to put into a derived entry.
#[derive(Debug, Clone)]
struct Wanted {
    hash: Hash,
    bytes: usize,
}

impl Derivation {
    /// A derivation that continues after `position`, where the copy has `skip` entries of the next source entry that
    /// shows.
    pub fn new(position: Position, skip: u32) -> Derivation {
        Derivation { position, segment_due: position.sequence == 0, skip }
    }

    /// The last derived entry.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Takes the next source entry. `None`: nothing of it shows in the published view.
    pub fn take<L: Lookup>(
        &mut self,
        entry: &Entry,
        facts: &Facts,
        lookup: &L,
    ) -> Result<Option<DerivedEntries>, DeriveError<L::Error>> {
        let header = entry.header();
        self.segment_due |= header.starts_segment;
        let source = entry.position();
        let (facts, wanted, published) = match facts {
            Facts::Contents(_) => return Ok(None),
            Facts::Epoch(facts) => match facts.published {
                None => return Ok(None),
                Some(published) => {
                    let facts = EpochFacts { source: Some(source), ..facts.clone() };
                    (Facts::Epoch(facts), Vec::new(), published)
                }
            },
            Facts::Checkpoint(checkpoint) => match checkpoint.published {
                None => return Ok(None),
                Some(published) => (checkpoint_facts(checkpoint, source), Vec::new(), published),
            },
            Facts::Transaction(transaction) => {
                let Some(published) = transaction.published else { return Ok(None) };
                if !published.participants.contains(header.partition) {
                    return Ok(None);
                }
                let (facts, wanted) = transaction_facts(transaction, header.timestamp, source, lookup)?;
                (Facts::Transaction(facts), wanted, published)
            }
        };
        let groups = pack(wanted.into_iter().map(|wanted| (wanted.clone(), wanted.bytes)));
        let template = self.template(header, published.participants, published.previous);
        let mut groups = groups.into_iter();
        if self.skip > 0 {
            // The first of them carried the mark of a new segment, if there was one to carry.
            self.segment_due = false;
            let skipped = std::mem::take(&mut self.skip);
            groups.by_ref().take(skipped as usize).for_each(drop);
            if groups.as_slice().is_empty() {
                return Err(DeriveError::Ahead { skipped });
            }
        }
        Ok(Some(DerivedEntries { facts, template, source, groups }))
    }

    /// The next entry of what [`Derivation::take`] answered; `None` when all are out.
    pub fn next<L: Lookup>(
        &mut self,
        entries: &mut DerivedEntries,
        lookup: &L,
    ) -> Result<Option<Entry>, DeriveError<L::Error>> {
        let Some(group) = entries.groups.next() else {
            return Ok(None);
        };
        let payload = |wanted: &Wanted| {
            Ok(match lookup.payload(&wanted.hash)? {
                Some(bytes) => Payload { hash: wanted.hash, erased: false, bytes },
                None => Payload::erased(wanted.hash, wanted.bytes),
            })
        };
        let payloads: Vec<Payload> =
            group.iter().map(payload).collect::<Result<_, _>>().map_err(DeriveError::Lookup)?;
        let is_last = entries.groups.as_slice().is_empty();
        let facts = if is_last {
            entries.facts.encode()
        } else {
            let names = group.iter().map(|wanted| wanted.hash).collect();
            Facts::Contents(ContentsFacts { payloads: names, source: Some(entries.source) }).encode()
        };
        let header = EntryHeader {
            kind: if is_last { entries.template.kind } else { EntryKind::Contents },
            starts_segment: std::mem::take(&mut self.segment_due),
            sequence: self.position.sequence + 1,
            previous_hash: self.position.hash,
            ..entries.template
        };
        let entry = Entry::seal(header, &facts, &payloads);
        self.position = entry.position();
        Ok(Some(entry))
    }

    fn template(&self, source: &EntryHeader, participants: Participants, previous: Timestamp) -> EntryHeader {
        EntryHeader { participants, previous_timestamp: previous, synced: 0, ..*source }
    }
}

fn checkpoint_facts(checkpoint: &Checkpoint, source: Position) -> Facts {
    let digests =
        checkpoint.digests.iter().filter(|digest| digest.view == View::Published).cloned().collect();
    Facts::Checkpoint(Checkpoint { digests, source: Some(source), ..checkpoint.clone() })
}

type Derived<E> = Result<(TransactionFacts, Vec<Wanted>), DeriveError<E>>;

fn transaction_facts<L: Lookup>(
    facts: &TransactionFacts,
    at: Timestamp,
    source: Position,
    lookup: &L,
) -> Derived<L::Error> {
    let mut derived = TransactionFacts {
        author: String::new(),
        comment: String::new(),
        time: facts.time,
        source: Some(source),
        published: facts.published,
        ..TransactionFacts::default()
    };
    let mut wanted: Vec<Wanted> = Vec::new();
    for change in shown(&facts.changes) {
        let Some(live) = live(change).filter(|_| is_publication(change)) else {
            derived.changes.push(retraction(change));
            continue;
        };
        let version = lookup.version(&change.uri, live.number, at).map_err(DeriveError::Lookup)?;
        let forgotten = || DeriveError::Forgotten { uri: change.uri.clone(), number: live.number };
        let version = version.filter(|version| version.id == live.id).ok_or_else(forgotten)?;
        let mut want = |hash: Hash, bytes: usize| {
            if !wanted.iter().any(|known| known.hash == hash) {
                wanted.push(Wanted { hash, bytes });
            }
        };
        want(live.id, version.body_bytes);
        if let Some(content) = &version.content {
            let content = lookup.content(content).map_err(DeriveError::Lookup)?.ok_or_else(forgotten)?;
            if !derived.contents.contains(&content) {
                for (index, chunk) in content.chunks.iter().enumerate() {
                    want(*chunk, content.chunk_bytes(index));
                }
                derived.contents.push(content);
            }
        }
        derived.changes.push(publication(change, &version));
    }
    Ok((derived, wanted))
}

/// The changes that show when the transaction is over: of each document the last one that shows, unless it only takes
/// back what the same transaction had published. What was live in between was never to be seen.
fn shown(changes: &[Change]) -> impl Iterator<Item = &Change> {
    let mut ends: HashMap<&Uri, (&Change, &Change)> = HashMap::new();
    for change in changes.iter().filter(|change| shows(change)) {
        ends.entry(&change.uri).and_modify(|(_, last)| *last = change).or_insert((change, change));
    }
    let is_shown = move |change: &&Change| {
        ends.get(&change.uri).is_some_and(|(first, last)| {
            let is_taken_back = is_retraction(last) && last.was_live && !first.was_live;
            std::ptr::eq(*last, *change) && !is_taken_back
        })
    };
    changes.iter().filter(is_shown)
}

/// Does anything of this change show in the published view? The committer asks the same of its own changes.
pub fn shows(change: &Change) -> bool {
    is_publication(change) || is_retraction(change)
}

fn is_publication(change: &Change) -> bool {
    let is_one = matches!(change.operation, Operation::Publish | Operation::MoveHere);
    (is_one || seeded::is(Seeded::DraftLeaked)) && live(change).is_some()
}

/// What readers of the published view see from then on.
fn live(change: &Change) -> Option<VersionRef> {
    change.head.live.or(change.head.working.filter(|_| seeded::is(Seeded::DraftLeaked)))
}

fn is_retraction(change: &Change) -> bool {
    match change.operation {
        Operation::Withdraw | Operation::Trash | Operation::MoveAway | Operation::Retract => change.was_live,
        // The head after a purge still tells whether copies of the published view may hold something.
        Operation::Purge => change.head.ever_live,
        _ => false,
    }
}

fn publication(change: &Change, version: &LiveVersion) -> Change {
    let live = live(change);
    let head = Head {
        kind: change.head.kind,
        state: State::Published,
        working: live,
        live,
        lock: None,
        history: Head::NO_HISTORY,
        versions: live.map_or(0, |live| live.number),
        moved_to: None,
        changed: change.head.changed,
        r#type: version.r#type.clone(),
        ever_live: true,
    };
    Change {
        operation: Operation::Publish,
        uri: change.uri.clone(),
        head,
        versions: live.into_iter().collect(),
        erased: Vec::new(),
        counterpart: None,
        was_live: change.was_live,
    }
}

fn retraction(change: &Change) -> Change {
    let is_purge = change.operation == Operation::Purge;
    let head = Head {
        kind: change.head.kind,
        state: if is_purge { State::Purged } else { State::Withdrawn },
        working: None,
        live: None,
        lock: None,
        history: Head::NO_HISTORY,
        versions: 0,
        moved_to: None,
        changed: change.head.changed,
        r#type: String::new(),
        ever_live: true,
    };
    Change {
        operation: if is_purge { Operation::Purge } else { Operation::Retract },
        uri: change.uri.clone(),
        head,
        versions: Vec::new(),
        erased: Vec::new(),
        counterpart: None,
        was_live: change.was_live,
    }
}
