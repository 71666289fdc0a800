//! What stands in a folder, what is wrong with it, and what an opening for writing has to repair. Never writes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apograph_format::header::{HEADER_BYTES, HeaderError};
use apograph_format::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderError};
use apograph_format::{EntryError, EntryHeader, Position, Timestamp};

use crate::acknowledged::{self, Acknowledged, Reading, Unreadable};
use crate::erasing::{self, Target};
use crate::error::{Damage, DamageReason, Fault, IoFailure};
use crate::folder::{SegmentName, segment_names, segment_path};
use crate::journal::open::OpenError;
use crate::options::Identity;
use crate::segment::{Place, Segment, read_at};
use crate::shared::Slot;
use crate::torn::{ends_with, is_free, is_torn, sound_headers};
use crate::walk::Walk;

/// What an opening for writing repaired, or what one would repair.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Bytes after the last whole entry that were cut; nobody was ever told that they are durable.
    pub torn_tail: Option<TornTail>,
    /// Segments that had been begun, but got no entry; the one before was opened again.
    pub dropped: Vec<PathBuf>,
    /// Payloads whose interrupted erasure was finished.
    pub erased: u64,
}

/// Where a journal was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// In which file.
    pub file: PathBuf,
    /// Its new length.
    pub offset: u64,
    /// Bytes cut.
    pub bytes: u64,
    /// What is wrong with the first of them.
    pub reason: DamageReason,
}

/// A folder that holds a sound journal, up to a torn tail.
#[derive(Debug)]
pub(crate) struct Inspection {
    pub(crate) identity: Identity,
    /// Oldest first, never empty; the last is the open one.
    pub(crate) slots: Vec<Slot>,
    pub(crate) end: Place,
    pub(crate) acknowledged: Reading,
    /// Bytes of entries before the first slot.
    pub(crate) bytes_before: u64,
    pub(crate) repairs: Vec<Repair>,
    /// Of an interrupted erasure.
    pub(crate) erasing: Option<Vec<Target>>,
    pub(crate) recovery: Recovery,
}

/// One change of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repair {
    Remove(PathBuf),
    Rename { from: PathBuf, to: PathBuf },
    Truncate { path: PathBuf, length: u64 },
}

/// A segment file, its header read.
struct Found {
    name: SegmentName,
    bytes: u64,
    header: Result<Arc<Segment>, SegmentHeaderError>,
    first_timestamp: Option<Timestamp>,
}

/// The newest segment, walked to its last whole entry.
struct Newest {
    segment: Arc<Segment>,
    end: Place,
    first_timestamp: Option<Timestamp>,
    /// The position at the acknowledged sequence, if it lies here.
    acknowledged: Option<Position>,
    torn: Option<DamageReason>,
}

/// Looks at everything that decides whether this journal may be used, but not at every byte: of closed segments only
/// headers and ends, of the open one all.
pub(crate) fn inspect(
    dir: &Path,
    identity: Option<&Identity>,
    is_copy: bool,
) -> Result<Inspection, OpenError> {
    let names = segment_names(dir)?;
    let acknowledged = read_acknowledged(dir, &names)?;
    let erasing = erasing::read(dir)?;
    let mut found = find_segments(dir, names, erasing.as_deref().unwrap_or_default(), &acknowledged)?;
    let identity = check_identity(&found, identity)?;
    let mut recovery = Recovery::default();
    let mut repairs = Vec::new();
    let mut floor = acknowledged.record.position.sequence;
    let (last, newest) = loop {
        let last = found.pop().ok_or_else(|| OpenError::Empty { dir: dir.to_owned() })?;
        let known = Known { floor, acknowledged: acknowledged.record.position.sequence, is_copy };
        match walk_newest(&last, &known, found.is_empty())? {
            Some(newest) => break (last, newest),
            None => {
                // It was begun only after the one before was durable to its end.
                floor = floor.max(last.name.first - 1);
                recovery.dropped.push(last.name.path.clone());
                repairs.push(Repair::Remove(last.name.path));
            }
        }
    };
    check_acknowledged(&acknowledged, &newest)?;
    let mut slots = closed_slots(dir, &found, &newest, &mut repairs)?;
    slots.push(open_slot(dir, &last, &newest, &mut repairs, &mut recovery));
    let gone = |slot: &&Slot| slot.last <= acknowledged.record.kept_after;
    let again: u64 = slots.iter().filter(gone).map(Slot::entry_bytes).sum();
    Ok(Inspection {
        identity,
        slots,
        end: newest.end,
        bytes_before: acknowledged.record.bytes_before.saturating_sub(again),
        acknowledged,
        repairs,
        erasing,
        recovery,
    })
}

pub(crate) fn read_acknowledged(dir: &Path, names: &[SegmentName]) -> Result<Reading, OpenError> {
    let damage = |reason| Damage::new(&Acknowledged::path(dir), 0, 0, reason);
    let reading = match acknowledged::read(dir) {
        Ok(reading) => reading,
        Err(Unreadable::Io(failure)) => return Err(failure.into()),
        // The first segment is made when this file is on disk: a creation was cut off. A journal that lost both is found
        // out by its store, which is further.
        Err(Unreadable::Missing | Unreadable::Damaged(_)) if names.is_empty() => {
            return Err(OpenError::Empty { dir: dir.to_owned() });
        }
        Err(Unreadable::Missing) => return Err(damage(DamageReason::AcknowledgedLost).into()),
        Err(Unreadable::Format(found)) => {
            return Err(OpenError::Format { file: Acknowledged::path(dir), found });
        }
        Err(Unreadable::Damaged(damage)) => return Err(damage.into()),
    };
    if names.is_empty() && !reading.is_fresh() {
        return Err(missing(dir, reading.record.kept_after + 1).into());
    }
    Ok(reading)
}

/// Headers of all segments; all but the last must be sound, and none may be missing at the front.
fn find_segments(
    dir: &Path,
    names: Vec<SegmentName>,
    erasing: &[Target],
    acknowledged: &Reading,
) -> Result<Vec<Found>, OpenError> {
    let last = names.last().map(|name| name.first);
    let mut found: Vec<Found> = Vec::with_capacity(names.len());
    for name in names {
        let file = Found::open(name, erasing)?;
        let damage = |reason| Damage::new(&file.name.path, 0, file.name.first, reason);
        match &file.header {
            Err(SegmentHeaderError::Format { found }) => {
                return Err(OpenError::Format { file: file.name.path, found: *found });
            }
            Err(error) if Some(file.name.first) != last => return Err(damage(error.clone().into()).into()),
            Ok(segment) if segment.header.first_sequence() != file.name.first => {
                return Err(damage(DamageReason::Name { expected: segment.header.file_name() }).into());
            }
            Ok(_) | Err(_) => {}
        }
        if found.last().is_some_and(|before| before.name.first == file.name.first) {
            return Err(damage(DamageReason::Twice).into());
        }
        found.push(file);
    }
    match found.first() {
        Some(oldest) if oldest.name.first > acknowledged.record.kept_after + 1 => {
            Err(missing(dir, acknowledged.record.kept_after + 1).into())
        }
        _ => Ok(found),
    }
}

impl Found {
    fn open(name: SegmentName, erasing: &[Target]) -> Result<Found, IoFailure> {
        let file = File::open(&name.path).map_err(IoFailure::of("open", &name.path))?;
        let bytes = file.metadata().map_err(IoFailure::of("read", &name.path))?.len();
        let front = read_at(&file, 0, SEGMENT_HEADER_BYTES + HEADER_BYTES)
            .map_err(IoFailure::of("read", &name.path))?;
        let entry = front.get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
        let first_timestamp = EntryHeader::decode(entry).ok().map(|header| header.timestamp);
        let header = SegmentHeader::decode(&front)
            .map(|header| Arc::new(Segment::new(header, file, name.path.clone(), erasing)));
        Ok(Found { name, bytes, header, first_timestamp })
    }
}

fn check_identity(found: &[Found], expected: Option<&Identity>) -> Result<Identity, OpenError> {
    let mut expected = expected.copied();
    for file in found {
        if let Ok(segment) = &file.header {
            let found = Identity::of(&segment.header);
            if *expected.get_or_insert(found) != found {
                let expected = Box::new(expected.unwrap_or(found));
                return Err(OpenError::Foreign {
                    file: file.name.path.clone(),
                    expected,
                    found: Box::new(found),
                });
            }
        }
    }
    match (expected, found.first()) {
        (Some(identity), _) => Ok(identity),
        (None, Some(file)) => {
            Err(OpenError::Empty { dir: file.name.path.parent().unwrap_or(Path::new(".")).to_owned() })
        }
        (None, None) => Err(OpenError::Empty { dir: PathBuf::new() }),
    }
}

/// What tells a torn tail from damage.
struct Known {
    /// Everything up to here was durable.
    floor: u64,
    acknowledged: u64,
    /// Headers speak of another server's disk.
    is_copy: bool,
}

/// Walks the newest segment. `None`: it holds no entry and another one stands before it, so that it can go.
fn walk_newest(last: &Found, known: &Known, alone: bool) -> Result<Option<Newest>, OpenError> {
    let Known { floor, acknowledged, is_copy } = *known;
    let segment = match &last.header {
        Ok(segment) => Arc::clone(segment),
        Err(error) => return headless(last, error, floor, alone),
    };
    let mut walk = Walk::new(Arc::clone(&segment), segment.beginning(), last.bytes);
    let mut seen = (walk.place.after.sequence == acknowledged).then_some(walk.place.after);
    let mut first_timestamp = None;
    let torn = loop {
        match walk.next_entry() {
            Ok(None) => break None,
            Ok(Some(entry)) => {
                first_timestamp.get_or_insert(entry.header().timestamp);
                if entry.header().sequence == acknowledged {
                    seen = Some(entry.position());
                }
            }
            Err(Fault::Io(failure)) => return Err(failure.into()),
            Err(Fault::Damaged(damage)) => {
                if let DamageReason::Entry(EntryError::Header(HeaderError::Format { found })) = *damage.reason
                {
                    return Err(OpenError::Format { file: damage.file, found });
                }
                if !is_torn(&segment, &walk.place, last.bytes, floor, is_copy, &damage.reason)? {
                    return Err(damage.into());
                }
                break (!is_free(&segment, walk.place.offset, last.bytes)?).then_some(*damage.reason);
            }
        }
    };
    let end = walk.place;
    if end.after.sequence < floor {
        return Err(OpenError::Shorter { acknowledged: floor, found: end.after });
    }
    let empty = first_timestamp.is_none() && !alone;
    Ok((!empty).then_some(Newest { segment, end, first_timestamp, acknowledged: seen, torn }))
}

/// The newest file has no sound segment header: it was being created, or it is damaged.
fn headless(
    last: &Found,
    error: &SegmentHeaderError,
    floor: u64,
    alone: bool,
) -> Result<Option<Newest>, OpenError> {
    let damage = Damage::new(&last.name.path, 0, last.name.first, error.clone());
    if last.name.first <= floor || last.bytes > SEGMENT_HEADER_BYTES as u64 && last.holds_durable_entries()? {
        return Err(damage.into());
    }
    if alone {
        return Err(OpenError::Empty { dir: last.name.path.parent().unwrap_or(Path::new(".")).to_owned() });
    }
    Ok(None)
}

impl Found {
    /// Behind an unsound header: does a sound entry say that the first one was durable?
    fn holds_durable_entries(&self) -> Result<bool, IoFailure> {
        let file = File::open(&self.name.path).map_err(IoFailure::of("open", &self.name.path))?;
        let bytes = read_at(&file, 0, usize::try_from(self.bytes).unwrap_or(usize::MAX))
            .map_err(IoFailure::of("read", &self.name.path))?;
        Ok(sound_headers(&bytes).any(|(_, header)| header.synced >= self.name.first))
    }
}

fn check_acknowledged(acknowledged: &Reading, newest: &Newest) -> Result<(), OpenError> {
    let position = acknowledged.record.position;
    match newest.acknowledged {
        Some(found) if found != position => {
            let reason = DamageReason::Acknowledged { acknowledged: position, found };
            let file = newest.segment.path();
            Err(Damage::new(&file, newest.end.offset, found.sequence, reason).into())
        }
        _ => Ok(()),
    }
}

/// Every closed segment must end where the next one begins.
fn closed_slots(
    dir: &Path,
    found: &[Found],
    newest: &Newest,
    repairs: &mut Vec<Repair>,
) -> Result<Vec<Slot>, OpenError> {
    let next = found.iter().skip(1).filter_map(|file| file.header.as_ref().ok()).chain([&newest.segment]);
    let mut slots = Vec::with_capacity(found.len() + 1);
    for (file, next) in found.iter().zip(next) {
        let Ok(segment) = &file.header else { continue };
        let after = next.header.after;
        if !ends_with(segment, file.bytes, &next.header)? {
            let reason = end_damage(segment, file.bytes, after)?;
            return Err(Damage::new(&file.name.path, file.bytes, after.sequence, reason).into());
        }
        if file.name.open {
            let to = segment_path(dir, &segment.header.file_name(), false);
            repairs.push(Repair::Rename { from: file.name.path.clone(), to });
        }
        slots.push(Slot {
            segment: Arc::clone(segment),
            bytes: file.bytes,
            last: after.sequence,
            first_timestamp: file.first_timestamp,
            last_timestamp: next.header.after_timestamp,
            open: false,
        });
    }
    Ok(slots)
}

/// A closed segment does not end where the next one begins: is one missing between them?
fn end_damage(segment: &Arc<Segment>, bytes: u64, expected: Position) -> Result<DamageReason, OpenError> {
    let mut walk = Walk::new(Arc::clone(segment), segment.beginning(), bytes);
    loop {
        match walk.next_header() {
            Ok(Some(_)) => {}
            Ok(None) if walk.place.after.sequence < expected.sequence => {
                return Ok(DamageReason::SegmentMissing { first: walk.place.after.sequence + 1 });
            }
            Ok(None) => {
                return Ok(DamageReason::SegmentAfter { expected: walk.place.after, found: expected });
            }
            Err(Fault::Damaged(_)) => return Ok(DamageReason::SegmentEnd { expected }),
            Err(Fault::Io(failure)) => return Err(failure.into()),
        }
    }
}

fn open_slot(
    dir: &Path,
    last: &Found,
    newest: &Newest,
    repairs: &mut Vec<Repair>,
    recovery: &mut Recovery,
) -> Slot {
    let path = segment_path(dir, &newest.segment.header.file_name(), true);
    if !last.name.open {
        repairs.push(Repair::Rename { from: last.name.path.clone(), to: path.clone() });
    }
    let offset = newest.end.offset;
    let bytes = last.bytes.saturating_sub(offset);
    if let Some(reason) = &newest.torn {
        recovery.torn_tail = Some(TornTail { file: path.clone(), offset, bytes, reason: reason.clone() });
    }
    if bytes > 0 {
        repairs.push(Repair::Truncate { path, length: offset });
    }
    Slot {
        segment: Arc::clone(&newest.segment),
        bytes: newest.end.offset,
        last: newest.end.after.sequence,
        first_timestamp: newest.first_timestamp,
        last_timestamp: newest.end.after_timestamp,
        open: true,
    }
}

fn missing(dir: &Path, first: u64) -> Damage {
    Damage::new(dir, 0, first, DamageReason::SegmentMissing { first })
}
