//! The fixed part of an entry. Byte table: `docs/formats/journal.md`.

use crate::limits::{FACTS_BYTES_MAX, PAYLOADS_BYTES_MAX, PAYLOADS_MAX};
use crate::seeded::{self, Seeded};
use crate::{Epoch, Hash, Participants, PartitionId, Position, Timestamp};

/// First bytes of every entry.
pub const MAGIC: [u8; 4] = *b"ApoE";
/// Version of the entry format.
pub const FORMAT_VERSION: u16 = 1;
/// Length of a header in bytes.
pub const HEADER_BYTES: usize = 148;
/// The part of the header that the entry's hash covers.
const HASHED_BYTES: usize = 112;

/// What an entry is. Tags are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A transaction on documents.
    Transaction,
    /// Payloads that a later transaction names.
    Contents,
    /// Digests every copy must equal here.
    Checkpoint,
    /// A promotion.
    Epoch,
}

impl EntryKind {
    fn tag(self) -> u8 {
        match self {
            EntryKind::Transaction => 1,
            EntryKind::Contents => 2,
            EntryKind::Checkpoint => 3,
            EntryKind::Epoch => 4,
        }
    }

    fn from_tag(tag: u8) -> Option<EntryKind> {
        [EntryKind::Transaction, EntryKind::Contents, EntryKind::Checkpoint, EntryKind::Epoch]
            .into_iter()
            .find(|kind| kind.tag() == tag)
    }
}

/// The fixed part of an entry.
///
/// - `sequence` counts from one and has no gaps; `previous_hash` is the hash of entry `sequence - 1`.
/// - `timestamp` never falls within a partition. Entries of one transaction share it: in one partition those are any
///   number of `contents` and then the transaction itself, in other partitions their part of it; nothing else does.
/// - `previous_timestamp` is the commit timestamp before this one in the whole *database*, so that a reader of
///   several partitions knows when it has everything up to a timestamp.
/// - `synced` is the highest sequence that was durable on the primary when this entry was written: damage at or
///   below it can be no torn tail.
/// - `hash` covers the header up to it, and the facts. Payloads are covered by the hashes in the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryHeader {
    /// What the entry is.
    pub kind: EntryKind,
    /// It is the first of a segment: copies cut their segments where the source did.
    pub starts_segment: bool,
    /// Length of the facts.
    pub facts_bytes: u32,
    /// Number of payloads.
    pub payloads: u32,
    /// Length of all payloads with their headers.
    pub payloads_bytes: u64,
    /// Epoch in which it was written.
    pub epoch: Epoch,
    /// Number in the partition's journal.
    pub sequence: u64,
    /// Commit time.
    pub timestamp: Timestamp,
    /// Commit time of the transaction before, in the whole database.
    pub previous_timestamp: Timestamp,
    /// Durable on the primary when this was written.
    pub synced: u64,
    /// All partitions that have an entry of this timestamp.
    pub participants: Participants,
    /// The partition this entry belongs to.
    pub partition: PartitionId,
    /// Hash of the entry before.
    pub previous_hash: Hash,
    /// Hash of this entry.
    pub hash: Hash,
}

/// Why bytes are no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than a header has.
    #[error("an entry header has {HEADER_BYTES} bytes, {found} are there")]
    Short {
        /// Bytes there.
        found: usize,
    },
    /// Does not begin with the magic.
    #[error("no entry begins here: found {found:02x?} instead of {MAGIC:02x?}")]
    Magic {
        /// What is there.
        found: [u8; 4],
    },
    /// A format this software does not read.
    #[error("entry format {found} is not known; this software reads {FORMAT_VERSION}")]
    Format {
        /// Version there.
        found: u16,
    },
    /// The checksum does not match: damaged.
    #[error("header checksum is {found:08x}, its bytes give {expected:08x}")]
    Checksum {
        /// Computed.
        expected: u32,
        /// Stored.
        found: u32,
    },
    /// A field has a value it cannot have.
    #[error("header field {field} has the impossible value {value}")]
    Field {
        /// Its name.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

impl EntryHeader {
    /// The position after this entry.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.sequence, hash: self.hash }
    }

    /// Length of the whole entry.
    pub fn entry_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.facts_bytes) + self.payloads_bytes
    }

    /// The hash this header should have with `facts`.
    pub fn hash_with(&self, facts: &[u8]) -> Hash {
        let bytes = self.encode();
        Hash::of_pieces([bytes.split_at(HASHED_BYTES).0, facts])
    }

    /// Stored form.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT_VERSION.to_le_bytes());
        bytes.push(self.kind.tag());
        bytes.push(u8::from(self.starts_segment));
        bytes.extend(self.facts_bytes.to_le_bytes());
        bytes.extend(self.payloads.to_le_bytes());
        for word in [
            self.payloads_bytes,
            self.epoch.bits(),
            self.sequence,
            self.timestamp.0,
            self.previous_timestamp.0,
            self.synced,
            self.participants.0,
        ] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(self.partition.0.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(self.previous_hash.0);
        bytes.extend(self.hash.0);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes.try_into().expect("the fields above add up to HEADER_BYTES")
    }

    /// Reads a header from the first [`HEADER_BYTES`] of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<EntryHeader, HeaderError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(HeaderError::Short { found: bytes.len() });
        };
        let mut fields = Fields(bytes);
        let magic = fields.take::<4>();
        if magic != MAGIC {
            return Err(HeaderError::Magic { found: magic });
        }
        let (covered, stored) = bytes.split_at(HEADER_BYTES - 4);
        let expected = crc32c::crc32c(covered);
        let found = Fields(stored).u32();
        if expected != found && !seeded::is(Seeded::DamageTaken) {
            return Err(HeaderError::Checksum { expected, found });
        }
        let format = fields.u16();
        if format != FORMAT_VERSION {
            return Err(HeaderError::Format { found: format });
        }
        let [kind, flags] = fields.take::<2>();
        let impossible = |field, value| Err(HeaderError::Field { field, value });
        let Some(kind) = EntryKind::from_tag(kind) else {
            return impossible("kind", u64::from(kind));
        };
        if flags > 1 {
            return impossible("flags", u64::from(flags));
        }
        let header = EntryHeader {
            kind,
            starts_segment: flags == 1,
            facts_bytes: fields.u32(),
            payloads: fields.u32(),
            payloads_bytes: fields.u64(),
            epoch: Epoch::from_bits(fields.u64()),
            sequence: fields.u64(),
            timestamp: Timestamp(fields.u64()),
            previous_timestamp: Timestamp(fields.u64()),
            synced: fields.u64(),
            participants: Participants(fields.u64()),
            partition: PartitionId(fields.u16()),
            previous_hash: {
                let reserved = fields.take::<6>();
                if reserved != [0; 6] {
                    return impossible("reserved", u64::from(reserved.iter().copied().max().unwrap_or(0)));
                }
                Hash(fields.take())
            },
            hash: Hash(fields.take()),
        };
        header.check()
    }

    fn check(self) -> Result<EntryHeader, HeaderError> {
        let checks = [
            ("facts_bytes", u64::from(self.facts_bytes), self.facts_bytes as usize <= FACTS_BYTES_MAX),
            ("payloads", u64::from(self.payloads), self.payloads as usize <= PAYLOADS_MAX),
            ("payloads_bytes", self.payloads_bytes, self.payloads_bytes <= PAYLOADS_BYTES_MAX as u64),
            ("sequence", self.sequence, self.sequence > 0),
            ("timestamp", self.timestamp.0, self.timestamp <= Timestamp::MAX),
            ("previous_timestamp", self.previous_timestamp.0, self.previous_timestamp < self.timestamp),
            ("synced", self.synced, self.synced < self.sequence),
            ("partition", u64::from(self.partition.0), self.participants.contains(self.partition)),
        ];
        match checks.into_iter().find(|(_, _, holds)| !holds) {
            Some((field, value, _)) => Err(HeaderError::Field { field, value }),
            None => Ok(self),
        }
    }
}

/// Little-endian fields of a slice whose length was checked.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk::<N>().expect("the caller checked the length");
        self.0 = rest;
        *head
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> EntryHeader {
        EntryHeader {
            kind: EntryKind::Transaction,
            starts_segment: true,
            facts_bytes: 0,
            payloads: 0,
            payloads_bytes: 0,
            epoch: Epoch::FIRST,
            sequence: 7,
            timestamp: Timestamp(1000),
            previous_timestamp: Timestamp(999),
            synced: 3,
            participants: Participants(0b101),
            partition: PartitionId(2),
            previous_hash: Hash::of(b"before"),
            hash: Hash::of(b"this"),
        }
    }

    #[test]
    fn round_trip() {
        assert_eq!(EntryHeader::decode(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = sample().encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(EntryHeader::decode(&bad).is_err(), "bit {bit}");
        }
        for length in 0..HEADER_BYTES {
            assert_eq!(EntryHeader::decode(&good[..length]), Err(HeaderError::Short { found: length }));
        }
    }

    #[test]
    fn impossible_fields_are_refused() {
        type Spoil = fn(&mut EntryHeader);
        let cases: [(&str, Spoil); 6] = [
            ("facts_bytes", |h| h.facts_bytes = u32::MAX),
            ("payloads_bytes", |h| h.payloads_bytes = u64::MAX),
            ("sequence", |h| h.sequence = 0),
            ("previous_timestamp", |h| h.previous_timestamp = h.timestamp),
            ("synced", |h| h.synced = 7),
            ("partition", |h| h.partition = PartitionId(1)),
        ];
        for (field, spoil) in cases {
            let mut header = sample();
            spoil(&mut header);
            let error = EntryHeader::decode(&header.encode()).unwrap_err();
            assert!(matches!(error, HeaderError::Field { field: found, .. } if found == field), "{error}");
        }
    }
}
