//! What flows on a stream: entries as they are stored, and heartbeats between them. Byte table: `docs/formats/stream.md`.

use bytes::{Bytes, BytesMut};
use ed25519_dalek::{Signer, SigningKey};
use prost::Message;

use crate::checkpoint::{SignatureError, signature, verify};
use crate::entry::{Entry, EntryError};
use crate::facts::{FactsError, hash, refused};
use crate::header::{self, EntryHeader, Fields, HEADER_BYTES, HeaderError};
use crate::limits::HEARTBEAT_BYTES_MAX;
use crate::version::hash_bytes;
use crate::{DatabaseId, Epoch, PartitionId, Position, ServerKey, Timestamp, proto};

/// First bytes of a heartbeat.
pub const HEARTBEAT_MAGIC: [u8; 4] = *b"ApoH";
/// Magic, length of the body, CRC32C of the body.
const HEARTBEAT_HEADER_BYTES: usize = 12;

/// One thing on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The next entry.
    Entry(Entry),
    /// The source is alive.
    Heartbeat(Heartbeat),
}

/// The source is alive, and this is how far it is. Never written to a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Visible timestamp of the source.
    pub visible: Timestamp,
    /// End of the source's journal of this partition.
    pub end: Position,
    /// Bytes of journal of this partition that the source ever appended.
    pub bytes: u64,
    /// Wall clock of the source, microseconds since 1970.
    pub clock: i64,
    /// The source.
    pub signer: ServerKey,
    /// Ed25519 over all of the above.
    pub signature: [u8; 64],
    /// Sequence of the last entry that this stream has brought so far, or that it began behind; none where the source does not
    /// say. Tells a copy that bytes were left out on the way, while nothing else is sent. Not signed: every stream has its own.
    pub sent: Option<u64>,
}

/// A stream carries something else than frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Neither an entry nor a heartbeat begins here.
    #[error("the stream carries something else than a journal: {found:02x?}")]
    Magic {
        /// What is there.
        found: [u8; 4],
    },
    /// A damaged entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A damaged heartbeat.
    #[error("damaged heartbeat: {0}")]
    Heartbeat(FactsError),
}

impl Frame {
    /// Takes the next whole frame from the front of `buffer`; `None` while it is not complete.
    pub fn take(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(magic) = buffer.first_chunk::<4>().copied() else {
            return Ok(None);
        };
        match magic {
            header::MAGIC => take_entry(buffer),
            HEARTBEAT_MAGIC => take_heartbeat(buffer),
            found => Err(FrameError::Magic { found }),
        }
    }
}

fn take_entry(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let header = match EntryHeader::decode(buffer) {
        Ok(header) => header,
        Err(HeaderError::Short { .. }) => return Ok(None),
        Err(error) => return Err(EntryError::from(error).into()),
    };
    let length = usize::try_from(header.entry_bytes()).unwrap_or(usize::MAX);
    if buffer.len() < length {
        buffer.reserve((length - buffer.len()).min(HEADER_BYTES + crate::limits::PAYLOADS_BYTES_MAX));
        return Ok(None);
    }
    let mut bytes = buffer.split_to(length).freeze();
    Ok(Some(Frame::Entry(Entry::decode(&mut bytes)?)))
}

fn take_heartbeat(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(head) = buffer.first_chunk::<HEARTBEAT_HEADER_BYTES>().copied() else {
        return Ok(None);
    };
    let mut fields = Fields(head.split_at(4).1);
    let (length, checksum) = (fields.u32() as usize, fields.u32());
    if length > HEARTBEAT_BYTES_MAX {
        return Err(FrameError::Heartbeat(refused(format!("{length} bytes are too many"))));
    }
    if buffer.len() < HEARTBEAT_HEADER_BYTES + length {
        return Ok(None);
    }
    let body = buffer.split_to(HEARTBEAT_HEADER_BYTES + length).freeze().split_off(HEARTBEAT_HEADER_BYTES);
    if crc32c::crc32c(&body) != checksum {
        return Err(FrameError::Heartbeat(refused("its checksum does not match")));
    }
    Heartbeat::decode(body).map(|heartbeat| Some(Frame::Heartbeat(heartbeat))).map_err(FrameError::Heartbeat)
}

impl Heartbeat {
    /// Signs a heartbeat as its source.
    pub fn sign(
        key: &SigningKey,
        database: DatabaseId,
        partition: PartitionId,
        mut unsigned: Heartbeat,
    ) -> Heartbeat {
        unsigned.signer = ServerKey(key.verifying_key().to_bytes());
        unsigned.signature = key.sign(&unsigned.statement(database, partition)).to_bytes();
        unsigned
    }

    /// Is it the word of `signer`, about this partition?
    pub fn verify(
        &self,
        signer: &ServerKey,
        database: DatabaseId,
        partition: PartitionId,
    ) -> Result<(), SignatureError> {
        verify(signer, &self.statement(database, partition), &self.signature).ok_or(SignatureError {
            what: "heartbeat",
            at: self.end,
            signer: *signer,
        })
    }

    /// Stored form.
    pub fn encode(&self) -> Bytes {
        let body = proto::Heartbeat {
            visible: self.visible.0,
            epoch: self.end.epoch.bits(),
            sequence: self.end.sequence,
            hash: hash_bytes(&self.end.hash),
            bytes: self.bytes,
            clock: self.clock,
            signer: Bytes::copy_from_slice(self.signer.as_bytes()),
            signature: Bytes::copy_from_slice(&self.signature),
            sent: self.sent,
        }
        .encode_to_vec();
        let mut bytes = Vec::with_capacity(HEARTBEAT_HEADER_BYTES + body.len());
        bytes.extend(HEARTBEAT_MAGIC);
        bytes.extend(u32::try_from(body.len()).expect("a heartbeat is small").to_le_bytes());
        bytes.extend(crc32c::crc32c(&body).to_le_bytes());
        bytes.extend(body);
        bytes.into()
    }

    fn decode(body: Bytes) -> Result<Heartbeat, FactsError> {
        let body = proto::Heartbeat::decode(body).map_err(refused)?;
        Ok(Heartbeat {
            visible: Timestamp(body.visible),
            end: Position {
                epoch: Epoch::from_bits(body.epoch),
                sequence: body.sequence,
                hash: hash(&body.hash)?,
            },
            bytes: body.bytes,
            clock: body.clock,
            signer: ServerKey::from_slice(&body.signer).ok_or_else(|| refused("a key has 32 bytes"))?,
            signature: signature(&body.signature)?,
            sent: body.sent,
        })
    }

    fn statement(&self, database: DatabaseId, partition: PartitionId) -> Vec<u8> {
        let mut bytes = b"apograph heartbeat 1\0".to_vec();
        bytes.extend(database.0);
        bytes.extend(partition.0.to_le_bytes());
        for word in [self.visible.0, self.end.epoch.bits(), self.end.sequence, self.bytes] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(self.end.hash.0);
        bytes.extend(self.clock.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hash;
    use crate::facts::tests::sample_transaction;
    use crate::header::tests::sample;

    fn heartbeat(key: &SigningKey) -> Heartbeat {
        let unsigned = Heartbeat {
            visible: Timestamp(8),
            end: Position { epoch: Epoch::FIRST, sequence: 9, hash: Hash::of(b"e") },
            bytes: 1234,
            clock: 77,
            signer: ServerKey([0; 32]),
            signature: [0; 64],
            sent: Some(9),
        };
        Heartbeat::sign(key, DatabaseId([1; 16]), PartitionId(0), unsigned)
    }

    #[test]
    fn a_stream_cut_anywhere_waits_and_continues() {
        let key = SigningKey::from_bytes(&[2; 32]);
        let (facts, payloads) = sample_transaction();
        let entry = Entry::seal(sample(), &facts.encode(), &payloads);
        let stream = [heartbeat(&key).encode(), entry.bytes().clone(), heartbeat(&key).encode()].concat();
        for cut in 0..=stream.len() {
            let mut buffer = BytesMut::from(&stream[..cut]);
            let mut frames = Vec::new();
            while let Some(frame) = Frame::take(&mut buffer).unwrap() {
                frames.push(frame);
            }
            buffer.extend_from_slice(&stream[cut..]);
            while let Some(frame) = Frame::take(&mut buffer).unwrap() {
                frames.push(frame);
            }
            assert_eq!(frames.len(), 3, "cut at {cut}");
            assert_eq!(frames[1], Frame::Entry(entry.clone()));
        }
    }

    #[test]
    fn damage_and_garbage_are_refused() {
        let key = SigningKey::from_bytes(&[2; 32]);
        let good = heartbeat(&key).encode();
        for at in 0..good.len() {
            let mut bad = BytesMut::from(&good[..]);
            bad[at] ^= 1;
            // A longer length waits for bytes that never come; everything else is refused at once.
            assert!(!matches!(Frame::take(&mut bad), Ok(Some(_))), "byte {at}");
        }
        assert!(matches!(
            Frame::take(&mut BytesMut::from(&b"<html>"[..])),
            Err(FrameError::Magic { found: [b'<', b'h', b't', b'm'] })
        ));
    }

    #[test]
    fn heartbeats_are_signed_for_one_partition() {
        let key = SigningKey::from_bytes(&[2; 32]);
        let beat = heartbeat(&key);
        beat.verify(&beat.signer, DatabaseId([1; 16]), PartitionId(0)).unwrap();
        assert!(beat.verify(&beat.signer, DatabaseId([1; 16]), PartitionId(1)).is_err());
        assert!(beat.verify(&beat.signer, DatabaseId([2; 16]), PartitionId(0)).is_err());
        let later = Heartbeat { visible: Timestamp(9), ..beat };
        assert!(later.verify(&beat.signer, DatabaseId([1; 16]), PartitionId(0)).is_err());
    }
}
