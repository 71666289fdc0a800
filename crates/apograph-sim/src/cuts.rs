//! The power of a copy is cut at every operation of a short scene: what simulation found once, without its seeds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use apograph::format::{PartitionId, Uri, View};
use apograph::read::Which;
use apograph::{Database, Folder, Role};

use crate::disk::survival::Survival;
use crate::os;
use crate::scene::{Server, begin_for, complete, complete_beside, pump, settings};
use crate::script::{Do, transaction};

const SOURCE: usize = 0;
const COPY: usize = 1;
const SECRET: &str = "[nobody is to keep this]";

fn home(host: usize) -> PathBuf {
    os::with(|os| os.folder(host)).join("data")
}

fn start(host: usize) -> Server {
    os::as_host(host, || {
        let folder = Folder::open(&home(host)).unwrap().driven_by_steps();
        let database = folder.database("main").unwrap().unwrap();
        Server { database, _folder: folder }
    })
}

/// A primary, and a copy of it that has nothing yet.
fn begun(role: Role) -> (Server, Server) {
    for host in [SOURCE, COPY] {
        let folder = os::with(|os| os.folder(host));
        os::away(|| fs::create_dir(&folder)).unwrap();
    }
    os::as_host(SOURCE, || drop(Folder::init(&home(SOURCE), &settings(Role::Primary, 1)).unwrap()));
    let source = start(SOURCE);
    let copy = os::as_host(COPY, || {
        let folder = Folder::init(&home(COPY), &settings(role, 1)).unwrap().driven_by_steps();
        let handshake = source.database.handshake(role.view()).unwrap();
        let database = folder.adopt("main", &handshake).unwrap();
        Server { database, _folder: folder }
    });
    (source, copy)
}

fn commit(source: &Server, changes: &[(&'static str, Do)]) {
    os::as_host(SOURCE, || source.database.commit(transaction(&source.database, changes)).unwrap());
}

fn follow(source: &Server, copy: &Database) {
    for partition in copy.partitioning().all() {
        while os::as_host(COPY, || pump(&source.database, copy, partition, usize::MAX)) {}
    }
}

/// Nothing comes for a while: what was purged goes.
fn rest(copy: &Database) {
    os::as_host(COPY, || {
        copy.idle();
        while copy.maintain() {}
    });
}

/// Files of the copy's disk.
fn files() -> Vec<(PathBuf, Vec<u8>)> {
    fn below(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => below(&path, found),
                false => found.push((path.clone(), fs::read(&path).unwrap())),
            }
        }
    }
    let mut found = Vec::new();
    os::away(|| below(&home(COPY), &mut found));
    found
}

/// The journal had erased the body that named a content, and the store was set back before it: nobody knew any more
/// that the content belonged to what was purged.
#[test]
fn a_power_cut_while_a_staging_server_erases_leaves_nothing_of_what_was_purged() {
    // Every second operation; most of them are of the files that purges rewrite.
    for (survival, step) in [(Survival::Nothing, 2), (Survival::Bytes, 5), (Survival::Mixed, 5)] {
        for cut in (0..).step_by(step) {
            let dir = tempfile::tempdir().unwrap();
            let _installed = os::install(1, dir.path().to_owned(), 2);
            let (source, copy) = begun(Role::Staging);
            // A file of its own, and a small one.
            for (name, text) in [("/large", SECRET.repeat(4_000)), ("/small", SECRET.to_owned())] {
                commit(&source, &[(name, Do::Put(text)), (name, Do::Publish)]);
            }
            follow(&source, &copy.database);
            assert!(files().iter().any(|(_, bytes)| holds(bytes)));
            for name in ["/large", "/small"] {
                commit(&source, &[(name, Do::Purge)]);
            }
            follow(&source, &copy.database);
            os::with(|os| os.host(COPY).cut_in = Some(cut));
            rest(&copy.database);
            let is_over = os::with(|os| !std::mem::replace(&mut os.host(COPY).is_cut, true));
            os::as_host(COPY, || drop(copy));
            os::survive(COPY, survival, cut).unwrap();
            let copy = start(COPY);
            follow(&source, &copy.database);
            rest(&copy.database);
            for (path, bytes) in files() {
                assert!(!holds(&bytes), "{survival:?}, cut at {cut}: {}", path.display());
            }
            assert_eq!(copy.database.view(), View::Published);
            if is_over {
                break;
            }
        }
    }
}

fn holds(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

/// A role that was not given, because a sync failed, is not given by the next start either: the primary has gone on, and whoever
/// got the role would cut that off.
#[test]
fn a_role_that_a_failing_sync_did_not_give_is_not_given_by_the_next_start() {
    for syncs in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let _installed = os::install(1, dir.path().to_owned(), 2);
        let (source, copy) = begun(Role::Replica);
        follow(&source, &copy.database);
        let to = os::as_host(COPY, || copy.database.handshake(View::Full).unwrap().server);
        os::as_host(SOURCE, || source.database.announce_copy(&to, Role::Replica).unwrap());
        commit(&source, &[("/a", Do::Put("before".into()))]);
        let given = os::as_host(SOURCE, || {
            let held = source.database.hold_writes(Duration::from_secs(60)).unwrap();
            os::with(|os| os.host(SOURCE).fail_sync_in = Some(syncs));
            let given = source.database.step_down(to.clone(), held.positions);
            os::with(|os| os.host(SOURCE).fail_sync_in = None);
            if given.is_err() {
                source.database.release_writes().unwrap();
                source
                    .database
                    .commit(transaction(&source.database, &[("/b", Do::Put("after".into()))]))
                    .unwrap();
            }
            drop(source);
            given.is_ok()
        });
        let source = start(SOURCE);
        let role = source.database.role();
        if given {
            assert_eq!((role, syncs > 1), (Role::Replica, true), "{syncs}");
            break;
        }
        assert_eq!(role, Role::Primary, "{syncs}");
        assert!(source.database.document(&Uri::parse("/b").unwrap(), Which::Working, None).is_ok());
    }
}

/// Its removal was not synced, and nobody looked for it again.
#[test]
fn what_a_synchronization_replaced_does_not_come_back_with_a_power_cut() {
    let reasons = ["out-of-window", "unknown-position"];
    for (survival, reason) in Survival::ALL.iter().flat_map(|of| reasons.map(|reason| (*of, reason))) {
        let dir = tempfile::tempdir().unwrap();
        let _installed = os::install(1, dir.path().to_owned(), 2);
        let (source, copy) = begun(Role::Replica);
        commit(&source, &[("/a", Do::Put(SECRET.into()))]);
        follow(&source, &copy.database);
        commit(&source, &[("/b", Do::Put("since".into()))]);
        os::as_host(COPY, || {
            let snapshot = source.database.snapshot(View::Full, copy.database.sync_floor()).unwrap();
            begin_for(&copy.database, snapshot, reason);
            complete(&source.database, &copy.database);
        });
        os::with(|os| os.host(COPY).is_cut = true);
        os::as_host(COPY, || drop(copy));
        os::survive(COPY, survival, 1).unwrap();
        let copy = start(COPY);
        let gone = ["journal.before", "synchronize.log"];
        let is_back = |path: &PathBuf| gone.iter().any(|name| path.to_string_lossy().contains(name));
        let back = files().into_iter().map(|(path, _)| path).find(is_back);
        assert_eq!(back, None, "{survival:?}, {reason}");
        follow(&source, &copy.database);
        assert_eq!(copy.database.visible(), source.database.visible());
    }
}

/// What a purge takes comes again, ahead of the document that names it, while the purge is still to be done.
#[test]
fn an_erasure_leaves_what_a_synchronization_brought_ahead_of_its_document() {
    for is_asked_before in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let _installed = os::install(1, dir.path().to_owned(), 2);
        let (source, copy) = begun(Role::Replica);
        // Together more than what is installed at once.
        let text =
            |first: u32| (first..first + 120_000).map(|number| format!("{number:x} ")).collect::<String>();
        for (name, first) in [("/gone/1", 0), ("/gone/2", 500_000)] {
            commit(&source, &[(name, Do::Put(text(first)))]);
        }
        follow(&source, &copy.database);
        rest(&copy.database);
        for name in ["/gone/1", "/gone/2"] {
            commit(&source, &[(name, Do::Purge)]);
        }
        follow(&source, &copy.database);
        if is_asked_before {
            os::as_host(COPY, || copy.database.idle());
        }
        for (name, first) in [("/again/1", 0), ("/again/2", 500_000)] {
            commit(&source, &[(name, Do::Put(text(first)))]);
        }
        os::as_host(COPY, || {
            let snapshot = source.database.snapshot(View::Full, copy.database.sync_floor()).unwrap();
            begin_for(&copy.database, snapshot, "out-of-window");
            complete_beside(&source.database, &copy.database, || {
                if copy.database.syncing(PartitionId(0)).is_some_and(|of| of.bytes > 1 << 20) {
                    copy.database.idle();
                    while copy.database.maintain() {}
                }
            });
        });
        rest(&copy.database);
        let export = |of: &Server| -> Vec<_> {
            of.database.export(View::Full, None).unwrap().map(|line| line.unwrap()).collect()
        };
        assert!(export(&copy) == export(&source), "{is_asked_before}");
    }
}
