//! Servers without HTTP, and the exact-copy check that every test of several servers ends with.

#![allow(dead_code, reason = "not every test uses everything")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apograph::format::{Frame, PartitionId, Properties, Uri, View};
use apograph::status::PartitionStatus;
use apograph::settings::{DatabaseSettings, ServerSettings, SourceSettings};
use apograph::transaction::{Action, ContentBytes, ContentChange, Precondition, Put, Transaction};
use apograph::{Database, Folder, Operation, Role};
use bytes::BytesMut;

const NAMES: [(&str, Role, &str); 4] = [
    ("primary", Role::Primary, ""),
    ("replica", Role::Replica, "primary"),
    ("second", Role::Replica, "replica"),
    ("staging", Role::Staging, "replica"),
];

pub struct Servers {
    dir: tempfile::TempDir,
    open: BTreeMap<&'static str, (Folder, Database)>,
}

impl Servers {
    pub fn start(partitions: u16) -> Servers {
        let dir = tempfile::tempdir().unwrap();
        let mut servers = Servers { dir, open: BTreeMap::new() };
        for (name, role, source) in NAMES {
            let mut settings = DatabaseSettings::new(role);
            settings.partitions = partitions;
            settings.segment_bytes_max = Some(64 << 10);
            settings.source = (!source.is_empty())
                .then(|| SourceSettings { url: source.into(), token_file: "none".into(), database: None });
            let settings = ServerSettings {
                name: name.into(),
                listen: "127.0.0.1:1".into(),
                url: None,
                databases: BTreeMap::from([("main".to_owned(), settings)]),
            };
            let folder = Folder::init(&servers.path(name), &settings).unwrap();
            let database = match folder.database("main").unwrap() {
                Some(database) => database,
                None => {
                    let handshake = servers.database(source).handshake(role.view()).unwrap();
                    folder.adopt("main", &handshake).unwrap()
                }
            };
            servers.open.insert(name, (folder, database));
        }
        servers
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn database(&self, name: &str) -> Database {
        self.open[name].1.clone()
    }

    pub fn primary(&self) -> Database {
        self.database("primary")
    }

    pub fn staging(&self) -> Database {
        self.database("staging")
    }

    pub fn commit<const N: usize>(&mut self, operations: [Operation; N]) {
        self.primary().commit(transaction(operations)).unwrap();
    }

    /// Stops and opens every server again.
    pub fn restart(&mut self) {
        for (name, _, _) in NAMES {
            let (folder, database) = self.open.remove(name).unwrap();
            database.shutdown();
            drop((folder, database));
            let folder = Folder::open(&self.path(name)).unwrap();
            let database = folder.database("main").unwrap().unwrap();
            self.open.insert(name, (folder, database));
        }
    }

    /// Lets every copy follow its source until nothing is left.
    pub fn follow(&mut self) {
        for (name, _, source) in NAMES.into_iter().skip(1) {
            let (source, copy) = (self.database(source), self.database(name));
            for partition in copy.partitioning().all() {
                while pump(&source, &copy, partition, 1 << 20, usize::MAX) {}
            }
        }
    }

    /// Lets copies take a few entries of some partitions.
    pub fn follow_some(&mut self, seed: u64) {
        for (index, (name, _, source)) in NAMES.into_iter().enumerate().skip(1) {
            let (source, copy) = (self.database(source), self.database(name));
            for partition in copy.partitioning().all() {
                let choice = seed.wrapping_mul(31).wrapping_add(index as u64 * 7 + u64::from(partition.0) * 3) % 5;
                if choice > 1 {
                    pump(&source, &copy, partition, 1, choice as usize);
                }
            }
        }
    }

    /// Equal positions, equal bytes of all segments, equal digests, equal exports; the published view of the primary is
    /// what the staging server holds. Exempt: the `_` before the name of the open segment.
    pub fn check_exact(&mut self) {
        // The primary writes its checkpoint when it is idle.
        self.settle();
        let primary = self.primary();
        for (name, role, _) in NAMES.into_iter().skip(1) {
            let copy = self.database(name);
            let view = role.view();
            assert!(copy.status().unwrap().alarms.is_empty(), "{name}: {:?}", copy.status().unwrap().alarms);
            assert_eq!(copy.visible(), primary.visible(), "{name}");
            let digest = |database: &Database| database.digest_at(view, primary.visible()).unwrap();
            assert_eq!(digest(&copy), digest(&primary), "{name}");
            assert_eq!(export(&copy, view), export(&primary, view), "{name}");
            if view == View::Full {
                let (found, expected) = (segments(&self.path(name)), segments(&self.path("primary")));
                assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}");
                for (segment, bytes) in &found {
                    assert!(*bytes == expected[segment], "{name}: {segment} differs");
                }
            }
        }
    }

    fn settle(&mut self) {
        loop {
            self.follow();
            let status = self.primary().status().unwrap();
            let is_proven = |partition: &PartitionStatus| partition.last_checkpoint == Some(partition.journal_end);
            let erasures = |(name, _, _): &(&str, Role, &str)| {
                self.database(name).status().unwrap().partitions.iter().map(|p| p.erasures_pending).sum::<u64>()
            };
            if status.partitions.iter().all(is_proven) && NAMES.iter().map(erasures).sum::<u64>() == 0 {
                break;
            }
            std::thread::yield_now();
        }
        self.follow();
    }

    /// Searches every file of a server.
    pub fn check_absent(&self, name: &str, canary: &[u8]) {
        for (path, bytes) in files(&self.path(name)) {
            let found = bytes.windows(canary.len()).any(|window| window == canary);
            assert!(!found, "{name}: {} holds the canary", path.display());
        }
    }
}

/// Moves up to `bytes` (and at most `count` entries) from a source to a copy; answers whether anything moved.
fn pump(source: &Database, copy: &Database, partition: PartitionId, bytes: usize, count: usize) -> bool {
    let (_, from, source_position) = copy.resume().into_iter().find(|(id, _, _)| *id == partition).unwrap();
    let mut feed = source.feed(partition, copy.view(), from, source_position).unwrap();
    let mut entries = Vec::new();
    while entries.len() < count {
        let Some(piece) = feed.next(bytes).unwrap() else { break };
        let mut buffer = BytesMut::from(&piece[..]);
        while let Some(frame) = Frame::take(&mut buffer).unwrap() {
            if let Frame::Entry(entry) = frame {
                entries.push(entry);
            }
        }
        if count == usize::MAX {
            break;
        }
    }
    entries.truncate(count);
    let moved = !entries.is_empty();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(copy.take(partition, entries)).unwrap();
    moved
}

pub fn export(database: &Database, view: View) -> Vec<String> {
    database.export(view, None).unwrap().map(Result::unwrap).collect()
}

/// Bytes of all segments of all partitions, by partition and file name without its prefix.
fn segments(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    files(folder)
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "segment"))
        .map(|(path, bytes)| {
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().replace("/_", "/");
            (name, bytes)
        })
        .collect()
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push((path.clone(), std::fs::read(path).unwrap())) }
    }
    found
}

pub fn transaction<const N: usize>(operations: [Operation; N]) -> Transaction {
    Transaction {
        author: "ann".into(),
        comment: "a change".into(),
        operations: operations.into(),
        privileged: true,
        ..Transaction::default()
    }
}

pub fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

pub fn operation(at: &str, action: Action) -> Operation {
    Operation { uri: uri(at), precondition: Precondition::None, action }
}

pub fn put(at: &str, text: &str) -> Operation {
    put_content(at, ContentBytes::Inline(text.to_owned().into()))
}

pub fn put_content(at: &str, bytes: ContentBytes) -> Operation {
    let content = ContentChange::Set { media_type: "text/plain".into(), bytes };
    let properties = Some(Properties::parse(r#"{"title":"x"}"#).unwrap());
    operation(at, Action::Put(Put { content, properties, ..Put::default() }))
}

pub fn publish(at: &str) -> Operation {
    operation(at, Action::Publish { version: None })
}

pub fn trash(at: &str) -> Operation {
    operation(at, Action::Trash)
}

pub fn lock(at: &str, seconds: u64) -> Operation {
    operation(at, Action::Lock { owner: None, seconds })
}
