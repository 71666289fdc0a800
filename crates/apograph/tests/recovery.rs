//! What a database does after a crash that left its folder in any state a crash may leave, and in some it may not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use apograph::error::{CommitError, FeedError};
use apograph::format::segment::SEGMENT_HEADER_BYTES;
use apograph::format::{Entry, PartitionId, Position, View};
use apograph::journal::list;
use apograph::read::{ListQuery, Which};
use apograph::transaction::{Action, ContentBytes, Transaction};
use apograph::{Database, Folder, OpenError, Operation};
use bytes::Bytes;
use support::{Servers, operation, publish, put, put_content, transaction, uri};

/// Everything that can be seen of a database.
fn state(database: &Database) -> (Vec<String>, Vec<String>, Vec<apograph::status::ViewStatus>) {
    let export = |view| support::export(database, view);
    let digest = |view: &View| database.digest_at(*view, database.visible()).unwrap();
    (export(View::Full), export(View::Published), View::ALL.iter().map(digest).collect())
}

fn open(home: &Path) -> Result<(Folder, Database), OpenError> {
    let folder = Folder::open(home)?;
    let database = folder.database("main")?.expect("it is a primary");
    Ok((folder, database))
}

fn partition(home: &Path, partition: usize) -> PathBuf {
    home.join(format!("databases/main/partitions/{partition:03}"))
}

/// Replaces a folder.
fn replace(folder: &Path, by: &Path) {
    fs::remove_dir_all(folder).unwrap();
    support::copy_folder(by, folder).unwrap();
}

/// One URI for each of three partitions.
fn uris(database: &Database) -> [String; 3] {
    let of = |partition| {
        (0..).map(|n| format!("/{n}")).find(|at| database.partitioning().of(&uri(at)).0 == partition)
    };
    [0, 1, 2].map(|partition| of(partition).unwrap())
}

#[test]
fn transactions_are_cut_where_a_partition_lacks_its_part() {
    let servers = Servers::start(3);
    let primary = servers.primary();
    let [a, b, c] = uris(&primary);
    let commit = |operations: Vec<Operation>| {
        primary.commit(Transaction { operations, ..transaction([]) }).unwrap();
    };
    commit([&a, &b, &c].map(|at| put(at, "before")).into());
    servers.settle_primary();
    let (before, after) = (servers.path("before"), servers.path("after"));
    support::snapshot(&servers.path("primary"), &before);
    let mut states = vec![state(&primary)];
    // The first writes to a and b, the second to b and c: four entries.
    for written in [[&a, &b], [&b, &c]] {
        commit(written.iter().flat_map(|at| [put(at, "after"), publish(at)]).collect());
        states.push(state(&primary));
    }
    support::snapshot(&servers.path("primary"), &after);
    for present in [0, 1].into_iter().flat_map(|a| (0..3).flat_map(move |b| [0, 1].map(|c| [a, b, c]))) {
        for torn_bytes in [0, 1, 100] {
            let home = servers.path("crashed");
            support::copy_folder(&before, &home).unwrap();
            for (index, count) in present.into_iter().enumerate() {
                append(
                    &partition(&home, index).join("journal"),
                    &partition(&after, index).join("journal"),
                    count,
                    torn_bytes,
                );
            }
            let whole = if present[0] == 0 || present[1] == 0 {
                0
            } else if present[1] + present[2] < 3 {
                1
            } else {
                2
            };
            let (folder, database) = open(&home).unwrap();
            assert!(state(&database).0 == states[whole].0, "{present:?}: exports differ");
            assert!(state(&database).1 == states[whole].1, "{present:?}: exports differ");
            for (found, expected) in state(&database).2.iter().zip(&states[whole].2) {
                assert_eq!(
                    (found.digest, found.documents),
                    (expected.digest, expected.documents),
                    "{present:?}"
                );
            }
            // Nothing of what was cut comes back, and new transactions go on behind it.
            let committed = database.commit(transaction([put(&a, "new"), put(&c, "new")])).unwrap();
            let head = database.head(&uri(&c), None).unwrap().unwrap();
            assert_eq!(head.changed, committed.timestamp(), "{present:?}: what was acknowledged is seen");
            let then = state(&database);
            database.shutdown();
            drop((folder, database));
            let (_folder, database) = open(&home).unwrap();
            assert_eq!((state(&database).0, state(&database).1), (then.0, then.1), "{present:?}");
            database.shutdown();
            fs::remove_dir_all(&home).unwrap();
        }
    }
}

/// Appends the first entries that `longer` has beyond `journal`, and the beginning of the one after them. Zeros that were
/// written ahead stay behind them.
fn append(journal: &Path, longer: &Path, entries: usize, torn_bytes: usize) {
    let open = |folder: &Path| {
        let segment = list(folder).unwrap().pop().unwrap().unwrap();
        (fs::read(&segment.path).unwrap(), segment.bytes as usize, segment.path)
    };
    let ((mut short, end, path), (long, end_of_long, _)) = (open(journal), open(longer));
    assert_eq!(long[..end], short[..end]);
    let mut rest = Bytes::from(long).slice(end..end_of_long);
    let all = rest.clone();
    for _ in 0..entries {
        Entry::decode(&mut rest).unwrap();
    }
    let length = (all.len() - rest.len() + torn_bytes).min(all.len());
    short.resize(short.len().max(end + length), 0);
    short[end..end + length].copy_from_slice(&all[..length]);
    fs::write(path, short).unwrap();
}

/// A history with everything that a store remembers in its own way: purges, moves, large contents, erased bytes.
fn write_history(servers: &mut Servers) {
    for n in 0..30 {
        let at = format!("/d/{}", n % 9);
        servers.commit([put(&at, &format!("text {n}")), put("/often", &format!("often {n}"))]);
        if n % 4 == 0 {
            servers.commit([publish(&at), publish("/often")]);
        }
    }
    servers
        .commit([put_content("/large", ContentBytes::Inline(vec![b'l'; 300_000].into())), publish("/large")]);
    servers.commit([put("/gone", "CANARY-GONE"), publish("/gone"), put("/kept", "CANARY-GONE")]);
    servers.commit([operation("/d/1", Action::Move { to: uri("/moved") })]);
    servers.commit([operation("/gone", Action::Purge)]);
    servers.commit([put("/after", "after the purge"), operation("/d/2", Action::Trash)]);
}

#[test]
fn a_store_that_is_gone_is_rebuilt_from_the_journal() {
    for partitions in [1, 3] {
        let mut servers = Servers::start(partitions);
        write_history(&mut servers);
        servers.check_exact();
        let expected = state(&servers.primary());
        let remove = |home: &Path| {
            for index in 0..usize::from(partitions) {
                fs::remove_dir_all(partition(home, index).join("store")).unwrap();
            }
        };
        for server in ["primary", "replica", "second", "staging"] {
            servers.tamper(server, remove).unwrap();
        }
        assert_eq!(state(&servers.primary()), expected);
        servers.commit([put("/d/1", "and it goes on"), publish("/d/1")]);
        servers.check_exact();
    }
}

#[test]
fn a_store_that_is_older_than_the_journal_catches_up() {
    for partitions in [1, 3] {
        let mut servers = Servers::start(partitions);
        write_history(&mut servers);
        servers.settle_primary();
        let older = servers.path("older");
        support::snapshot(&servers.path("primary"), &older);
        servers.commit([operation("/kept", Action::Purge)]);
        servers.commit([operation("/moved", Action::Trash)]);
        write_history(&mut servers);
        servers.check_exact();
        let expected = state(&servers.primary());
        // All stores are older, or only that of one partition.
        for some in [0..usize::from(partitions), 0..1] {
            let tamper = |home: &Path| {
                for index in some {
                    replace(&partition(home, index).join("store"), &partition(&older, index).join("store"));
                }
            };
            servers.tamper("primary", tamper).unwrap();
            assert_eq!(state(&servers.primary()), expected);
        }
        servers.check_exact();
    }
}

#[test]
fn a_store_that_is_newer_than_the_journal_is_refused() {
    let mut servers = Servers::start(3);
    write_history(&mut servers);
    servers.settle_primary();
    let older = servers.path("older");
    support::snapshot(&servers.path("primary"), &older);
    servers.commit([put("/d/1", "newer"), put("/d/2", "newer"), put("/d/3", "newer")]);
    let tamper = |home: &Path| {
        for index in 0..3 {
            replace(&partition(home, index).join("journal"), &partition(&older, index).join("journal"));
        }
    };
    let refused = servers.tamper("primary", tamper).unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("the store stands at entry") && text.contains("restore the folder from a copy"),
        "{text}"
    );
}

#[test]
fn a_store_of_another_history_is_refused() {
    let servers = Servers::start(1);
    let homes = ["one", "other"].map(|name| servers.path(name));
    servers.settle_primary();
    for (home, text) in homes.iter().zip(["one text", "another"]) {
        support::snapshot(&servers.path("primary"), home);
        let (_folder, database) = open(home).unwrap();
        database.commit(transaction([put("/a", text)])).unwrap();
        database.shutdown();
    }
    replace(&partition(&homes[0], 0).join("store"), &partition(&homes[1], 0).join("store"));
    let refused = open(&homes[0]).unwrap_err().to_string();
    assert!(refused.contains("store and journal differ"), "{refused}");
    // Whoever was refused holds on to nothing.
    replace(&partition(&homes[0], 0).join("journal"), &partition(&homes[1], 0).join("journal"));
    let (_folder, database) = open(&homes[0]).unwrap();
    assert!(database.document(&uri("/a"), Which::Working, None).is_ok());
    database.shutdown();
}

#[test]
fn a_store_is_not_rebuilt_from_a_journal_that_begins_later() {
    let servers = Servers::start(1);
    let primary = servers.primary();
    for n in 0..40 {
        primary.commit(transaction([put("/a", &"x".repeat(10_000 + n))])).unwrap();
    }
    let retired = servers.path("retired");
    servers.settle_primary();
    support::snapshot(&servers.path("primary"), &retired);
    // Everything is on the disk of the store now, so the journal may go.
    let settings = retired.join("server.json");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(
        &settings,
        text.replace(r#""segment_bytes_max""#, r#""retention_bytes_max": 1, "segment_bytes_max""#),
    )
    .unwrap();
    for _ in 0..20 {
        let (_folder, database) = open(&retired).unwrap();
        database.commit(transaction([put("/a", "last")])).unwrap();
        let is_retired = || database.status().unwrap().partitions[0].journal_start.sequence > 0;
        let patience = std::time::Instant::now();
        while !is_retired() && patience.elapsed().as_secs() < 2 {
            std::thread::yield_now();
        }
        let is_done = is_retired();
        database.shutdown();
        if is_done {
            break;
        }
    }
    let start = {
        let (_folder, database) = open(&retired).unwrap();
        database.shutdown();
        database.status().unwrap().partitions[0].journal_start.sequence
    };
    assert!(start > 0, "the journal begins later");
    fs::remove_dir_all(partition(&retired, 0).join("store")).unwrap();
    let refused = open(&retired).unwrap_err().to_string();
    assert!(refused.contains("the store stands at entry 0"), "{refused}");
}

#[test]
fn damage_in_a_closed_segment_is_noticed() {
    let mut servers = Servers::start(1);
    for n in 0..20 {
        servers.commit([put("/a", &format!("{n}").repeat(10_000))]);
    }
    servers.check_exact();
    let home = servers.path("primary");
    let closed = |home: &Path| {
        let mut files: Vec<_> = support::files(&partition(home, 0).join("journal")).into_iter().collect();
        files.retain(|(path, _)| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.ends_with(".segment") && !name.starts_with('_')
        });
        files.sort();
        files.swap_remove(1)
    };
    let (path, good) = closed(&home);
    for at in [10, SEGMENT_HEADER_BYTES + 20, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let opened = servers.tamper("primary", |_| fs::write(&path, &bad).unwrap());
        let noticed = match opened {
            Err(OpenError::Journal { .. } | OpenError::Recovery { .. }) => true,
            Err(error) => panic!("{error}"),
            Ok(()) => is_damage_noticed(&servers.primary()),
        };
        assert!(noticed, "byte {at}");
        fs::write(&path, &good).unwrap();
        if !servers.is_open("primary") {
            servers.open_again("primary");
        }
    }
}

/// Reads the journal as a copy would.
fn is_damage_noticed(database: &Database) -> bool {
    let genesis = Position::beginning(database.id().genesis(View::Full, PartitionId(0)));
    let mut feed = match database.feed(PartitionId(0), View::Full, genesis, None) {
        Ok(feed) => feed,
        Err(error) => return matches!(error, FeedError::Damaged { .. }),
    };
    loop {
        match feed.next(1 << 20) {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(error) => return matches!(error, FeedError::Damaged { .. }),
        }
    }
}

/// A file system of its own, small enough to be filled.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, megabytes: usize) -> Option<SmallDisk> {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(at).output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        is_mounted.then(|| SmallDisk(at.to_owned()))
    }

    /// Fills it but for so many bytes.
    fn fill(&self, left: u64) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        let written = std::io::copy(&mut std::io::repeat(0), &mut file);
        assert!(written.is_err(), "the disk is full");
        file.set_len(file.metadata().unwrap().len() - left).unwrap();
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_half_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("primary"), 24) else {
        // Mounting needs privileges that not everybody has who runs tests.
        return eprintln!("skipped: a small file system cannot be mounted here");
    };
    let mut servers = Servers::start_in(dir, 3);
    let primary = servers.primary();
    servers.commit([put("/a", "a"), put("/b", "b"), publish("/a")]);
    servers.settle_primary();
    let before = state(&primary);
    let filler = disk.fill(0);
    let all = uris(&primary);
    for n in 0..20 {
        // The disk has no room for what goes to one partition, perhaps for what goes to the others.
        let large = format!("{n}").repeat(30_000);
        let text = |at: usize| if at == n % 3 { large.as_str() } else { "small" };
        let stopped = primary.commit(transaction([0, 1, 2].map(|at| put(&all[at], text(at)))));
        assert!(matches!(stopped, Err(CommitError::Stopped { .. })), "{stopped:?}");
        assert_eq!(state(&primary), before);
    }
    assert!(primary.document(&uri("/a"), Which::Live, None).is_ok());
    assert_eq!(primary.list(&ListQuery { limit: 10, ..ListQuery::default() }).unwrap().documents.len(), 3);
    fs::remove_file(filler).unwrap();
    servers.commit([put(&all[0], "again"), put(&all[1], "again"), put(&all[2], "again")]);
    // The journal has room for the content, the store has not: it is durable, and it is applied when there is room.
    let filler = disk.fill(1_500_000);
    let large = ContentBytes::Inline(vec![b'x'; 1 << 20].into());
    let stopped = primary.commit(transaction([put_content("/large", large), put(&all[0], "beside")]));
    let Err(CommitError::Unshown { token, .. }) = stopped else { panic!("{stopped:?}") };
    assert!(primary.stopped().is_some() && primary.head(&uri("/large"), None).unwrap().is_none());
    servers.follow();
    assert_eq!(servers.database("replica").visible(), primary.visible(), "nobody has what cannot be seen");
    let refused = primary.commit(transaction([put("/b", "no")]));
    assert!(matches!(refused, Err(CommitError::Stalled { .. })), "{refused:?}");
    fs::remove_file(filler).unwrap();
    while primary.stopped().is_some() {
        std::thread::yield_now();
    }
    assert!(primary.visible() >= token.timestamp);
    assert!(primary.head(&uri("/large"), None).unwrap().is_some());
    servers.commit([publish("/large")]);
    servers.check_exact();
    drop(primary);
    servers.restart();
    servers.check_exact();
    // Databases are closed before their disk goes, and the disk before the folder that it is in.
    servers.close();
    drop((disk, servers));
}
