//! [`Space::Bodies`](crate::engine::Space): large values in the order of their writing, and an index of their keys.
//!
//! Keys of bodies are hashes, so every merge of a tree of them meets values from everywhere. Were large values in it, each
//! would be written again and again as the tree grows. They stand in a tree of their own under serial numbers that only
//! rise: its tables never overlap, the library moves them down whole, and nothing is written twice. What is merged is the
//! index, of some tens of bytes per value.
//!
//! The key of a value is its serial number and then the key of the body, so that a value is only ever found by the body it
//! belongs to, and an erasure finds what nothing points to any more. Values are flushed before the index: what the index
//! points to is there. After a crash between the two, values are left that nothing points to; they harm nobody.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    entry::{self, Stored},
    lock,
    pace::Pace,
    reading::damaged,
    tree::{Opening, Tree},
};
use crate::engine::{EngineError, Entries, Erased, KeyRange};

/// Both trees of the space.
pub(super) struct Bodies {
    trees: Arc<Trees>,
    /// The next value's.
    serial: AtomicU64,
    /// Values from this size on stand apart.
    apart_bytes: usize,
    /// The keys that were erased last: no value of theirs is left.
    erased: Mutex<HashSet<Vec<u8>>>,
}

struct Trees {
    index: Tree,
    values: Tree,
}

impl Bodies {
    pub(super) fn open(
        index: Opening<'_>,
        values: Opening<'_>,
        apart_bytes: usize,
    ) -> Result<Bodies, EngineError> {
        let trees = Trees { index: Tree::open(index)?, values: Tree::open(values)? };
        let last = trees.values.last_key()?.map(|key| trees.serial_of(&key)).transpose()?;
        let serial = AtomicU64::new(last.map_or(0, |last| last + 1));
        Ok(Bodies { trees: Arc::new(trees), serial, apart_bytes, erased: Mutex::default() })
    }

    /// All trees with the names of their folders, in the order of their flushing.
    pub(super) fn trees(&self) -> [(&Tree, &'static str); 2] {
        [(&self.trees.values, super::VALUES), (&self.trees.index, super::BODIES)]
    }

    pub(super) fn insert(&self, key: &Bytes, value: &Bytes, at: u64) {
        if value.len() < self.apart_bytes {
            return self.trees.index.insert(key, entry::encode(Some(value), at), at);
        }
        let serial = self.serial.fetch_add(1, Ordering::AcqRel);
        self.trees.values.insert(&value_key(serial, key), entry::encode(Some(value), at), at);
        self.trees.index.insert(key, entry::encode_apart(serial, at), at);
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.trees.get(key)
    }

    pub(super) fn range(&self, keys: &KeyRange) -> Entries {
        let trees = Arc::clone(&self.trees);
        let found = self.trees.index.range(keys, u64::MAX);
        Box::new(found.filter_map(move |item| {
            let resolved = item.and_then(|(key, stored)| {
                let value = trees.resolve(&key, stored)?;
                Ok(value.map(|value| (key, value)))
            });
            resolved.transpose()
        }))
    }

    /// Rewrites both trees without some keys.
    pub(super) fn erase(
        &self,
        keys: HashSet<Vec<u8>>,
        pace: &dyn Fn() -> Option<Pace>,
    ) -> Result<Erased, EngineError> {
        let Trees { index, values } = &*self.trees;
        let mut erased = lock(&self.erased);
        let is_held = index.holds_any(&keys)?;
        if !is_held && keys.is_subset(&erased) {
            // Asked again because an old file was still read.
            return Ok(worse(index.without_old_files()?, values.without_old_files()?));
        }
        // The index first: who still follows a pointer then finds that it is gone, and does not take that for damage. That
        // it holds nothing says nothing about values: the erasure may have been cut off in between, or a flush.
        let of_index = if is_held { index.erase(keys.clone(), pace)? } else { index.without_old_files()? };
        let of_values = values.erase(keys.clone(), pace)?;
        *erased = keys;
        Ok(worse(of_index, of_values))
    }
}

fn worse(one: Erased, other: Erased) -> Erased {
    if one == Erased::Done { other } else { one }
}

impl Trees {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        match self.index.get(key, u64::MAX)? {
            Some(stored) => self.resolve(key, stored),
            None => Ok(None),
        }
    }

    /// The value that an entry of the index stands for; `None` if it was erased meanwhile.
    fn resolve(&self, key: &[u8], stored: Bytes) -> Result<Option<Bytes>, EngineError> {
        let broken = |detail: &str| damaged(self.index.path(), detail);
        let serial = match entry::decode_body(&stored) {
            Some(Stored::Here(value)) => return Ok(Some(value)),
            Some(Stored::Apart(serial)) => serial,
            None => return Err(broken("an entry without its header")),
        };
        match self.values.get(&value_key(serial, key), u64::MAX)? {
            Some(value) => match entry::decode_body(&value) {
                Some(Stored::Here(value)) => Ok(Some(value)),
                _ => Err(damaged(self.values.path(), "an entry that is no value")),
            },
            None => match self.index.get(key, u64::MAX)? {
                Some(now) if now == stored => Err(broken("a body whose value is missing")),
                // It was erased meanwhile, and perhaps written again.
                Some(now) => self.resolve(key, now),
                None => Ok(None),
            },
        }
    }

    fn serial_of(&self, key: &[u8]) -> Result<u64, EngineError> {
        let serial = key.first_chunk().copied().map(u64::from_be_bytes);
        serial.ok_or_else(|| damaged(self.values.path(), "a value without a serial number"))
    }
}

fn value_key(serial: u64, body: &[u8]) -> Bytes {
    let mut key = BytesMut::with_capacity(SERIAL_BYTES + body.len());
    key.put_u64(serial);
    key.extend_from_slice(body);
    key.freeze()
}

const SERIAL_BYTES: usize = 8;

/// The key of the body that a value belongs to.
pub(super) fn owner(value_key: &[u8]) -> &[u8] {
    value_key.get(SERIAL_BYTES..).unwrap_or_default()
}
