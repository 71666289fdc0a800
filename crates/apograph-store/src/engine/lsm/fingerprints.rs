//! Is a table the one that was written? Its blocks have checksums, but another tree's or an older table under its name is as
//! sound as itself, and the library asks no more.
//!
//! The manifest has the checksum of every table, over the whole file: too much to read at every start. So the ends of the
//! tables are remembered, where the library says when each was written and which keys it has. A table whose end is not the
//! one remembered is read whole.
//!
//! ```text
//! documents 7 4096 8a3c…      tree, table, bytes, XXH3-128 of the last 4 KiB
//! crc32c 8c28b28a             of all lines before
//! ```
//!
//! The file is written when tables change, and is never synced: without it, or if it is damaged, the tables are taken for
//! what they are, and remembered.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use super::{folder::io_error, reading::damaged, tree::Tree};
use crate::engine::EngineError;

const FILE: &str = "fingerprints";
const FILE_NEW: &str = "fingerprints.new";
/// What is remembered of a table: the library writes what it says of it last.
const END_BYTES: u64 = 4096;
/// Read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Tree and number of a table.
type Name = (String, u64);

/// Length of a table, and the hash of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    bytes: u64,
    hash: u128,
}

/// The ends of the tables of a store.
pub(super) struct Fingerprints {
    folder: PathBuf,
    known: Mutex<BTreeMap<Name, End>>,
}

impl Fingerprints {
    /// Checks all tables of the trees, and remembers them.
    pub(super) fn check<'a>(
        folder: &Path,
        trees: impl Iterator<Item = (&'a Tree, &'static str)>,
    ) -> Result<Fingerprints, EngineError> {
        let remembered = read(folder)?;
        let mut known = BTreeMap::new();
        for (tree, name) in trees {
            tree.each_table(|table, expected| {
                let path = tree.table_path(table);
                let found = end_of(&path).map_err(|source| io_error(&path, source))?;
                let name = (name.to_owned(), table);
                let is_known = remembered.as_ref().is_none_or(|ends| ends.get(&name) == Some(&found));
                if !is_known && checksum(&path)? != expected {
                    return Err(damaged(&path, "it is not the table that was written"));
                }
                known.insert(name, found);
                Ok(())
            })?;
        }
        let fingerprints = Fingerprints { folder: folder.to_owned(), known: Mutex::new(known.clone()) };
        if remembered.as_ref() != Some(&known) {
            write(folder, &known);
        }
        Ok(fingerprints)
    }

    /// Remembers the tables that there are now. What could not be remembered is read whole at the next start.
    pub(super) fn note<'a>(&self, trees: impl Iterator<Item = (&'a Tree, &'static str)>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeMap::new();
        for (tree, name) in trees {
            let _ = tree.each_table(|table, _| {
                let name = (name.to_owned(), table);
                let end = known.get(&name).copied().or_else(|| end_of(&tree.table_path(table)).ok());
                now.extend(end.map(|end| (name, end)));
                Ok(())
            });
        }
        if *known != now {
            write(&self.folder, &now);
            *known = now;
        }
    }
}

fn end_of(path: &Path) -> io::Result<End> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let length = usize::try_from(bytes.min(END_BYTES)).unwrap_or_default();
    let mut end = vec![0; length];
    file.read_exact_at(&mut end, bytes - length as u64)?;
    Ok(End { bytes, hash: xxh3_128(&end) })
}

/// Of a whole file, as the manifest has it.
fn checksum(path: &Path) -> Result<u128, EngineError> {
    let read = || -> io::Result<u128> {
        let (file, mut hasher) = (File::open(path)?, Xxh3Default::new());
        let (mut piece, mut at) = (vec![0; PIECE_BYTES], 0);
        loop {
            let count = file.read_at(&mut piece, at)?;
            let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else {
                return Ok(hasher.digest128());
            };
            hasher.update(bytes);
            at += count as u64;
        }
    };
    read().map_err(|source| io_error(path, source))
}

/// `None` where nothing that can be believed is remembered.
fn read(folder: &Path) -> Result<Option<BTreeMap<Name, End>>, EngineError> {
    let path = folder.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => Ok(std::str::from_utf8(&bytes).ok().and_then(decode)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error(&path, source)),
    }
}

fn decode(text: &str) -> Option<BTreeMap<Name, End>> {
    let (body, checksum) = text.rsplit_once("crc32c ")?;
    if checksum != format!("{:08x}\n", crc32c::crc32c(body.as_bytes())) {
        return None;
    }
    let line = |line: &str| {
        let mut words = line.split(' ');
        let name = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let bytes = words.next()?.parse().ok()?;
        Some((name, End { bytes, hash: u128::from_str_radix(words.next()?, 16).ok()? }))
    };
    body.lines().map(line).collect()
}

/// Whole or not at all, as far as a process can be killed. Where the disk refuses, the next start reads more.
fn write(folder: &Path, known: &BTreeMap<Name, End>) {
    let mut text = String::new();
    for ((tree, table), End { bytes, hash }) in known {
        let _ = writeln!(text, "{tree} {table} {bytes} {hash:032x}");
    }
    let checksum = crc32c::crc32c(text.as_bytes());
    let _ = writeln!(text, "crc32c {checksum:08x}");
    let new = folder.join(FILE_NEW);
    let _ = fs::write(&new, text).and_then(|()| fs::rename(&new, folder.join(FILE)));
}
