//! Checking every byte of a folder. Never writes, and goes on behind damage.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apograph_format::header::HEADER_BYTES;
use apograph_format::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use apograph_format::{Entry, EntryHeader, Position};

use crate::acknowledged::{self, Acknowledged, Record, Unreadable};
use crate::erasing::{self, Target};
use crate::error::{Damage, DamageReason, Fault, IoFailure};
use crate::folder::{SegmentName, segment_names};
use crate::inspect::TornTail;
use crate::options::Identity;
use crate::segment::{Place, Segment, read_at};
use crate::torn::{find_header, is_free, is_torn, sound_headers};
use crate::walk::Walk;

/// Damaged places that are listed; more are only counted.
const FINDINGS_MAX: usize = 10_000;
/// Bytes between two calls of the monitor.
const PROGRESS_BYTES: u64 = 4 << 20;

/// How far a verification has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The file being read.
    pub file: PathBuf,
    /// Bytes checked in all files.
    pub bytes: u64,
    /// Bytes of all files.
    pub bytes_total: u64,
    /// Entries checked.
    pub entries: u64,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Whose journal it is, by the first sound segment header.
    pub identity: Option<Identity>,
    /// Segment files.
    pub segments: u64,
    /// Sound entries.
    pub entries: u64,
    /// Bytes of all segment files.
    pub bytes: u64,
    /// Sound payloads, erased ones included.
    pub payloads: u64,
    /// Erased payloads.
    pub erased: u64,
    /// Payloads whose erasure was interrupted: not damage, the next opening finishes it.
    pub erasing: u64,
    /// The position before the first entry.
    pub start: Option<Position>,
    /// The position after the last whole entry.
    pub end: Option<Position>,
    /// The highest acknowledged position.
    pub acknowledged: Option<Position>,
    /// Bytes at the end that the next opening cuts: not damage, nobody was told that they are durable.
    pub torn_tail: Option<TornTail>,
    /// Damaged places in the order of the files, at most 10,000.
    pub damage: Vec<Damage>,
    /// Damaged places that are not listed.
    pub damage_unlisted: u64,
}

impl Report {
    /// No byte is damaged.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    fn add(&mut self, damage: Damage) {
        if self.damage.len() < FINDINGS_MAX {
            self.damage.push(damage);
        } else {
            self.damage_unlisted += 1;
        }
    }
}

/// Why nothing can be verified.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VerifyError {
    /// No segment is here.
    #[error("{} holds no journal", dir.display())]
    Empty {
        /// The folder.
        dir: PathBuf,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] IoFailure),
}

/// Checks everything in a folder: segment headers and names, the chain within and across segments, hashes over the
/// facts, that facts can be read, checksum and hash of every payload, timestamps, the acknowledged position.
/// `monitor` is called every few MiB. Costs one read of all bytes, and their hashes. Never writes.
///
/// While a writer has the folder open, its last unsynced entries may show as a torn tail, and payloads that it erases
/// at that moment as damage: verify again.
pub fn verify(dir: &Path, monitor: &mut dyn FnMut(Progress)) -> Result<Report, VerifyError> {
    let names = segment_names(dir)?;
    if names.is_empty() {
        return Err(VerifyError::Empty { dir: dir.to_owned() });
    }
    let mut report = Report::default();
    let acknowledged = read_acknowledged(dir, &mut report)?;
    let erasing = erasing::read(dir)?.unwrap_or_default();
    report.erasing = erasing.len() as u64;
    let mut total = 0;
    for name in &names {
        total += std::fs::metadata(&name.path).map_err(IoFailure::of("read", &name.path))?.len();
    }
    if let (Some(record), Some(first)) = (&acknowledged, names.first().map(|name| name.first))
        && first > record.kept_after + 1
    {
        report.add(missing(dir, record.kept_after + 1));
    }
    let last = names.len() - 1;
    let mut check = Check { report, acknowledged, erasing, total, end: None, told: 0, monitor };
    for (index, name) in names.iter().enumerate() {
        check.segment(name, index == last)?;
    }
    check.finish(dir)
}

fn read_acknowledged(dir: &Path, report: &mut Report) -> Result<Option<Record>, VerifyError> {
    let file = Acknowledged::path(dir);
    let lost = |reason| Damage::new(&file, 0, 0, reason);
    match acknowledged::read(dir) {
        Ok(reading) => {
            report.acknowledged = Some(reading.record.position);
            reading.damage.into_iter().for_each(|damage| report.add(damage));
            return Ok(Some(reading.record));
        }
        Err(Unreadable::Io(failure)) => return Err(failure.into()),
        Err(Unreadable::Damaged(damage)) => report.add(damage),
        Err(Unreadable::Missing | Unreadable::Format(_)) => report.add(lost(DamageReason::AcknowledgedLost)),
    }
    Ok(None)
}

fn missing(file: &Path, first: u64) -> Damage {
    Damage::new(file, 0, first, DamageReason::SegmentMissing { first })
}

/// A verification on its way from segment to segment.
struct Check<'a> {
    report: Report,
    acknowledged: Option<Record>,
    erasing: Vec<Target>,
    total: u64,
    /// Where the segment before ended.
    end: Option<Place>,
    told: u64,
    monitor: &'a mut dyn FnMut(Progress),
}

impl Check<'_> {
    fn floor(&self) -> u64 {
        self.acknowledged.map_or(u64::MAX, |record| record.position.sequence)
    }

    fn segment(&mut self, name: &SegmentName, last: bool) -> Result<(), IoFailure> {
        let file = File::open(&name.path).map_err(IoFailure::of("open", &name.path))?;
        let bytes = file.metadata().map_err(IoFailure::of("read", &name.path))?.len();
        let before = self.report.bytes;
        self.report.segments += 1;
        let front = read_at(&file, 0, SEGMENT_HEADER_BYTES).map_err(IoFailure::of("read", &name.path))?;
        let header = match SegmentHeader::decode(&front) {
            Ok(header) => Some(header),
            Err(error) => self.headless(name, &file, bytes, last, error.into())?,
        };
        if let Some(header) = header {
            self.segment_header(name, &header);
            let segment = Arc::new(Segment::new(header, file, name.path.clone(), &self.erasing));
            let mut walk = Walk::new(Arc::clone(&segment), segment.beginning(), bytes);
            self.acknowledged_at(&walk);
            while self.step(&mut walk, last)? {
                self.report.bytes = before + walk.place.offset;
                self.tell(&name.path);
            }
            self.end = Some(walk.place);
        }
        self.report.bytes = before + bytes;
        Ok(())
    }

    /// A file without a sound header: torn while it was created, or damaged. Then its entries are checked as if the
    /// first sound one were its first.
    fn headless(
        &mut self,
        name: &SegmentName,
        file: &File,
        bytes: u64,
        last: bool,
        reason: DamageReason,
    ) -> Result<Option<SegmentHeader>, IoFailure> {
        let whole = read_at(file, 0, usize::try_from(bytes).unwrap_or(usize::MAX))
            .map_err(IoFailure::of("read", &name.path))?;
        let durable = sound_headers(&whole).any(|(_, header)| header.synced >= name.first);
        if last && name.first > self.floor() && !durable {
            self.report.torn_tail = Some(TornTail { file: name.path.clone(), offset: 0, bytes, reason });
            return Ok(None);
        }
        self.report.add(Damage::new(&name.path, 0, name.first, reason));
        let first = whole.get(SEGMENT_HEADER_BYTES..).and_then(|bytes| EntryHeader::decode(bytes).ok());
        Ok(self.report.identity.zip(first).map(|(identity, first)| {
            let place = before(0, &first);
            identity.segment_after(place.after, place.after_timestamp)
        }))
    }

    fn segment_header(&mut self, name: &SegmentName, header: &SegmentHeader) {
        let damage = |reason| Damage::new(&name.path, 0, name.first, reason);
        let found = Identity::of(header);
        let expected = *self.report.identity.get_or_insert(found);
        if found != expected {
            let (expected, found) = (Box::new(expected), Box::new(found));
            self.report.add(damage(DamageReason::Foreign { expected, found }));
        }
        if header.first_sequence() != name.first {
            self.report.add(damage(DamageReason::Name { expected: header.file_name() }));
        }
        self.report.start.get_or_insert(header.after);
        match self.end {
            Some(end) if end.after.sequence < header.after.sequence => {
                self.report.add(missing(&name.path, end.after.sequence + 1));
            }
            Some(end) if end.after != header.after || end.after_timestamp != header.after_timestamp => {
                let reason = DamageReason::SegmentAfter { expected: end.after, found: header.after };
                self.report.add(damage(reason));
            }
            Some(_) | None => {}
        }
    }

    /// Checks the next entry; false at the end of the segment.
    fn step(&mut self, walk: &mut Walk, last: bool) -> Result<bool, IoFailure> {
        let place = walk.place;
        match walk.next_entry() {
            Ok(None) => Ok(false),
            Ok(Some(entry)) => {
                self.entry(&entry, walk, place);
                Ok(true)
            }
            Err(Fault::Io(failure)) => Err(failure),
            Err(Fault::Damaged(damage)) => {
                let place_is_free = || is_free(&walk.segment, place.offset, walk.limit);
                // Whether the acknowledged position is lost is said already.
                if last && self.acknowledged.is_none() && place_is_free()? {
                    return Ok(false);
                }
                if last && is_torn(&walk.segment, &place, walk.limit, self.floor(), false, &damage.reason)? {
                    if !place_is_free()? {
                        let (offset, bytes) = (place.offset, walk.limit - place.offset);
                        let (file, reason) = (damage.file, *damage.reason);
                        self.report.torn_tail = Some(TornTail { file, offset, bytes, reason });
                    }
                    return Ok(false);
                }
                self.report.add(damage);
                let found = skip(walk)?;
                self.acknowledged_at(walk);
                Ok(found)
            }
        }
    }

    /// What only a verification checks of an entry that was read at `place`.
    fn entry(&mut self, entry: &Entry, walk: &Walk, place: Place) {
        let checked = entry.facts().and_then(|facts| entry.verify_payloads(&facts));
        if let Err(error) = checked {
            let sequence = entry.header().sequence;
            let file = walk.segment.path();
            self.report.add(Damage::new(&file, place.offset, sequence, error));
            return;
        }
        self.report.entries += 1;
        self.report.payloads += u64::from(entry.header().payloads);
        self.report.erased +=
            entry.payloads().filter(|payload| matches!(payload, Ok(payload) if payload.erased)).count()
                as u64;
        self.acknowledged_at(walk);
    }

    /// The entry that was acknowledged must be the one that stands there.
    fn acknowledged_at(&mut self, walk: &Walk) {
        let found = walk.place.after;
        if let Some(Record { position: acknowledged, .. }) = self.acknowledged
            && acknowledged.sequence == found.sequence
            && acknowledged != found
        {
            let reason = DamageReason::Acknowledged { acknowledged, found };
            let place = walk.place;
            self.report.add(Damage::new(&walk.segment.path(), place.offset, found.sequence, reason));
        }
    }

    fn tell(&mut self, file: &Path) {
        if self.report.bytes >= self.told + PROGRESS_BYTES {
            self.told = self.report.bytes;
            let (bytes, bytes_total, entries) = (self.report.bytes, self.total, self.report.entries);
            (self.monitor)(Progress { file: file.to_owned(), bytes, bytes_total, entries });
        }
    }

    fn finish(mut self, dir: &Path) -> Result<Report, VerifyError> {
        self.report.end = self.end.map(|end| end.after);
        let found = self.end.map_or(0, |end| end.after.sequence);
        if let Some(record) = self.acknowledged
            && found < record.position.sequence
        {
            let reason = DamageReason::Lost { acknowledged: record.position };
            self.report.add(Damage::new(dir, 0, found + 1, reason));
        }
        let (bytes, bytes_total, entries) = (self.report.bytes, self.total, self.report.entries);
        (self.monitor)(Progress { file: dir.to_owned(), bytes, bytes_total, entries });
        Ok(self.report)
    }
}

/// Steps over a damaged entry: by its header if that is sound, else to the next sound header. False if there is none.
fn skip(walk: &mut Walk) -> Result<bool, IoFailure> {
    let bytes = walk.read(HEADER_BYTES)?;
    if let Ok(header) = EntryHeader::decode(&bytes)
        && header.entry_bytes() <= walk.limit - walk.place.offset
    {
        walk.advance(&header);
        return Ok(true);
    }
    let (from, after) = (walk.place.offset + 1, walk.place.after.sequence);
    let partition = walk.segment.header.partition;
    let plausible = |header: &EntryHeader| header.sequence > after && header.partition == partition;
    let found = find_header(&walk.segment, from, walk.limit, plausible)?;
    if let Some((offset, header)) = found {
        walk.place = before(offset, &header);
    }
    Ok(found.is_some())
}

/// The place before an entry, by its own header.
fn before(offset: u64, header: &EntryHeader) -> Place {
    Place {
        offset,
        after: Position { epoch: header.epoch, sequence: header.sequence - 1, hash: header.previous_hash },
        after_timestamp: header.previous_timestamp,
    }
}
