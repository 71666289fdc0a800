//! A disk that remembers everything that was done to it.
//!
//! It is a file system in memory, mounted by FUSE, so that the engine, its journal and its store run on it as they are.
//! Every operation that changes something is in a log, syncs included: [`survival`] makes of the log what a disk could hold
//! after a power cut. A disk [under a server that runs](Disk::lying) keeps no log: it knows what of it is safe.

mod lying;
mod mount;
pub mod survival;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// A file or a folder, whatever its name is now.
pub type Node = u64;

/// The folder at the top.
pub const ROOT: Node = 1;

/// Something that was done to the disk.
#[derive(Debug, Clone)]
pub enum Operation {
    /// A file or folder was made, and given a name.
    Make {
        /// What was made.
        node: Node,
        /// Where.
        parent: Node,
        /// Its name there.
        name: OsString,
        /// A folder, or a file.
        is_folder: bool,
        /// Its permissions.
        mode: u32,
    },
    /// A file was given another name.
    Link {
        /// Which.
        node: Node,
        /// Where.
        parent: Node,
        /// Its name there.
        name: OsString,
    },
    /// A name was taken away.
    Unlink {
        /// Where.
        parent: Node,
        /// Which.
        name: OsString,
    },
    /// A file or folder was renamed; what had the name before has it no more.
    Rename {
        /// Where it was.
        from: (Node, OsString),
        /// Where it is.
        to: (Node, OsString),
    },
    /// Bytes were written.
    Write {
        /// Which file.
        node: Node,
        /// From where on.
        offset: u64,
        /// What.
        bytes: Bytes,
    },
    /// A file was made shorter or longer.
    Resize {
        /// Which.
        node: Node,
        /// Its length since.
        length: u64,
    },
    /// A file's bytes, or the names in a folder, were synced.
    Sync {
        /// Which.
        node: Node,
    },
}

/// What a file or folder holds.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    Bytes(Arc<Vec<u8>>),
    Names(BTreeMap<OsString, Node>),
}

/// All files and folders, those without a name included.
#[derive(Debug, Clone)]
pub(crate) struct Nodes {
    held: BTreeMap<Node, Held>,
    modes: BTreeMap<Node, u32>,
}

/// The disk. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    nodes: Nodes,
    log: Vec<Operation>,
    next: Node,
    /// Instead of a log.
    lies: Option<Box<lying::Lies>>,
}

/// A disk that is mounted; dropping it unmounts.
#[derive(Debug)]
pub struct Mounted {
    _session: fuser::BackgroundSession,
}

impl Nodes {
    fn new() -> Nodes {
        Nodes {
            held: BTreeMap::from([(ROOT, Held::Names(BTreeMap::new()))]),
            modes: BTreeMap::from([(ROOT, 0o755)]),
        }
    }

    pub(crate) fn get(&self, node: Node) -> Option<&Held> {
        self.held.get(&node)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Node> + '_ {
        self.held.keys().copied()
    }

    pub(crate) fn mode(&self, node: Node) -> u32 {
        self.modes.get(&node).copied().unwrap_or(0o600)
    }

    pub(crate) fn names(&self, folder: Node) -> Option<&BTreeMap<OsString, Node>> {
        match self.held.get(&folder)? {
            Held::Names(names) => Some(names),
            Held::Bytes(_) => None,
        }
    }

    pub(crate) fn bytes(&self, file: Node) -> Option<&Arc<Vec<u8>>> {
        match self.held.get(&file)? {
            Held::Bytes(bytes) => Some(bytes),
            Held::Names(_) => None,
        }
    }

    fn names_mut(&mut self, folder: Node) -> &mut BTreeMap<OsString, Node> {
        match self.held.get_mut(&folder) {
            Some(Held::Names(names)) => names,
            _ => panic!("node {folder} is no folder"),
        }
    }

    fn bytes_mut(&mut self, file: Node) -> &mut Vec<u8> {
        match self.held.get_mut(&file) {
            Some(Held::Bytes(bytes)) => Arc::make_mut(bytes),
            _ => panic!("node {file} is no file"),
        }
    }

    pub(crate) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Make { node, parent, name, is_folder, mode } => {
                let held =
                    if *is_folder { Held::Names(BTreeMap::new()) } else { Held::Bytes(Arc::default()) };
                self.held.insert(*node, held);
                self.modes.insert(*node, *mode);
                self.names_mut(*parent).insert(name.clone(), *node);
            }
            Operation::Link { node, parent, name } => {
                self.names_mut(*parent).insert(name.clone(), *node);
            }
            Operation::Unlink { parent, name } => {
                self.names_mut(*parent).remove(name);
            }
            Operation::Rename { from, to } => {
                if let Some(node) = self.names_mut(from.0).remove(&from.1) {
                    self.names_mut(to.0).insert(to.1.clone(), node);
                }
            }
            Operation::Write { node, offset, bytes } => write_at(self.bytes_mut(*node), *offset, bytes),
            Operation::Resize { node, length } => self.bytes_mut(*node).resize(*length as usize, 0),
            Operation::Sync { .. } => {}
        }
    }
}

/// A hole reads as zeros.
pub(crate) fn write_at(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + bytes.len());
    if file.len() < end {
        file.resize(end, 0);
    }
    file[start..end].copy_from_slice(bytes);
}

impl Disk {
    /// An empty one.
    pub fn new() -> Disk {
        Disk(Arc::new(Mutex::new(State { nodes: Nodes::new(), log: Vec::new(), next: ROOT + 1, lies: None })))
    }

    /// Mounts it on an empty folder. Fails where there is no FUSE, or it is not allowed.
    pub fn mount(&self, folder: &Path) -> io::Result<Mounted> {
        Ok(Mounted { _session: mount::mount(self.clone(), folder)? })
    }

    /// How many operations were done so far.
    pub fn operations(&self) -> usize {
        self.state().log.len()
    }

    /// What was done so far.
    pub fn log(&self) -> Vec<Operation> {
        self.state().log.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Disk {
    fn default() -> Disk {
        Disk::new()
    }
}

impl State {
    fn done(&mut self, operation: Operation) {
        self.nodes.apply(&operation);
        match &mut self.lies {
            Some(lies) => lies.apply(&operation),
            None => self.log.push(operation),
        }
    }

    fn make(&mut self, parent: Node, name: OsString, is_folder: bool, mode: u32) -> Node {
        let node = self.next;
        self.next += 1;
        self.done(Operation::Make { node, parent, name, is_folder, mode });
        node
    }
}
