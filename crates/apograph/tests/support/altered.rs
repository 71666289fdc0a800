//! Somebody changes a store behind its back: the bytes are well-formed, and wrong.

use std::path::Path;

use apograph::format::{Hash, Head, Uri};
use apograph_store::engine::{Batch, Engine, KeyRange, Lsm, LsmOptions, Space};

/// The document's head says another time.
pub fn head(home: &Path, uri: &Uri) {
    change(home, |engine, at| {
        let key = [b"d".as_slice(), uri.as_str().as_bytes()].concat();
        let bytes = engine.get(Space::Documents, &key, at).unwrap().unwrap();
        let mut head = Head::decode(&bytes).unwrap();
        head.changed.0 += 1;
        (key, head.encode())
    });
}

/// The leaf of the document is another.
pub fn leaf(home: &Path, uri: &Uri) {
    change(home, |engine, at| {
        let leaves = engine.range(Space::Documents, &KeyRange::prefix(b"f".to_vec()), at);
        let of = |item: &(bytes::Bytes, bytes::Bytes)| item.1.ends_with(uri.as_str().as_bytes());
        let (key, value) = leaves.map(Result::unwrap).find(of).unwrap();
        (key.to_vec(), [&Hash::of(b"x").0, &value[32..]].concat())
    });
}

/// The sum of a bucket is another.
pub fn bucket(home: &Path, _: &Uri) {
    change(home, |engine, at| {
        let buckets = engine.range(Space::Documents, &KeyRange::prefix(b"F".to_vec()), at);
        let (key, _) = buckets.map(Result::unwrap).next().unwrap();
        (key.to_vec(), vec![7; 32])
    });
}

/// The body of a payload is another.
pub fn payload(home: &Path, hash: &Hash) {
    change_in(home, Space::Bodies, |_, _| ([b"b".as_slice(), &hash.0].concat(), b"other bytes".to_vec()));
}

fn change(home: &Path, what: impl FnOnce(&Lsm, u64) -> (Vec<u8>, Vec<u8>)) {
    change_in(home, Space::Documents, what);
}

fn change_in(home: &Path, space: Space, what: impl FnOnce(&Lsm, u64) -> (Vec<u8>, Vec<u8>)) {
    let folder = home.join("databases/main/partitions/000/store/engine");
    let engine = Lsm::open(folder, &LsmOptions::default()).unwrap();
    let at = engine.persisted().unwrap();
    let (key, value) = what(&engine, at);
    let mut batch = Batch::new();
    match space {
        Space::Documents => batch.put(key, value),
        Space::Bodies => batch.put_body(key, value),
    }
    // The engine takes no version twice: the store is made to stand a microsecond later, at the altered one.
    let mut progress = engine.get(Space::Documents, b"m", at).unwrap().unwrap().to_vec();
    progress[147..155].copy_from_slice(&(at + 1).to_le_bytes());
    batch.put(b"m".to_vec(), progress);
    engine.write(&batch, at + 1).unwrap();
    engine.flush().unwrap();
}
