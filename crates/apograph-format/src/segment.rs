//! The header of a segment file. Byte table: `docs/formats/journal.md`.

use crate::header::Fields;
use crate::{DatabaseId, Epoch, Hash, PartitionId, Partitioning, Position, Timestamp, View};

/// First bytes of every segment.
pub const MAGIC: [u8; 4] = *b"ApoS";
/// Version of the segment format.
pub const FORMAT_VERSION: u16 = 1;
/// Length of a segment header in bytes.
pub const SEGMENT_HEADER_BYTES: usize = 96;

/// What a segment holds: enough to check it without any other file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Of which database.
    pub database: DatabaseId,
    /// Of which view.
    pub view: View,
    /// Of which partition.
    pub partition: PartitionId,
    /// Of how many.
    pub partitioning: Partitioning,
    /// The position before its first entry.
    pub after: Position,
    /// Timestamp of the entry before its first.
    pub after_timestamp: Timestamp,
}

/// Why bytes are no segment header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentHeaderError {
    /// Fewer bytes than it has.
    #[error("a segment header has {SEGMENT_HEADER_BYTES} bytes, {found} are there")]
    Short {
        /// Bytes there.
        found: usize,
    },
    /// Not a segment.
    #[error("this is no journal segment")]
    Magic,
    /// A format this software does not read.
    #[error("segment format {found} is not known; this software reads {FORMAT_VERSION}")]
    Format {
        /// Version there.
        found: u16,
    },
    /// The checksum does not match, or a field is impossible: damaged.
    #[error("the segment header is damaged")]
    Damaged,
}

impl SegmentHeader {
    /// Stored form.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT_VERSION.to_le_bytes());
        bytes.extend([self.view.tag(), 0]);
        bytes.extend(self.database.0);
        bytes.extend(self.partition.0.to_le_bytes());
        bytes.extend(self.partitioning.count().to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.after.epoch.bits().to_le_bytes());
        bytes.extend(self.after.sequence.to_le_bytes());
        bytes.extend(self.after_timestamp.0.to_le_bytes());
        bytes.extend(self.after.hash.0);
        bytes.extend([0; 4]);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes.try_into().expect("the fields above add up to SEGMENT_HEADER_BYTES")
    }

    /// Reads a header from the front of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, SegmentHeaderError> {
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
            return Err(SegmentHeaderError::Short { found: bytes.len() });
        };
        let mut fields = Fields(bytes);
        if fields.take::<4>() != MAGIC {
            return Err(SegmentHeaderError::Magic);
        }
        let (covered, stored) = bytes.split_at(SEGMENT_HEADER_BYTES - 4);
        if crc32c::crc32c(covered) != Fields(stored).u32() {
            return Err(SegmentHeaderError::Damaged);
        }
        let format = fields.u16();
        if format != FORMAT_VERSION {
            return Err(SegmentHeaderError::Format { found: format });
        }
        let [view, _] = fields.take::<2>();
        let database = DatabaseId(fields.take());
        let (partition, partitions) = (PartitionId(fields.u16()), fields.u16());
        fields.take::<4>();
        let (epoch, sequence) = (Epoch::from_bits(fields.u64()), fields.u64());
        let after_timestamp = Timestamp(fields.u64());
        let after = Position { epoch, sequence, hash: Hash(fields.take()) };
        let view = View::from_tag(view).ok_or(SegmentHeaderError::Damaged)?;
        let partitioning = Partitioning::new(partitions).map_err(|_| SegmentHeaderError::Damaged)?;
        Ok(SegmentHeader { database, view, partition, partitioning, after, after_timestamp })
    }

    /// Sequence of the first entry.
    pub fn first_sequence(&self) -> u64 {
        self.after.sequence + 1
    }

    /// Name of the file once it is closed; the open one has `_` before it.
    pub fn file_name(&self) -> String {
        format!("{:020}.segment", self.first_sequence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_damage() {
        let header = SegmentHeader {
            database: DatabaseId([4; 16]),
            view: View::Published,
            partition: PartitionId(2),
            partitioning: Partitioning::new(4).unwrap(),
            after: Position { epoch: Epoch::FIRST, sequence: 41, hash: Hash::of(b"h") },
            after_timestamp: Timestamp(9),
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        assert_eq!(header.file_name(), "00000000000000000042.segment");
        for at in 0..SEGMENT_HEADER_BYTES {
            let mut bad = bytes;
            bad[at] ^= 8;
            assert!(SegmentHeader::decode(&bad).is_err(), "byte {at}");
            assert!(SegmentHeader::decode(&bytes[..at]).is_err());
        }
    }
}
