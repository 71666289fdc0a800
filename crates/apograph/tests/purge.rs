//! What a purge must not take, and what it must: reproductions of defects that the model found or might have.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod support;

use apograph::database::roles::{Block, Promote, RoleError};
use apograph::error::ReadError;
use apograph::format::limits::CHUNK_BYTES_MAX;
use apograph::format::{PartitionId, Properties, SyncScope, View};
use apograph::read::Which;
use apograph::transaction::{Action, ContentBytes, ContentChange, Put, Transaction};
use apograph::{Database, Operation, Role};
use support::synchronize::{Cost, begin, step, step_pieces, synchronize};
use support::{Servers, files, operation, publish, put, put_content, transaction, uri};

fn purge(at: &str) -> Operation {
    operation(at, Action::Purge)
}

/// Hands transactions over together, behind one that takes its time, so that they share a sync.
fn commit_together(primary: &Database, transactions: Vec<Transaction>) {
    let slow = (0..500).map(|n| put(&format!("/slow/{n}"), "slow"));
    let slow = Transaction { operations: slow.collect(), ..transaction([]) };
    let all = [vec![slow], transactions].concat();
    let pending: Vec<_> = all.into_iter().map(|one| primary.submit(one).unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for pending in pending {
        runtime.block_on(pending).unwrap();
    }
}

/// A copy of a primary that is promoted, so that others believe it.
fn announce(primary: &Database, copy: &Database) {
    let identity = copy.handshake(View::Full).unwrap().server;
    primary.announce_copy(&identity, Role::Replica).unwrap();
}

fn promote(copy: &Database) {
    copy.promote(Promote { reason: "the primary looked dead".into(), ..Promote::default() }).unwrap();
}

/// Everything came, says the source.
fn beat(source: &Database, copy: &Database) {
    let key = source.handshake(copy.view()).unwrap().server.key;
    for partition in copy.partitioning().all() {
        let heartbeat = source.heartbeat(partition, copy.view());
        copy.note_heartbeat(partition, &heartbeat, &key).unwrap();
    }
}

fn content(database: &Database, at: &str) -> Vec<u8> {
    content_of(database, at).unwrap()
}

fn content_of(database: &Database, at: &str) -> Result<Vec<u8>, ReadError> {
    let content = database.document(&uri(at), Which::Working, None)?.version.content.unwrap();
    let pieces = database.content(&uri(at), &content, 0..content.bytes)?;
    Ok(pieces.collect::<Result<Vec<_>, _>>()?.concat())
}

fn spooled(primary: &Database, bytes: &[u8]) -> ContentBytes {
    let mut spool = primary.spool();
    spool.write(bytes).unwrap();
    spool.finish().unwrap()
}

#[test]
fn a_content_that_comes_back_after_a_purge_stays() {
    let mut servers = Servers::start(1);
    servers.commit([put("/a", "the same text")]);
    servers.commit([purge("/a")]);
    servers.commit([put("/b", "the same text"), publish("/b")]);
    servers.check_exact();
    servers.restart();
    servers.check_exact();
    for server in ["primary", "replica", "staging"] {
        let database = servers.database(server);
        let which = database.document(&uri("/b"), Which::Live, None).unwrap();
        let read = database.content(&uri("/b"), &which.version.content.unwrap(), 0..100).unwrap();
        let read: Vec<_> = read.map(Result::unwrap).collect();
        assert_eq!(read.concat(), b"the same text", "{server}");
    }
}

#[test]
fn a_finished_erasure_is_finished_for_ever() {
    let mut servers = Servers::start(1);
    servers.commit([put("/a", "text")]);
    servers.commit([purge("/a")]);
    servers.check_exact();
    servers.commit([put("/b", "after it")]);
    servers.check_exact();
    servers.restart();
    for server in ["primary", "replica"] {
        assert_eq!(servers.database(server).status().unwrap().partitions[0].erasures_pending, 0, "{server}");
    }
}

#[test]
fn a_purge_leaves_what_follows_it_in_the_same_group() {
    let mut servers = Servers::start(1);
    let primary = servers.primary();
    for round in 0..4 {
        let text = format!("text of round {round}");
        servers.commit([put("/a", &text)]);
        let after = transaction([put("/b", &text)]);
        commit_together(&primary, vec![transaction([purge("/a")]), after]);
        assert_eq!(content(&primary, "/b"), text.as_bytes());
    }
    servers.check_exact();
    drop(primary);
    // Journals have it as well.
    let remove = |home: &std::path::Path| {
        std::fs::remove_dir_all(home.join("databases/main/partitions/000/store")).unwrap()
    };
    servers.tamper("primary", remove).unwrap();
    assert_eq!(content(&servers.primary(), "/b"), b"text of round 3");
}

#[test]
fn contents_that_share_a_chunk_are_purged_one_by_one() {
    let mut servers = Servers::start(1);
    let primary = servers.primary();
    let shared: Vec<u8> = (0..1_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let of = |tail: &str| [&shared, tail.as_bytes()].concat();
    servers.commit([put_content("/a", spooled(&primary, &of("CANARY-A")))]);
    servers.commit([put_content("/b", spooled(&primary, &of("CANARY-B"))), publish("/b")]);
    servers.commit([purge("/a")]);
    servers.check_exact();
    assert!(content(&primary, "/b") == of("CANARY-B"));
    servers.check_absent("primary", b"CANARY-A");
    // Two contents of one document: what only they share goes with them.
    servers.commit([put_content("/b", spooled(&primary, &of("CANARY-C")))]);
    servers.commit([purge("/b")]);
    servers.check_exact();
    for server in ["primary", "replica", "staging"] {
        servers.check_absent(server, b"CANARY-B");
        servers.check_absent(server, &shared[1_000..1_064]);
    }
}

#[test]
fn equal_versions_of_one_group_are_published_with_their_contents() {
    let mut servers = Servers::start(1);
    let primary = servers.primary();
    for round in 0..4 {
        let both = ["a", "b"].map(|name| format!("/{round}/{name}"));
        let same = both
            .clone()
            .map(|at| Transaction { time: Some(7), ..transaction([put(&at, &format!("{round}"))]) });
        commit_together(&primary, same.into());
        commit_together(&primary, both.map(|at| transaction([publish(&at)])).into());
    }
    servers.check_exact();
    assert_eq!(support::export(&servers.staging(), View::Published).len(), 2 + 9);
}

#[test]
fn a_large_body_that_travels_ahead_is_published_with_its_content() {
    let mut servers = Servers::start(1);
    let properties = Properties::parse(&format!(r#"{{"long":"{}"}}"#, "x".repeat(200_000))).unwrap();
    let operations = (0..60).map(|n| {
        let Operation { action: Action::Put(put), uri, precondition } =
            put(&format!("/{n}"), &format!("text {n}"))
        else {
            unreachable!("it is a put")
        };
        let comment = Some(format!("comment {n}"));
        let put = Put { properties: Some(properties.clone()), comment, ..put };
        Operation { action: Action::Put(put), uri, precondition }
    });
    servers.primary().commit(Transaction { operations: operations.collect(), ..transaction([]) }).unwrap();
    let all = (0..60).map(|n| publish(&format!("/{n}"))).collect();
    servers.primary().commit(Transaction { operations: all, ..transaction([]) }).unwrap();
    servers.check_exact();
    assert_eq!(content(&servers.staging(), "/59"), b"text 59");
}

/// A staging server that lags gets the second publication after its source erased the text: the first, which it has, goes
/// as well.
#[test]
fn a_version_that_is_published_again_and_purged_before_a_staging_server_hears_of_it_leaves_nothing_there() {
    let mut servers = Servers::start(1);
    servers.commit([put("/a", "a text that is to go"), publish("/a")]);
    servers.check_exact();
    servers.commit([operation("/a", Action::Withdraw)]);
    servers.commit([publish("/a")]);
    servers.commit([purge("/a")]);
    servers.wait_for_erasures("primary");
    servers.check_exact();
    servers.wait_for_erasures("staging");
    servers.check_absent("staging", b"a text that is to go");
}

/// A move leaves the text at two URIs. Their purges come in one batch, and neither keeps it because of the other.
#[test]
fn a_copy_that_synchronizes_past_the_purges_of_a_moved_document_keeps_nothing_of_it() {
    let mut servers = Servers::start(1);
    servers.commit([put("/old", "a text that is to go"), publish("/old")]);
    servers.commit([operation("/old", Action::Move { to: uri("/new") })]);
    servers.check_exact();
    servers.commit([purge("/new")]);
    servers.commit([purge("/old")]);
    servers.synchronize_all();
    servers.check_equal();
    for server in ["primary", "replica", "second", "staging"] {
        servers.wait_for_erasures(server);
        servers.check_absent(server, b"a text that is to go");
    }
}

/// A content of several chunks, the first of which `shared` decides alone.
fn of_chunks(database: &Database, shared: &str, own: &str) -> ContentBytes {
    let mut spool = database.spool();
    spool.write(shared.repeat(CHUNK_BYTES_MAX / shared.len()).as_bytes()).unwrap();
    spool.write(own.repeat(1_000).as_bytes()).unwrap();
    spool.finish().unwrap()
}

/// Two documents have one text, and two others contents that begin with the same chunk. What one leaves to the other is nobody's
/// when a synchronization takes both.
#[test]
fn what_documents_share_that_were_purged_goes_with_them_in_a_synchronization() {
    let (text, chunk) = ("a text that two have", "a chunk that two have.....: 32 b");
    let mut servers = Servers::start(1);
    let primary = servers.primary();
    let documents = ["/a", "/b", "/large/a", "/large/b"];
    servers.commit([put("/a", text), put("/b", text)]);
    for (at, own) in [("/large/a", "one"), ("/large/b", "another")] {
        servers.commit([put_content(at, of_chunks(&primary, chunk, own))]);
    }
    servers.commit(documents.map(publish));
    servers.check_exact();
    for at in documents {
        servers.commit([purge(at)]);
    }
    servers.synchronize_all();
    servers.check_equal();
    for server in ["primary", "replica", "second", "staging"] {
        servers.wait_for_erasures(server);
        servers.check_absent(server, text.as_bytes());
        servers.check_absent(server, chunk.as_bytes());
    }
}

/// A staging server hears of what was published when its purge has left the text to drafts, which it never gets: it comes, and the
/// version that named it comes erased.
#[test]
fn what_a_purge_left_to_a_draft_does_not_stay_on_a_staging_server_that_hears_of_it_late() {
    let (text, chunk) = ("a text that a draft has", "a chunk that a draft has.: 32 by");
    let mut servers = Servers::start(1);
    let primary = servers.primary();
    let content_of_b =
        ContentChange::Set { media_type: "text/plain".into(), bytes: ContentBytes::Inline(text.into()) };
    let b = operation("/b", Action::Put(Put { content: content_of_b, ..Put::default() }));
    servers.commit([put("/a", text), b, put("/c", "another"), put("/d", "another")]);
    for (at, own) in [("/large/a", "one"), ("/large/b", "another")] {
        servers.commit([put_content(at, of_chunks(&primary, chunk, own))]);
    }
    servers.commit(["/a", "/c", "/d", "/large/a"].map(publish));
    for at in ["/a", "/d", "/large/a"] {
        servers.commit([purge(at)]);
    }
    servers.wait_for_erasures("primary");
    servers.check_exact();
    assert_eq!(content(&servers.staging(), "/c"), b"another");
    for canary in [text, chunk] {
        servers.check_absent("staging", canary.as_bytes());
    }
    // Where they are drafts they are.
    assert_eq!(content(&servers.database("second"), "/b"), text.as_bytes());
    for at in ["/b", "/large/b"] {
        servers.commit([publish(at)]);
    }
    servers.check_exact();
    assert_eq!(content(&servers.staging(), "/b"), text.as_bytes());
    assert!(content(&servers.staging(), "/large/b").starts_with(chunk.as_bytes()));
}

/// The former primary has a purge before it that never happened, when it gets from the new one what that took.
#[test]
fn a_purge_that_a_promotion_cut_off_does_not_erase_what_a_synchronization_brings_again() {
    let mut servers = Servers::start(1);
    let (primary, replica) = (servers.primary(), servers.database("replica"));
    announce(&primary, &replica);
    servers.commit([put("/a", "the text")]);
    servers.check_exact();
    servers.commit([purge("/a")]);
    servers.wait_for_erasures("primary");
    promote(&replica);
    primary.learn(replica.epochs()).unwrap();
    primary.become_replica().unwrap();
    let (source, mut transfers) = begin(&replica, &primary, "unknown-position", SyncScope::default());
    while step(&source, &mut transfers, &mut Cost::default()) {}
    drop((transfers, source, primary, replica));
    // No entry came since that says that the erasure is finished: it is done once more.
    servers.restart_one("primary");
    servers.wait_for_erasures("primary");
    servers.primary().finish_sync(0).unwrap();
    servers.rearrange("replica", [("primary", "replica"), ("second", "replica"), ("staging", "replica")]);
    servers.greet();
    servers.check_equal();
    assert_eq!(content(&servers.database("primary"), "/a"), b"the text");
}

/// What a snapshot shows at the old place is erased while a former primary asks for it, and its content is at the new place by
/// then: the move, which is followed afterwards, brings no content that was there before.
#[test]
fn what_comes_erased_says_what_it_named_and_that_stays_for_the_place_that_it_moved_to() {
    let mut servers = Servers::start(1);
    let (primary, replica) = (servers.primary(), servers.database("replica"));
    announce(&primary, &replica);
    servers.commit([put("/other", "another text")]);
    servers.check_exact();
    servers.commit([put("/old", "the text")]);
    promote(&replica);
    primary.learn(replica.epochs()).unwrap();
    primary.become_replica().unwrap();
    servers.rearrange("replica", [("primary", "replica"), ("second", "replica"), ("staging", "replica")]);
    servers.commit([put("/old", "the text")]);
    let (source, mut transfers) = begin(&replica, &primary, "unknown-position", SyncScope::default());
    servers.commit([operation("/old", Action::Move { to: uri("/new") })]);
    servers.commit([purge("/old")]);
    servers.wait_for_erasures("replica");
    while step(&source, &mut transfers, &mut Cost::default()) {}
    primary.finish_sync(0).unwrap();
    drop((transfers, source, primary, replica));
    servers.wait_for_erasures("primary");
    servers.greet();
    servers.check_equal();
    servers.wait_for_erasures("primary");
    assert_eq!(content(&servers.database("primary"), "/new"), b"the text");
    // Nothing keeps it for the place that was purged, but the journal that was put aside.
    servers.database("primary").discard_orphans().unwrap();
    servers.commit([purge("/new")]);
    servers.check_equal();
    for server in ["primary", "replica", "second"] {
        servers.wait_for_erasures(server);
        servers.check_absent(server, b"the text");
    }
}

/// What came erased waits for the purge that did it. Where a promotion cut that off, the new history has the document.
#[test]
fn what_came_erased_by_a_purge_that_a_promotion_cut_off_is_asked_for_again() {
    let mut servers = Servers::start(1);
    let (primary, replica, staging) = (servers.primary(), servers.database("replica"), servers.staging());
    announce(&primary, &replica);
    servers.check_exact();
    servers.commit([put("/a", "the text"), publish("/a"), put("/b", "another text"), publish("/b")]);
    servers.follow_one("replica");
    servers.commit([purge("/a")]);
    servers.wait_for_erasures("primary");
    for copy in ["second", "staging"] {
        servers.follow_partition(copy, PartitionId(0), 1);
    }
    // As long as the purge may come nobody worries.
    beat(&primary, &staging);
    assert!(!staging.has_suspects());
    promote(&replica);
    servers.rearrange("replica", [("second", "replica"), ("staging", "replica")]);
    servers.greet();
    for copy in [servers.database("second"), staging] {
        servers.settle_primary();
        servers.follow();
        assert!(copy.document(&uri("/a"), Which::Live, None).is_err());
        beat(&replica, &copy);
        assert_eq!(copy.suspects(), [uri("/a")]);
        assert_eq!(copy.alarms().len(), 1, "{:?}", copy.alarms());
        let outcome = synchronize(&replica, &copy, "damaged", &mut Cost::default());
        assert!(outcome.is_whole() && !copy.has_suspects());
        assert!(copy.alarms().is_empty(), "{:?}", copy.alarms());
        assert_eq!(content(&copy, "/a"), b"the text");
        beat(&replica, &copy);
        assert!(!copy.has_suspects());
    }
    servers.check_equal();
}

/// Of a version that came erased nothing is left if its purge does not come, too: a primary asks no other copy for it.
#[test]
fn who_lacks_what_a_purge_erased_and_the_purge_is_not_promoted_unless_forced() {
    let blocks = |copy: &Database| copy.plan_promotion().unwrap().blocks;
    let ahead = |documents: u64| Block::ErasedAhead { documents, first: uri("/a") };
    let mut servers = Servers::start(1);
    let (primary, replica, second) =
        (servers.primary(), servers.database("replica"), servers.database("second"));
    announce(&primary, &replica);
    announce(&primary, &second);
    servers.check_exact();
    let properties = Some(Properties::parse(r#"{"title":"no text"}"#).unwrap());
    servers.commit([operation("/a", Action::Put(Put { properties, ..Put::default() }))]);
    servers.commit([put("/b", "a text")]);
    servers.commit([put("/c", "another text")]);
    servers.commit([put("/d", "a third text")]);
    for at in ["/a", "/b", "/c"] {
        servers.commit([purge(at)]);
    }
    servers.wait_for_erasures("primary");
    for copy in ["replica", "second"] {
        servers.follow_partition(copy, PartitionId(0), 3);
        assert_eq!(blocks(&servers.database(copy)), [ahead(3)]);
    }
    let refused = replica.promote(Promote { reason: "the primary looked dead".into(), ..Promote::default() });
    let Err(RoleError::Blocked { blocks: found, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(found, [ahead(3)]);
    servers.follow_partition("second", PartitionId(0), 1_000);
    assert_eq!(blocks(&second), []);
    drop(replica);
    servers.restart_one("replica");
    let replica = servers.database("replica");
    assert_eq!(blocks(&replica), [ahead(3)]);
    let promote = Promote { reason: "it is the only one".into(), force: true, ..Promote::default() };
    replica.promote(promote).unwrap();
    // What is lost is told by every copy that asks for it, until it is purged again.
    primary.learn(replica.epochs()).unwrap();
    primary.become_replica().unwrap();
    synchronize(&replica, &primary, "unknown-position", &mut Cost::default());
    let held = || primary.quarantine().unwrap().into_iter().map(|held| held.uri).collect::<Vec<_>>();
    assert_eq!(held(), [uri("/b"), uri("/c")]);
    assert_eq!(blocks(&primary), [Block::Incomplete, ahead(1)]);
    servers.rearrange("replica", [("primary", "replica")]);
    servers.greet();
    servers.follow_one("primary");
    beat(&replica, &primary);
    // It has what its source has.
    assert_eq!(blocks(&primary), [Block::Incomplete]);
    assert!(!primary.has_suspects());
    for at in ["/a", "/b"] {
        servers.commit([purge(at)]);
    }
    servers.follow_one("primary");
    assert_eq!(held(), [uri("/c")]);
    servers.commit([purge("/c")]);
    let outcome = synchronize(&replica, &primary, "quarantined", &mut Cost::default());
    assert!(outcome.is_whole() && held().is_empty(), "{outcome:?} {:?}", held());
    assert_eq!(blocks(&primary), []);
    servers.check_equal_one("primary");
}

/// Bytes come ahead of the document that names them. Where another snapshot does not have it any more nothing names them, and no
/// purge would find them.
#[test]
fn what_came_for_a_snapshot_that_was_given_up_and_was_purged_since_is_erased() {
    let bytes: Vec<u8> = (0..4_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let bytes = [b"CANARY".repeat(4), bytes].concat();
    let mut came_ahead = 0;
    for questions in 6..10 {
        let mut servers = Servers::start(1);
        let (primary, copy) = (servers.primary(), servers.database("replica"));
        servers.commit([put("/b", "another text")]);
        servers.commit([put_content("/a", spooled(&primary, &bytes))]);
        let (source, mut transfers) = begin(&primary, &copy, "empty", SyncScope::default());
        for _ in 0..questions {
            step(&source, &mut transfers, &mut Cost::default());
        }
        step_pieces(&source, &mut transfers[0], 3, &mut Cost::default());
        drop((source, transfers));
        let holds = |(_, bytes): &(_, Vec<u8>)| bytes.windows(12).any(|window| window == b"CANARYCANARY");
        let is_here = files(&servers.path("replica")).iter().any(holds);
        came_ahead += u32::from(is_here && copy.syncing(PartitionId(0)).is_some_and(|of| of.documents < 3));
        servers.commit([purge("/a")]);
        synchronize(&primary, &copy, "empty", &mut Cost::default());
        drop((primary, copy));
        servers.follow_one("replica");
        servers.wait_for_erasures("replica");
        servers.check_absent("replica", b"CANARYCANARY");
        servers.check_equal_one("replica");
    }
    assert!(came_ahead > 0, "nothing came ahead");
}

/// A document that only a history published that was cut off is none of the published view, and no purge of it would ever be told there.
#[test]
fn what_only_a_history_published_that_was_cut_off_does_not_stay_on_a_staging_server() {
    let mut servers = Servers::start(1);
    let (primary, replica, staging) = (servers.primary(), servers.database("replica"), servers.staging());
    announce(&primary, &replica);
    for (at, text) in
        [("/shown", "SECRET-1"), ("/withdrawn", "SECRET-2"), ("/draft", "SECRET-3"), ("/gone", "SECRET-4")]
    {
        servers.commit([put(at, &format!("{text} that nobody published"))]);
    }
    servers.commit([put("/before", "PUBLIC-1 before"), publish("/before")]);
    servers.commit([put("/before", "PUBLIC-2 before"), publish("/before")]);
    servers.commit([operation("/before", Action::Withdraw)]);
    servers.commit([put("/draft", "the first text"), publish("/draft"), put("/draft", "SECRET-5 draft")]);
    servers.check_exact();
    for at in ["/shown", "/withdrawn", "/draft", "/gone"] {
        servers.commit([publish(at)]);
    }
    servers.commit([operation("/withdrawn", Action::Withdraw)]);
    servers.follow_partition("staging", PartitionId(0), 1_000);
    assert_eq!(content(&staging, "/shown"), b"SECRET-1 that nobody published");
    promote(&replica);
    servers.rearrange("replica", [("staging", "replica"), ("second", "replica")]);
    servers.greet();
    servers.commit([put("/draft", "the third text"), publish("/draft")]);
    servers.commit([purge("/gone")]);
    let outcome = synchronize(&replica, &staging, "unknown-position", &mut Cost::default());
    assert!(outcome.is_whole(), "{outcome:?}");
    staging.discard_orphans().unwrap();
    drop((primary, staging));
    servers.follow_one("staging");
    servers.wait_for_erasures("staging");
    servers.check_absent("staging", b"SECRET-");
    servers.check_equal_one("staging");
    // What was published before stays, as it does without a promotion.
    let kept = servers.staging().document(&uri("/before"), Which::Number(1), None);
    assert!(kept.is_ok(), "{kept:?}");
}

/// Who has to synchronize anyway brings it then: nobody has to be told, and nothing newer has to be waited for.
#[test]
fn a_synchronization_brings_what_awaits_a_purge_that_was_cut_off() {
    let mut servers = Servers::start(1);
    let (primary, replica, staging) = (servers.primary(), servers.database("replica"), servers.staging());
    announce(&primary, &replica);
    servers.check_exact();
    servers.commit([put("/a", "the text"), publish("/a"), put("/b", "another"), publish("/b")]);
    servers.follow_one("replica");
    servers.commit([operation("/b", Action::Withdraw)]);
    for at in ["/a", "/b"] {
        servers.commit([purge(at)]);
    }
    servers.wait_for_erasures("primary");
    servers.follow_partition("staging", PartitionId(0), 2);
    promote(&replica);
    servers.rearrange("replica", [("staging", "replica")]);
    servers.greet();
    servers.settle_primary();
    assert!(content_of(&staging, "/a").is_err());
    synchronize(&replica, &staging, "out-of-window", &mut Cost::default());
    assert_eq!(content(&staging, "/a"), b"the text");
    assert_eq!(content(&staging, "/b"), b"another");
    drop(staging);
    servers.follow_one("staging");
    let staging = servers.staging();
    beat(&replica, &staging);
    assert!(!staging.has_suspects() && staging.alarms().is_empty(), "{:?}", staging.alarms());
    servers.check_equal_one("staging");
}
