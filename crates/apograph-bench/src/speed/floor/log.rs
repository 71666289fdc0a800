//! The one file of the floor: records one after the other, each with a check sum; and where each key stands.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Length of key and document, check sum of both, length of the key.
const HEAD: usize = 10;

pub(super) struct Log {
    file: File,
    /// Bytes that are durable.
    end: u64,
    index: HashMap<Box<[u8]>, (u64, u32)>,
    /// What this turn appends.
    batch: Vec<u8>,
    /// Keys of the batch, and where their documents will stand.
    keys: Vec<(Box<[u8]>, u64, u32)>,
    /// The batch that was made durable last, for those who follow.
    last: Vec<u8>,
}

impl Log {
    pub(super) fn open(folder: &Path) -> io::Result<Log> {
        fs::create_dir_all(folder)?;
        let file = File::options().create(true).read(true).append(true).open(folder.join("log"))?;
        let (batch, keys, last) = Default::default();
        let mut log = Log { file, end: 0, index: HashMap::new(), batch, keys, last };
        log.recover()?;
        Ok(log)
    }

    fn recover(&mut self) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(1 << 20, self.file.try_clone()?);
        let (mut head, mut record) = ([0; HEAD], Vec::new());
        while reader.read_exact(&mut head).is_ok() {
            record.resize(HEAD + length(&head), 0);
            record[..HEAD].copy_from_slice(&head);
            if reader.read_exact(&mut record[HEAD..]).is_err() || !is_whole(&record) {
                break;
            }
            self.note(&record, self.end);
            self.show();
            self.end += record.len() as u64;
        }
        self.file.set_len(self.end)
    }

    /// Bytes that are durable.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn put(&mut self, key: &[u8], document: &[u8]) {
        let at = self.end + self.batch.len() as u64;
        let check = crc32c::crc32c_append(crc32c::crc32c(key), document);
        let bytes = (key.len() + document.len()) as u32;
        self.batch.extend_from_slice(&bytes.to_le_bytes());
        self.batch.extend_from_slice(&check.to_le_bytes());
        self.batch.extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.batch.extend_from_slice(key);
        self.batch.extend_from_slice(document);
        self.keys.push((key.into(), at + (HEAD + key.len()) as u64, document.len() as u32));
    }

    /// Appends the whole records that these bytes begin with; answers how many bytes those are.
    pub(super) fn append_records(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut at = 0;
        while bytes.len() - at >= HEAD {
            let end = at + HEAD + length(&bytes[at..]);
            let Some(record) = bytes.get(at..end) else { break };
            if !is_whole(record) {
                return Err(io::Error::other("a record was damaged on its way"));
            }
            self.note(record, self.end + (self.batch.len() + at) as u64);
            at = end;
        }
        self.batch.extend_from_slice(&bytes[..at]);
        Ok(at)
    }

    /// Makes durable, and visible, what was appended.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.batch)?;
        self.file.sync_data()?;
        self.end += self.batch.len() as u64;
        std::mem::swap(&mut self.last, &mut self.batch);
        self.batch.clear();
        self.show();
        Ok(())
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let (at, length) = *self.index.get(key)?;
        let mut document = vec![0; length as usize];
        self.file.read_exact_at(&mut document, at).ok()?;
        Some(document)
    }

    /// Copies durable bytes from a place on, at most so many; from memory, if they are of the last commit.
    pub(super) fn copy(&self, from: u64, at_most: usize, to: &mut Vec<u8>) -> io::Result<usize> {
        let begin = self.end - self.last.len() as u64;
        if from >= begin {
            let bytes = &self.last[(from - begin) as usize..];
            to.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let length = ((self.end - from) as usize).min(at_most);
        let start = to.len();
        to.resize(start + length, 0);
        self.file.read_exact_at(&mut to[start..], from)?;
        Ok(length)
    }

    /// Everybody who is up to date has the last commit.
    pub(super) fn forget_last(&mut self) {
        self.last.clear();
    }

    fn note(&mut self, record: &[u8], at: u64) {
        let key = u16::from_le_bytes([record[8], record[9]]) as usize;
        let document = record.len() - HEAD - key;
        self.keys.push((record[HEAD..HEAD + key].into(), at + (HEAD + key) as u64, document as u32));
    }

    fn show(&mut self) {
        self.index.extend(self.keys.drain(..).map(|(key, at, length)| (key, (at, length))));
    }
}

fn length(head: &[u8]) -> usize {
    u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize
}

fn is_whole(record: &[u8]) -> bool {
    crc32c::crc32c(&record[HEAD..]) == u32::from_le_bytes([record[4], record[5], record[6], record[7]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_is_there_again_and_a_torn_record_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path()).unwrap();
        log.put(b"a", b"one");
        log.put(b"b", b"two");
        log.commit().unwrap();
        let mut shipped = Vec::new();
        log.copy(0, 1 << 20, &mut shipped).unwrap();
        drop(log);
        let path = folder.path().join("log");
        let mut torn = fs::read(&path).unwrap();
        torn.extend_from_slice(&[9, 0, 0, 0, 1]);
        fs::write(&path, torn).unwrap();
        let log = Log::open(folder.path()).unwrap();
        assert_eq!(log.get(b"b").as_deref(), Some(&b"two"[..]));
        assert_eq!(log.end(), shipped.len() as u64);
    }

    #[test]
    fn a_replica_takes_whole_records_and_no_damaged_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = Log::open(&folder.path().join("source")).unwrap();
        source.put(b"a", b"one");
        source.commit().unwrap();
        let mut shipped = Vec::new();
        source.copy(0, 1 << 20, &mut shipped).unwrap();
        let mut replica = Log::open(&folder.path().join("replica")).unwrap();
        assert_eq!(replica.append_records(&shipped[..shipped.len() - 1]).unwrap(), 0);
        assert_eq!(replica.append_records(&shipped).unwrap(), shipped.len());
        replica.commit().unwrap();
        assert_eq!(replica.get(b"a").as_deref(), Some(&b"one"[..]));
        *shipped.last_mut().unwrap() ^= 1;
        replica.append_records(&shipped).unwrap_err();
    }
}
