//! A host's disk: what was done to it, what it is to refuse, and what a power cut leaves of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{away, with};
use crate::disk::survival::{Image, Replay, Survival};
use crate::disk::{Held, Node, Operation, ROOT};

/// What the disk answers instead of doing what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Input or output error.
    Io,
    /// No space left.
    Full,
}

/// A host's disk and its clock.
#[derive(Debug, Default)]
pub struct Host {
    pub(super) replay: Replay,
    next: Node,
    /// The power is cut before the operation that brings this to zero.
    pub cut_in: Option<u64>,
    /// The same, before the sync that brings this to zero.
    pub cut_at_sync_in: Option<u64>,
    /// The power is cut: nothing that is asked of the disk happens any more.
    pub is_cut: bool,
    /// The sync that brings this to zero fails, and what it was to make durable is lost.
    pub fail_sync_in: Option<u64>,
    /// A sync failed since the last start.
    pub failed: bool,
    /// Nothing can be written.
    pub is_full: bool,
    /// How long its disk takes for a sync, and for another operation, microseconds: nothing, unless it is slow.
    pub slow_us: (u64, u64),
    /// Whoever works on it is at work until then: what a slow disk took is over for it alone.
    pub busy_until_us: u64,
    /// How wrong its wall clock is, microseconds.
    pub skew_us: i64,
    /// Operations so far.
    pub operations: u64,
    /// Of them, those that sync.
    pub syncs: u64,
    /// Over everything that was done.
    pub fingerprint: blake3::Hasher,
}

impl Host {
    /// May the next operation happen?
    pub(super) fn admit(&mut self, grows: bool) -> Result<(), Failure> {
        if !self.is_cut && self.cut_in == Some(0) {
            self.is_cut = true;
        }
        if self.is_cut {
            return Err(Failure::Io);
        }
        self.cut_in = self.cut_in.map(|left| left - 1);
        if grows && self.is_full { Err(Failure::Full) } else { Ok(()) }
    }

    /// May this be synced?
    pub(super) fn admit_sync(&mut self, node: Node) -> Result<(), Failure> {
        self.is_cut |= self.cut_at_sync_in == Some(0);
        self.cut_at_sync_in = self.cut_at_sync_in.map(|left| left.saturating_sub(1));
        self.admit(false)?;
        self.fail_sync_in = match self.fail_sync_in {
            Some(0) => {
                self.replay.lose(node);
                self.failed = true;
                self.fail_sync_in = None;
                return Err(Failure::Io);
            }
            left => left.map(|left| left - 1),
        };
        Ok(())
    }

    /// It happened.
    pub(super) fn did(&mut self, operation: &Operation) {
        self.operations += 1;
        let mut note = |kind: &[u8], node: Node, at: u64| {
            self.fingerprint.update(kind).update(&node.to_le_bytes()).update(&at.to_le_bytes());
        };
        match operation {
            Operation::Make { node, parent, .. } => note(b"m", *node, *parent),
            Operation::Link { node, parent, .. } => note(b"l", *node, *parent),
            Operation::Unlink { parent, .. } => note(b"u", *parent, 0),
            Operation::Rename { from, to } => note(b"r", from.0, to.0),
            Operation::Write { node, offset, bytes } => {
                note(b"w", *node, *offset);
                self.fingerprint.update(bytes);
            }
            Operation::Resize { node, length } => note(b"t", *node, *length),
            Operation::Sync { node } => {
                note(b"s", *node, 0);
                self.syncs += 1;
            }
        }
        self.replay.apply(operation);
    }

    pub(super) fn make(&mut self, parent: Node, name: OsString, is_folder: bool, mode: u32) -> Node {
        // The disk itself is the first node.
        self.next = self.next.max(ROOT) + 1;
        let node = self.next;
        self.did(&Operation::Make { node, parent, name, is_folder, mode });
        node
    }

    pub(super) fn wrote(&mut self, node: Node, offset: u64, bytes: &[u8]) {
        self.did(&Operation::Write { node, offset, bytes: Bytes::copy_from_slice(bytes) });
    }
}

/// The power of a host that nothing runs on any more is back: its disk is what survived. `seed` chooses where there is a
/// choice.
pub fn survive(host: usize, survival: Survival, seed: u64) -> io::Result<()> {
    let image = with(|os| os.host(host).replay.image(survival, seed));
    set_to(host, &image)
}

/// What the disk of a host shows now.
pub fn shown(host: usize) -> Image {
    with(|os| os.host(host).replay.image(Survival::Everything, 0))
}

/// The disk of a host that nothing runs on any more is this one.
pub fn set_to(host: usize, image: &Image) -> io::Result<()> {
    let folder = with(|os| os.folder(host));
    with(|os| os.forget_files(host));
    away(|| {
        std::fs::remove_dir_all(&folder)?;
        std::fs::create_dir(&folder)?;
        image.write(&folder)
    })?;
    with(|os| {
        let host = os.host(host);
        (host.replay, host.next) = Replay::of(image);
        (host.is_cut, host.cut_in, host.cut_at_sync_in) = (false, None, None);
        (host.fail_sync_in, host.failed) = (None, false);
        host.busy_until_us = 0;
    });
    Ok(())
}

/// A byte of a file on the disk of a host is another one, and nobody wrote it.
pub fn rot(host: usize, path: &Path, at: usize, byte: u8) -> io::Result<()> {
    let (file, place) = with(|os| {
        let file = os.folder(host).join(path);
        let place = os.place(&file).and_then(|place| place.node);
        (file, place)
    });
    let node = place.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    away(|| {
        use std::os::unix::fs::FileExt;
        std::fs::OpenOptions::new().write(true).open(&file)?.write_all_at(&[byte], at as u64)
    })?;
    with(|os| os.host(host).replay.rot(node, at as u64, Bytes::copy_from_slice(&[byte])));
    Ok(())
}

/// Is what was written down what there is? If not, something changes files behind the back of the simulation.
pub fn compare(host: usize) -> Result<(), String> {
    let folder = with(|os| os.folder(host));
    let mut found = BTreeMap::new();
    away(|| list(&folder, Path::new(""), &mut found)).map_err(|error| error.to_string())?;
    let mut expected = BTreeMap::new();
    with(|os| {
        let nodes = os.host(host).replay.shown();
        let mut left = vec![(ROOT, std::path::PathBuf::new())];
        while let Some((folder, path)) = left.pop() {
            for (name, node) in nodes.names(folder).into_iter().flatten() {
                match nodes.get(*node) {
                    Some(Held::Bytes(bytes)) => drop(expected.insert(path.join(name), Arc::clone(bytes))),
                    Some(Held::Names(_)) => left.push((*node, path.join(name))),
                    None => {}
                }
            }
        }
    });
    let differs =
        found.iter().find(|(path, bytes)| expected.get(*path).is_none_or(|expected| **expected != **bytes));
    let differs = differs.map(|(path, _)| path).or(expected.keys().find(|path| !found.contains_key(*path)));
    differs.map_or(Ok(()), |path| Err(format!("{} is not what was written down", path.display())))
}

fn list(folder: &Path, path: &Path, found: &mut BTreeMap<std::path::PathBuf, Vec<u8>>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = path.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &path, found)?;
        } else {
            found.insert(path, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}
