//! lsm-tree, through the store's own engine: timestamps are its versions.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use apograph_store::engine::{
    Batch, Compression, Engine as _, Erased, KeyRange, Lsm, LsmOptions, Pressure, Space,
};
use bytes::Bytes;

use crate::{candidate::Candidate, workload::Transaction};

pub struct LsmTree {
    engine: Arc<Lsm>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl LsmTree {
    pub fn open(folder: &Path, lz4: bool, block_bytes: u32) -> Self {
        let compression = if lz4 { Compression::Lz4 } else { Compression::None };
        let options = LsmOptions { compression, block_bytes, ..LsmOptions::default() };
        let engine = Arc::new(Lsm::open(folder, &options).unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let workers = (0..2).map(|_| worker(Arc::clone(&engine), Arc::clone(&stop))).collect();
        Self { engine, stop, workers }
    }
}

fn worker(engine: Arc<Lsm>, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            if !engine.maintain().unwrap() {
                thread::sleep(Duration::from_millis(1));
            }
        }
    })
}

impl Candidate for LsmTree {
    fn apply(&mut self, transaction: &Transaction<'_>) {
        loop {
            match self.engine.pressure() {
                Pressure::None => break,
                Pressure::Slow(wait) => break thread::sleep(wait),
                Pressure::Stop => thread::sleep(Duration::from_millis(1)),
            }
        }
        let copy = Bytes::copy_from_slice;
        let mut batch = Batch::new();
        batch.put(transaction.uri.clone(), copy(transaction.head));
        batch.put_body(copy(&transaction.body_hash), copy(transaction.body));
        batch.put_body(copy(&transaction.content_hash), copy(transaction.content));
        for (key, value) in &transaction.nodes {
            batch.put(copy(key), copy(value));
        }
        self.engine.write(&batch, transaction.at).unwrap();
    }

    fn persist(&mut self) {
        self.engine.flush().unwrap();
    }

    fn settle(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.workers.drain(..).for_each(|worker| worker.join().unwrap());
        while self.engine.maintain().unwrap() {}
        self.stop.store(false, Ordering::Relaxed);
        self.workers.push(worker(Arc::clone(&self.engine), Arc::clone(&self.stop)));
    }

    fn persisted(&self) -> Option<u64> {
        self.engine.persisted()
    }

    fn head(&self, uri: &[u8], at: u64) -> Option<usize> {
        self.engine.get(Space::Documents, uri, at).unwrap().map(|head| head.len())
    }

    fn content(&self, hash: &[u8]) -> Option<usize> {
        self.engine.get(Space::Bodies, hash, u64::MAX).unwrap().map(|content| content.len())
    }

    fn scan(&self, from: &[u8], count: usize, at: u64) -> usize {
        let keys = KeyRange::prefix(Bytes::copy_from_slice(from));
        self.engine.range(Space::Documents, &keys, at).take(count).map(Result::unwrap).count()
    }

    fn erase(&mut self, hash: &[u8]) -> bool {
        self.engine.erase(&[(Space::Bodies, hash)]).unwrap() == Erased::Done
    }
}
