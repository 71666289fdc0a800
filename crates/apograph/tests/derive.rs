//! The published view is a pure function of the source: however often a copy is interrupted, it gets the same entries.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod support;

use apograph::error::FeedError;
use apograph::format::{
    Entry, EntryKind, Frame, PartitionId, Payload, Position, Properties, SourcePoint, View,
};
use apograph::settings::{DatabaseSettings, ServerSettings};
use apograph::transaction::{Action, Put};
use apograph::{Database, Folder, Role};
use bytes::BytesMut;
use support::synchronize::Cost;
use support::{Servers, operation, publish, put, put_content, trash, uri};

fn genesis(database: &Database, view: View, partition: PartitionId) -> Position {
    Position::beginning(database.id().genesis(view, partition))
}

/// All derived entries behind a place, in pieces of about so many bytes.
fn derive(
    source: &Database,
    partition: PartitionId,
    from: Position,
    at: Option<SourcePoint>,
    bytes: usize,
) -> Vec<Entry> {
    let mut feed = source.feed(partition, View::Published, from, at).unwrap();
    let mut entries = Vec::new();
    while let Some(piece) = feed.next(bytes).unwrap() {
        let mut piece = BytesMut::from(&piece[..]);
        while let Some(frame) = Frame::take(&mut piece).unwrap() {
            let Frame::Entry(entry) = frame else { panic!("an entry was expected") };
            entries.push(entry);
        }
    }
    entries
}

/// Where a copy stands in the source's journal when it has these entries.
fn source_point(source: &Database, partition: PartitionId, had: &[Entry]) -> Option<SourcePoint> {
    let ahead = had.iter().rev().take_while(|entry| entry.header().kind == EntryKind::Contents).count();
    let (whole, _) = had.split_at(had.len() - ahead);
    let position = match whole.last() {
        Some(last) => last.facts().unwrap().source().unwrap(),
        None if ahead == 0 => return None,
        None => genesis(source, View::Full, partition),
    };
    Some(SourcePoint { position, entries: u32::try_from(ahead).unwrap() })
}

/// Resumes behind every entry, and answers all of them.
fn check_resuming(source: &Database, partition: PartitionId) -> Vec<Entry> {
    let beginning = genesis(source, View::Published, partition);
    let all = derive(source, partition, beginning, None, usize::MAX);
    assert_eq!(derive(source, partition, beginning, None, 1), all);
    for had in 1..=all.len() {
        let (had, rest) = all.split_at(had);
        let from = had.last().unwrap().position();
        let found = derive(source, partition, from, source_point(source, partition, had), usize::MAX);
        assert!(found == rest, "{partition}: behind entry {}", from.sequence);
    }
    all
}

#[test]
fn a_derivation_that_is_interrupted_anywhere_gives_the_same_entries() {
    for partitions in [1, 2] {
        let mut servers = Servers::start(partitions);
        let primary = servers.primary();
        let large = |seed: u32| {
            let mut spool = primary.spool();
            let bytes =
                (0..18_000_000_u32).map(|n| (n.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 24) as u8);
            spool.write(&bytes.collect::<Vec<_>>()).unwrap();
            spool.finish().unwrap()
        };
        for n in 0..30 {
            let at = format!("/{}", n % 7);
            // Large enough that segments end all the time.
            servers.commit([put(&at, &format!("{n}").repeat(2_000)), put("/draft", &"d".repeat(9_000))]);
            if n % 2 == 0 {
                servers.commit([publish(&at)]);
            }
        }
        servers.commit([put_content("/large", large(0)), publish("/large"), publish("/draft")]);
        servers.commit([
            put_content("/twin", large(5)),
            put("/small", "beside"),
            publish("/twin"),
            publish("/small"),
        ]);
        servers.commit([operation("/1", Action::Move { to: uri("/moved") }), trash("/2")]);
        servers.commit([operation("/3", Action::Withdraw)]);
        servers.settle_primary();
        let before: Vec<_> =
            primary.partitioning().all().map(|partition| check_resuming(&primary, partition)).collect();
        assert!(before.iter().flatten().any(|entry| entry.header().kind == EntryKind::Contents));

        servers.commit([operation("/large", Action::Purge)]);
        servers.commit([operation("/4", Action::Purge)]);
        servers.settle_primary();
        for (partition, before) in primary.partitioning().all().zip(before) {
            let after = check_resuming(&primary, partition);
            assert!(after.len() > before.len() || partitions > 1);
            for (before, after) in before.iter().zip(&after) {
                assert_eq!((before.header(), before.facts_bytes()), (after.header(), after.facts_bytes()));
                let same = |(before, after): (Payload, Payload)| {
                    after == before || after == Payload::erased(before.hash, before.bytes.len())
                };
                let payloads = |entry: &Entry| entry.payloads().map(Result::unwrap).collect::<Vec<_>>();
                assert!(payloads(before).into_iter().zip(payloads(after)).all(same));
            }
        }
        servers.check_exact();
    }
}

#[test]
fn what_is_live_only_inside_a_transaction_never_leaves() {
    let mut servers = Servers::start(1);
    servers.commit([put("/a", "one, shown"), publish("/a")]);
    servers.commit([
        put("/a", "two CANARY-BETWEEN"),
        publish("/a"),
        put("/a", "three, shown"),
        publish("/a"),
    ]);
    servers.commit([put("/b", "CANARY-BETWEEN b"), publish("/b"), operation("/b", Action::Withdraw)]);
    servers.commit([
        put("/c", "CANARY-BETWEEN c"),
        publish("/c"),
        trash("/c"),
        operation("/a", Action::Withdraw),
    ]);
    servers.commit([put("/d", "d, shown"), publish("/d"), operation("/d", Action::Move { to: uri("/e") })]);
    servers.check_exact();
    servers.check_absent("staging", b"CANARY-BETWEEN");
    let heads = |at: &str| servers.staging().head(&uri(at), None).unwrap();
    assert!(
        heads("/b").is_none() && heads("/c").is_none() && heads("/d").is_none(),
        "what never was there is not taken back either"
    );
    assert!(heads("/a").unwrap().live.is_none());
    assert!(heads("/e").unwrap().live.is_some());
}

/// Stores made again from journals remember what erased bodies named: staging servers that follow them get what the
/// others got.
#[test]
fn a_store_made_again_from_its_journal_derives_the_same_entries() {
    let mut servers = Servers::start(2);
    let typed = |at: &str| {
        let properties = Some(Properties::empty());
        operation(at, Action::Put(Put { r#type: Some("news".into()), properties, ..Put::default() }))
    };
    servers.commit([put("/a", "one"), typed("/typed"), put("/b", &"b".repeat(100_000))]);
    servers.commit([publish("/a"), publish("/typed"), publish("/b")]);
    servers.commit([operation("/b", Action::Move { to: uri("/c") })]);
    servers.commit([put("/plain", "plain"), publish("/plain")]);
    for at in ["/a", "/b", "/c", "/typed"] {
        servers.commit([operation(at, Action::Purge)]);
    }
    servers.check_exact();
    let journals = |database: &Database| -> Vec<Vec<Entry>> {
        let of = |partition| {
            derive(database, partition, genesis(database, View::Published, partition), None, usize::MAX)
        };
        database.partitioning().all().map(of).collect()
    };
    for name in ["primary", "replica"] {
        let before = journals(&servers.database(name));
        let remove = |home: &std::path::Path| {
            for partition in ["000", "001"] {
                std::fs::remove_dir_all(home.join(format!("databases/main/partitions/{partition}/store")))
                    .unwrap();
            }
        };
        servers.tamper(name, remove).unwrap();
        assert!(journals(&servers.database(name)) == before, "{name}");
    }
    servers.check_exact();
}

/// A journal of before facts said what versions name: what was erased in it is not guessed.
#[test]
fn what_a_source_cannot_know_of_a_purged_version_is_not_derived_and_staging_servers_synchronize() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1/primary");
    let source = dir.path().join("source");
    support::copy_folder(&fixture, &source).unwrap();
    let open = || {
        let folder = Folder::open(&source).unwrap();
        let database = folder.database("main").unwrap().unwrap();
        (folder, database)
    };
    let all = |database: &Database| -> Result<usize, FeedError> {
        let mut bytes = 0;
        for partition in database.partitioning().all() {
            let from = genesis(database, View::Published, partition);
            let mut feed = database.feed(partition, View::Published, from, None)?;
            while let Some(piece) = feed.next(1)? {
                bytes += piece.len();
            }
        }
        Ok(bytes)
    };
    let (folder, database) = open();
    all(&database).unwrap();
    database.shutdown();
    drop((database, folder));
    for partition in ["000", "001"] {
        std::fs::remove_dir_all(source.join(format!("databases/main/partitions/{partition}/store"))).unwrap();
    }
    let (_folder, database) = open();
    assert!(matches!(all(&database), Err(FeedError::OutOfWindow { .. })));

    let settings = ServerSettings {
        name: "staging".into(),
        listen: "127.0.0.1:1".into(),
        url: None,
        backup_folder: None,
        databases: [("main".to_owned(), DatabaseSettings::new(Role::Staging))].into(),
    };
    let folder = Folder::init(&dir.path().join("staging"), &settings).unwrap();
    let copy = folder.adopt("main", &database.handshake(View::Published).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (partition, from, source) in copy.resume() {
        let mut feed = database.feed(partition, View::Published, from, source).unwrap();
        let mut entries = Vec::new();
        // However much is asked for at once: what could be derived comes.
        while let Ok(Some(piece)) = feed.next(1 << 20) {
            let mut buffer = bytes::BytesMut::from(&piece[..]);
            while let Some(Frame::Entry(entry)) = Frame::take(&mut buffer).unwrap() {
                entries.push(entry);
            }
        }
        runtime.block_on(copy.take(partition, entries)).unwrap();
    }
    // Behind what could be derived, it is said before a stream begins: who hears only that one broke tries again, for ever.
    let says_so = |(partition, from, source)| {
        matches!(database.feed(partition, View::Published, from, source), Err(FeedError::OutOfWindow { .. }))
    };
    assert!(copy.resume().into_iter().any(says_so));
    assert!(
        support::synchronize::synchronize(&database, &copy, "out-of-window", &mut Cost::default()).is_whole()
    );
    let at = copy.visible();
    let digest = |of: &Database| of.digest_at(View::Published, at).unwrap();
    assert_eq!(digest(&copy), digest(&database));
    copy.shutdown();
    database.shutdown();
}
