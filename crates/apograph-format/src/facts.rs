//! What an entry says happened. Read from protobuf into types that cannot be wrong.

use std::collections::HashSet;

use bytes::Bytes;
use prost::Message;

use crate::checkpoint::Checkpoint;
use crate::header::EntryKind;
use crate::limits::CHUNK_BYTES_MAX;
use crate::version::hash_bytes;
use crate::{
    Epoch, Hash, Head, Kind, Lock, Participants, Position, State, Timestamp, Uri, VersionRef, proto,
};

/// The facts of an entry, by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facts {
    /// Documents changed.
    Transaction(TransactionFacts),
    /// Payloads that a later transaction names.
    Contents(ContentsFacts),
    /// What every copy must equal here.
    Checkpoint(Checkpoint),
    /// A promotion.
    Epoch(EpochFacts),
}

/// Documents of one partition changed, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionFacts {
    /// Who asked for it.
    pub author: String,
    /// Why. Empty in the published view.
    pub comment: String,
    /// When the author did it, microseconds since 1970.
    pub time: i64,
    /// What changed, in order.
    pub changes: Vec<Change>,
    /// Contents that enter the partition.
    pub contents: Vec<ContentFact>,
    /// In a derived journal: the source entry this one stands for.
    pub source: Option<SourcePosition>,
    /// How far an importer has come.
    pub cursor: Option<Cursor>,
    /// How it stands in the published view; none when nothing of it shows there.
    pub published: Option<Published>,
    /// What the versions that it adds name, for who gets their bodies when those were purged already. Empty in the
    /// published view, and in entries from before it was written down.
    pub named: Vec<VersionNames>,
}

/// What the body of a version says that must be known when the body is purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionNames {
    /// The version.
    pub id: Hash,
    /// Its content.
    pub content: Option<Hash>,
    /// Its type.
    pub r#type: String,
}

/// How a transaction stands in the published view, so that any copy can derive that view partition by partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Partitions that have an entry of this transaction there.
    pub participants: Participants,
    /// Commit timestamp before this one there.
    pub previous: Timestamp,
}

/// One operation on one document, and the head it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What was done.
    pub operation: Operation,
    /// To which document.
    pub uri: Uri,
    /// The head afterwards.
    pub head: Head,
    /// Versions this added, oldest first.
    pub versions: Vec<VersionRef>,
    /// Purge: payloads that nothing else in the partition names; their bytes are erased.
    pub erased: Vec<Hash>,
    /// Move: the other URI.
    pub counterpart: Option<Uri>,
    /// Something of the document was live before.
    pub was_live: bool,
}

/// What was done to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A new version was saved.
    Put,
    /// A version became live.
    Publish,
    /// Nothing is live any more.
    Withdraw,
    /// Into the trash.
    Trash,
    /// Out of the trash.
    Restore,
    /// Erased with all history.
    Purge,
    /// It left this URI.
    MoveAway,
    /// It came to this URI.
    MoveHere,
    /// Somebody works on it.
    Lock,
    /// Nobody does any more.
    Unlock,
    /// Published view: not visible any more.
    Retract,
}

/// A content enters the partition, and how it is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentFact {
    /// BLAKE3 of the whole.
    pub hash: Hash,
    /// Length of the whole.
    pub bytes: u64,
    /// Names of its pieces in order; one piece is the content itself.
    pub chunks: Vec<Hash>,
}

impl ContentFact {
    /// Length of a chunk: all but the last have [`CHUNK_BYTES_MAX`].
    pub fn chunk_bytes(&self, index: usize) -> usize {
        let start = index as u64 * CHUNK_BYTES_MAX as u64;
        usize::try_from(self.bytes.saturating_sub(start)).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX)
    }

    pub(crate) fn to_proto(&self) -> proto::ContentFact {
        proto::ContentFact {
            hash: hash_bytes(&self.hash),
            bytes: self.bytes,
            chunks: self.chunks.iter().map(hash_bytes).collect(),
        }
    }

    pub(crate) fn from_proto(content: proto::ContentFact) -> Result<ContentFact, FactsError> {
        Ok(ContentFact { hash: hash(&content.hash)?, bytes: content.bytes, chunks: hashes(&content.chunks)? })
    }
}

/// Payloads that travel ahead of the transaction that names them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContentsFacts {
    /// Their names.
    pub payloads: Vec<Hash>,
    /// In a derived journal: the source entry this one stands for.
    pub source: Option<SourcePosition>,
}

/// An entry of a source's journal.
pub type SourcePosition = Position;

/// How far an importer has come in the system it reads; stored in the same transaction as what it brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Which importer, of what.
    pub name: String,
    /// The last thing it brought.
    pub position: String,
}

/// A promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochFacts {
    /// The epoch that ended.
    pub previous_epoch: Epoch,
    /// The timestamp at which the new history begins.
    pub base: Timestamp,
    /// The new primary.
    pub primary: crate::ServerKey,
    /// Why.
    pub reason: String,
    /// In a derived journal: the source entry this one stands for.
    pub source: Option<SourcePosition>,
    /// How it stands in the published view.
    pub published: Option<Published>,
}

/// Facts cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("facts cannot be read: {reason}")]
pub struct FactsError {
    /// What is wrong.
    pub reason: String,
}

pub(crate) fn refused(reason: impl ToString) -> FactsError {
    FactsError { reason: reason.to_string() }
}

impl Facts {
    /// Stored form.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Facts::Transaction(facts) => facts.to_proto().encode_to_vec(),
            Facts::Contents(facts) => proto::Contents {
                payloads: facts.payloads.iter().map(hash_bytes).collect(),
                source: facts.source.as_ref().map(source_to_proto),
            }
            .encode_to_vec(),
            Facts::Checkpoint(checkpoint) => checkpoint.to_proto().encode_to_vec(),
            Facts::Epoch(facts) => proto::EpochChange {
                previous_epoch: facts.previous_epoch.bits(),
                base: facts.base.0,
                primary: Bytes::copy_from_slice(facts.primary.as_bytes()),
                reason: facts.reason.clone(),
                source: facts.source.as_ref().map(source_to_proto),
                published: facts.published.map(Published::to_proto),
            }
            .encode_to_vec(),
        }
    }

    /// Reads the facts of an entry of `kind`.
    pub fn decode(kind: EntryKind, bytes: Bytes) -> Result<Facts, FactsError> {
        Ok(match kind {
            EntryKind::Transaction => Facts::Transaction(TransactionFacts::from_proto(
                proto::Transaction::decode(bytes).map_err(refused)?,
            )?),
            EntryKind::Contents => {
                let facts = proto::Contents::decode(bytes).map_err(refused)?;
                Facts::Contents(ContentsFacts {
                    payloads: hashes(&facts.payloads)?,
                    source: facts.source.map(source_from_proto).transpose()?,
                })
            }
            EntryKind::Checkpoint => {
                Facts::Checkpoint(Checkpoint::from_proto(proto::Checkpoint::decode(bytes).map_err(refused)?)?)
            }
            EntryKind::Epoch => {
                let facts = proto::EpochChange::decode(bytes).map_err(refused)?;
                Facts::Epoch(EpochFacts {
                    previous_epoch: Epoch::from_bits(facts.previous_epoch),
                    base: Timestamp(facts.base),
                    primary: crate::ServerKey::from_slice(&facts.primary)
                        .ok_or_else(|| refused("a key has 32 bytes"))?,
                    reason: facts.reason,
                    source: facts.source.map(source_from_proto).transpose()?,
                    published: facts.published.map(Published::from_proto),
                })
            }
        })
    }

    /// What kind of entry carries these.
    pub fn kind(&self) -> EntryKind {
        match self {
            Facts::Transaction(_) => EntryKind::Transaction,
            Facts::Contents(_) => EntryKind::Contents,
            Facts::Checkpoint(_) => EntryKind::Checkpoint,
            Facts::Epoch(_) => EntryKind::Epoch,
        }
    }

    /// In a derived journal: the source entry this one stands for.
    pub fn source(&self) -> Option<SourcePosition> {
        match self {
            Facts::Transaction(facts) => facts.source,
            Facts::Contents(facts) => facts.source,
            Facts::Checkpoint(facts) => facts.source,
            Facts::Epoch(facts) => facts.source,
        }
    }

    /// Names of all payloads that the entry may carry.
    pub fn payload_names(&self) -> HashSet<Hash> {
        match self {
            Facts::Transaction(facts) => {
                let versions = facts.changes.iter().flat_map(|change| &change.versions);
                let chunks = facts.contents.iter().flat_map(|content| &content.chunks);
                versions.map(|version| version.id).chain(chunks.copied()).collect()
            }
            Facts::Contents(facts) => facts.payloads.iter().copied().collect(),
            Facts::Checkpoint(_) | Facts::Epoch(_) => HashSet::new(),
        }
    }
}

impl TransactionFacts {
    fn to_proto(&self) -> proto::Transaction {
        proto::Transaction {
            author: self.author.clone(),
            comment: self.comment.clone(),
            time: self.time,
            changes: self.changes.iter().map(Change::to_proto).collect(),
            contents: self.contents.iter().map(ContentFact::to_proto).collect(),
            source: self.source.as_ref().map(source_to_proto),
            cursor: self
                .cursor
                .as_ref()
                .map(|cursor| proto::Cursor { name: cursor.name.clone(), position: cursor.position.clone() }),
            published: self.published.map(Published::to_proto),
            named: self.named.iter().map(VersionNames::to_proto).collect(),
        }
    }

    fn from_proto(facts: proto::Transaction) -> Result<TransactionFacts, FactsError> {
        Ok(TransactionFacts {
            author: facts.author,
            comment: facts.comment,
            time: facts.time,
            changes: facts.changes.into_iter().map(Change::from_proto).collect::<Result<_, _>>()?,
            contents: facts.contents.into_iter().map(ContentFact::from_proto).collect::<Result<_, _>>()?,
            source: facts.source.map(source_from_proto).transpose()?,
            cursor: facts.cursor.map(|cursor| Cursor { name: cursor.name, position: cursor.position }),
            published: facts.published.map(Published::from_proto),
            named: facts.named.into_iter().map(VersionNames::from_proto).collect::<Result<_, _>>()?,
        })
    }
}

impl VersionNames {
    pub(crate) fn to_proto(&self) -> proto::VersionNames {
        proto::VersionNames {
            id: hash_bytes(&self.id),
            content: self.content.as_ref().map(hash_bytes).unwrap_or_default(),
            r#type: self.r#type.clone(),
        }
    }

    pub(crate) fn from_proto(names: proto::VersionNames) -> Result<VersionNames, FactsError> {
        let content = (!names.content.is_empty()).then(|| hash(&names.content)).transpose()?;
        Ok(VersionNames { id: hash(&names.id)?, content, r#type: names.r#type })
    }
}

impl Change {
    fn to_proto(&self) -> proto::Change {
        proto::Change {
            operation: self.operation.to_proto() as i32,
            uri: self.uri.to_string(),
            head: Some(self.head.to_proto()),
            versions: self.versions.iter().map(version_to_proto).collect(),
            erased: self.erased.iter().map(hash_bytes).collect(),
            counterpart: self.counterpart.as_ref().map(Uri::to_string).unwrap_or_default(),
            was_live: self.was_live,
        }
    }

    fn from_proto(change: proto::Change) -> Result<Change, FactsError> {
        let operation = proto::Operation::try_from(change.operation)
            .ok()
            .and_then(Operation::from_proto)
            .ok_or_else(|| refused(format!("unknown operation {}", change.operation)))?;
        Ok(Change {
            operation,
            uri: Uri::parse(&change.uri).map_err(refused)?,
            head: Head::from_proto(change.head.ok_or_else(|| refused("a change without a head"))?)?,
            versions: change.versions.iter().map(version_from_proto).collect::<Result<_, _>>()?,
            erased: hashes(&change.erased)?,
            counterpart: optional_uri(&change.counterpart)?,
            was_live: change.was_live,
        })
    }
}

impl Published {
    pub(crate) fn to_proto(self) -> proto::Published {
        proto::Published { participants: self.participants.0, previous: self.previous.0 }
    }

    pub(crate) fn from_proto(published: proto::Published) -> Published {
        Published {
            participants: Participants(published.participants),
            previous: Timestamp(published.previous),
        }
    }
}

impl Operation {
    const PAIRS: [(Operation, proto::Operation); 11] = [
        (Operation::Put, proto::Operation::Put),
        (Operation::Publish, proto::Operation::Publish),
        (Operation::Withdraw, proto::Operation::Withdraw),
        (Operation::Trash, proto::Operation::Trash),
        (Operation::Restore, proto::Operation::Restore),
        (Operation::Purge, proto::Operation::Purge),
        (Operation::MoveAway, proto::Operation::MoveAway),
        (Operation::MoveHere, proto::Operation::MoveHere),
        (Operation::Lock, proto::Operation::Lock),
        (Operation::Unlock, proto::Operation::Unlock),
        (Operation::Retract, proto::Operation::Retract),
    ];

    /// The name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Put => "put",
            Operation::Publish => "publish",
            Operation::Withdraw => "withdraw",
            Operation::Trash => "trash",
            Operation::Restore => "restore",
            Operation::Purge => "purge",
            Operation::MoveAway => "move-away",
            Operation::MoveHere => "move-here",
            Operation::Lock => "lock",
            Operation::Unlock => "unlock",
            Operation::Retract => "retract",
        }
    }

    fn to_proto(self) -> proto::Operation {
        let pair = Operation::PAIRS.into_iter().find(|(operation, _)| *operation == self);
        pair.map_or(proto::Operation::Unspecified, |(_, tag)| tag)
    }

    fn from_proto(tag: proto::Operation) -> Option<Operation> {
        Operation::PAIRS.into_iter().find(|(_, known)| *known == tag).map(|(operation, _)| operation)
    }
}

impl Head {
    /// Stored form.
    pub fn encode(&self) -> Vec<u8> {
        self.to_proto().encode_to_vec()
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Head, FactsError> {
        Head::from_proto(proto::Head::decode(bytes).map_err(refused)?)
    }

    pub(crate) fn to_proto(&self) -> proto::Head {
        proto::Head {
            kind: self.kind.to_proto(),
            state: self.state.to_proto(),
            working: self.working.as_ref().map(version_to_proto),
            live: self.live.as_ref().map(version_to_proto),
            lock: self.lock.as_ref().map(|lock| proto::Lock {
                owner: lock.owner.clone(),
                since: lock.since,
                expires: lock.expires,
            }),
            history: hash_bytes(&self.history),
            versions: self.versions,
            moved_to: self.moved_to.as_ref().map(Uri::to_string).unwrap_or_default(),
            changed: self.changed.0,
            r#type: self.r#type.clone(),
            ever_live: self.ever_live,
        }
    }

    pub(crate) fn from_proto(head: proto::Head) -> Result<Head, FactsError> {
        let version =
            |version: Option<proto::VersionRef>| version.as_ref().map(version_from_proto).transpose();
        Ok(Head {
            kind: Kind::from_proto(head.kind)
                .ok_or_else(|| refused(format!("unknown kind {}", head.kind)))?,
            state: State::from_proto(head.state)
                .ok_or_else(|| refused(format!("unknown state {}", head.state)))?,
            working: version(head.working)?,
            live: version(head.live)?,
            lock: head.lock.map(|lock| Lock { owner: lock.owner, since: lock.since, expires: lock.expires }),
            history: hash(&head.history)?,
            versions: head.versions,
            moved_to: optional_uri(&head.moved_to)?,
            changed: Timestamp(head.changed),
            r#type: head.r#type,
            ever_live: head.ever_live,
        })
    }
}

pub(crate) fn source_to_proto(source: &SourcePosition) -> proto::Source {
    proto::Source { epoch: source.epoch.bits(), sequence: source.sequence, hash: hash_bytes(&source.hash) }
}

pub(crate) fn source_from_proto(source: proto::Source) -> Result<SourcePosition, FactsError> {
    Ok(Position {
        epoch: Epoch::from_bits(source.epoch),
        sequence: source.sequence,
        hash: hash(&source.hash)?,
    })
}

pub(crate) fn version_to_proto(version: &VersionRef) -> proto::VersionRef {
    proto::VersionRef { number: version.number, id: hash_bytes(&version.id) }
}

pub(crate) fn version_from_proto(version: &proto::VersionRef) -> Result<VersionRef, FactsError> {
    Ok(VersionRef { number: version.number, id: hash(&version.id)? })
}

pub(crate) fn optional_uri(text: &str) -> Result<Option<Uri>, FactsError> {
    if text.is_empty() { Ok(None) } else { Uri::parse(text).map(Some).map_err(refused) }
}

pub(crate) fn hash(bytes: &Bytes) -> Result<Hash, FactsError> {
    Hash::from_slice(bytes).ok_or_else(|| refused(format!("a hash has 32 bytes, found {}", bytes.len())))
}

pub(crate) fn hashes(all: &[Bytes]) -> Result<Vec<Hash>, FactsError> {
    all.iter().map(hash).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Payload;

    pub(crate) fn sample_head() -> Head {
        Head {
            kind: Kind::Document,
            state: State::PublishedWithChanges,
            working: Some(VersionRef { number: 2, id: Hash::of(b"two") }),
            live: Some(VersionRef { number: 1, id: Hash::of(b"one") }),
            lock: Some(Lock { owner: "ann".into(), since: 1, expires: 2 }),
            history: Hash::of(b"history"),
            versions: 2,
            moved_to: None,
            changed: Timestamp(1000),
            r#type: "article".into(),
            ever_live: true,
        }
    }

    pub(crate) fn sample_transaction() -> (Facts, Vec<Payload>) {
        let (body, content) = (Payload::of(&b"two"[..]), Payload::of(&b"some content"[..]));
        let head = sample_head();
        let facts = TransactionFacts {
            author: "ann".into(),
            comment: "why".into(),
            time: 12,
            changes: vec![Change {
                operation: Operation::Put,
                uri: Uri::parse("/a").unwrap(),
                versions: vec![head.working.unwrap()],
                head,
                erased: vec![Hash::of(b"gone")],
                counterpart: Some(Uri::parse("/b").unwrap()),
                was_live: true,
            }],
            contents: vec![ContentFact { hash: content.hash, bytes: 12, chunks: vec![content.hash] }],
            source: Some(Position { epoch: Epoch::FIRST, sequence: 2, hash: Hash::of(b"s") }),
            cursor: Some(Cursor { name: "git:x".into(), position: "abc".into() }),
            published: Some(Published { participants: Participants(5), previous: Timestamp(3) }),
            named: Vec::new(),
        };
        (Facts::Transaction(facts), vec![body, content])
    }

    #[test]
    fn round_trips() {
        let names = |content| VersionNames { id: Hash::of(b"two"), content, r#type: "news".into() };
        let all = [
            sample_transaction().0,
            Facts::Transaction(TransactionFacts {
                named: vec![names(None), names(Some(Hash::of(b"some content")))],
                ..TransactionFacts::default()
            }),
            Facts::Contents(ContentsFacts { payloads: vec![Hash::of(b"p")], source: None }),
            Facts::Epoch(EpochFacts {
                previous_epoch: Epoch::FIRST,
                base: Timestamp(5),
                primary: crate::ServerKey([7; 32]),
                reason: "dead".into(),
                source: Some(Position { epoch: Epoch::FIRST, sequence: 2, hash: Hash::of(b"s") }),
                published: Some(Published { participants: Participants(1), previous: Timestamp(4) }),
            }),
        ];
        for facts in all {
            assert_eq!(Facts::decode(facts.kind(), facts.encode().into()), Ok(facts));
        }
    }

    #[test]
    fn operations_and_names_are_complete() {
        for (operation, tag) in Operation::PAIRS {
            assert_eq!(Operation::from_proto(operation.to_proto()), Some(operation));
            assert_eq!(operation.to_proto(), tag);
        }
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse::<Kind>().as_ref(), Ok(kind));
        }
        for state in State::ALL {
            assert_eq!(state.as_str().parse::<State>().as_ref(), Ok(state));
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic() {
        let (facts, _) = sample_transaction();
        let good = facts.encode();
        for cut in 0..good.len() {
            let _ = Facts::decode(EntryKind::Transaction, good[..cut].to_vec().into());
        }
        assert!(Facts::decode(EntryKind::Transaction, Bytes::from_static(b"\xff\xff\xff")).is_err());
        assert!(Facts::decode(EntryKind::Checkpoint, Bytes::from_static(b"\x12\x01x")).is_err());
    }
}
