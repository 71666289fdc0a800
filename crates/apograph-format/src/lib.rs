//! Bytes and values of Apograph, and nothing else: no files, no clock, no threads, no async.
//!
//! A journal is a chain of [`Entry`]s in [`segment`]s. An entry has a fixed [`EntryHeader`], *facts* (protobuf,
//! [`facts`]) and *payloads* ([`Payload`]): version bodies and contents, which the facts name by [`Hash`].
//! The chain covers header and facts; a payload is covered by the hash that names it. That is why a purge can
//! erase bytes everywhere while chains and copies stay equal. Byte tables: `docs/formats/`.

pub mod checkpoint;
pub mod digest;
pub mod document;
pub mod durability;
pub mod entry;
pub mod epoch;
pub mod facts;
pub mod frame;
pub mod header;
pub mod ids;
pub mod limits;
pub mod packing;
pub mod partition;
pub mod payload;
pub mod position;
pub mod properties;
pub mod seeded;
pub mod segment;
pub mod synchronize;
pub mod timestamp;
pub mod uri;
pub mod version;
pub mod view;

/// Generated from `proto/apograph.proto`. Only [`facts`], [`version`], [`frame`] and [`synchronize`] speak it.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/apograph.v1.rs"));
}

pub use checkpoint::{Checkpoint, Scope, SignedDigest};
pub use digest::Leaf;
pub use digest::{Digest, DigestKey, DigestTree, TreeShape};
pub use document::{Head, Kind, Lock, State, VersionRef};
pub use durability::Durability;
pub use entry::{Entry, EntryError};
pub use epoch::{Epoch, Right};
pub use facts::{
    Change, ContentFact, ContentsFacts, Cursor, EpochFacts, Facts, FactsError, Operation, Published,
    SourcePosition, TransactionFacts, VersionNames,
};
pub use frame::{Frame, Heartbeat};
pub use header::{EntryHeader, EntryKind};
pub use ids::{DatabaseId, Hash, ServerKey};
pub use partition::{Participants, PartitionId, Partitioning};
pub use payload::Payload;
pub use position::{Position, SourcePoint, Token};
pub use properties::Properties;
pub use synchronize::{Ask, SyncDocument, SyncFrame, SyncQuestion, SyncScope};
pub use timestamp::Timestamp;
pub use uri::Uri;
pub use version::{Content, Origin, Version};
pub use view::View;
