//! A primary, a replica, a staging server and a replica of the replica, without HTTP: what arrives is what was done.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod support;

use apograph::error::TakeError;
use apograph::format::{Frame, Heartbeat, State, View};
use apograph::read::Which;
use apograph::transaction::{Action, Precondition};
use bytes::BytesMut;
use support::{Servers, lock, operation, publish, put, trash, uri};

#[test]
fn every_operation_arrives_everywhere() {
    for partitions in [1, 4] {
        let mut servers = Servers::start(partitions);
        let primary = servers.primary();
        servers.commit([put("/a", "one"), put("/b", "b one"), put("/c", "c")]);
        servers.commit([publish("/a"), publish("/c")]);
        servers.commit([put("/a", "two, a draft CANARY-DRAFT")]);
        servers.commit([operation("/a", Action::Move { to: uri("/moved/a") })]);
        servers.commit([trash("/b")]);
        servers.commit([operation("/b", Action::Restore)]);
        servers.commit([lock("/b", 60)]);
        servers.commit([operation("/c", Action::Withdraw)]);
        servers.commit([put("/secret", "CANARY-PURGED"), publish("/secret")]);
        servers.follow();
        servers.commit([operation("/secret", Action::Purge)]);
        servers.follow();
        servers.check_exact();

        let moved = primary.document(&uri("/moved/a"), Which::Live, None).unwrap();
        assert_eq!(moved.head.state, State::PublishedWithChanges);
        assert_eq!((moved.version_ref.number, moved.head.working.unwrap().number), (3, 4));
        assert!(servers.staging().document(&uri("/moved/a"), Which::Live, None).is_ok());
        assert!(servers.staging().document(&uri("/c"), Which::Live, None).is_err());
        assert!(servers.staging().document(&uri("/b"), Which::Working, None).is_err());
        servers.check_absent("staging", b"CANARY-DRAFT");
        // A database is closed when the last handle to it is gone.
        drop(primary);
        servers.restart();
        servers.check_exact();
        for server in ["primary", "replica", "second", "staging"] {
            servers.check_absent(server, b"CANARY-PURGED");
        }
    }
}

#[test]
fn a_copy_resumes_wherever_it_was_interrupted() {
    for partitions in [1, 3] {
        let mut servers = Servers::start(partitions);
        for n in 0..40 {
            servers.commit([
                put(&format!("/d/{}", n % 7), &format!("text {n}")),
                put("/shared", &format!("{n}")),
            ]);
            if n % 3 == 0 {
                servers.commit([publish(&format!("/d/{}", n % 7))]);
            }
            // A few entries of some partitions, then everything starts anew.
            servers.follow_some(n);
            if n % 5 == 0 {
                servers.restart();
            }
        }
        servers.follow();
        servers.check_exact();
    }
}

#[test]
fn large_contents_travel_in_pieces() {
    let mut servers = Servers::start(2);
    let primary = servers.primary();
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[0]
    };
    // More than one entry holds, so that pieces travel ahead of their transaction.
    let bytes: Vec<u8> = (0..20_000_000).map(|_| random()).collect();
    let mut spool = primary.spool();
    for piece in bytes.chunks(70_000) {
        spool.write(piece).unwrap();
    }
    let content = spool.finish().unwrap();
    servers.commit([support::put_content("/large", content), publish("/large")]);
    servers.commit([operation("/large", Action::Move { to: uri("/elsewhere/large") })]);
    servers.follow();
    servers.check_exact();
    for (server, view) in [(servers.primary(), View::Full), (servers.staging(), View::Published)] {
        let document = server.document(&uri("/elsewhere/large"), Which::Live, None).unwrap();
        let content = document.version.content.unwrap();
        let read: Vec<u8> = server
            .content(&uri("/elsewhere/large"), &content, 1_000_000..9_500_001)
            .unwrap()
            .flat_map(|piece| piece.unwrap().to_vec())
            .collect();
        assert!(read == bytes[1_000_000..9_500_001], "{view}");
    }
}

#[test]
fn refused_transactions_leave_nothing() {
    let mut servers = Servers::start(2);
    let primary = servers.primary();
    servers.commit([put("/a", "one")]);
    let export = support::export(&primary, View::Full);
    let refused = primary.commit(support::transaction([
        put("/b", "new"),
        apograph::Operation { precondition: Precondition::Version(9), ..put("/a", "two") },
    ]));
    assert!(matches!(refused, Err(apograph::error::CommitError::Refused { index: 1, .. })), "{refused:?}");
    assert_eq!(support::export(&primary, View::Full), export);
    servers.follow();
    servers.check_exact();
}

/// Nothing breaks where something between the servers leaves out the last bytes of a stream: the next heartbeat tells.
#[test]
fn a_copy_that_lacks_the_last_entry_which_was_sent_hears_of_it() {
    let mut servers = Servers::start(1);
    servers.commit([put("/a", "one"), publish("/a")]);
    servers.check_exact();
    servers.commit([put("/a", "two"), publish("/a")]);
    servers.commit([put("/a", "three"), publish("/a")]);
    let primary = servers.primary();
    let key = primary.handshake(View::Full).unwrap().server.key;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for copy in [servers.database("replica"), servers.staging()] {
        let (partition, from, source) = copy.resume().remove(0);
        let mut feed = primary.feed(partition, copy.view(), from, source).unwrap();
        assert_eq!(feed.sent(), from.sequence);
        let mut sent = BytesMut::new();
        while let Some(piece) = feed.next(1).unwrap() {
            sent.extend_from_slice(&piece);
        }
        let mut entries = Vec::new();
        while let Some(Frame::Entry(entry)) = Frame::take(&mut sent).unwrap() {
            entries.push(entry);
        }
        let heartbeat = Heartbeat { sent: Some(feed.sent()), ..primary.heartbeat(partition, copy.view()) };
        let last = entries.split_off(entries.len() - 1);
        runtime.block_on(copy.take(partition, entries)).unwrap();
        let refused = copy.note_heartbeat(partition, &heartbeat, &key).unwrap_err();
        assert!(matches!(&refused, TakeError::Refused { .. }), "{refused}");
        runtime.block_on(copy.take(partition, last)).unwrap();
        copy.note_heartbeat(partition, &heartbeat, &key).unwrap();
    }
}
