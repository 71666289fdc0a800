//! Backups: one moment of a database that is written, proven without restoring, restored as of any time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use apograph::backup::{BackupError, BackupRequest, MANIFEST, Made, RestoreRequest, Restored, verify};
use apograph::format::{Timestamp, View};
use apograph::settings::{DatabaseSettings, ServerSettings, SourceSettings};
use apograph::transaction::Action;
use apograph::{Database, Folder, Operation, Role};
use support::synchronize::{Cost, synchronize};
use support::{Servers, export, files, lock, operation, publish, put, trash};

fn backup(database: &Database, dir: &Path) -> Made {
    let request = BackupRequest { dir: dir.to_owned(), previous: None };
    database.backup(&request, &mut |_| true).unwrap()
}

fn backup_after(database: &Database, dir: &Path, previous: &Path) -> Made {
    let request = BackupRequest { dir: dir.to_owned(), previous: Some(previous.to_owned()) };
    database.backup(&request, &mut |_| true).unwrap()
}

#[track_caller]
fn check(dir: &Path) {
    let report = verify(dir, &mut |_| true).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
}

fn folder(path: &Path, role: Role) -> Folder {
    let mut settings = DatabaseSettings::new(role);
    settings.segment_bytes_max = Some(64 << 10);
    settings.source = (role != Role::Primary).then(|| SourceSettings::new("elsewhere", "none"));
    let settings = ServerSettings {
        name: "restored".into(),
        listen: "127.0.0.1:1".into(),
        url: None,
        backup_folder: None,
        databases: BTreeMap::from([("main".to_owned(), settings)]),
    };
    Folder::init(path, &settings).unwrap()
}

fn of(backup: &Path) -> RestoreRequest {
    RestoreRequest { backup: backup.to_owned(), at: None, archive: None, replace: false }
}

fn restore(path: &Path, role: Role, request: &RestoreRequest) -> (Folder, Database, Restored) {
    let folder = folder(path, role);
    let restored = folder.restore("main", request, &mut |_| true).unwrap();
    let database = folder.database("main").unwrap().unwrap();
    (folder, database, restored)
}

fn export_at(database: &Database, view: View, at: Timestamp) -> Vec<String> {
    database.export(view, Some(at)).unwrap().map(Result::unwrap).collect()
}

/// A change that differs from step to step: texts of all sizes, publications, trashes, moves, locks, over a few URIs.
fn step(n: u64) -> Vec<Operation> {
    let at = format!("/d/{}", n % 23);
    let other = format!("/d/{}", (n + 7) % 23);
    let size = [10, 3_000, 200, 90_000][(n % 4) as usize];
    let text = format!("text {n} ").repeat(size / 8);
    match n % 6 {
        0 | 1 => vec![put(&at, &text), put(&other, "short"), publish(&other)],
        2 => vec![put(&at, &text), publish(&at)],
        3 => vec![put(&at, &text), lock(&at, 60)],
        4 => vec![put(&at, "x"), trash(&at)],
        _ => vec![put(&at, &text)],
    }
}

fn change(database: &Database, n: u64) -> Timestamp {
    let transaction = |operations| apograph::Transaction { operations, ..support::transaction([]) };
    // Something in the trash, or locked, refuses: then the other kind of step is done.
    let first = database.commit(transaction(step(n)));
    let done = first.or_else(|_| {
        let at = format!("/d/{}", n % 23);
        database
            .commit(transaction(vec![operation(&at, Action::Restore), put(&at, "again")]))
            .or_else(|_| database.commit(transaction(vec![put(&format!("/e/{n}"), "new")])))
    });
    done.unwrap().timestamp()
}

/// The state of a backup taken under writes is that of its timestamp, in every byte that can be asked for.
#[test]
fn a_backup_taken_while_writing_is_one_moment() {
    for partitions in [1, 3] {
        let servers = Servers::start(partitions);
        let primary = servers.primary();
        let dir = tempfile::tempdir().unwrap();
        for n in 0..60 {
            change(&primary, n);
        }
        let (stop, written) = (AtomicBool::new(false), AtomicU64::new(60));
        let mut made = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    change(&primary, written.fetch_add(1, Ordering::AcqRel));
                }
            });
            for number in 0..4 {
                let before = written.load(Ordering::Acquire);
                while written.load(Ordering::Acquire) < before + 20 {
                    std::thread::yield_now();
                }
                made.push((backup(&primary, &dir.path().join(number.to_string())), number));
            }
            stop.store(true, Ordering::Release);
        });
        for (made, number) in made {
            let path = dir.path().join(number.to_string());
            check(&path);
            let at = made.manifest.at;
            for view in View::ALL {
                let digest = primary.digest_at(view, at).unwrap();
                let listed = made.manifest.digests.iter().find(|of| of.view == view).unwrap();
                assert_eq!((digest.digest, digest.documents), (listed.digest, listed.documents));
            }
            let to = dir.path().join(format!("{number} restored"));
            let (_folder, copy, restored) = restore(&to, Role::Replica, &of(&path));
            assert_eq!((restored.at, copy.visible()), (at, at));
            assert_eq!(restored.digests, made.manifest.digests);
            for view in View::ALL {
                support::assert_same(&export(&copy, view), &export_at(&primary, view, at));
            }
        }
    }
}

/// A backup of any role, restored over its own server, follows on as if nothing had been, byte for byte.
#[test]
fn a_restored_copy_follows_its_source() {
    for partitions in [1, 3] {
        let mut servers = Servers::start(partitions);
        let dir = tempfile::tempdir().unwrap();
        for n in 0..40 {
            change(&servers.primary(), n);
        }
        servers.follow_some(7);
        let path = |name: &str| dir.path().join(name);
        for name in ["primary", "replica", "staging"] {
            backup(&servers.database(name), &path(name));
            check(&path(name));
        }
        for n in 40..80 {
            change(&servers.primary(), n);
        }
        servers.check_exact();
        // A replica may begin with the backup of a replica or of the primary, a staging server with its own.
        for (name, from) in [("replica", "replica"), ("second", "primary"), ("staging", "staging")] {
            let backup = path(from);
            let restore = |home: &Path| {
                let folder = Folder::open(home).unwrap();
                let request = RestoreRequest { replace: true, ..of(&backup) };
                let restored = folder.restore("main", &request, &mut |_| true).unwrap();
                assert!(restored.moved_aside.as_ref().unwrap().exists());
                std::fs::remove_dir_all(restored.moved_aside.unwrap()).unwrap();
            };
            servers.tamper(name, restore).unwrap();
        }
        servers.check_exact();
        servers.restart();
        servers.check_exact();
    }
}

/// A primary that was restored begins a new epoch. A copy that was ahead of it is told, and becomes equal again; one that
/// was not follows on.
#[test]
fn a_restored_primary_begins_an_epoch_that_its_copies_notice() {
    let mut servers = Servers::start(2);
    let dir = tempfile::tempdir().unwrap();
    for n in 0..30 {
        change(&servers.primary(), n);
    }
    servers.settle_primary();
    servers.follow();
    let path = dir.path().join("b");
    let made = backup(&servers.primary(), &path);
    for n in 30..50 {
        change(&servers.primary(), n);
    }
    servers.follow_one("replica");
    let ahead = servers.database("replica").visible();
    assert!(ahead > made.manifest.at);
    let epoch = made.manifest.epoch;
    let over = |home: &Path| {
        let folder = Folder::open(home).unwrap();
        let request = RestoreRequest { replace: true, ..of(&path) };
        let restored = folder.restore("main", &request, &mut |_| true).unwrap();
        assert_eq!(restored.epoch.number(), epoch.number() + 1);
    };
    servers.tamper("primary", over).unwrap();
    let primary = servers.primary();
    assert_eq!(primary.epoch().number(), epoch.number() + 1);
    let token = change(&primary, 50);
    assert!(token > made.manifest.at);
    let replica = servers.database("replica");
    let is_refused = replica.resume().into_iter().any(|(partition, from, source)| {
        matches!(
            primary.feed(partition, View::Full, from, source),
            Err(apograph::error::FeedError::UnknownPosition { .. })
        )
    });
    assert!(is_refused, "what the replica has beyond the backup is no part of the new history");
    // Those that copy from the replica notice it there.
    for (source, name) in [("primary", "replica"), ("replica", "second"), ("replica", "staging")] {
        synchronize(&servers.database(source), &servers.database(name), "a fork", &mut Cost::default());
    }
    for n in 51..60 {
        change(&primary, n);
    }
    servers.settle_primary();
    servers.follow();
    for name in ["replica", "second", "staging"] {
        let copy = servers.database(name);
        assert_eq!(
            (copy.status().unwrap().epoch, copy.visible()),
            (primary.epoch(), primary.visible()),
            "{name}"
        );
        support::assert_same(&export(&copy, copy.view()), &export(&primary, copy.view()));
        assert!(copy.alarms().is_empty(), "{name}: {:?}", copy.alarms());
    }
}

/// Twenty times inside of the history: the state that was, whether or not the journal reaches back there.
#[test]
fn a_restore_to_a_time_is_the_state_of_that_time() {
    for partitions in [1, 3] {
        let mut servers = Servers::start(partitions);
        let dir = tempfile::tempdir().unwrap();
        let primary = servers.primary();
        let mut times = Vec::new();
        for n in 0..120 {
            times.push(change(&primary, n));
        }
        let early = dir.path().join("early");
        let first = backup(&primary, &early);
        for n in 120..200 {
            times.push(change(&primary, n));
        }
        servers.follow();
        let late = dir.path().join("late");
        backup_after(&primary, &late, &early);
        check(&late);
        for round in 0..20_u64 {
            // Now and then between two transactions.
            let index = (round * 7_919 + 13) as usize % times.len();
            let at = Timestamp(times[index].0 + round % 2);
            let exact = times[index];
            let to = dir.path().join(format!("at {round}"));
            let is_later = exact > first.manifest.at;
            // From the later backup going back, or from the earlier one going on with the later one's journals.
            let request = match (round % 3, is_later) {
                (0, true) => RestoreRequest { at: Some(at), archive: Some(late.clone()), ..of(&early) },
                (_, false) if round % 3 == 1 => RestoreRequest { at: Some(at), ..of(&early) },
                _ => RestoreRequest { at: Some(at), ..of(&late) },
            };
            let (folder, copy, restored) = restore(&to, Role::Replica, &request);
            assert!(restored.at <= at && copy.visible() == restored.at, "{round}");
            for view in View::ALL {
                support::assert_same(&export(&copy, view), &export_at(&primary, view, at));
                assert_eq!(
                    copy.digest_at(view, restored.at).unwrap().digest,
                    primary.digest_at(view, at).unwrap().digest
                );
            }
            // It ends there: nothing in the journal lies beyond, and it follows on to the same end.
            for partition in copy.status().unwrap().partitions {
                assert_eq!(partition.journal_end, partition.applied);
            }
            copy.shutdown();
            drop((folder, copy));
            if round % 5 == 0 {
                let from = to.join("databases/main");
                let over = |home: &Path| {
                    std::fs::remove_dir_all(home.join("databases/main")).unwrap();
                    std::fs::rename(&from, home.join("databases/main")).unwrap();
                };
                servers.tamper("replica", over).unwrap();
                servers.check_exact();
            }
        }
    }
}

/// Bytes of versions that came later are in no file of a database that was taken back.
#[test]
fn what_came_later_is_in_no_file() {
    let servers = Servers::start(1);
    let dir = tempfile::tempdir().unwrap();
    let primary = servers.primary();
    let at = change(&primary, 1);
    let canaries = ["SMALL-CANARY-LATER".to_owned(), "LARGE-CANARY-LATER ".repeat(20_000)];
    for (n, canary) in canaries.iter().enumerate() {
        primary.commit(support::transaction([put(&format!("/later/{n}"), canary)])).unwrap();
    }
    let path = dir.path().join("b");
    backup(&primary, &path);
    let to = dir.path().join("r");
    let (_folder, copy, _) = restore(&to, Role::Replica, &RestoreRequest { at: Some(at), ..of(&path) });
    copy.shutdown();
    for canary in ["SMALL-CANARY-LATER", "LARGE-CANARY-LATER"] {
        assert!(holds(&path, canary), "the backup has it");
        assert!(!holds(&to, canary), "the restored folder has not");
    }
}

fn holds(folder: &Path, canary: &str) -> bool {
    let canary = canary.as_bytes();
    files(folder).iter().any(|(_, bytes)| bytes.windows(canary.len()).any(|window| window == canary))
}

/// Any flipped byte of any file is found, and so is a file that is missing, short, long, or too many.
#[test]
fn every_damage_of_a_backup_is_found() {
    let servers = Servers::start(2);
    let dir = tempfile::tempdir().unwrap();
    let primary = servers.primary();
    for n in 0..12 {
        change(&primary, n);
    }
    let path = dir.path().join("b");
    backup(&primary, &path);
    let before = files(&path);
    check(&path);
    assert!(files(&path) == before, "a verification writes nothing");
    let found = |what: &str| match verify(&path, &mut |_| true) {
        Ok(report) => assert!(!report.is_sound(), "{what} was not found"),
        Err(error) => assert!(!matches!(error, BackupError::Cancelled), "{what}"),
    };
    let all = files(&path);
    assert!(all.len() > 15, "{}", all.len());
    for (file, bytes) in &all {
        let name = file.display();
        let step = match file.file_name().unwrap().to_str().unwrap() {
            // Every byte of what everything rests on.
            MANIFEST => 1,
            _ => (bytes.len() / 7).max(1),
        };
        for offset in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
            for bit in [0x01, 0x20] {
                let mut flipped = bytes.clone();
                flipped[offset] ^= bit;
                std::fs::write(file, &flipped).unwrap();
                found(&format!("byte {offset} of {name}"));
            }
        }
        std::fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
        found(&format!("the missing end of {name}"));
        std::fs::write(file, [bytes, &b"\n"[..]].concat()).unwrap();
        found(&format!("the longer end of {name}"));
        std::fs::remove_file(file).unwrap();
        found(&format!("the absence of {name}"));
        std::fs::write(file, bytes).unwrap();
    }
    let extra = path.join("partitions/001/store/engine/bodies/tables/99");
    std::fs::write(&extra, "x").unwrap();
    found("a file too many");
    std::fs::remove_file(extra).unwrap();
    check(&path);
}

/// What a correct list would not find: a store and a journal that contradict their own contents.
#[test]
fn a_damaged_source_does_not_become_a_sound_backup() {
    let mut servers = Servers::start(1);
    let dir = tempfile::tempdir().unwrap();
    let large = "a large content ".repeat(10_000);
    servers.commit([put("/large", &large)]);
    let home = servers.path("primary");
    let of_kind = |kind: &str| -> PathBuf {
        files(&home.join("databases/main/partitions"))
            .into_iter()
            .map(|(path, _)| path)
            .find(|path| path.to_string_lossy().contains(kind))
            .unwrap()
    };
    let chunk = of_kind("/chunks/");
    let sound = std::fs::read(&chunk).unwrap();
    let mut rotten = sound.clone();
    rotten[1_000] ^= 1;
    std::fs::write(&chunk, &rotten).unwrap();
    let path = dir.path().join("chunk");
    let request = BackupRequest { dir: path.clone(), previous: None };
    let refused = servers.primary().backup(&request, &mut |_| true);
    assert!(matches!(refused, Err(BackupError::Damaged { .. })), "{refused:?}");
    assert!(matches!(verify(&path, &mut |_| true), Err(BackupError::Incomplete { .. })));
    std::fs::write(&chunk, &sound).unwrap();
    // In a journal, a payload that nobody read since it rotted.
    let segment = of_kind(".segment");
    let mut bytes = std::fs::read(&segment).unwrap();
    let place = bytes.windows(15).position(|window| window == b"a large content").unwrap();
    bytes[place + 5_000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let path = dir.path().join("segment");
    backup(&servers.primary(), &path);
    let report = verify(&path, &mut |_| true).unwrap();
    assert!(report.findings.iter().any(|finding| finding.path.ends_with("/journal")), "{report:?}");
}

/// Interrupted anywhere, it is no backup; made again into the same folder, it is one, and nothing of before is in the way.
#[test]
fn an_interrupted_backup_is_recognised_and_taken_up() {
    let servers = Servers::start(2);
    let dir = tempfile::tempdir().unwrap();
    let primary = servers.primary();
    for n in 0..20 {
        change(&primary, n);
    }
    let whole = dir.path().join("whole");
    backup(&primary, &whole);
    let steps = {
        let mut calls = 0;
        let request = BackupRequest { dir: dir.path().join("counted"), previous: None };
        primary
            .backup(&request, &mut |_| {
                calls += 1;
                true
            })
            .unwrap();
        calls
    };
    assert!(steps > 20, "{steps}");
    for stop in 0..steps {
        let path = dir.path().join(format!("stopped {stop}"));
        for previous in [None, Some(whole.clone())] {
            let request = BackupRequest { dir: path.clone(), previous };
            let mut calls = 0;
            let stopped = primary.backup(&request, &mut |_| {
                calls += 1;
                calls <= stop
            });
            if request.previous.is_some() && stopped.is_ok() {
                // Links take fewer steps than copies.
                check(&path);
                std::fs::remove_dir_all(&path).unwrap();
                continue;
            }
            assert!(matches!(stopped, Err(BackupError::Cancelled)), "step {stop}: {stopped:?}");
            let found = verify(&path, &mut |_| true);
            assert!(matches!(found, Err(BackupError::Incomplete { .. })), "step {stop}: {found:?}");
            let refused = restore_refused(&dir.path().join("never"), &of(&path));
            assert!(matches!(refused, BackupError::Incomplete { .. }), "step {stop}: {refused}");
        }
        // A loss of power may leave anything in what was not synced.
        if path.join("partitions").exists()
            && let Some((last, bytes)) = files(&path.join("partitions")).pop()
        {
            std::fs::write(&last, &bytes[..bytes.len() / 2]).unwrap();
        }
        if stop % 4 == 0 {
            change(&primary, 100 + stop);
        }
        let made = backup(&primary, &path);
        check(&path);
        if stop % 8 == 0 {
            let to = dir.path().join(format!("restored {stop}"));
            let (_folder, copy, _) = restore(&to, Role::Replica, &of(&path));
            let at = made.manifest.at;
            support::assert_same(&export(&copy, View::Full), &export_at(&primary, View::Full, at));
        }
    }
}

fn restore_refused(path: &Path, request: &RestoreRequest) -> BackupError {
    let folder = folder(path, Role::Replica);
    let refused = folder.restore("main", request, &mut |_| true).unwrap_err();
    assert!(!path.join("databases/main").exists());
    drop(folder);
    std::fs::remove_dir_all(path).unwrap();
    refused
}

/// An interrupted restore leaves no database, and may be repeated.
#[test]
fn an_interrupted_restore_leaves_nothing_to_open() {
    let servers = Servers::start(2);
    let dir = tempfile::tempdir().unwrap();
    let primary = servers.primary();
    for n in 0..20 {
        change(&primary, n);
    }
    let path = dir.path().join("b");
    let made = backup(&primary, &path);
    let to = dir.path().join("r");
    let folder = folder(&to, Role::Primary);
    for stop in 0..1_000 {
        let mut calls = 0;
        let outcome = folder.restore("main", &of(&path), &mut |_| {
            calls += 1;
            calls <= stop
        });
        match outcome {
            Ok(_) => break,
            Err(BackupError::Cancelled) => assert!(!to.join("databases/main").exists()),
            Err(error) => panic!("step {stop}: {error}"),
        }
    }
    let copy = folder.database("main").unwrap().unwrap();
    support::assert_same(
        &export_at(&copy, View::Full, made.manifest.at),
        &export_at(&primary, View::Full, made.manifest.at),
    );
}

/// Against an earlier backup only what changed is copied, and what was purged meanwhile is not in the later one.
#[test]
fn a_later_backup_links_what_did_not_change_and_holds_no_purged_byte() {
    for partitions in [1, 3] {
        let mut servers = Servers::start(partitions);
        let dir = tempfile::tempdir().unwrap();
        let canary = "CANARY-TO-BE-PURGED";
        let large = format!("{canary} ").repeat(10_000);
        servers.commit([put("/secret/small", canary), put("/secret/large", &large)]);
        for n in 0..80 {
            change(&servers.primary(), n);
        }
        let path = |number: u32| dir.path().join(number.to_string());
        // Segments that were changed within the last two seconds are copied again.
        std::thread::sleep(std::time::Duration::from_millis(2_100));
        backup(&servers.primary(), &path(0));
        let second = backup_after(&servers.primary(), &path(1), &path(0));
        let manifest = &second.manifest;
        assert!(manifest.bytes_linked * 10 > manifest.bytes * 8, "{manifest:?}");
        assert_eq!(manifest.previous, Some(verify(&path(0), &mut |_| true).unwrap().hash));
        for n in 80..160 {
            change(&servers.primary(), n);
        }
        servers.commit([operation("/secret/small", Action::Purge)]);
        servers.commit([operation("/secret/large", Action::Purge)]);
        // Right after the purge: the bytes need not be erased on the server yet.
        let third = backup_after(&servers.primary(), &path(2), &path(1));
        assert!(third.manifest.bytes_linked > 0);
        for number in 0..3 {
            check(&path(number));
        }
        assert!(holds(&path(0), canary) && holds(&path(1), canary), "older backups keep what they held");
        assert!(!holds(&path(2), canary), "the later one does not");
        // Without the earlier ones the later one is whole.
        std::fs::remove_dir_all(path(0)).unwrap();
        std::fs::remove_dir_all(path(1)).unwrap();
        check(&path(2));
        let (_folder, copy, _) = restore(&dir.path().join("r"), Role::Replica, &of(&path(2)));
        support::assert_same(
            &export(&copy, View::Full),
            &export_at(&servers.primary(), View::Full, third.manifest.at),
        );
        assert!(!holds(&dir.path().join("r"), canary));
        servers.check_exact();
    }
}

/// What is asked wrongly is refused before anything is written.
#[test]
fn what_does_not_fit_is_refused() {
    let mut servers = Servers::start(1);
    let dir = tempfile::tempdir().unwrap();
    change(&servers.primary(), 1);
    servers.follow();
    let path = |name: &str| dir.path().join(name);
    let made = backup(&servers.primary(), &path("full"));
    backup(&servers.staging(), &path("published"));
    let ask = |database: &Database, to: &str, previous: Option<&str>| {
        let request = BackupRequest { dir: path(to), previous: previous.map(path) };
        database.backup(&request, &mut |_| true).unwrap_err()
    };
    std::fs::create_dir(path("other")).unwrap();
    std::fs::write(path("other").join("file"), "x").unwrap();
    assert!(matches!(ask(&servers.primary(), "full", None), BackupError::Exists { .. }));
    assert!(matches!(ask(&servers.primary(), "other", None), BackupError::NotEmpty { .. }));
    assert!(matches!(ask(&servers.primary(), "new", Some("other")), BackupError::NotABackup { .. }));
    let foreign = Servers::start(1);
    let refused = ask(&foreign.primary(), "new", Some("full"));
    assert!(matches!(refused, BackupError::Foreign { .. }), "{refused}");
    assert!(!path("new").exists());

    let refused = |role, request: &RestoreRequest| {
        let to = path("target");
        let folder = folder(&to, role);
        let refused = folder.restore("main", request, &mut |_| true).unwrap_err();
        assert!(!to.join("databases/main").exists());
        drop(folder);
        std::fs::remove_dir_all(&to).unwrap();
        refused
    };
    assert!(matches!(refused(Role::Staging, &of(&path("full"))), BackupError::View { .. }));
    assert!(matches!(refused(Role::Replica, &of(&path("published"))), BackupError::View { .. }));
    let later = RestoreRequest { at: Some(Timestamp(made.manifest.at.0 + 1)), ..of(&path("full")) };
    assert!(matches!(refused(Role::Replica, &later), BackupError::Ahead { .. }));
    let foreign_backup = path("foreign");
    change(&foreign.primary(), 2);
    backup(&foreign.primary(), &foreign_backup);
    let archive = RestoreRequest { archive: Some(foreign_backup), ..later };
    assert!(matches!(refused(Role::Replica, &archive), BackupError::Archive { .. }));
    // Over a database that is there, only when it is said.
    let to = path("twice");
    let (folder, copy, _) = restore(&to, Role::Replica, &of(&path("full")));
    copy.shutdown();
    drop(copy);
    let again = folder.restore("main", &of(&path("full")), &mut |_| true).unwrap_err();
    assert!(matches!(again, BackupError::Occupied { .. }), "{again}");
    // Nobody else may read it.
    use std::os::unix::fs::PermissionsExt;
    for (file, _) in files(&path("full")) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    assert_eq!(path("full").metadata().unwrap().permissions().mode() & 0o777, 0o700);
    // No secret of the server goes with it.
    let home = servers.path("primary");
    let key = std::fs::read_to_string(home.join("server.key")).unwrap();
    assert!(!holds(&path("full"), key.lines().next().unwrap()));
}

/// Retention has taken the beginning of the journals: the store still knows what was then, and a journal begins there.
#[test]
fn a_time_before_the_journal_begins_can_be_restored() {
    let mut servers = Servers::start(2);
    let retain = |home: &Path| {
        let path = home.join("server.json");
        let mut settings: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        settings["databases"]["main"]["retention_bytes_max"] = (256 << 10).into();
        std::fs::write(&path, settings.to_string()).unwrap();
    };
    servers.tamper("primary", retain).unwrap();
    let primary = servers.primary();
    let dir = tempfile::tempdir().unwrap();
    let times: Vec<_> = (0..150).map(|n| change(&primary, n)).collect();
    let begins_later = || {
        let partitions = primary.status().unwrap().partitions;
        partitions.iter().all(|partition| partition.journal_start.sequence > 40)
    };
    while !begins_later() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let path = dir.path().join("b");
    backup(&primary, &path);
    check(&path);
    for index in [0, 3, 20, 149] {
        let to = dir.path().join(index.to_string());
        let request = RestoreRequest { at: Some(times[index]), ..of(&path) };
        let (_folder, copy, _) = restore(&to, Role::Primary, &request);
        support::assert_same(
            &export_at(&copy, View::Full, times[index]),
            &export_at(&primary, View::Full, times[index]),
        );
        // It takes writes, and survives a restart.
        change(&copy, 500);
        let whole = export(&copy, View::Full);
        copy.shutdown();
        drop((copy, _folder));
        let folder = Folder::open(&to).unwrap();
        let copy = folder.database("main").unwrap().unwrap();
        support::assert_same(&export(&copy, View::Full), &whole);
    }
}

/// Purges, retention, merges and new segments while files are copied change nothing of the moment that was pinned; what
/// had to wait for the copy is done afterwards.
#[test]
fn what_happens_while_files_are_copied_is_not_in_the_backup() {
    let mut servers = Servers::start(2);
    let retain = |home: &Path| {
        let path = home.join("server.json");
        let mut settings: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        settings["databases"]["main"]["retention_bytes_max"] = (512 << 10).into();
        settings["databases"]["main"]["write_memory_bytes"] = (2 << 20).into();
        std::fs::write(&path, settings.to_string()).unwrap();
    };
    servers.tamper("primary", retain).unwrap();
    let primary = servers.primary();
    let dir = tempfile::tempdir().unwrap();
    let canary = "CANARY-PURGED-MEANWHILE";
    let large = format!("{canary} ").repeat(10_000);
    servers.commit([put("/secret/small", canary), put("/secret/large", &large)]);
    for n in 0..20 {
        change(&primary, n);
    }
    let before = export(&primary, View::Full);
    let path = dir.path().join("b");
    let request = BackupRequest { dir: path.clone(), previous: None };
    let mut is_disturbed = false;
    let made = primary
        .backup(&request, &mut |_| {
            if !is_disturbed {
                is_disturbed = true;
                for uri in ["/secret/small", "/secret/large"] {
                    primary.commit(support::transaction([operation(uri, Action::Purge)])).unwrap();
                }
                for n in 20..120 {
                    change(&primary, n);
                }
                // Longer than the worker waits before it keeps its house.
                std::thread::sleep(std::time::Duration::from_millis(800));
            }
            true
        })
        .unwrap();
    assert!(is_disturbed);
    check(&path);
    assert!(holds(&path, canary), "it was there at that moment");
    let (_folder, copy, restored) = restore(&dir.path().join("r"), Role::Replica, &of(&path));
    assert_eq!(restored.at, made.manifest.at);
    support::assert_same(&export(&copy, View::Full), &before);
    while primary.status().unwrap().partitions.iter().any(|partition| partition.erasures_pending > 0) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    servers.check_absent("primary", canary.as_bytes());
}
