//! Data folders that earlier software wrote must open and read the same, for ever: `fixtures/v1`.
//!
//! `UPDATE_FIXTURES=1 cargo test -p apograph --test fixtures` writes them anew, `UPDATE_FIXTURES=exports` only what the
//! folders export. That is right only while the format has not been released.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use apograph::Folder;
use apograph::format::View;
use apograph::transaction::Action;
use support::{Servers, export, lock, operation, publish, put, trash, uri};

const SERVERS: [(&str, View); 2] = [("primary", View::Full), ("staging", View::Published)];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1")
}

#[test]
fn data_folders_of_format_1_read_the_same() {
    let update = std::env::var("UPDATE_FIXTURES").ok();
    if update.as_deref() == Some("1") {
        write();
    }
    for (name, view) in SERVERS {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join(name);
        copy_folder(&fixtures().join(name), &copy);
        let folder = Folder::open(&copy).unwrap();
        let database = folder.database("main").unwrap().unwrap();
        let exported = fixtures().join(format!("{name}.ndjson"));
        if update.as_deref() == Some("exports") {
            fs::write(&exported, export(&database, view).join("\n")).unwrap();
        }
        let expected = fs::read_to_string(exported).unwrap();
        assert_eq!(export(&database, view).join("\n"), expected, "{name}");
        let digest =
            database.status().unwrap().digests.into_iter().find(|digest| digest.view == view).unwrap();
        let expected = fs::read_to_string(fixtures().join(format!("{name}.digest"))).unwrap();
        assert_eq!(digest.digest.to_string(), expected.trim(), "{name}");
        for partition in database.partitioning().all() {
            let journal = copy.join(format!("databases/main/partitions/{partition:0>3}/journal"));
            let report = apograph::journal::verify(&journal, &mut |_| {}).unwrap();
            assert!(report.is_sound(), "{name}: {report:?}");
        }
    }
}

/// Something of everything: all operations, two partitions, a purge, a content in pieces, a file of its own.
fn write() {
    let mut servers = Servers::start(2);
    servers.commit([put("/a", "one"), put("/b", "b"), put("/c", &"c".repeat(100_000))]);
    servers.commit([publish("/a"), publish("/c")]);
    servers.commit([put("/a", "two"), lock("/b", 60)]);
    servers.commit([operation("/c", Action::Move { to: uri("/moved/c") })]);
    servers.commit([put("/gone", "gone"), publish("/gone"), put("/trash", "trash")]);
    servers.commit([operation("/gone", Action::Purge)]);
    servers.commit([trash("/trash")]);
    servers.commit([operation("/a", Action::Withdraw)]);
    servers.follow();
    servers.check_exact();
    for (name, view) in SERVERS {
        let database = servers.database(name);
        fs::create_dir_all(fixtures()).unwrap();
        fs::write(fixtures().join(format!("{name}.ndjson")), export(&database, view).join("\n")).unwrap();
        let digest =
            database.status().unwrap().digests.into_iter().find(|digest| digest.view == view).unwrap();
        fs::write(fixtures().join(format!("{name}.digest")), format!("{}\n", digest.digest)).unwrap();
        drop(database);
    }
    servers.restart();
    for (name, _) in SERVERS {
        let _ = fs::remove_dir_all(fixtures().join(name));
        copy_folder(&servers.path(name), &fixtures().join(name));
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
