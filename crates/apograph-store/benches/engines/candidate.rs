//! What the benchmark asks of a candidate.

use std::path::Path;

use crate::{fjall::Fjall, lsm::LsmTree, redb::Redb, workload::Transaction};

pub trait Candidate: Send {
    /// One transaction at its own timestamp. Need not be durable.
    fn apply(&mut self, transaction: &Transaction<'_>);
    /// Everything so far is on disk.
    fn persist(&mut self);
    /// Background work is done.
    fn settle(&mut self);
    /// The last durable timestamp.
    fn persisted(&self) -> Option<u64>;
    /// Length of the newest head at or before `at`.
    fn head(&self, uri: &[u8], at: u64) -> Option<usize>;
    /// Length of a content.
    fn content(&self, hash: &[u8]) -> Option<usize>;
    /// Number of heads from a key on, at most `count`, as of `at`.
    fn scan(&self, from: &[u8], count: usize, at: u64) -> usize;
    /// Physically removes one content; `false` if the engine has no way.
    fn erase(&mut self, hash: &[u8]) -> bool;
}

/// All get 32 MiB of cache and 2 × 16 MiB of write buffer, or the same sum where they do not tell them apart.
pub fn open(engine: &str, folder: &Path) -> Box<dyn Candidate> {
    match engine {
        "lsm" => Box::new(LsmTree::open(folder, false, 4 << 10)),
        "lsm-lz4" => Box::new(LsmTree::open(folder, true, 16 << 10)),
        "fjall" => Box::new(Fjall::open(folder)),
        "redb" => Box::new(Redb::open(folder)),
        _ => panic!("{engine}: no such candidate"),
    }
}

/// For candidates without versions of their own: the key, then the timestamp so that newer sorts first.
pub fn versioned(key: &[u8], at: u64) -> Vec<u8> {
    let mut versioned = Vec::with_capacity(key.len() + 9);
    versioned.extend_from_slice(key);
    versioned.push(0);
    versioned.extend_from_slice(&(!at).to_be_bytes());
    versioned
}

/// The key and timestamp of a versioned key.
pub fn unversioned(versioned: &[u8]) -> (&[u8], u64) {
    let (key, at) = versioned.split_at(versioned.len() - 9);
    (key, !u64::from_be_bytes(at[1..].try_into().unwrap()))
}
