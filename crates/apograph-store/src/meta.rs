//! How far a store is: written with every transaction, so that it always tells of the same moment as the documents.

use apograph_format::{Hash, Position, SourcePosition, Timestamp};

use crate::error::StoreError;

/// How far a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(176);
        put_position(&mut bytes, Some(&self.position));
        put_position(&mut bytes, self.source.as_ref());
        put_position(&mut bytes, self.checkpoint.as_ref());
        for word in [self.timestamp.0, self.last_published.0, self.documents, self.published] {
            bytes.extend(word.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Progress, StoreError> {
        let mut rest = bytes;
        let mut read = || {
            let position = take_position(&mut rest)?;
            let source = take_position(&mut rest)?;
            let checkpoint = take_position(&mut rest)?;
            let (timestamp, last_published) = (Timestamp(take(&mut rest)?), Timestamp(take(&mut rest)?));
            let (documents, published) = (take(&mut rest)?, take(&mut rest)?);
            let position = position?;
            Some(Progress { position, timestamp, source, checkpoint, last_published, documents, published })
        };
        read().ok_or_else(|| StoreError::damaged("the record of how far the store is"))
    }
}

fn put_position(bytes: &mut Vec<u8>, position: Option<&Position>) {
    bytes.push(u8::from(position.is_some()));
    let position = position.copied().unwrap_or(Position { epoch: 0, sequence: 0, hash: Hash([0; 32]) });
    bytes.extend(position.epoch.to_le_bytes());
    bytes.extend(position.sequence.to_le_bytes());
    bytes.extend(position.hash.0);
}

fn take_position(rest: &mut &[u8]) -> Option<Option<Position>> {
    let (present, after) = rest.split_first()?;
    *rest = after;
    let (epoch, sequence) = (take(rest)?, take(rest)?);
    let (hash, after) = rest.split_first_chunk::<32>()?;
    *rest = after;
    Some((*present == 1).then_some(Position { epoch, sequence, hash: Hash(*hash) }))
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let (word, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_le_bytes(*word))
}
