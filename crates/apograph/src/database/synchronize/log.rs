//! The log of a synchronization: every batch, before it is in the store.
//!
//! The store writes its memory out now and then; what came since is here, and is installed again at the next start, so
//! that a process that is killed asks for nothing twice. It is not synced: a loss of power costs the batches since the
//! store was written out. Emptied whenever the store has been.
//!
//! ```text
//! record: length of what follows the checksum (4), CRC32C of it (4), version (8), length of the note (4), note (JSON), frames
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use apograph_format::{Payload, SyncFrame, Timestamp, Uri};
use apograph_store::{Install, Installment, Store};
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::SyncError;
use crate::folder::{FolderError, disk, sync_name};

/// The store is written out, and the log emptied, when it has this size.
const LOG_BYTES_MAX: u64 = 32 << 20;
/// Longest record: a batch, and a document of very many versions.
const RECORD_BYTES_MAX: usize = 256 << 20;

/// The log of one partition, open for writing.
#[derive(Debug)]
pub(super) struct SyncLog {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// What a record says beside its frames.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    after: Option<Uri>,
    all_came: bool,
    bytes: u64,
    absent: Vec<Uri>,
    /// Not in logs of before November 2026.
    #[serde(default)]
    forgotten: Vec<Uri>,
    quarantined: Vec<(Uri, String)>,
}

impl SyncLog {
    /// Opens or creates the log of a partition, to write behind what is there.
    pub(super) fn open(partition: &Path) -> Result<SyncLog, FolderError> {
        let path = file(partition);
        let file = File::options().create(true).append(true).open(&path).map_err(disk(&path))?;
        let bytes = file.metadata().map_err(disk(&path))?.len();
        Ok(SyncLog { path, file, bytes })
    }

    /// Writes a batch down; it will be installed at `version`.
    pub(super) fn append(
        &mut self,
        installment: &Installment,
        version: Timestamp,
    ) -> Result<(), FolderError> {
        let record = encode(installment, version);
        self.file.write_all(&record).map_err(disk(&self.path))?;
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// Empties it when it is large: the store has everything on disk then.
    pub(super) fn trim(&mut self, store: &Store) -> Result<(), SyncError> {
        if self.bytes < LOG_BYTES_MAX {
            return Ok(());
        }
        store.flush()?;
        self.file.set_len(0).map_err(disk(&self.path))?;
        self.bytes = 0;
        Ok(())
    }

    /// Durable on return: nobody looks for it again, and no purge reaches what a power cut would bring back.
    pub(super) fn remove(partition: &Path) -> Result<(), FolderError> {
        let path = file(partition);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk(&path)(error)),
            _ => sync_name(&path).map_err(disk(&path)),
        }
    }
}

/// Installs again what the stores had not written out when the process ended. A torn record at the end is cut: what it
/// held is asked for again. Stores that stand at the snapshot already, because the last step had begun, have it all.
pub(in crate::database) fn replay_logs<'a>(
    partitions: impl Iterator<Item = (PathBuf, &'a Store)>,
    target: Timestamp,
) -> Result<(), SyncError> {
    let behind = partitions.filter(|(_, store)| store.progress().timestamp < target);
    let behind: Vec<_> = behind.collect();
    let shown = behind.iter().map(|(_, store)| store.progress().timestamp).max().unwrap_or_default();
    for (home, store) in behind {
        store.begin_sync(target, shown)?;
        replay(&home, store)?;
    }
    Ok(())
}

fn replay(partition: &Path, store: &Store) -> Result<(), SyncError> {
    let path = file(partition);
    let mut log = match File::options().read(true).write(true).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(disk(&path))?,
    };
    let mut good = 0;
    while let Some((installment, version, length)) = read(&mut log).map_err(disk(&path))? {
        good += length;
        let reached = store.syncing().map_or(Timestamp::ZERO, |syncing| syncing.version);
        if version > reached {
            store.install_at(&installment, version)?;
        }
    }
    log.set_len(good).map_err(disk(&path))?;
    Ok(())
}

fn encode(installment: &Installment, version: Timestamp) -> Vec<u8> {
    let mut note = Note {
        after: installment.after.clone(),
        all_came: installment.all_came,
        bytes: installment.bytes,
        absent: Vec::new(),
        forgotten: Vec::new(),
        quarantined: Vec::new(),
    };
    let mut frames = Vec::new();
    for payload in &installment.payloads {
        frames.extend(SyncFrame::Payload(payload.clone()).encode());
    }
    for (name, position, since) in &installment.cursors {
        let frame = SyncFrame::Cursor { name: name.clone(), position: position.clone(), since: *since };
        frames.extend(frame.encode());
    }
    for change in &installment.changes {
        match change {
            Install::Document(document) => frames.extend(SyncFrame::Document(document.clone()).encode()),
            Install::Purged(uri) => frames.extend(SyncFrame::Purged(uri.clone()).encode()),
            Install::Absent(uri) => note.absent.push(uri.clone()),
            Install::Forgotten(uri) => note.forgotten.push(uri.clone()),
            Install::Quarantined { uri, reason } => note.quarantined.push((uri.clone(), reason.clone())),
        }
    }
    let note = serde_json::to_vec(&note).expect("a note has no maps with other keys than text");
    let mut body = version.0.to_le_bytes().to_vec();
    body.extend(u32::try_from(note.len()).unwrap_or(u32::MAX).to_le_bytes());
    body.extend(note);
    body.extend(frames);
    let mut record = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    record.extend(crc32c::crc32c(&body).to_le_bytes());
    record.extend(body);
    record
}

/// The next whole record, or `None` where the log ends or was torn.
fn read(log: &mut File) -> io::Result<Option<(Installment, Timestamp, u64)>> {
    let mut header = [0; 8];
    if !fill(log, &mut header)? {
        return Ok(None);
    }
    let [a, b, c, d, checksum @ ..] = header;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > RECORD_BYTES_MAX {
        return Ok(None);
    }
    let mut body = vec![0; length];
    if !fill(log, &mut body)? || crc32c::crc32c(&body) != u32::from_le_bytes(checksum) {
        return Ok(None);
    }
    Ok(decode(body.into()).map(|(installment, version)| (installment, version, 8 + length as u64)))
}

/// Fills the buffer, or says that the file ends before.
fn fill(log: &mut File, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

fn decode(body: Bytes) -> Option<(Installment, Timestamp)> {
    let (version, rest) = body.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let note_bytes = u32::from_le_bytes(*length) as usize;
    let note: Note = serde_json::from_slice(rest.get(..note_bytes)?).ok()?;
    let mut frames = BytesMut::from(rest.get(note_bytes..)?);
    let mut installment = Installment {
        after: note.after,
        all_came: note.all_came,
        bytes: note.bytes,
        ..Installment::default()
    };
    installment.changes.extend(note.absent.into_iter().map(Install::Absent));
    installment.changes.extend(note.forgotten.into_iter().map(Install::Forgotten));
    let held = |(uri, reason)| Install::Quarantined { uri, reason };
    installment.changes.extend(note.quarantined.into_iter().map(held));
    while let Some((frame, _)) = SyncFrame::take(&mut frames).ok()? {
        match frame {
            SyncFrame::Payload(payload) => installment.payloads.push(own(payload)),
            SyncFrame::Document(document) => installment.changes.push(Install::Document(document)),
            SyncFrame::Purged(uri) => installment.changes.push(Install::Purged(uri)),
            SyncFrame::Cursor { name, position, since } => installment.cursors.push((name, position, since)),
            _ => return None,
        }
    }
    Some((installment, Timestamp(u64::from_le_bytes(*version))))
}

/// A payload that does not keep the whole record in memory.
fn own(payload: Payload) -> Payload {
    Payload { bytes: Bytes::copy_from_slice(&payload.bytes), ..payload }
}

fn file(partition: &Path) -> PathBuf {
    partition.join("synchronize.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_a_torn_one_ends_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let uri = |text: &str| Uri::parse(text).unwrap();
        let installment = Installment {
            payloads: vec![
                Payload::of(b"body".as_slice()),
                Payload::erased(apograph_format::Hash([3; 32]), 9),
            ],
            changes: vec![
                Install::Absent(uri("/gone")),
                Install::Forgotten(uri("/never/shown")),
                Install::Quarantined { uri: uri("/odd"), reason: "too long".into() },
                Install::Purged(uri("/purged")),
            ],
            cursors: vec![("git".into(), "abc".into(), Timestamp(4))],
            after: Some(uri("/m")),
            all_came: true,
            bytes: 77,
        };
        let mut log = SyncLog::open(folder.path()).unwrap();
        log.append(&installment, Timestamp(8)).unwrap();
        let whole_bytes = log.bytes;
        log.append(&installment, Timestamp(9)).unwrap();
        let path = file(folder.path());
        let both = std::fs::read(&path).unwrap();
        for cut in whole_bytes..log.bytes {
            std::fs::write(&path, &both[..usize::try_from(cut).unwrap()]).unwrap();
            let mut file = File::open(&path).unwrap();
            let (found, version, length) = read(&mut file).unwrap().unwrap();
            assert_eq!((format!("{found:?}"), version), (format!("{installment:?}"), Timestamp(8)));
            assert_eq!(length, whole_bytes);
            assert!(read(&mut file).unwrap().is_none(), "cut at {cut}");
        }
    }
}
