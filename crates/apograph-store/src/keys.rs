//! The keys of the store: one letter, then what it is about. Letters are never reused.
//!
//! | Key | Value | Space |
//! |---|---|---|
//! | `d` uri | head | documents |
//! | `v` uri `0x00` number (8, big-endian) | version record | documents |
//! | `r` payload hash, place of the uri (16) | nothing: the document names this payload | documents |
//! | `r` chunk hash, place of the content (16) | nothing: the content has this chunk | documents |
//! | `f` / `p` place (16) | leaf hash, uri: leaves of the full / published tree | documents |
//! | `F` / `P` bucket (2, big-endian) | sum of the bucket | documents |
//! | `k` cursor name | timestamp (8, little-endian), position | documents |
//! | `e` sequence (8, big-endian) | hashes of payloads still to be erased from files | documents |
//! | `q` uri | why a document could not be taken, JSON | documents |
//! | `x` uri | first version that has its body (8, little-endian), timestamp of the snapshot (8) | documents |
//! | `w` uri | timestamp (8, little-endian): since when versions are here whose bodies a purge had erased before they came | documents |
//! | `m` | how far this store is | documents |
//! | `b` hash | payload of at most 64 KiB | bodies |
//! | `c` content hash | length, hashes of chunks | bodies |

use apograph_format::{Hash, Uri, View};

use crate::engine::KeyRange;

pub(crate) const META: &[u8] = b"m";

pub(crate) fn head(uri: &Uri) -> Vec<u8> {
    prefixed(b'd', &[uri.as_str().as_bytes()])
}

/// Heads of all documents whose URI begins with `prefix` and comes after `after`.
pub(crate) fn heads(prefix: &str, after: Option<&Uri>) -> KeyRange {
    let mut range = KeyRange::prefix(prefixed(b'd', &[prefix.as_bytes()]));
    if let Some(after) = after {
        // No URI holds a NUL, so this is the first key after the one given.
        let first = prefixed(b'd', &[after.as_str().as_bytes(), &[0]]);
        if range.lower < first {
            range.lower = first.into();
        }
    }
    range
}

pub(crate) fn version(uri: &Uri, number: u64) -> Vec<u8> {
    prefixed(b'v', &[uri.as_str().as_bytes(), &[0], &number.to_be_bytes()])
}

/// Versions of `uri` with numbers from `first` on, and below `end`.
pub(crate) fn versions(uri: &Uri, first: u64, end: u64) -> KeyRange {
    KeyRange::between(version(uri, first), version(uri, end))
}

pub(crate) fn reference(payload: &Hash, place: &[u8; 16]) -> Vec<u8> {
    prefixed(b'r', &[&payload.0, place])
}

pub(crate) fn references(payload: &Hash) -> KeyRange {
    KeyRange::prefix(prefixed(b'r', &[&payload.0]))
}

/// Place of a URI among references; not keyed, for it never leaves the server.
pub(crate) fn reference_place(uri: &Uri) -> [u8; 16] {
    content_place(&Hash::of(uri.as_str().as_bytes()))
}

/// Place of a content among references to its chunks. It is never that of a URI: a URI is shorter than a chunk.
pub(crate) fn content_place(content: &Hash) -> [u8; 16] {
    *content.0.first_chunk().unwrap_or(&[0; 16])
}

pub(crate) fn leaf(view: View, place: &[u8; 16]) -> Vec<u8> {
    prefixed(leaf_letter(view), &[place])
}

pub(crate) fn all_leaves(view: View) -> KeyRange {
    KeyRange::prefix(vec![leaf_letter(view)])
}

pub(crate) fn bucket(view: View, bucket: usize) -> Vec<u8> {
    let number = u16::try_from(bucket).unwrap_or(u16::MAX);
    prefixed(bucket_letter(view), &[&number.to_be_bytes()])
}

pub(crate) fn buckets(view: View) -> KeyRange {
    KeyRange::prefix(vec![bucket_letter(view)])
}

pub(crate) fn cursor(name: &str) -> Vec<u8> {
    prefixed(b'k', &[name.as_bytes()])
}

pub(crate) fn cursors() -> KeyRange {
    KeyRange::prefix(vec![b'k'])
}

pub(crate) fn erasure(sequence: u64) -> Vec<u8> {
    prefixed(b'e', &[&sequence.to_be_bytes()])
}

/// Stands in place of the sequence of a purge for what a synchronization erases: no journal of this server holds it.
pub(crate) const SYNC_ERASURE: u64 = 0;

/// What could not be taken of a document.
pub(crate) fn quarantine(uri: &Uri) -> Vec<u8> {
    prefixed(b'q', &[uri.as_str().as_bytes()])
}

pub(crate) fn quarantined() -> KeyRange {
    KeyRange::prefix(vec![b'q'])
}

/// Versions of a document that no synchronization brought.
pub(crate) fn cut(uri: &Uri) -> Vec<u8> {
    prefixed(b'x', &[uri.as_str().as_bytes()])
}

pub(crate) fn cuts(after: Option<&Uri>) -> KeyRange {
    match after {
        None => KeyRange::prefix(vec![b'x']),
        Some(after) => KeyRange::between([&cut(after)[..], &[0]].concat(), vec![b'x' + 1]),
    }
}

/// The document awaits the purge that had erased what it names before that came.
pub(crate) fn awaiting(uri: &Uri) -> Vec<u8> {
    prefixed(b'w', &[uri.as_str().as_bytes()])
}

pub(crate) fn all_awaiting() -> KeyRange {
    KeyRange::prefix(vec![b'w'])
}

/// The payload came in a synchronization ahead of the document that names it.
pub(crate) fn ahead(payload: &Hash) -> Vec<u8> {
    prefixed(b'a', &[&payload.0])
}

pub(crate) fn all_ahead() -> KeyRange {
    KeyRange::prefix(vec![b'a'])
}

/// Leaves of a bucket: those whose places begin with its number in `bits` bits.
pub(crate) fn leaves(view: View, bucket: usize, bits: u32) -> KeyRange {
    let first = |bucket: usize| {
        let place = u32::try_from(bucket).unwrap_or(u32::MAX) << (16 - bits);
        // One more than 16 bits behind the last bucket: then the next letter is the end.
        u16::try_from(place).map_or_else(
            |_| vec![leaf_letter(view) + 1],
            |place| prefixed(leaf_letter(view), &[&place.to_be_bytes()]),
        )
    };
    KeyRange::between(first(bucket), first(bucket + 1))
}

pub(crate) fn erasures() -> KeyRange {
    KeyRange::prefix(vec![b'e'])
}

pub(crate) fn body(hash: &Hash) -> Vec<u8> {
    prefixed(b'b', &[&hash.0])
}

pub(crate) fn content(hash: &Hash) -> Vec<u8> {
    prefixed(b'c', &[&hash.0])
}

fn leaf_letter(view: View) -> u8 {
    match view {
        View::Full => b'f',
        View::Published => b'p',
    }
}

fn bucket_letter(view: View) -> u8 {
    leaf_letter(view).to_ascii_uppercase()
}

fn prefixed(letter: u8, pieces: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + pieces.iter().map(|piece| piece.len()).sum::<usize>());
    key.push(letter);
    for piece in pieces {
        key.extend_from_slice(piece);
    }
    key
}
