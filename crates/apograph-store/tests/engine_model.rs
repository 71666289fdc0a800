//! Any history gives the same answers from the engine on disk as from the model in memory, through flushes, crashes,
//! replays, merges, rising horizons and erasures.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use apograph_store::engine::{Batch, Engine, Erased, KeyRange, Lsm, LsmOptions, Memory, Space};
use bytes::Bytes;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// Versions go on by `pause`; values of `None` are deletions.
    Write {
        pause: u64,
        documents: Vec<(u8, Option<u16>)>,
        bodies: Vec<u8>,
    },
    Flush,
    Maintain,
    Crash,
    RaiseHorizon {
        back: u64,
    },
    Erase {
        document: u8,
        body: u8,
    },
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn lsm_answers_like_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::new(folder.path());
        for step in steps {
            run.step(step);
            run.compare();
        }
        run.crash();
        run.compare();
    }
}

fn step() -> impl Strategy<Value = Step> {
    let documents = prop::collection::vec((0..12u8, prop::option::weighted(0.8, any::<u16>())), 0..5);
    let bodies = prop::collection::vec(0..12u8, 0..3);
    prop_oneof![
        8 => (1..5u64, documents, bodies)
            .prop_map(|(pause, documents, bodies)| Step::Write { pause, documents, bodies }),
        2 => Just(Step::Flush),
        4 => Just(Step::Maintain),
        1 => Just(Step::Crash),
        1 => (0..20u64).prop_map(|back| Step::RaiseHorizon { back }),
        1 => (0..12u8, 0..12u8).prop_map(|(document, body)| Step::Erase { document, body }),
    ]
}

struct Run<'a> {
    folder: &'a std::path::Path,
    /// `None` only while it is reopened.
    lsm: Option<Lsm>,
    memory: Memory,
    /// What a journal would hold: every batch, without what was erased.
    journal: Vec<(u64, Batch)>,
    now: u64,
}

impl<'a> Run<'a> {
    fn new(folder: &'a std::path::Path) -> Self {
        Self { folder, lsm: Some(open(folder)), memory: Memory::new(), journal: Vec::new(), now: 0 }
    }

    fn engines(&self) -> [&dyn Engine; 2] {
        [self.lsm.as_ref().unwrap(), &self.memory]
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write { pause, documents, bodies } => {
                self.now += pause;
                let batch = batch(&documents, &bodies);
                self.engines().iter().for_each(|engine| engine.write(&batch, self.now).unwrap());
                self.journal.push((self.now, batch));
            }
            Step::Flush => {
                self.engines().iter().for_each(|engine| engine.flush().unwrap());
                assert_eq!(self.lsm.as_ref().unwrap().persisted(), self.memory.persisted());
            }
            Step::Maintain => self.engines().iter().for_each(|engine| {
                engine.maintain().unwrap();
            }),
            Step::Crash => self.crash(),
            Step::RaiseHorizon { back } => {
                let to = self.now.saturating_sub(back);
                self.engines().iter().for_each(|engine| engine.raise_horizon(to).unwrap());
            }
            Step::Erase { document, body } => self.erase(&key(document), &key(body)),
        }
    }

    fn erase(&mut self, document: &[u8], body: &[u8]) {
        let keys = [(Space::Documents, document), (Space::Bodies, body)];
        for engine in self.engines() {
            assert_eq!(engine.erase(&keys).unwrap(), Erased::Done);
        }
        for (_, batch) in &mut self.journal {
            *batch = without(batch, &keys);
        }
    }

    /// Reopens without a flush, checks that exactly a prefix is there, and replays the rest.
    fn crash(&mut self) {
        let horizon = self.memory.horizon();
        self.lsm = None;
        self.lsm = Some(open(self.folder));
        let lsm = self.lsm.as_ref().unwrap();
        assert_eq!(lsm.horizon(), horizon);
        if let Some(persisted) = lsm.persisted() {
            // The model, not yet crashed, has all of it; at the newest version of the prefix nothing may be pruned.
            let expected = documents(&self.memory, persisted);
            if persisted >= horizon {
                assert_eq!(documents(lsm, persisted), expected);
            }
            assert_eq!(
                documents(lsm, u64::MAX),
                documents(lsm, persisted),
                "something after the prefix is there"
            );
        } else {
            assert_eq!(documents(lsm, u64::MAX), []);
        }
        self.memory.crash();
        for engine in self.engines() {
            // From a little before: harmless.
            let from = engine.persisted().map_or(0, |persisted| persisted.saturating_sub(3));
            for (at, batch) in self.journal.iter().filter(|(at, _)| *at >= from) {
                engine.write(batch, *at).unwrap();
            }
        }
    }

    fn compare(&self) {
        let [lsm, memory] = self.engines();
        let versions: BTreeSet<u64> = self
            .journal
            .iter()
            .flat_map(|(at, _)| [at.saturating_sub(1), *at])
            .chain([self.now, u64::MAX])
            .collect();
        for at in versions.into_iter().filter(|at| *at >= memory.horizon()) {
            assert_eq!(documents(lsm, at), documents(memory, at), "as of {at}");
            for number in 0..12 {
                let read = |engine: &dyn Engine| engine.get(Space::Documents, &key(number), at).unwrap();
                assert_eq!(read(lsm), read(memory), "key {number} as of {at}");
            }
        }
        let some = KeyRange::between(key(3).to_vec(), key(8).to_vec());
        assert_eq!(
            scan(lsm, Space::Documents, &some, self.now),
            scan(memory, Space::Documents, &some, self.now)
        );
        assert_eq!(
            scan(lsm, Space::Bodies, &KeyRange::all(), 0),
            scan(memory, Space::Bodies, &KeyRange::all(), 0)
        );
        for number in 0..12 {
            let read = |engine: &dyn Engine| engine.get(Space::Bodies, &key(number), 0).unwrap();
            assert_eq!(read(lsm), read(memory), "body {number}");
        }
    }
}

/// Half of the bodies stand apart, half do not.
const APART_BYTES: usize = 20;

/// A memtable so small that `maintain` flushes after a few writes.
fn open(folder: &std::path::Path) -> Lsm {
    let options = LsmOptions {
        memtable_bytes: 500,
        cache_bytes: 1 << 20,
        apart_bytes: APART_BYTES,
        ..LsmOptions::default()
    };
    Lsm::open(folder, &options).unwrap()
}

fn documents(engine: &dyn Engine, at: u64) -> Vec<(Bytes, Bytes)> {
    scan(engine, Space::Documents, &KeyRange::all(), at)
}

fn scan(engine: &dyn Engine, space: Space, keys: &KeyRange, at: u64) -> Vec<(Bytes, Bytes)> {
    engine.range(space, keys, at).map(Result::unwrap).collect()
}

fn batch(documents: &[(u8, Option<u16>)], bodies: &[u8]) -> Batch {
    let mut batch = Batch::new();
    for (number, value) in documents {
        match value {
            Some(value) => batch.put(key(*number).to_vec(), value.to_be_bytes().to_vec()),
            None => batch.delete(key(*number).to_vec()),
        }
    }
    for number in bodies {
        // Write-once: the value follows from the key.
        let bytes = if number.is_multiple_of(2) { APART_BYTES } else { APART_BYTES - 1 };
        batch.put_body(key(*number).to_vec(), vec![*number; bytes]);
    }
    batch
}

fn without(batch: &Batch, keys: &[(Space, &[u8])]) -> Batch {
    let mut rest = Batch::new();
    for write in batch.writes().iter().filter(|write| !keys.contains(&(write.space, &write.key[..]))) {
        match (write.space, &write.value) {
            (Space::Bodies, value) => rest.put_body(write.key.clone(), value.clone().unwrap()),
            (Space::Documents, Some(value)) => rest.put(write.key.clone(), value.clone()),
            (Space::Documents, None) => rest.delete(write.key.clone()),
        }
    }
    rest
}

fn key(number: u8) -> [u8; 2] {
    [b'k', number]
}
