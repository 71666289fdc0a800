//! How far a store is: written with every transaction, so that it always tells of the same moment as the documents.

use apograph_format::{Epoch, Hash, Position, SourcePosition, Timestamp, Uri};

use crate::error::StoreError;

/// How far a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The last entry applied; replay begins after it.
    pub position: Position,
    /// Its commit timestamp.
    pub timestamp: Timestamp,
    /// In a derived journal: the source entry that it stands for.
    pub source: Option<SourcePosition>,
    /// The last checkpoint applied.
    pub checkpoint: Option<Position>,
    /// Timestamp of the last entry that shows in the published view.
    pub last_published: Timestamp,
    /// Documents in the full view, trashed and purged ones included.
    pub documents: u64,
    /// Documents in the published view.
    pub published: u64,
    /// A synchronization that was begun: everything above is what readers see meanwhile.
    pub sync: Option<Syncing>,
}

/// How far a synchronization is. Nobody sees what it brought before it is finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syncing {
    /// The snapshot of the source that is being installed.
    pub target: Timestamp,
    /// The engine's version of the last batch.
    pub version: Timestamp,
    /// All documents come in the order of their URIs, and have not all come yet.
    pub is_bulk: bool,
    /// Then: everything up to here came.
    pub after: Option<Uri>,
    /// Documents that came, in all rounds.
    pub documents: u64,
    /// Bytes they had on their way.
    pub bytes: u64,
}

impl Syncing {
    /// The version of the next batch: below the snapshot, at which it ends.
    pub(crate) fn step(self) -> Result<Syncing, StoreError> {
        let version = Timestamp(self.version.0 + 1);
        if version >= self.target {
            return Err(StoreError::SnapshotTooClose { target: self.target });
        }
        Ok(Syncing { version, ..self })
    }
}

impl Progress {
    pub(crate) fn beginning(position: Position, timestamp: Timestamp) -> Progress {
        Progress {
            position,
            timestamp,
            source: None,
            checkpoint: None,
            last_published: Timestamp::ZERO,
            documents: 0,
            published: 0,
            sync: None,
        }
    }

    /// The newest version in the engine.
    pub(crate) fn latest(&self) -> Timestamp {
        self.sync.as_ref().map_or(self.timestamp, |sync| sync.version)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(176);
        put_position(&mut bytes, Some(&self.position));
        put_position(&mut bytes, self.source.as_ref());
        put_position(&mut bytes, self.checkpoint.as_ref());
        for word in [self.timestamp.0, self.last_published.0, self.documents, self.published] {
            bytes.extend(word.to_le_bytes());
        }
        if let Some(sync) = &self.sync {
            for word in [sync.target.0, sync.version.0, sync.documents, sync.bytes] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.push(u8::from(sync.is_bulk));
            bytes.extend(sync.after.iter().flat_map(|uri| uri.as_str().bytes()));
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Progress, StoreError> {
        let mut rest = bytes;
        let mut read = || -> Option<Progress> {
            let position = take_position(&mut rest)?;
            let source = take_position(&mut rest)?;
            let checkpoint = take_position(&mut rest)?;
            let (timestamp, last_published) = (Timestamp(take(&mut rest)?), Timestamp(take(&mut rest)?));
            let (documents, published) = (take(&mut rest)?, take(&mut rest)?);
            let position = position?;
            let sync = if rest.is_empty() { None } else { Some(take_sync(&mut rest)?) };
            Some(Progress {
                position,
                timestamp,
                source,
                checkpoint,
                last_published,
                documents,
                published,
                sync,
            })
        };
        read().ok_or_else(|| StoreError::damaged("the record of how far the store is"))
    }
}

fn take_sync(rest: &mut &[u8]) -> Option<Syncing> {
    let (target, version) = (Timestamp(take(rest)?), Timestamp(take(rest)?));
    let (documents, bytes) = (take(rest)?, take(rest)?);
    let (is_bulk, after) = rest.split_first()?;
    let after = std::str::from_utf8(after).ok()?;
    let after = if after.is_empty() { None } else { Some(Uri::parse(after).ok()?) };
    Some(Syncing { target, version, is_bulk: *is_bulk == 1, after, documents, bytes })
}

fn put_position(bytes: &mut Vec<u8>, position: Option<&Position>) {
    bytes.push(u8::from(position.is_some()));
    let position =
        position.copied().unwrap_or(Position { epoch: Epoch::NONE, sequence: 0, hash: Hash([0; 32]) });
    bytes.extend(position.epoch.bits().to_le_bytes());
    bytes.extend(position.sequence.to_le_bytes());
    bytes.extend(position.hash.0);
}

fn take_position(rest: &mut &[u8]) -> Option<Option<Position>> {
    let (present, after) = rest.split_first()?;
    *rest = after;
    let (epoch, sequence) = (Epoch::from_bits(take(rest)?), take(rest)?);
    let (hash, after) = rest.split_first_chunk::<32>()?;
    *rest = after;
    Some((*present == 1).then_some(Position { epoch, sequence, hash: Hash(*hash) }))
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let (word, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_le_bytes(*word))
}
