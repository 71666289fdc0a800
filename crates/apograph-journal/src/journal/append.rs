//! Appending, and the rotation of segments.

use std::sync::Arc;
use std::time::Duration;

use apograph_format::{Entry, EntryError, Timestamp};

use crate::error::{DamageReason, IoFailure};
use crate::folder::segment_path;
use crate::journal::sync::SyncError;
use crate::journal::{Journal, OpenSegment};
use crate::segment::{Place, Segment};
use crate::shared::Slot;
use crate::walk::{check_payloads, follows};

/// Bytes that wait in memory for the next write.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// With less room than this on the disk, nothing is written ahead.
const ROOM_BYTES_MIN: u64 = 256 << 20;

/// Why an entry was not appended. The journal is as it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// It is not sound, not of this partition, or does not follow the end.
    #[error("the entry cannot be appended: {reason}")]
    Refused {
        /// What is wrong with it.
        reason: DamageReason,
    },
    /// The disk refused; the same entry may be appended again later.
    #[error(transparent)]
    Write(IoFailure),
    /// An fsync failed, now or earlier: the process must stop.
    #[error("the journal is poisoned by a failed sync")]
    Poisoned(#[source] IoFailure),
}

impl Journal {
    /// Must the next entry, of `entry_bytes` and with `timestamp`, begin a segment? The primary sets
    /// `starts_segment` in its header by this answer; copies follow the flag. The answer depends on the entries in
    /// the open segment and the options only, not on any clock.
    pub fn next_starts_segment(&self, entry_bytes: u64, timestamp: Timestamp) -> bool {
        let Some(first) = self.open.first_timestamp else {
            return true;
        };
        let age = Duration::from_micros(timestamp.0.saturating_sub(first.0));
        self.end.offset + entry_bytes > self.options.segment_bytes_max || age >= self.options.segment_age_max
    }

    /// Appends the next entry: it must follow the end, be of this partition, not older than the last, and its payloads
    /// must match their checksums. Not durable and not visible on return; [`Journal::sync`] makes it so.
    ///
    /// An entry that begins a segment first makes everything before it durable. The first entry of a journal never
    /// rotates, flagged or not.
    pub fn append(&mut self, entry: &Entry) -> Result<(), AppendError> {
        self.check_poisoned().map_err(AppendError::Poisoned)?;
        self.check(entry).map_err(|reason| AppendError::Refused { reason })?;
        if entry.header().starts_segment && self.open.first_timestamp.is_some() {
            self.rotate()?;
        } else if self.open.buffer.len() + entry.bytes().len() > BUFFER_BYTES_MAX {
            self.flush().map_err(AppendError::Write)?;
        }
        self.open.buffer.extend_from_slice(entry.bytes());
        self.open.first_timestamp.get_or_insert(entry.header().timestamp);
        self.end = Place {
            offset: self.end.offset + entry.bytes().len() as u64,
            after: entry.position(),
            after_timestamp: entry.header().timestamp,
        };
        self.open.segment.note(self.end);
        self.pending.push(entry.clone());
        Ok(())
    }

    fn check(&self, entry: &Entry) -> Result<(), DamageReason> {
        let header = entry.header();
        follows(header, &self.end)?;
        if header.partition != self.identity.partition {
            return Err(DamageReason::Partition { found: header.partition });
        }
        check_payloads(entry).map_err(|error: EntryError| error.into())
    }

    /// Hands the buffer to the operating system. After a failure the same bytes are written again next time.
    pub(super) fn flush(&mut self) -> Result<(), IoFailure> {
        let open = &mut self.open;
        if open.buffer.is_empty() {
            return Ok(());
        }
        self.disk.write(&open.file, &open.segment.path(), &open.buffer, open.written)?;
        open.written += open.buffer.len() as u64;
        open.buffer.clear();
        if open.written > open.length {
            open.length = open.written;
            self.write_ahead();
        }
        Ok(())
    }

    /// Makes room for the next entries, if the disk has plenty. On one that is nearly full zeros would only bring it about
    /// that the journal takes what the store has no room for.
    fn write_ahead(&mut self) {
        let open = &mut self.open;
        if self.options.ahead_bytes == 0 || self.disk.room(&open.file) < ROOM_BYTES_MIN {
            return;
        }
        let to = (open.written + self.options.ahead_bytes).min(self.options.segment_bytes_max);
        let Ok(bytes) = usize::try_from(to.saturating_sub(open.written)) else { return };
        if bytes > 0 {
            // What is refused may have been written in part. An entry goes there, or `trim` cuts it off.
            open.length = to;
            let _ = self.disk.write(&open.file, &open.segment.path(), &vec![0; bytes], open.written);
        }
    }

    /// Cuts the zeros off that were written ahead. Durable on return.
    pub(super) fn trim(&mut self) -> Result<(), SyncError> {
        let open = &mut self.open;
        if open.length > open.written {
            let path = open.segment.path();
            self.disk.truncate(&open.file, &path, open.written).map_err(SyncError::Write)?;
            open.length = open.written;
            let synced = self.disk.sync(&open.file, &path);
            synced.map_err(|failure| SyncError::Poisoned(self.poison(failure)))?;
        }
        Ok(())
    }

    /// Ends the open segment and begins one after it. The ended one keeps its prefix until the first entry of the
    /// new one is durable: only then nothing can open it again.
    fn rotate(&mut self) -> Result<(), AppendError> {
        self.make_durable().map_err(AppendError::from)?;
        self.trim().map_err(AppendError::from)?;
        self.acknowledged.sync(&self.disk).map_err(|failure| AppendError::Poisoned(self.poison(failure)))?;
        let header = self.identity.segment_after(self.end.after, self.end.after_timestamp);
        let path = segment_path(&self.dir, &header.file_name(), true);
        let file = self.disk.open(&path, true).map_err(AppendError::Write)?;
        let reading = file.try_clone().map_err(IoFailure::of("open", &path)).map_err(AppendError::Write)?;
        let segment = Arc::new(Segment::new(header, reading, path, &[]));
        self.ended.push(Slot { open: false, ..self.open_slot() });
        self.closing = Some(Arc::clone(&self.open.segment));
        self.end.offset = segment.beginning().offset;
        self.open = OpenSegment {
            segment,
            file,
            written: 0,
            length: 0,
            buffer: header.encode().to_vec(),
            first_timestamp: None,
        };
        Ok(())
    }
}
