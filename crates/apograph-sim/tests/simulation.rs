//! Equal seeds leave equal traces, and what simulation found stays mended.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use apograph::format::{Uri, View};
use apograph::settings::{DatabaseSettings, ServerSettings};
use apograph::transaction::{Action, Precondition, Put, Transaction};
use apograph::{Folder, Operation, Role};
use apograph_sim::disk::survival::Survival;
use apograph_sim::os;
use apograph_sim::run::{self, Showing};

/// A run says what happened, in which order, and what was done to every disk: all of it is in the fingerprint.
#[test]
fn equal_seeds_leave_equal_traces() {
    let showing = Showing { keeps: true, prints: false };
    let mut fingerprints = Vec::new();
    // The first and the third have a copy of a part, the last has large texts.
    for seed in [1, 2, 3, 4, 5, 23] {
        let (one, other) = (run::one(seed, showing), run::one(seed, showing));
        assert_eq!(one.fault, None, "seed {seed}");
        assert_eq!(one.lines, other.lines, "seed {seed}");
        assert_eq!(one.fingerprint, other.fingerprint, "seed {seed}: what was done to the disks differs");
        assert!(one.figures.operations > 100);
        fingerprints.push(one.fingerprint);
    }
    fingerprints.sort();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 6, "each seed is another run");
}

fn settings() -> ServerSettings {
    ServerSettings {
        name: "a".into(),
        listen: "a:1".into(),
        url: None,
        backup_folder: None,
        databases: BTreeMap::from([("main".to_owned(), DatabaseSettings::new(Role::Primary))]),
    }
}

/// Nothing synced the names of a new data folder and of a new database: a power cut took them, and everything that was
/// acknowledged in them; where only the database was gone, the next start made another one in silence.
#[test]
fn a_power_cut_leaves_a_new_database_where_it_was() {
    for survival in Survival::ALL {
        let dir = tempfile::tempdir().unwrap();
        let _installed = os::install(1, dir.path().to_owned(), 1);
        let folder = os::with(|os| os.folder(0));
        os::away(|| std::fs::create_dir(&folder)).unwrap();
        let home = folder.join("data");
        let (id, token) = os::as_host(0, || {
            drop(Folder::init(&home, &settings()).unwrap());
            let folder = Folder::open(&home).unwrap().driven_by_steps();
            let database = folder.database("main").unwrap().unwrap();
            let put = Operation {
                uri: Uri::parse("/a").unwrap(),
                precondition: Precondition::None,
                action: Action::Put(Put::default()),
            };
            let transaction = Transaction {
                author: "ann".into(),
                operations: vec![put],
                privileged: true,
                ..Transaction::default()
            };
            let committed = database.commit(transaction).unwrap();
            os::compare(0).unwrap();
            // From here on nothing that is done reaches the disk.
            os::with(|os| os.host(0).is_cut = true);
            (database.id(), committed.token)
        });
        os::survive(0, survival, 7).unwrap();
        os::as_host(0, || {
            let folder = Folder::open(&home).unwrap().driven_by_steps();
            let database = folder.database("main").unwrap().unwrap();
            assert_eq!(database.id(), id, "{survival:?}: the same database");
            assert!(database.visible() >= token.timestamp, "{survival:?}");
            assert_eq!(database.digest_at(View::Full, token.timestamp).unwrap().at, token.timestamp);
        });
    }
}
