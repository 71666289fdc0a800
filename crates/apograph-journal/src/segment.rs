//! One segment file as readers share it: checked header, positional reads, and a sparse index.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockWriteGuard};

use apograph_format::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use apograph_format::{Position, Timestamp};
use bytes::Bytes;

use crate::erasing::Target;
use crate::error::IoFailure;

/// Bytes between two places of the index: what a reader at most walks over to find its entry.
const INDEX_STRIDE_BYTES: u64 = 256 << 10;

/// A segment file. Its handle stays valid when the file is renamed or retired.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    file: File,
    path: Mutex<PathBuf>,
    index: Mutex<Vec<Place>>,
    /// Payloads whose erasure a crash interrupted: read as erased.
    unfinished: Vec<Target>,
    /// Held for writing while a payload is overwritten, so that nobody reads half of it.
    erasing: RwLock<()>,
}

/// A boundary between two entries of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where the next entry begins.
    pub(crate) offset: u64,
    /// The position before it.
    pub(crate) after: Position,
    /// Timestamp at that position.
    pub(crate) after_timestamp: Timestamp,
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, file: File, path: PathBuf, erasing: &[Target]) -> Segment {
        let first = header.first_sequence();
        Segment {
            header,
            file,
            path: Mutex::new(path),
            index: Mutex::new(Vec::new()),
            unfinished: erasing.iter().filter(|target| target.segment == first).copied().collect(),
            erasing: RwLock::new(()),
        }
    }

    /// Before its first entry.
    pub(crate) fn beginning(&self) -> Place {
        Place {
            offset: SEGMENT_HEADER_BYTES as u64,
            after: self.header.after,
            after_timestamp: self.header.after_timestamp,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.path.lock().expect("no holder panics").clone()
    }

    pub(crate) fn renamed(&self, path: &Path) {
        path.clone_into(&mut self.path.lock().expect("no holder panics"));
    }

    /// `length` bytes from `offset`, fewer where the file ends. Interrupted erasures are seen as finished.
    pub(crate) fn read(&self, offset: u64, length: usize) -> Result<Bytes, IoFailure> {
        let _whole = self.erasing.read().expect("no holder panics");
        let mut bytes = read_at(&self.file, offset, length).map_err(|error| {
            let path = self.path();
            IoFailure::of("read", &path)(error)
        })?;
        for target in &self.unfinished {
            target.apply(&mut bytes, offset);
        }
        Ok(bytes.into())
    }

    /// Nobody reads until the guard is dropped.
    pub(crate) fn exclusively(&self) -> RwLockWriteGuard<'_, ()> {
        self.erasing.write().expect("no holder panics")
    }

    /// The last indexed place at or before `sequence` was passed.
    pub(crate) fn place_before(&self, sequence: u64) -> Place {
        let index = self.index();
        let beyond = index.partition_point(|place| place.after.sequence <= sequence);
        index.get(..beyond).and_then(<[Place]>::last).copied().unwrap_or_else(|| self.beginning())
    }

    /// A known boundary between entries behind which the first entry of `timestamp` or later lies; the beginning, if no
    /// nearer one is known.
    pub(crate) fn place_below(&self, timestamp: Timestamp) -> Place {
        let index = self.index();
        let beyond = index.partition_point(|place| place.after_timestamp < timestamp);
        index.get(..beyond).and_then(<[Place]>::last).copied().unwrap_or_else(|| self.beginning())
    }

    /// Remembers a place, if it is far enough behind the last one.
    pub(crate) fn note(&self, place: Place) {
        let mut index = self.index();
        let last = index.last().map_or(SEGMENT_HEADER_BYTES as u64, |place| place.offset);
        if place.offset >= last + INDEX_STRIDE_BYTES {
            index.push(place);
        }
    }

    fn index(&self) -> MutexGuard<'_, Vec<Place>> {
        self.index.lock().expect("no holder panics")
    }
}

/// Reads until `length` bytes are there or the file ends.
pub(crate) fn read_at(file: &File, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
