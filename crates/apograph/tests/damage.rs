//! What the damage sweep of `apograph-sim` found: files that are altered, lost or confused are noticed, and healed where
//! there is a source.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, unreachable_pub)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use apograph::error::{Cause, ReadError};
use apograph::format::{SyncScope, View};
use apograph::read::Which;
use apograph::transaction::Action;
use apograph::{Database, OpenError};
use apograph_store::StoreError;
use support::synchronize::{Cost, begin, step_altered, synchronize, with_an_unknown_kind};
use support::{Servers, files, operation, publish, put, uri};

/// Two partitions, documents in both, a content that is a file of its own.
fn servers() -> Servers {
    let mut servers = Servers::start(2);
    for name in ["/a", "/b", "/c", "/d"] {
        servers.commit([put(name, &format!("text of {name}")), publish(name)]);
    }
    servers.commit([put("/large", &"large ".repeat(20_000)), publish("/large")]);
    servers.check_exact();
    servers
}

fn refused(opened: Result<(), OpenError>) -> String {
    let error = opened.unwrap_err();
    assert_eq!(error.comes_from(), Cause::Damage, "{error}");
    error.to_string()
}

fn database(home: &Path) -> PathBuf {
    home.join("databases/main")
}

#[test]
fn a_partition_that_is_gone_is_missed_and_not_made_anew() {
    for name in ["primary", "replica", "staging"] {
        let mut servers = servers();
        let aside = servers.path("aside");
        let partition = database(&servers.path(name)).join("partitions/001");
        let reason = refused(servers.tamper(name, |_| fs::rename(&partition, &aside).unwrap()));
        assert!(reason.contains("partitions/001/journal"), "{reason}");
        assert!(!partition.exists(), "nothing was made in its place");
        fs::rename(&aside, &partition).unwrap();
        servers.open_again(name);
        servers.check_exact();
    }
}

#[test]
fn a_database_that_is_gone_or_lost_its_file_is_not_begun_anew() {
    for name in ["primary", "replica"] {
        let mut servers = servers();
        let (aside, home) = (servers.path("aside"), servers.path(name));
        let file = database(&home).join("database.json");
        let reason = refused(servers.tamper(name, |_| fs::rename(&file, &aside).unwrap()));
        assert!(reason.contains("database.json") && !file.exists(), "{reason}");
        fs::rename(&aside, &file).unwrap();
        servers.open_again(name);
        if name == "primary" {
            let folder = database(&home);
            let reason = refused(servers.tamper(name, |_| fs::rename(&folder, &aside).unwrap()));
            assert!(reason.contains("databases/main") && !folder.exists(), "{reason}");
            fs::rename(&aside, &folder).unwrap();
            servers.open_again(name);
        }
        servers.check_exact();
    }
}

#[test]
fn a_digit_that_changed_is_no_other_epoch_and_no_other_server() {
    let mut servers = servers();
    for file in ["databases/main/database.json", "server.key"] {
        for name in ["primary", "replica"] {
            let path = servers.path(name).join(file);
            let sound = fs::read_to_string(&path).unwrap();
            let at = match file {
                "server.key" => 7,
                _ => sound.find("\"epoch\": \"1").unwrap() + "\"epoch\": \"".len(),
            };
            let mut bytes = sound.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'3' } else { b'1' };
            let reason = refused(servers.tamper(name, |_| fs::write(&path, &bytes).unwrap()));
            assert!(reason.contains(file), "{reason}");
            fs::write(&path, &sound).unwrap();
            servers.open_again(name);
        }
    }
    servers.check_exact();
}

fn chunk(home: &Path) -> PathBuf {
    let is_chunk = |path: &PathBuf| path.to_string_lossy().contains("/chunks/");
    files(home).into_iter().map(|(path, _)| path).find(is_chunk).unwrap()
}

fn content(database: &Database) -> Result<Vec<bytes::Bytes>, ReadError> {
    let document = database.document(&uri("/large"), Which::Working, None)?;
    let content = document.version.content.unwrap();
    database.content(&uri("/large"), &content, 0..content.bytes)?.collect()
}

#[test]
fn a_content_that_is_lost_is_not_called_purged_and_a_copy_brings_it_anew() {
    let mut servers = servers();
    let lost = chunk(&servers.path("replica"));
    fs::remove_file(&lost).unwrap();
    let replica = servers.database("replica");
    let error = content(&replica).unwrap_err();
    assert!(matches!(error, ReadError::Store(StoreError::Missing { .. })), "{error}");
    assert!(replica.has_suspects());
    // As a link does when it hears of suspects; the primary writes something first, for a later snapshot.
    servers.commit([put("/e", "e")]);
    assert!(synchronize(&servers.primary(), &replica, "damaged", &mut Cost::default()).is_whole());
    assert!(!replica.has_suspects() && lost.exists());
    replica.see_sync_outcome().unwrap();
    content(&replica).unwrap();
    drop(replica);
    servers.follow_one("replica");
    servers.check_equal_one("replica");
}

#[test]
fn a_source_that_lost_a_content_does_not_tell_its_copies_that_it_was_purged() {
    let mut servers = servers();
    fs::remove_file(chunk(&servers.path("primary"))).unwrap();
    let second = servers.database("second");
    fs::remove_file(chunk(&servers.path("second"))).unwrap();
    content(&second).unwrap_err();
    servers.commit([put("/e", "e")]);
    let outcome = synchronize(&servers.primary(), &second, "damaged", &mut Cost::default());
    assert_eq!(outcome.quarantined, 1, "{outcome:?}");
    let held = second.quarantine().unwrap();
    assert_eq!(held[0].uri, uri("/large"));
    assert_eq!(second.view(), View::Full);
}

/// A staging server that brings what is damaged gets what changed meanwhile, too: that was no damage, and nobody has to look at it.
#[test]
fn what_changed_while_a_staging_server_repaired_itself_is_not_called_damaged() {
    let mut servers = servers();
    servers.commit([put("/e", "e"), put("/f", "f"), publish("/e"), publish("/f"), publish("/large")]);
    servers.check_exact();
    let staging = servers.staging();
    fs::remove_file(chunk(&servers.path("staging"))).unwrap();
    let document = staging.document(&uri("/large"), Which::Live, None).unwrap().version.content.unwrap();
    let read = staging.content(&uri("/large"), &document, 0..document.bytes);
    assert!(read.is_err() || read.unwrap().any(|piece| piece.is_err()));
    assert_eq!(staging.suspects(), [uri("/large")]);
    servers.commit([
        operation("/e", Action::Withdraw),
        put("/f", "g"),
        publish("/f"),
        put("/h", "h"),
        publish("/h"),
    ]);
    let outcome = synchronize(&servers.primary(), &staging, "damaged", &mut Cost::default());
    let repaired: Vec<_> = outcome.repaired.iter().map(|repaired| &repaired.uri).collect();
    assert_eq!(repaired, [&uri("/large")], "{:?}", outcome.repaired);
}

/// What would miss it was in there.
#[test]
fn a_primary_whose_databases_are_gone_does_not_begin_another_one() {
    let mut servers = servers();
    let (aside, home) = (servers.path("aside"), servers.path("primary"));
    let databases = home.join("databases");
    let reason = refused(servers.tamper("primary", |_| fs::rename(&databases, &aside).unwrap()));
    assert!(reason.contains("databases/main") && reason.contains("main.made"), "{reason}");
    assert!(!databases.join("main").exists());
    let _ = fs::remove_dir_all(&databases);
    fs::rename(&aside, &databases).unwrap();
    servers.open_again("primary");
    servers.check_exact();
}

/// A folder of before these files were: it opens, and from then on they are missed.
#[test]
fn a_folder_of_before_side_files_were_noted_is_taken_as_it_is() {
    let mut servers = servers();
    synchronized(&mut servers);
    let replica = servers.path("replica");
    let older = |home: &Path| {
        let register = database(home).join("side-files.json");
        if register.exists() {
            fs::remove_file(register).unwrap();
        }
    };
    servers.tamper("replica", older).unwrap();
    assert!(servers.database("replica").alarms().is_empty());
    let outcome = database(&replica).join("synchronized.json");
    servers.tamper("replica", |_| fs::remove_file(&outcome).unwrap()).unwrap();
    assert!(servers.database("replica").alarms().iter().any(|alarm| alarm.contains("synchronized.json")));
    // Where the mark of a primary's database was at first.
    let home = servers.path("primary");
    let before = home.join("databases/main.made");
    servers.tamper("primary", |home| fs::rename(home.join("main.made"), &before).unwrap()).unwrap();
    assert!(home.join("main.made").exists() && !before.exists());
    let aside = servers.path("aside");
    let reason = refused(servers.tamper("primary", |home| {
        fs::rename(home.join("main.made"), &before).unwrap();
        fs::rename(database(home), &aside).unwrap();
    }));
    assert!(reason.contains("databases/main.made"), "{reason}");
    fs::rename(&aside, database(&home)).unwrap();
    servers.open_again("primary");
}

fn synchronized(servers: &mut Servers) {
    servers.commit([put("/e", "e")]);
    synchronize(&servers.primary(), &servers.database("replica"), "out-of-window", &mut Cost::default());
}

#[test]
fn a_synchronization_whose_file_is_gone_is_missed() {
    let mut servers = servers();
    servers.commit([put("/e", "e")]);
    let replica = servers.database("replica");
    let _begun = begin(&servers.primary(), &replica, "out-of-window", SyncScope::default());
    let (marker, aside) =
        (database(&servers.path("replica")).join("synchronize.json"), servers.path("aside"));
    drop((replica, _begun));
    let reason = refused(servers.tamper("replica", |_| fs::rename(&marker, &aside).unwrap()));
    assert!(reason.contains("synchronize.json"), "{reason}");
    fs::rename(&aside, &marker).unwrap();
    servers.open_again("replica");
    let replica = servers.database("replica");
    assert!(replica.alarms().is_empty() && replica.sync_marker().is_some());
    synchronize(&servers.primary(), &replica, "out-of-window", &mut Cost::default());
    drop(replica);
    // It is finished: nobody misses its file.
    servers.restart_one("replica");
    assert!(servers.database("replica").alarms().is_empty());
}

#[test]
fn what_a_synchronization_did_and_what_people_said_of_it_is_missed() {
    let mut servers = servers();
    servers.commit([put("/odd", "odd"), put("/e", "e")]);
    let replica = servers.database("replica");
    let (source, mut transfers) = begin(&servers.primary(), &replica, "rejected", SyncScope::default());
    let alter = |frames: &mut [u8]| with_an_unknown_kind(frames, "/odd");
    for transfer in &mut transfers {
        while step_altered(&source, transfer, usize::MAX, &mut Cost::default(), alter) {}
    }
    assert_eq!(replica.finish_sync(0).unwrap().quarantined, 1);
    assert!(replica.drop_held(&uri("/odd"), "nobody needs it").unwrap());
    drop((replica, source, transfers));
    for (file, ends) in [
        ("synchronized.json", (|copy| copy.see_sync_outcome().unwrap()) as fn(&Database)),
        ("quarantine.json", |copy| assert!(copy.drop_held(&uri("/odd"), "again").unwrap())),
    ] {
        servers.restart_one("replica");
        assert!(servers.database("replica").alarms().is_empty());
        let path = database(&servers.path("replica")).join(file);
        servers.tamper("replica", |_| fs::remove_file(&path).unwrap()).unwrap();
        let missed = |servers: &Servers| {
            servers.database("replica").alarms().iter().any(|alarm| alarm.starts_with(file))
        };
        assert!(missed(&servers), "{file}");
        servers.restart_one("replica");
        assert!(missed(&servers), "{file}: as long as nobody says that it is known");
        ends(&servers.database("replica"));
        assert!(!missed(&servers), "{file}");
    }
}
