//! What a carrier of journals does: open a stream at a position, hand over bytes in order, say how it ended.
//!
//! A carrier moves bytes and decides nothing. Whatever arrives is checked by chain, digest and signature, so a carrier
//! need not be trusted. One conformance suite, in `apograph-carriers`, holds for all of them.

use std::fmt;
use std::future::Future;

use bytes::Bytes;

use apograph_format::{PartitionId, Position, SourcePoint, View};

/// Opens journal streams of one database of one source.
pub trait Carrier: Send + Sync {
    /// What it opens.
    type Chunks: Chunks;

    /// Opens the journal of a partition behind a position.
    fn open(&self, request: &JournalRequest) -> impl Future<Output = Result<Self::Chunks, Refusal>> + Send;
}

/// The bytes of a journal stream, in pieces of any size. Pieces are asked for, never pushed: who does not ask, slows
/// the source down.
pub trait Chunks: Send {
    /// The next piece; `None` when the source ended the stream in order.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Cut>> + Send;
}

/// Which journal, from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRequest {
    /// Which partition.
    pub partition: PartitionId,
    /// Which view of it.
    pub view: View,
    /// What the copy has: the stream begins with the entry behind it.
    pub from: Position,
    /// Of a derived view: where the copy stands in the source's journal.
    pub source: Option<SourcePoint>,
}

/// The source did not open the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Refusal {
    /// What to do about it.
    pub kind: RefusalKind,
    /// The facts, for people.
    pub detail: String,
}

/// Why a source did not open a stream, or did not greet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// Its journal does not reach back so far.
    OutOfWindow,
    /// It does not know the copy's position.
    UnknownPosition,
    /// It does not have the snapshot any more that the copy asks about.
    SnapshotExpired,
    /// The token is missing, wrong, or may not see this view.
    Denied,
    /// It has no such database, view or partition.
    NoSuchDatabase,
    /// Whoever answers does not speak Apograph.
    NotApograph,
    /// It speaks a newer protocol.
    ProtocolNewer,
    /// It cannot be reached, or cannot answer now. The only one that passes by itself.
    Unavailable,
}

/// The stream broke off: no more than the bytes before came, perhaps in the middle of an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stream broke off: {reason}")]
pub struct Cut {
    /// Why, for people.
    pub reason: String,
}

impl RefusalKind {
    /// All of them.
    pub const ALL: [RefusalKind; 8] = [
        RefusalKind::OutOfWindow,
        RefusalKind::UnknownPosition,
        RefusalKind::SnapshotExpired,
        RefusalKind::Denied,
        RefusalKind::NoSuchDatabase,
        RefusalKind::NotApograph,
        RefusalKind::ProtocolNewer,
        RefusalKind::Unavailable,
    ];

    /// The name, as in status and problems.
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalKind::OutOfWindow => "out-of-window",
            RefusalKind::UnknownPosition => "unknown-position",
            RefusalKind::SnapshotExpired => "snapshot-expired",
            RefusalKind::Denied => "denied",
            RefusalKind::NoSuchDatabase => "no-such-database",
            RefusalKind::NotApograph => "not-apograph",
            RefusalKind::ProtocolNewer => "protocol-newer",
            RefusalKind::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: RefusalKind, detail: impl Into<String>) -> Refusal {
        Refusal { kind, detail: detail.into() }
    }
}
