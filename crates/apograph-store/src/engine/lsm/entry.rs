//! The stored form of a value: `version << 1 | deleted` as 8 bytes big-endian, then the value.
//!
//! The version is repeated here because the collecting filter of a merge sees keys and values only, and deletions are
//! stored as values because it is not shown the library's own tombstones.
//!
//! Bodies are never deleted. In their index the same bit says that the value stands apart, and its serial number follows,
//! 8 bytes big-endian.

use bytes::{BufMut, Bytes, BytesMut};

const HEADER_BYTES: usize = 8;

pub(super) fn encode(value: Option<&Bytes>, version: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + value.map_or(0, Bytes::len));
    bytes.put_u64(version << 1 | u64::from(value.is_none()));
    bytes.extend_from_slice(value.map_or(&[], Bytes::as_ref));
    bytes.freeze()
}

/// A body in the index.
pub(super) enum Stored {
    /// Its value.
    Here(Bytes),
    /// Its value has this serial number.
    Apart(u64),
}

pub(super) fn encode_apart(serial: u64, version: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(2 * HEADER_BYTES);
    bytes.put_u64(version << 1 | 1);
    bytes.put_u64(serial);
    bytes.freeze()
}

/// Nothing if the bytes are no body's.
pub(super) fn decode_body(bytes: &Bytes) -> Option<Stored> {
    let (_, apart) = decode_header(bytes)?;
    let value = bytes.slice(HEADER_BYTES..);
    if !apart {
        return Some(Stored::Here(value));
    }
    let serial = value[..].try_into().ok()?;
    Some(Stored::Apart(u64::from_be_bytes(serial)))
}

/// The value, or `None` for a deletion; nothing at all if the bytes are shorter than a header.
pub(super) fn decode(bytes: Bytes) -> Option<Option<Bytes>> {
    let (_, deleted) = decode_header(&bytes)?;
    Some((!deleted).then(|| bytes.slice(HEADER_BYTES..)))
}

/// Version, and the bit beside it: a deletion among documents, a value that stands apart among bodies.
pub(super) fn decode_header(bytes: &[u8]) -> Option<(u64, bool)> {
    let header = u64::from_be_bytes(*bytes.first_chunk::<HEADER_BYTES>()?);
    Some((header >> 1, header & 1 == 1))
}
