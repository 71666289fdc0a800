//! Torn tail or damage: what stands at the end of the newest segment and is no sound entry.

use std::sync::Arc;

use apograph_format::header::{HEADER_BYTES, HeaderError, MAGIC};
use apograph_format::segment::SegmentHeader;
use apograph_format::{EntryError, EntryHeader};

use crate::error::{DamageReason, IoFailure};
use crate::segment::{Place, Segment};

/// Bytes searched at once.
const SEARCH_BYTES: usize = 1 << 20;
/// Where the last entry of a closed segment is looked for, from its end; the last one holds the largest entry.
const LAST_ENTRY_BYTES: [u64; 3] = [16 << 10, 512 << 10, 32 << 20];

/// May the bytes from `place` to the end of the file be cut?
///
/// They may not, if the entry that should stand there was durable once: it is at or below `floor` (acknowledged, or
/// known to be durable for another reason), or a sound header behind it says so, unless that header `is_copy` and speaks
/// of the disk of its source. A sound header of another format, or one with impossible fields, was written by other
/// software and is not cut either.
pub(crate) fn is_torn(
    segment: &Arc<Segment>,
    place: &Place,
    bytes: u64,
    floor: u64,
    is_copy: bool,
    reason: &DamageReason,
) -> Result<bool, IoFailure> {
    let missing = place.after.sequence + 1;
    let foreign =
        |error: &HeaderError| matches!(error, HeaderError::Format { .. } | HeaderError::Field { .. });
    if missing <= floor || matches!(reason, DamageReason::Entry(EntryError::Header(error)) if foreign(error))
    {
        return Ok(false);
    }
    if is_copy {
        return Ok(true);
    }
    let durable = |header: &EntryHeader| {
        header.synced >= missing
            && header.sequence > missing
            && header.epoch >= place.after.epoch
            && header.partition == segment.header.partition
    };
    Ok(find_header(segment, place.offset + 1, bytes, durable)?.is_none())
}

/// Is there nothing but zeros from `from` to the end of the file? They were written ahead.
pub(crate) fn is_free(segment: &Segment, from: u64, bytes: u64) -> Result<bool, IoFailure> {
    let mut from = from;
    while from < bytes {
        let left = usize::try_from(bytes - from).unwrap_or(usize::MAX);
        let found = segment.read(from, left.min(SEARCH_BYTES))?;
        if found.is_empty() || found.iter().any(|byte| *byte != 0) {
            return Ok(found.is_empty());
        }
        from += found.len() as u64;
    }
    Ok(true)
}

/// The first sound entry header from `from` on that `accept` takes, and where it is.
pub(crate) fn find_header(
    segment: &Segment,
    from: u64,
    limit: u64,
    accept: impl Fn(&EntryHeader) -> bool,
) -> Result<Option<(u64, EntryHeader)>, IoFailure> {
    let mut base = from;
    while base + HEADER_BYTES as u64 <= limit {
        let left = usize::try_from(limit - base).unwrap_or(usize::MAX);
        let bytes = segment.read(base, left.min(SEARCH_BYTES))?;
        if let Some((index, header)) = sound_headers(&bytes).find(|(_, header)| accept(header)) {
            return Ok(Some((base + index as u64, header)));
        }
        if bytes.len() < HEADER_BYTES {
            break;
        }
        base += (bytes.len() - HEADER_BYTES + 1) as u64;
    }
    Ok(None)
}

/// Sound entry headers in `bytes`, wherever they begin.
pub(crate) fn sound_headers(bytes: &[u8]) -> impl Iterator<Item = (usize, EntryHeader)> {
    bytes
        .windows(HEADER_BYTES)
        .enumerate()
        .filter(|(_, candidate)| candidate.starts_with(&MAGIC))
        .filter_map(|(index, candidate)| Some((index, EntryHeader::decode(candidate).ok()?)))
}

/// Does a closed segment of `bytes` end with the entry that `next` follows? Looks at its end only.
pub(crate) fn ends_with(segment: &Segment, bytes: u64, next: &SegmentHeader) -> Result<bool, IoFailure> {
    let beginning = segment.beginning();
    if bytes == beginning.offset {
        return Ok(beginning.after == next.after);
    }
    for reach in LAST_ENTRY_BYTES {
        let mut from = bytes.saturating_sub(reach).max(beginning.offset);
        let expected = |header: &EntryHeader| {
            header.position() == next.after && header.timestamp == next.after_timestamp
        };
        while let Some((offset, header)) = find_header(segment, from, bytes, expected)? {
            if offset + header.entry_bytes() == bytes {
                return Ok(true);
            }
            from = offset + 1;
        }
        if from == beginning.offset {
            break;
        }
    }
    Ok(false)
}
