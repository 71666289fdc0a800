//! A primary with three partitions, a copy of everything, and copies of some: `left` of 0 and 2, `right` of 1.

use std::collections::BTreeMap;
use std::path::PathBuf;

use apograph::database::part::GrowError;
use apograph::database::roles::Promote;
use apograph::format::{Frame, Participants, PartitionId, Partitioning, Timestamp, Token, View};
use apograph::read::{ExportQuery, Scope};
use apograph::settings::{DatabaseSettings, ServerSettings, SourceSettings};
use apograph::{Database, Folder, OpenError, Role, Transaction};
use bytes::BytesMut;

use crate::support::synchronize::{Cost, begin_at, resume, step};
use crate::support::{assert_same, put, segments, snapshot, transaction, uri};

pub const PARTITIONS: u16 = 3;

pub struct Parts {
    /// Who is primary now.
    primary: String,
    open: BTreeMap<String, (Folder, Database)>,
    dir: tempfile::TempDir,
}

pub fn held(partitions: &[u16]) -> Participants {
    partitions.iter().copied().map(PartitionId).collect()
}

/// The nth document of a partition.
pub fn uri_in(partition: u16, n: u16) -> String {
    let partitioning = Partitioning::new(PARTITIONS).unwrap();
    let is_there = |at: &String| partitioning.of(&uri(at)) == PartitionId(partition);
    (0..).map(|try_| format!("/{n}/{try_}")).find(is_there).unwrap()
}

impl Parts {
    pub fn start() -> Parts {
        let mut parts =
            Parts { primary: "primary".into(), open: BTreeMap::new(), dir: tempfile::tempdir().unwrap() };
        let folder = Folder::init(&parts.path("primary"), &settings("primary", Role::Primary, None)).unwrap();
        let database = folder.database("main").unwrap().unwrap();
        parts.open.insert("primary".into(), (folder, database));
        parts.adopt_from("primary", "left", &[0, 2]).unwrap();
        parts.adopt_from("primary", "right", &[1]).unwrap();
        parts.adopt_from("primary", "whole", &[0, 1, 2]).unwrap();
        parts
    }

    /// A new copy of a source, which is to hold these.
    pub fn adopt_from(&mut self, source: &str, name: &str, partitions: &[u16]) -> Result<(), OpenError> {
        let path = self.path(name);
        let folder = match path.exists() {
            true => Folder::open(&path).unwrap(),
            false => Folder::init(&path, &settings(name, Role::Replica, Some(partitions))).unwrap(),
        };
        drop(folder);
        self.set_held(name, Some(partitions));
        let folder = Folder::open(&path).unwrap();
        let handshake = self.copy(source).handshake(View::Full).unwrap();
        let database = folder.adopt("main", &handshake)?;
        self.open.insert(name.into(), (folder, database));
        Ok(())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn copy(&self, name: &str) -> Database {
        self.open[name].1.clone()
    }

    pub fn primary(&self) -> Database {
        self.copy(&self.primary)
    }

    /// Changes these documents, in one transaction: partition, and which of its documents.
    pub fn commit(&mut self, documents: &[(u16, u16)]) -> Token {
        let text = format!("{:?} {}", documents, self.primary().visible());
        let operations = documents.iter().map(|(partition, n)| put(&uri_in(*partition, *n), &text)).collect();
        self.primary().commit(Transaction { operations, ..transaction([]) }).unwrap().token
    }

    /// So many entries of a partition come from the primary, and, if all of them did, what it says then.
    pub fn pump(&self, name: &str, partition: u16, entries: usize, with_word: bool) -> bool {
        self.pump_from(&self.primary, name, partition, entries, with_word)
    }

    pub fn pump_from(&self, source: &str, name: &str, partition: u16, count: usize, with_word: bool) -> bool {
        let (source, copy, partition) = (self.copy(source), self.copy(name), PartitionId(partition));
        let generation = copy.generation();
        let (_, from, _) = copy.resume().into_iter().find(|(id, _, _)| *id == partition).unwrap();
        // Before the feed is read to its end, as in a stream.
        let said = source.visible();
        let mut feed = source.feed(partition, View::Full, from, None).unwrap();
        let mut entries = Vec::new();
        while let Some(piece) = feed.next(1 << 20).unwrap() {
            let mut buffer = BytesMut::from(&piece[..]);
            while let Some(Frame::Entry(entry)) = Frame::take(&mut buffer).unwrap() {
                entries.push(entry);
            }
        }
        let is_all = entries.len() <= count;
        entries.truncate(count);
        let moved = !entries.is_empty();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(copy.take(partition, entries)).unwrap();
        if is_all && with_word {
            copy.hear(partition, said, generation);
        }
        // The worker is through with it when it answers.
        let _ = copy.plan_promotion().unwrap();
        moved
    }

    /// Everything comes to every copy, what an idle primary writes included.
    pub fn settle(&mut self) {
        let primary = self.primary();
        let begun = std::time::Instant::now();
        loop {
            assert!(
                begun.elapsed() < crate::support::SETTLING_MAX,
                "the primary never writes its checkpoint"
            );
            let status = primary.status().unwrap();
            if status.partitions.iter().all(|of| of.last_checkpoint == Some(of.journal_end)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let names: Vec<String> = self.open.keys().filter(|name| **name != self.primary).cloned().collect();
        for name in names {
            if self.copy(&name).role() == Role::Primary || name == "second" {
                continue;
            }
            for partition in self.copy(&name).held_partitions().iter() {
                while self.pump(&name, partition.0, usize::MAX, true) {}
            }
        }
    }

    pub fn restart(&mut self, name: &str) {
        self.close(name);
        self.open(name).unwrap();
    }

    /// Goes on with what a server that was killed now would find.
    pub fn crash(&mut self, name: &str) {
        let (home, copy) = (self.path(name), self.path("copy"));
        snapshot(&home, &copy);
        self.close(name);
        std::fs::remove_dir_all(&home).unwrap();
        std::fs::rename(&copy, &home).unwrap();
        self.open(name).unwrap();
    }

    pub fn open(&mut self, name: &str) -> Result<(), OpenError> {
        let folder = Folder::open(&self.path(name)).unwrap();
        let database = folder.database("main")?.unwrap();
        self.open.insert(name.into(), (folder, database));
        Ok(())
    }

    pub fn close(&mut self, name: &str) {
        if let Some((folder, database)) = self.open.remove(name) {
            database.shutdown();
            drop((database, folder));
        }
    }

    /// Why it does not open with that setting.
    pub fn reopen_with(&mut self, name: &str, partitions: Option<&[u16]>) -> OpenError {
        self.close(name);
        self.set_held(name, partitions);
        self.open(name).unwrap_err()
    }

    pub fn set_held(&self, name: &str, partitions: Option<&[u16]>) {
        let path = self.path(name).join("server.json");
        let mut settings: ServerSettings = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        settings.databases.get_mut("main").unwrap().held_partitions = partitions.map(<[u16]>::to_vec);
        std::fs::write(&path, serde_json::to_vec(&settings).unwrap()).unwrap();
    }

    pub fn synchronize(&mut self, name: &str, cost: &mut Cost) {
        let (source, copy) = (self.primary(), self.copy(name));
        let snapshot = copy.part_of(source.snapshot(View::Full, copy.sync_floor()).unwrap());
        let scope = apograph::format::SyncScope::default();
        let (source, mut transfers) = begin_at(&source, &copy, "out-of-window", scope, snapshot);
        while step(&source, &mut transfers, cost) {}
        assert!(copy.finish_sync(0).unwrap().is_whole());
    }

    /// The primary names a copy, as it does when that reports.
    pub fn name_server(&mut self, name: &str) {
        let server = self.copy(name).handshake(View::Full).unwrap().server;
        self.primary().announce_copy(&server, Role::Replica).unwrap();
    }

    /// Every copy that is open hears of the primary, as when a link connects.
    pub fn greet_all(&self) {
        for name in self.open.keys().filter(|name| **name != self.primary) {
            self.greet(&self.primary, name);
        }
    }

    /// What a copy hears of its source at the beginning of a contact.
    pub fn greet(&self, source: &str, name: &str) {
        let (handshake, copy) = (self.copy(source).handshake(View::Full).unwrap(), self.copy(name));
        copy.learn_servers(&handshake.server.key, handshake.servers.as_ref().unwrap()).unwrap();
        copy.learn(handshake.epochs).unwrap();
    }

    /// The primary is dead, and this copy takes its place.
    pub fn promote(&mut self, name: &str) {
        let old = std::mem::replace(&mut self.primary, name.to_owned());
        self.close(&old);
        let order = Promote { reason: "the primary is dead".into(), force: false, handover: None };
        self.primary().promote(order).unwrap();
    }

    /// The copy is stopped, and takes in these partitions of another, or all that this one has and it lacks. Killed after so
    /// many questions; answers whether it was done before.
    pub fn grow(
        &mut self,
        name: &str,
        source: &str,
        partitions: Option<&[u16]>,
        questions: usize,
    ) -> Result<bool, GrowError> {
        self.close(name);
        let folder = Folder::open(&self.path(name)).unwrap();
        let there = self.copy(source);
        let grown = grow(&folder, &there, partitions.map(held), questions);
        match grown {
            Ok(true) => {}
            // What a process that was killed leaves is not what one that stops does.
            Ok(false) => {
                let (home, copy) = (self.path(name), self.path("copy"));
                snapshot(&home, &copy);
                drop(folder);
                std::fs::remove_dir_all(&home).unwrap();
                std::fs::rename(&copy, &home).unwrap();
                return Ok(false);
            }
            Err(_) => {}
        }
        drop(folder);
        self.open(name).unwrap();
        grown
    }

    pub fn export(&self, name: &str) -> Vec<String> {
        let copy = self.copy(name);
        export(&copy, copy.held_partitions(), copy.visible())
    }

    /// What a copy shows is what the primary has of these partitions as of then; so are digests and positions.
    pub fn check_shown(&self, name: &str) {
        let (primary, copy) = (self.primary(), self.copy(name));
        let (at, held) = (copy.visible(), copy.held_partitions());
        assert_same(&export(&copy, held, at), &export(&primary, held, at));
        let expected = primary.digest_at(View::Full, at).unwrap();
        let found = copy.digest_at(View::Full, at).unwrap();
        for (slot, partition) in held.iter().enumerate() {
            assert_eq!(found.partitions[slot], expected.partitions[usize::from(partition.0)], "{name}");
        }
    }

    /// The same at the same time, and journals are equal byte for byte.
    pub fn check_exact(&self, name: &str) {
        let (primary, copy) = (self.primary(), self.copy(name));
        assert_eq!(copy.visible(), primary.visible(), "{name}");
        self.check_shown(name);
        let (here, there) = (copy.status().unwrap(), primary.status().unwrap());
        for of in &here.partitions {
            let expected = &there.partitions[usize::from(of.partition.0)];
            assert_eq!((of.applied, of.journal_end), (expected.applied, expected.journal_end), "{name}");
            assert_eq!(of.last_checkpoint, expected.last_checkpoint, "{name}");
        }
        let (found, expected) = (segments(&self.path(name)), segments(&self.path(&self.primary)));
        assert!(!found.is_empty());
        let is_held =
            |path: &str| copy.held_partitions().iter().any(|of| path.contains(&format!("/{of:0>3}/")));
        for (segment, bytes) in &expected {
            assert_eq!(found.contains_key(segment), is_held(segment), "{name}: {segment}");
            assert!(!is_held(segment) || *bytes == found[segment], "{name}: {segment} differs");
        }
    }
}

/// Everything comes, and is moved in; or so many questions were answered, and it is killed.
pub fn grow(
    folder: &Folder,
    source: &Database,
    partitions: Option<Participants>,
    mut questions: usize,
) -> Result<bool, GrowError> {
    let handshake = source.handshake(View::Full).unwrap();
    let Some(growth) = folder.grow("main", partitions, &handshake)? else { return Ok(true) };
    if growth.is_there() {
        growth.finish()?;
        return Ok(true);
    }
    let marker = match growth.begun() {
        Some(marker) => marker,
        None => growth.begin(source.snapshot_as_of(View::Full, growth.at()).unwrap())?,
    };
    let (source, mut transfers) = resume(source, growth.beside(), &marker);
    let mut cost = Cost::default();
    loop {
        if questions == 0 {
            // Dropped, and not shut down: nothing is written out.
            return Ok(false);
        }
        questions -= 1;
        if !step(&source, &mut transfers, &mut cost) {
            break;
        }
    }
    drop(transfers);
    growth.finish()?;
    Ok(true)
}

fn export(database: &Database, partitions: Participants, at: Timestamp) -> Vec<String> {
    let query = ExportQuery {
        view: View::Full,
        scope: Scope::Whole,
        partitions: Some(partitions),
        as_of: Some(at),
        lists_damage: false,
    };
    database.export_of(query).unwrap().map(Result::unwrap).collect()
}

fn settings(name: &str, role: Role, partitions: Option<&[u16]>) -> ServerSettings {
    let mut settings = DatabaseSettings::new(role);
    settings.partitions = PARTITIONS;
    settings.held_partitions = partitions.map(<[u16]>::to_vec);
    settings.segment_bytes_max = Some(64 << 10);
    settings.source = (role != Role::Primary).then(|| SourceSettings::new("primary", "none"));
    ServerSettings {
        name: name.into(),
        listen: "127.0.0.1:1".into(),
        url: None,
        backup_folder: None,
        databases: BTreeMap::from([("main".to_owned(), settings)]),
    }
}
