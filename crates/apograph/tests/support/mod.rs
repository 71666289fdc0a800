//! Servers without HTTP, and the exact-copy check that every test of several servers ends with.

#![allow(dead_code, reason = "not every test uses everything")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, unreachable_pub)]

pub mod altered;
pub mod synchronize;

pub mod loading;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apograph::format::{DigestKey, Entry, EntryKind, Frame, PartitionId, Properties, Uri, View};
use apograph::settings::{DatabaseSettings, ServerSettings, SourceSettings};
use apograph::status::PartitionStatus;
use apograph::transaction::{Action, ContentBytes, ContentChange, Precondition, Put, Transaction};
use apograph::{Database, Folder, OpenError, Operation, Role};
use bytes::BytesMut;

const NAMES: [(&str, Role, &str); 4] = [
    ("primary", Role::Primary, ""),
    ("replica", Role::Replica, "primary"),
    ("second", Role::Replica, "replica"),
    ("staging", Role::Staging, "replica"),
];

/// Whoever has not settled after so long never does.
pub const SETTLING_MAX: std::time::Duration = std::time::Duration::from_secs(120);

pub struct Servers {
    /// Who is primary now.
    primary: &'static str,
    /// Copies and whom they follow now, sources first.
    links: Vec<(&'static str, &'static str)>,
    open: BTreeMap<&'static str, (Folder, Database)>,
    dir: tempfile::TempDir,
}

impl Servers {
    pub fn start(partitions: u16) -> Servers {
        Servers::start_in(tempfile::tempdir().unwrap(), partitions)
    }

    pub fn start_in(dir: tempfile::TempDir, partitions: u16) -> Servers {
        let links = NAMES.into_iter().skip(1).map(|(name, _, source)| (name, source)).collect();
        let mut servers = Servers { primary: "primary", links, dir, open: BTreeMap::new() };
        for (name, role, source) in NAMES {
            let mut settings = DatabaseSettings::new(role);
            settings.partitions = partitions;
            settings.segment_bytes_max = Some(64 << 10);
            settings.source = (!source.is_empty()).then(|| SourceSettings::new(source, "none"));
            let settings = ServerSettings {
                name: name.into(),
                listen: "127.0.0.1:1".into(),
                url: None,
                backup_folder: None,
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

    /// Stops a server, does something to its folder, and opens it again.
    pub fn tamper(&mut self, name: &'static str, tamper: impl FnOnce(&Path)) -> Result<(), OpenError> {
        let (folder, database) = self.open.remove(name).unwrap();
        database.shutdown();
        drop((folder, database));
        tamper(&self.path(name));
        self.try_open(name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn database(&self, name: &str) -> Database {
        self.open[name].1.clone()
    }

    pub fn primary(&self) -> Database {
        self.database(self.primary)
    }

    /// From now on `primary` is the primary, and these follow those: sources first. Who is not named follows nothing.
    pub fn rearrange<const N: usize>(
        &mut self,
        primary: &'static str,
        links: [(&'static str, &'static str); N],
    ) {
        self.primary = primary;
        self.links = links.into();
    }

    /// Every copy hears from its source what that knows of epochs, as when a link connects. A stream that goes on tells
    /// it by its entries.
    pub fn greet(&self) {
        for (name, _, source) in self.copies() {
            let (source, copy) = (self.database(source), self.database(name));
            copy.learn(source.handshake(copy.view()).unwrap().epochs).unwrap();
        }
    }

    /// Copies, what they hold, and whom they follow.
    fn copies(&self) -> Vec<(&'static str, Role, &'static str)> {
        let role = |of| NAMES.into_iter().find(|(name, _, _)| *name == of).unwrap().1;
        let role = |of| if role(of) == Role::Staging { Role::Staging } else { Role::Replica };
        self.links.iter().map(|(name, source)| (*name, role(*name), *source)).collect()
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
            self.restart_one(name);
        }
    }

    /// Stops and opens one server again.
    pub fn restart_one(&mut self, name: &'static str) {
        self.tamper(name, |_| {}).unwrap();
    }

    /// Goes on with what a server that was killed now would find: a copy of its folder, taken while it is idle.
    pub fn crash(&mut self, name: &'static str) {
        self.crash_and(name, |_| {});
    }

    /// The same, and does something to the folder before it goes on.
    pub fn crash_and(&mut self, name: &'static str, tamper: impl FnOnce(&Path)) {
        let (home, copy) = (self.path(name), self.path("copy"));
        snapshot(&home, &copy);
        tamper(&copy);
        let swap = |home: &Path| {
            std::fs::remove_dir_all(home).unwrap();
            std::fs::rename(&copy, home).unwrap();
        };
        self.tamper(name, swap).unwrap();
    }

    pub fn open_again(&mut self, name: &'static str) {
        self.try_open(name).unwrap();
    }

    pub fn is_open(&self, name: &str) -> bool {
        self.open.contains_key(name)
    }

    /// Closes all servers.
    pub fn close(&mut self) {
        for (folder, database) in std::mem::take(&mut self.open).into_values() {
            database.shutdown();
            drop((database, folder));
        }
    }

    fn try_open(&mut self, name: &'static str) -> Result<(), OpenError> {
        let folder = Folder::open(&self.path(name))?;
        let database = folder.database("main")?.unwrap();
        self.open.insert(name, (folder, database));
        Ok(())
    }

    /// Waits until the primary has nothing left to do: its last checkpoint is written, purged bytes are erased.
    pub fn settle_primary(&self) {
        while !is_settled(&self.primary()) {
            // Readers hold the files open that a purge wants to take bytes out of.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Lets every copy follow its source until nothing is left.
    pub fn follow(&mut self) {
        for (name, _, source) in self.copies() {
            let (source, copy) = (self.database(source), self.database(name));
            for partition in copy.partitioning().all() {
                while pump(&source, &copy, partition, 1 << 20, usize::MAX) {}
            }
        }
    }

    /// Lets one copy follow its source until nothing is left.
    pub fn follow_one(&mut self, name: &'static str) {
        let (_, _, source) = self.copies().into_iter().find(|(of, _, _)| *of == name).unwrap();
        let (source, copy) = (self.database(source), self.database(name));
        for partition in copy.partitioning().all() {
            while pump(&source, &copy, partition, 1 << 20, usize::MAX) {}
        }
    }

    /// Synchronizes every copy with its source, and answers what that cost.
    pub fn synchronize_all(&mut self) -> synchronize::Cost {
        let mut cost = synchronize::Cost::default();
        for (name, _, source) in self.copies() {
            let (source, copy) = (self.database(source), self.database(name));
            let outcome = synchronize::synchronize(&source, &copy, "out-of-window", &mut cost);
            assert!(outcome.is_whole(), "{name}: {outcome:?}");
        }
        cost
    }

    /// Equal digests, equal exports, and journals that are equal from where a copy's begins. What the primary writes when
    /// it is idle is followed first.
    pub fn check_equal(&mut self) {
        self.settle();
        for (name, _, _) in self.copies() {
            self.check_equal_one(name);
        }
    }

    /// The same of one copy, as far as it is.
    pub fn check_equal_one(&mut self, name: &'static str) {
        let (primary, copy) = (self.primary(), self.database(name));
        let (view, at) = (copy.view(), copy.visible());
        let digest = |database: &Database| database.digest_at(view, at).unwrap();
        assert_eq!(digest(&copy), digest(&primary), "{name}");
        let export = |database: &Database| -> Vec<String> {
            database.export(view, Some(at)).unwrap().map(Result::unwrap).collect()
        };
        assert_same(&export(&copy), &export(&primary));
        if view == View::Full {
            for of in copy.status().unwrap().partitions {
                let bytes = |database: &Database| {
                    let mut feed = database.feed(of.partition, view, of.journal_start, None).unwrap();
                    let mut bytes = Vec::new();
                    while let Some(piece) = feed.next(1 << 20).unwrap() {
                        bytes.extend_from_slice(&piece);
                    }
                    bytes
                };
                assert!(bytes(&primary).starts_with(&bytes(&copy)), "{name}: partition {}", of.partition);
            }
        }
    }

    /// Waits until purged bytes are gone from a server's files.
    pub fn wait_for_erasures(&self, name: &str) {
        let begun = std::time::Instant::now();
        while erasures_pending(&self.database(name)) > 0 {
            assert!(begun.elapsed() < SETTLING_MAX, "{name} never erases what was purged");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Lets copies take a few entries of some partitions.
    pub fn follow_some(&mut self, seed: u64) {
        for (index, (name, _, source)) in self.copies().into_iter().enumerate() {
            let index = index + 1;
            let (source, copy) = (self.database(source), self.database(name));
            for partition in copy.partitioning().all() {
                let choice =
                    seed.wrapping_mul(31).wrapping_add(index as u64 * 7 + u64::from(partition.0) * 3) % 5;
                if choice > 1 {
                    pump(&source, &copy, partition, 1, choice as usize);
                }
            }
        }
    }

    /// Lets one copy take at most so many entries of one partition of the primary.
    pub fn follow_partition(&mut self, name: &str, partition: PartitionId, count: usize) {
        pump(&self.primary(), &self.database(name), partition, 1, count);
    }

    /// Equal positions, equal bytes of all segments, equal digests, equal exports; the published view of the primary is
    /// what the staging server holds. Exempt: the `_` before the name of the open segment, and the zeros behind its end.
    pub fn check_exact(&mut self) {
        // The primary writes its checkpoint when it is idle.
        self.settle();
        let primary = self.primary();
        for (name, role, _) in self.copies() {
            let copy = self.database(name);
            let view = role.view();
            assert!(copy.status().unwrap().alarms.is_empty(), "{name}: {:?}", copy.status().unwrap().alarms);
            assert_eq!(copy.visible(), primary.visible(), "{name}");
            let digest = |database: &Database| database.digest_at(view, primary.visible()).unwrap();
            assert_eq!(digest(&copy), digest(&primary), "{name}");
            assert_eq!(export(&copy, view), export(&primary, view), "{name}");
            if view == View::Full {
                let (found, expected) = (segments(&self.path(name)), segments(&self.path(self.primary)));
                assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}");
                for (segment, bytes) in &found {
                    assert!(*bytes == expected[segment], "{name}: {segment} differs");
                }
            }
        }
    }

    fn settle(&mut self) {
        let begun = std::time::Instant::now();
        loop {
            let stuck =
                || -> Vec<_> { self.open.values().map(|(_, database)| database.status().unwrap()).collect() };
            assert!(begun.elapsed() < SETTLING_MAX, "it never settles: {:#?}", stuck());
            self.follow();
            let erasures = |(_, database): &(Folder, Database)| erasures_pending(database);
            if is_settled(&self.primary()) && self.open.values().map(erasures).sum::<u64>() == 0 {
                break;
            }
            // Readers hold the files open that a purge wants to take bytes out of.
            std::thread::sleep(std::time::Duration::from_millis(20));
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

fn is_settled(primary: &Database) -> bool {
    let is_proven = |partition: &PartitionStatus| partition.last_checkpoint == Some(partition.journal_end);
    primary.status().unwrap().partitions.iter().all(is_proven) && erasures_pending(primary) == 0
}

fn erasures_pending(database: &Database) -> u64 {
    database.status().unwrap().partitions.iter().map(|partition| partition.erasures_pending).sum()
}

/// Moves up to `bytes` (and at most `count` entries) from a source to a copy; answers whether anything moved.
fn pump(source: &Database, copy: &Database, partition: PartitionId, bytes: usize, count: usize) -> bool {
    let (_, from, source_position) = copy.resume().into_iter().find(|(id, _, _)| *id == partition).unwrap();
    let mut feed = source.feed(partition, copy.view(), from, source_position).unwrap();
    let mut entries = Vec::new();
    // A primary that rests for a moment writes a checkpoint: that counts for nothing.
    let counts = |entry: &Entry| entry.header().kind != EntryKind::Checkpoint;
    while entries.iter().filter(|entry| counts(entry)).count() < count {
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
    if let Some((last, _)) = entries.iter().enumerate().filter(|(_, entry)| counts(entry)).nth(count - 1) {
        entries.truncate(last + 1);
    }
    let moved = !entries.is_empty();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(copy.take(partition, entries)).unwrap();
    moved
}

pub fn export(database: &Database, view: View) -> Vec<String> {
    database.export(view, None).unwrap().map(Result::unwrap).collect()
}

/// Two exports, and if they differ the first lines that do.
pub fn assert_same(found: &[String], expected: &[String]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(short(found), short(expected));
        assert!(found == expected, "they differ behind {}", short(found));
    }
    assert_eq!(found.len(), expected.len());
}

fn short(line: &str) -> &str {
    line.get(..1_000).unwrap_or(line)
}

/// The key of a view's digests, as the data folder holds it.
pub fn digest_key(home: &Path, view: View) -> DigestKey {
    let file = std::fs::read(home.join("databases/main/database.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let keys: Vec<(View, String)> = serde_json::from_value(file["digest_keys"].clone()).unwrap();
    let (_, key) = keys.iter().find(|(of, _)| *of == view).unwrap();
    DigestKey::from_bytes(hex::decode(key).unwrap().try_into().unwrap())
}

/// Copies a folder as it stands at one moment: again, if a file changed meanwhile.
pub fn snapshot(from: &Path, to: &Path) {
    loop {
        let before = stamps(from);
        let copied = copy_folder(from, to);
        if copied.is_ok() && before.is_some() && stamps(from) == before {
            return;
        }
        std::fs::remove_dir_all(to).unwrap();
        // Readers hold the files open that a purge wants to take bytes out of.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

pub fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry?.file_name()));
        if path.is_dir() { copy_folder(&path, &to)? } else { std::fs::copy(&path, &to).map(drop)? }
    }
    Ok(())
}

/// Path, length and time of change of every file; none while files come and go.
fn stamps(folder: &Path) -> Option<BTreeMap<PathBuf, (u64, std::time::SystemTime)>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        let metadata = path.metadata().ok()?;
        if metadata.is_dir() {
            found.extend(stamps(&path)?);
        } else {
            found.insert(path, (metadata.len(), metadata.modified().ok()?));
        }
    }
    Some(found)
}

/// Bytes of all segments of all partitions, by partition and file name without its prefix. Zeros ahead of the end of the
/// open one are free space, and each server has its own.
pub fn segments(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    files(folder)
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "segment"))
        .map(|(path, mut bytes)| {
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_')) {
                let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                bytes.truncate(end);
            }
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().replace("/_", "/");
            (name, bytes)
        })
        .collect()
}

/// Every file below a folder. A server that runs may remove some meanwhile: those are not there.
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
            continue;
        }
        match std::fs::read(&path) {
            Ok(bytes) => found.push((path, bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => panic!("{}: {error}", path.display()),
        }
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
