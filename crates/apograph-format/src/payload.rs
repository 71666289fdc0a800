//! Bytes that travel beside the facts: version bodies and contents. Byte table: `docs/formats/journal.md`.

use bytes::Bytes;

use crate::Hash;
use crate::header::Fields;

/// Length of the header before every payload.
pub const PAYLOAD_HEADER_BYTES: usize = 48;
const ERASED: u8 = 1;

/// A version body, a content or a chunk of one, named by the hash of its bytes.
///
/// After a purge the bytes are zeros and `erased` is set; hash and length stay, so that nothing around it moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// BLAKE3 of the bytes it had when it was written.
    pub hash: Hash,
    /// A purge took the bytes.
    pub erased: bool,
    /// The bytes, or as many zeros.
    pub bytes: Bytes,
}

/// Why bytes are no payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The entry ends inside it.
    #[error("a payload needs {needed} bytes, {found} are left in the entry")]
    Short {
        /// Bytes it needs.
        needed: usize,
        /// Bytes left.
        found: usize,
    },
    /// Its header is damaged.
    #[error("payload header is damaged")]
    Header,
    /// Its checksum does not match: damaged.
    #[error("payload {hash} is damaged: its bytes do not match their checksum")]
    Checksum {
        /// Its name.
        hash: Hash,
    },
    /// Its bytes are not those its name promises.
    #[error("payload {hash} holds other bytes: they hash to {found}")]
    Hash {
        /// Its name.
        hash: Hash,
        /// The hash of its bytes.
        found: Hash,
    },
}

impl Payload {
    /// A payload of `bytes`, named by their hash.
    pub fn of(bytes: impl Into<Bytes>) -> Payload {
        let bytes = bytes.into();
        Payload { hash: Hash::of(&bytes), erased: false, bytes }
    }

    /// What stands in the place of a payload of `length` bytes that was purged.
    pub fn erased(hash: Hash, length: usize) -> Payload {
        Payload { hash, erased: true, bytes: vec![0; length].into() }
    }

    /// Length with header.
    pub fn stored_bytes(&self) -> usize {
        PAYLOAD_HEADER_BYTES + self.bytes.len()
    }

    /// Appends the stored form.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.extend(self.encode_header());
        into.extend_from_slice(&self.bytes);
    }

    /// The header of the stored form.
    pub fn encode_header(&self) -> [u8; PAYLOAD_HEADER_BYTES] {
        let mut header = Vec::with_capacity(PAYLOAD_HEADER_BYTES);
        header.extend(self.hash.0);
        let length = u32::try_from(self.bytes.len()).expect("payloads are bounded by PAYLOADS_BYTES_MAX");
        header.extend(length.to_le_bytes());
        header.extend([0, if self.erased { ERASED } else { 0 }, 0, 0]);
        header.extend(crc32c::crc32c(&self.bytes).to_le_bytes());
        let checksum = crc32c::crc32c(&header);
        header.extend(checksum.to_le_bytes());
        header.try_into().expect("the fields above add up to PAYLOAD_HEADER_BYTES")
    }

    /// Takes the payload at the front of `bytes` and checks both checksums, but not the hash.
    pub fn decode(bytes: &mut Bytes) -> Result<Payload, PayloadError> {
        let short = |needed, found| PayloadError::Short { needed, found };
        let Some(header) = bytes.first_chunk::<PAYLOAD_HEADER_BYTES>().copied() else {
            return Err(short(PAYLOAD_HEADER_BYTES, bytes.len()));
        };
        let mut fields = Fields(&header);
        let hash = Hash(fields.take());
        let length = fields.u32() as usize;
        let [encoding, flags, zero, zero2] = fields.take::<4>();
        let (bytes_checksum, header_checksum) = (fields.u32(), fields.u32());
        let covered = header.split_at(PAYLOAD_HEADER_BYTES - 4).0;
        if crc32c::crc32c(covered) != header_checksum
            || (encoding, zero, zero2) != (0, 0, 0)
            || flags > ERASED
        {
            return Err(PayloadError::Header);
        }
        if bytes.len() - PAYLOAD_HEADER_BYTES < length {
            return Err(short(PAYLOAD_HEADER_BYTES + length, bytes.len()));
        }
        let mut content = bytes.split_to(PAYLOAD_HEADER_BYTES + length);
        let content = content.split_off(PAYLOAD_HEADER_BYTES);
        if crc32c::crc32c(&content) != bytes_checksum {
            return Err(PayloadError::Checksum { hash });
        }
        Ok(Payload { hash, erased: flags == ERASED, bytes: content })
    }

    /// Checks that the bytes are those the name promises; erased ones must be zeros.
    pub fn verify(&self) -> Result<(), PayloadError> {
        if self.erased {
            return if self.bytes.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(PayloadError::Header) };
        }
        let found = Hash::of(&self.bytes);
        if found == self.hash { Ok(()) } else { Err(PayloadError::Hash { hash: self.hash, found }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_damage() {
        for payload in
            [Payload::of(&b"hello"[..]), Payload::of(Bytes::new()), Payload::erased(Hash::of(b"x"), 9)]
        {
            let mut bytes = Vec::new();
            payload.encode(&mut bytes);
            assert_eq!(bytes.len(), payload.stored_bytes());
            let mut rest = Bytes::from(bytes.clone());
            assert_eq!(Payload::decode(&mut rest), Ok(payload.clone()));
            assert!(rest.is_empty());
            payload.verify().unwrap();
            for at in 0..bytes.len() {
                let mut bad = bytes.clone();
                bad[at] ^= 0x40;
                assert!(Payload::decode(&mut bad.into()).is_err(), "byte {at}");
                assert!(Payload::decode(&mut bytes[..at].to_vec().into()).is_err(), "cut at {at}");
            }
        }
    }

    #[test]
    fn a_lying_name_is_refused() {
        let payload = Payload { hash: Hash::of(b"a"), erased: false, bytes: Bytes::from_static(b"b") };
        assert!(matches!(payload.verify(), Err(PayloadError::Hash { .. })));
    }
}
