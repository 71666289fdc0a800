//! What a power cut leaves.
//!
//! What was synced is there. Of what was not, anything may be: that is what POSIX allows, and more than most file systems do.
//! A name is synced with its folder, bytes with their file; neither brings the other along.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::{Held, Node, Nodes, Operation, ROOT, write_at};

/// How much of what was not synced survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Survival {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// Names, but no bytes: new files are empty.
    Names,
    /// Bytes, but no names: new files are gone, removed ones are back.
    Bytes,
    /// The first of the writes to each file, and a part of the next.
    Torn,
    /// Some writes, and others before them not.
    Holes,
    /// Names in some folders, bytes of some files.
    Mixed,
}

impl Survival {
    /// All of them.
    pub const ALL: [Survival; 7] = [
        Survival::Nothing,
        Survival::Everything,
        Survival::Names,
        Survival::Bytes,
        Survival::Torn,
        Survival::Holes,
        Survival::Mixed,
    ];
}

/// A log, replayed up to some operation: what the disk shows, and what of it is safe.
#[derive(Debug, Clone)]
pub struct Replay {
    shown: Nodes,
    safe_bytes: BTreeMap<Node, Arc<Vec<u8>>>,
    safe_names: BTreeMap<Node, BTreeMap<OsString, Node>>,
    /// What was done to files since they were synced.
    pending: BTreeMap<Node, Vec<Operation>>,
    /// Files of which something is lost that the disk still shows: a sync of it failed.
    lossy: BTreeSet<Node>,
}

/// The files that a power cut left, and the folders, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    files: BTreeMap<PathBuf, (u32, Arc<Vec<u8>>)>,
    folders: BTreeSet<PathBuf>,
}

impl Replay {
    /// Nothing was done yet.
    pub fn new() -> Replay {
        Replay {
            shown: Nodes::new(),
            safe_bytes: BTreeMap::new(),
            safe_names: BTreeMap::new(),
            pending: BTreeMap::new(),
            lossy: BTreeSet::new(),
        }
    }

    /// A disk that holds an image, all of it safe; and its last node.
    pub fn of(image: &Image) -> (Replay, Node) {
        let mut replay = Replay::new();
        let mut nodes = BTreeMap::from([(PathBuf::new(), ROOT)]);
        let mut last = ROOT;
        let mut make = |path: &Path, is_folder: bool, mode: u32| {
            let parent = path.parent().and_then(|parent| nodes.get(parent)).copied().unwrap_or(ROOT);
            let name = path.file_name().unwrap_or_default().to_owned();
            last += 1;
            replay.apply(&Operation::Make { node: last, parent, name, is_folder, mode });
            nodes.insert(path.to_owned(), last);
            last
        };
        // Folders come before what is in them.
        for path in &image.folders {
            make(path, true, 0o755);
        }
        let files: Vec<(Node, &Arc<Vec<u8>>)> =
            image.files.iter().map(|(path, (mode, bytes))| (make(path, false, *mode), bytes)).collect();
        for (node, bytes) in files {
            replay.apply(&Operation::Write { node, offset: 0, bytes: Bytes::copy_from_slice(bytes) });
        }
        for node in ROOT..=last {
            replay.apply(&Operation::Sync { node });
        }
        (replay, last)
    }

    /// What the disk shows.
    pub(crate) fn shown(&self) -> &Nodes {
        &self.shown
    }

    /// A sync of a file failed: what it was to make durable never will be, although the disk shows it. So does Linux.
    pub fn lose(&mut self, node: Node) {
        if self.pending.remove(&node).is_some() {
            self.lossy.insert(node);
        }
    }

    /// Bytes of a file are others, and nobody wrote them.
    pub fn rot(&mut self, node: Node, offset: u64, bytes: Bytes) {
        self.apply(&Operation::Write { node, offset, bytes });
        self.apply(&Operation::Sync { node });
    }

    /// One more operation.
    pub fn apply(&mut self, operation: &Operation) {
        self.shown.apply(operation);
        match operation {
            Operation::Write { node, .. } | Operation::Resize { node, .. } => {
                self.pending.entry(*node).or_default().push(operation.clone());
            }
            Operation::Sync { node } => match self.shown.get(*node) {
                Some(Held::Bytes(bytes)) => {
                    let pending = self.pending.remove(node).unwrap_or_default();
                    if self.lossy.contains(node) {
                        let mut bytes =
                            self.safe_bytes.get(node).map(|safe| safe.to_vec()).unwrap_or_default();
                        pending.iter().for_each(|operation| redo(&mut bytes, operation, usize::MAX));
                        self.safe_bytes.insert(*node, Arc::new(bytes));
                    } else {
                        self.safe_bytes.insert(*node, Arc::clone(bytes));
                    }
                }
                Some(Held::Names(names)) => {
                    self.safe_names.insert(*node, names.clone());
                }
                None => {}
            },
            _ => {}
        }
    }

    /// What is left if the power is cut now. `seed` chooses where there is a choice.
    pub fn image(&self, survival: Survival, seed: u64) -> Image {
        let mut image = Image { files: BTreeMap::new(), folders: BTreeSet::new() };
        let mut choice = Choice(seed);
        self.walk(ROOT, Path::new(""), survival, &mut choice, &mut image);
        image
    }

    fn walk(&self, folder: Node, path: &Path, survival: Survival, choice: &mut Choice, image: &mut Image) {
        let shown = match survival {
            Survival::Nothing | Survival::Bytes => false,
            Survival::Mixed => choice.one_of(2) == 0,
            _ => true,
        };
        let names = if shown { self.shown.names(folder) } else { self.safe_names.get(&folder) };
        // In the order in which they were made: names of temporary files are random.
        let mut names: Vec<(&Node, &OsString)> =
            names.into_iter().flatten().map(|(name, node)| (node, name)).collect();
        names.sort();
        for (node, name) in names {
            let path = path.join(name);
            if self.shown.names(*node).is_some() {
                image.folders.insert(path.clone());
                self.walk(*node, &path, survival, choice, image);
            } else {
                let bytes = self.bytes(*node, survival, choice);
                image.files.insert(path, (self.shown.mode(*node), bytes));
            }
        }
    }

    fn bytes(&self, file: Node, survival: Survival, choice: &mut Choice) -> Arc<Vec<u8>> {
        let shown = || self.shown.bytes(file).cloned().unwrap_or_default();
        let safe = || self.safe_bytes.get(&file).cloned().unwrap_or_default();
        let Some(pending) = self.pending.get(&file) else {
            let is_lossy = self.lossy.contains(&file) && survival != Survival::Everything;
            return if is_lossy { safe() } else { shown() };
        };
        match survival {
            Survival::Nothing | Survival::Names => safe(),
            Survival::Everything | Survival::Bytes => shown(),
            Survival::Mixed => {
                if choice.one_of(2) == 0 {
                    shown()
                } else {
                    safe()
                }
            }
            Survival::Torn => {
                let mut bytes = safe().to_vec();
                let whole = choice.one_of(pending.len());
                pending.iter().take(whole).for_each(|operation| redo(&mut bytes, operation, usize::MAX));
                if let Operation::Write { bytes: last, .. } = &pending[whole] {
                    redo(&mut bytes, &pending[whole], choice.one_of(last.len() + 1));
                }
                Arc::new(bytes)
            }
            Survival::Holes => {
                let mut bytes = safe().to_vec();
                for operation in pending {
                    if choice.one_of(2) == 0 {
                        redo(&mut bytes, operation, usize::MAX);
                    }
                }
                Arc::new(bytes)
            }
        }
    }
}

impl Default for Replay {
    fn default() -> Replay {
        Replay::new()
    }
}

/// Does it again to a file, at most its first bytes.
fn redo(file: &mut Vec<u8>, operation: &Operation, bytes_max: usize) {
    match operation {
        Operation::Write { offset, bytes, .. } => {
            write_at(file, *offset, &bytes[..bytes.len().min(bytes_max)]);
        }
        Operation::Resize { length, .. } => file.resize(*length as usize, 0),
        _ => {}
    }
}

impl Image {
    /// Tells images apart.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (path, (mode, bytes)) in &self.files {
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update(&[0]);
            hasher.update(&mode.to_le_bytes());
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        for path in &self.folders {
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update(&[1]);
        }
        *hasher.finalize().as_bytes()
    }

    /// Its files, and what they hold.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.files.iter().map(|(path, (_, bytes))| (path.as_path(), bytes.as_slice()))
    }

    /// Writes it into an empty folder of another disk.
    pub fn write(&self, to: &Path) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        for folder in &self.folders {
            std::fs::create_dir_all(to.join(folder))?;
        }
        for (path, (mode, bytes)) in &self.files {
            let path = to.join(path);
            std::fs::write(&path, bytes.as_slice())?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode))?;
        }
        Ok(())
    }
}

/// Numbers from a seed: always the same.
struct Choice(u64);

impl Choice {
    fn one_of(&mut self, count: usize) -> usize {
        // SplitMix64, https://prng.di.unimi.it/splitmix64.c
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % count.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(operations: &[Operation]) -> Replay {
        let mut replay = Replay::new();
        operations.iter().for_each(|operation| replay.apply(operation));
        replay
    }

    fn made(node: Node, name: &str) -> Operation {
        Operation::Make { node, parent: ROOT, name: name.into(), is_folder: false, mode: 0o600 }
    }

    fn written(node: Node, offset: u64, text: &'static str) -> Operation {
        Operation::Write { node, offset, bytes: text.into() }
    }

    fn shown(replay: &Replay, survival: Survival, seed: u64) -> Vec<(String, String)> {
        let image = replay.image(survival, seed);
        let text = |bytes: &Arc<Vec<u8>>| String::from_utf8_lossy(bytes).replace('\0', "_");
        image.files.iter().map(|(path, (_, bytes))| (path.display().to_string(), text(bytes))).collect()
    }

    fn files(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn names_and_bytes_are_synced_each_by_its_own() {
        let before = [made(2, "old"), written(2, 0, "old"), Operation::Sync { node: 2 }];
        let replay = replay(
            &[
                &before[..],
                &[Operation::Sync { node: ROOT }, made(3, "new"), written(3, 0, "new"), written(2, 3, "er")],
                &[Operation::Rename { from: (ROOT, "new".into()), to: (ROOT, "old".into()) }],
            ]
            .concat(),
        );
        assert_eq!(shown(&replay, Survival::Nothing, 0), files(&[("old", "old")]));
        assert_eq!(shown(&replay, Survival::Everything, 0), files(&[("old", "new")]));
        assert_eq!(shown(&replay, Survival::Names, 0), files(&[("old", "")]));
        assert_eq!(shown(&replay, Survival::Bytes, 0), files(&[("old", "older")]));
    }

    #[test]
    fn what_was_not_synced_is_torn_anywhere_and_may_miss_its_beginning() {
        let replay = replay(&[
            made(2, "f"),
            written(2, 0, "ab"),
            Operation::Sync { node: 2 },
            written(2, 2, "cd"),
            written(2, 4, "ef"),
        ]);
        let found = |survival| -> BTreeSet<String> {
            (0..100).flat_map(|seed| shown(&replay, survival, seed)).map(|(_, text)| text).collect()
        };
        let expected = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(found(Survival::Torn), expected(&["ab", "abc", "abcd", "abcde", "abcdef"]));
        assert_eq!(found(Survival::Holes), expected(&["ab", "abcd", "ab__ef", "abcdef"]));
    }
}
