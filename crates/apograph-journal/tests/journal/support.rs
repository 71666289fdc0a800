//! Entries and folders for tests. Everything is deterministic.
#![allow(dead_code, unreachable_pub, reason = "shared by two test crates, each of which uses a part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use apograph_format::facts::ContentsFacts;
use apograph_format::{
    DatabaseId, Entry, EntryHeader, EntryKind, Facts, Hash, Participants, PartitionId, Partitioning, Payload,
    Position, Timestamp, View,
};
use apograph_journal::{Beginning, Identity, Journal, JournalReader, Options, ReadError, Report, verify};

pub fn identity() -> Identity {
    Identity {
        database: DatabaseId([7; 16]),
        view: View::Full,
        partition: PartitionId(1),
        partitioning: Partitioning::new(2).unwrap(),
    }
}

pub fn options() -> Options {
    Options {
        segment_bytes_max: 1000,
        segment_age_max: Duration::from_secs(3600),
        tail_bytes_max: 1 << 20,
        // Folders are compared byte by byte; tests of what is written ahead say so.
        ahead_bytes: 0,
        ..Options::default()
    }
}

/// A payload of `length` bytes that no other number gives.
pub fn payload(number: u64, length: usize) -> Payload {
    let mut bytes: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(length).collect();
    bytes.iter_mut().enumerate().for_each(|(index, byte)| *byte ^= (index * 31) as u8 | 1);
    Payload::of(bytes)
}

/// A primary that writes `contents` entries, one after the other.
#[derive(Debug, Clone)]
pub struct Chain {
    pub after: Position,
    pub timestamp: u64,
    pub synced: u64,
}

impl Chain {
    pub fn new() -> Chain {
        Chain { after: Beginning::genesis(&identity()).after, timestamp: 0, synced: 0 }
    }

    /// The next entry, a second after the last.
    pub fn next(&mut self, lengths: &[usize], starts_segment: bool) -> Entry {
        self.next_at(lengths, starts_segment, self.timestamp + 1_000_000)
    }

    pub fn next_at(&mut self, lengths: &[usize], starts_segment: bool, timestamp: u64) -> Entry {
        let sequence = self.after.sequence + 1;
        let name = |(index, length): (usize, &usize)| payload(sequence * 1000 + index as u64, *length);
        let payloads: Vec<Payload> = lengths.iter().enumerate().map(name).collect();
        let names = payloads.iter().map(|payload| payload.hash).collect();
        let facts = Facts::Contents(ContentsFacts { payloads: names, source: None });
        let header = EntryHeader {
            kind: EntryKind::Contents,
            starts_segment,
            facts_bytes: 0,
            payloads: 0,
            payloads_bytes: 0,
            epoch: apograph_format::Epoch::FIRST,
            sequence,
            timestamp: Timestamp(timestamp),
            previous_timestamp: Timestamp(self.timestamp),
            synced: self.synced,
            participants: [PartitionId(1)].into_iter().collect::<Participants>(),
            partition: PartitionId(1),
            previous_hash: self.after.hash,
            hash: Hash([0; 32]),
        };
        let entry = Entry::seal(header, &facts.encode(), &payloads);
        self.after = entry.position();
        self.timestamp = timestamp;
        entry
    }

    /// Appends `count` entries with one payload of `length` bytes each, rotating as the journal says.
    pub fn extend(&mut self, journal: &mut Journal, count: usize, length: usize) -> Vec<Entry> {
        let append = |_| {
            let size = self.clone().next(&[length], false).bytes().len() as u64;
            let starts = journal.next_starts_segment(size, Timestamp(self.timestamp + 1_000_000));
            let entry = self.next(&[length], starts);
            journal.append(&entry).unwrap();
            entry
        };
        (0..count).map(append).collect()
    }

    /// Everything so far is durable on the primary.
    pub fn sync(&mut self, journal: &mut Journal) -> Position {
        let end = journal.sync().unwrap();
        self.synced = end.sequence;
        end
    }
}

pub fn create(dir: &Path) -> Journal {
    Journal::create(dir, identity(), options(), Beginning::genesis(&identity())).unwrap()
}

pub fn open(dir: &Path) -> Journal {
    Journal::open(dir, Some(&identity()), options()).unwrap().0
}

/// A closed journal of `count` acknowledged entries in segments of three.
pub fn acknowledged_journal(dir: &Path, count: usize) -> Vec<Entry> {
    let mut journal = create(dir);
    let mut chain = Chain::new();
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.extend(chain.extend(&mut journal, 1, 60));
        chain.sync(&mut journal);
    }
    journal.acknowledge(&journal.end()).unwrap();
    journal.close().unwrap();
    entries
}

pub fn read_from(reader: &JournalReader, from: &Position) -> Result<Vec<Entry>, ReadError> {
    let mut entries = reader.entries(from).unwrap();
    let mut all = Vec::new();
    while let Some(entry) = entries.next()? {
        all.push(entry);
    }
    Ok(all)
}

pub fn read_all(reader: &JournalReader) -> Result<Vec<Entry>, ReadError> {
    read_from(reader, &reader.start())
}

pub fn check(dir: &Path) -> Report {
    verify(dir, &mut |_| {}).unwrap()
}

/// Every file of a folder.
pub fn folder(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let file = file.unwrap();
        (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())
    };
    std::fs::read_dir(dir).unwrap().map(read).collect()
}

/// Makes `dir` hold exactly `files`.
pub fn restore(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for file in std::fs::read_dir(dir).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    for (name, bytes) in files {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
}

/// Name of the open segment.
pub fn open_name(files: &BTreeMap<String, Vec<u8>>) -> String {
    files.keys().rfind(|name| name.starts_with('_')).unwrap().clone()
}
