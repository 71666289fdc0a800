//! A copy in any state becomes equal to its source by difference, whatever interrupts it, and follows from there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod support;

use apograph::OpenError;
use apograph::format::{Ask, State, SyncFrame, SyncScope, Timestamp, View};
use apograph::read::Which;
use apograph::sealed::{read_sealed, write_sealed};
use apograph::synchronize::{Snapshot, SyncError, SyncMarker, SyncPhase, TransferError};
use apograph::transaction::Action;
use bytes::BytesMut;
use support::synchronize::{
    Cost, begin, begin_at, step, step_altered, synchronize, synchronize_scoped, with_an_unknown_kind,
};
use support::{Servers, lock, operation, publish, put, put_content, trash, uri};

/// Something of everything.
fn busy_history(servers: &mut Servers) {
    servers.commit([put("/a", "one"), put("/b", "b one"), put("/c", "c")]);
    servers.commit([publish("/a"), publish("/c")]);
    servers.commit([put("/a", "two, a draft CANARY-DRAFT")]);
    servers.commit([operation("/a", Action::Move { to: uri("/moved/a") })]);
    servers.commit([trash("/b")]);
    servers.commit([operation("/b", Action::Restore)]);
    servers.commit([lock("/b", 60)]);
    servers.commit([operation("/c", Action::Withdraw)]);
    servers.commit([put("/secret", "CANARY-PURGED"), publish("/secret")]);
    servers.commit([put("/twice", "CANARY-PURGED first"), publish("/twice")]);
    let large = vec![b'x'; 3 << 20];
    let mut spool = servers.primary().spool();
    spool.write(&large).unwrap();
    let content = spool.finish().unwrap();
    servers.commit([put_content("/large", content), publish("/large")]);
}

fn more_history(servers: &mut Servers) {
    servers.commit([operation("/secret", Action::Purge)]);
    servers.commit([operation("/twice", Action::Purge)]);
    servers.commit([put("/twice", "again"), publish("/twice")]);
    servers.commit([put("/moved/a", "three"), publish("/moved/a")]);
    servers.commit([put("/new", "new"), publish("/new"), put("/hidden", "CANARY-DRAFT hidden")]);
    servers.commit([operation("/large", Action::Withdraw)]);
}

#[test]
fn an_empty_copy_becomes_equal_and_follows() {
    for partitions in [1, 3] {
        let mut servers = Servers::start(partitions);
        busy_history(&mut servers);
        more_history(&mut servers);
        servers.synchronize_all();
        servers.check_equal();
        servers.check_absent("staging", b"CANARY-DRAFT");
        for server in ["replica", "second", "staging"] {
            servers.check_absent(server, b"CANARY-PURGED");
        }
        servers.commit([put("/a/after", "after"), publish("/a/after"), put("/b", "b two")]);
        servers.follow();
        servers.check_equal();
        servers.restart();
        servers.check_equal();
    }
}

#[test]
fn a_stale_copy_gets_the_difference_and_purges_with_it() {
    for partitions in [1, 3] {
        let mut servers = Servers::start(partitions);
        busy_history(&mut servers);
        for n in 0..400 {
            servers
                .commit([put(&format!("/many/{n}"), &"text ".repeat(200)), publish(&format!("/many/{n}"))]);
        }
        servers.follow();
        servers.check_exact();
        more_history(&mut servers);
        let cost = servers.synchronize_all();
        assert!(cost.bytes < 100_000, "400 documents are known on both sides: {cost:?}");
        servers.check_equal();
        for server in ["replica", "second", "staging"] {
            servers.wait_for_erasures(server);
            servers.check_absent(server, b"CANARY-PURGED");
        }
        servers.commit([put("/b", "b two")]);
        servers.follow();
        servers.check_equal();
    }
}

#[test]
fn readers_keep_what_they_have_until_it_is_finished() {
    let mut servers = Servers::start(2);
    busy_history(&mut servers);
    servers.follow();
    let replica = servers.database("replica");
    let (visible, before) = (replica.visible(), support::export(&replica, View::Full));
    let digest = replica.digest_at(View::Full, visible).unwrap();
    more_history(&mut servers);
    let (source, mut transfers) = begin(&servers.primary(), &replica, "out-of-window", SyncScope::default());
    loop {
        assert_eq!(replica.visible(), visible);
        support::assert_same(&support::export(&replica, View::Full), &before);
        assert_eq!(
            replica.status().unwrap().digests.iter().find(|of| of.view == View::Full).unwrap().digest,
            digest.digest
        );
        if !step(&source, &mut transfers, &mut Cost::default()) {
            break;
        }
    }
    assert!(replica.finish_sync(0).unwrap().is_whole());
    assert!(replica.visible() > visible);
    support::assert_same(
        &support::export(&replica, View::Full),
        &support::export(&servers.primary(), View::Full),
    );
}

#[test]
fn killed_after_every_answer_it_asks_for_nothing_twice() {
    let mut servers = Servers::start(2);
    busy_history(&mut servers);
    for n in 0..300 {
        servers.commit([put(&format!("/many/{n}"), &format!("text {n} ").repeat(2_000))]);
    }
    let mut undisturbed = Cost::default();
    synchronize(&servers.primary(), &servers.database("second"), "out-of-window", &mut undisturbed);
    let mut cost = Cost::default();
    let replica = servers.database("replica");
    let (_, transfers) = begin(&servers.primary(), &replica, "out-of-window", SyncScope::default());
    drop((transfers, replica));
    let mut kills = 0;
    loop {
        let replica = servers.database("replica");
        let marker = replica.sync_marker().unwrap();
        let (source, mut transfers) = support::synchronize::resume(&servers.primary(), &replica, &marker);
        // A few answers, and of the last ones only the beginning: what came of them counts.
        let mut is_more = true;
        for pieces in (0..8).map(|_| usize::MAX).skip(8 - kills as usize % 8).chain([9]) {
            is_more = false;
            for transfer in &mut transfers {
                is_more |= support::synchronize::step_pieces(&source, transfer, pieces, &mut cost);
            }
        }
        drop((transfers, replica, source));
        if !is_more {
            break;
        }
        kills += 1;
        servers.crash("replica");
    }
    assert!(kills > 5, "{kills} kills");
    servers.database("replica").finish_sync(0).unwrap();
    servers.check_equal_one("replica");
    // What is sent twice is the beginning of the batch in hand, and questions.
    let most = undisturbed.bytes + kills * (3 << 20);
    assert!(cost.bytes < most, "{cost:?} with {kills} kills, {undisturbed:?} without");
}

#[test]
fn a_crash_while_installing_is_finished_by_the_next_start() {
    for partitions in [1, 3] {
        let mut servers = Servers::start(partitions);
        busy_history(&mut servers);
        servers.follow();
        more_history(&mut servers);
        let replica = servers.database("replica");
        let (source, mut transfers) =
            begin(&servers.primary(), &replica, "out-of-window", SyncScope::default());
        while step(&source, &mut transfers, &mut Cost::default()) {}
        drop((transfers, source, replica));
        // The marker says that only the last step is left: as a crash at its very beginning leaves it.
        let install = |home: &std::path::Path| {
            let path = home.join("databases/main/synchronize.json");
            let mut marker: SyncMarker = read_sealed(&path).unwrap();
            marker.phase = SyncPhase::Installing;
            write_sealed(&path, &marker).unwrap();
        };
        // Killed: what came last is in the log, and not in the store yet.
        servers.crash_and("replica", install);
        assert!(servers.database("replica").sync_marker().is_none());
        assert!(servers.database("replica").sync_outcome().is_some());
        servers.check_equal_one("replica");
        servers.commit([put("/b", "b two")]);
        servers.follow_one("replica");
        servers.check_equal_one("replica");
    }
}

#[test]
fn what_was_altered_behind_the_stores_back_is_put_right() {
    for alter in [support::altered::head, support::altered::leaf, support::altered::bucket] {
        let mut servers = Servers::start(1);
        busy_history(&mut servers);
        servers.follow();
        servers.check_exact();
        servers.tamper("replica", |home| alter(home, &uri("/moved/a"))).unwrap();
        let mut cost = Cost::default();
        // What does not show in the digest is found by looking at every document.
        servers.database("replica").look_for_damage().unwrap();
        let outcome = synchronize(&servers.primary(), &servers.database("replica"), "diverged", &mut cost);
        assert!(outcome.is_whole(), "{outcome:?}");
        servers.check_equal_one("replica");
        servers.commit([put("/moved/a", "again")]);
        servers.follow_one("replica");
        servers.check_equal_one("replica");
        assert!(
            servers
                .database("replica")
                .status()
                .unwrap()
                .alarms
                .iter()
                .all(|alarm| alarm.contains("repaired"))
        );
    }
}

#[test]
fn a_damaged_body_is_noticed_by_a_read_and_put_right() {
    let mut servers = Servers::start(1);
    busy_history(&mut servers);
    servers.follow();
    servers.check_exact();
    let replica = servers.database("replica");
    let document = replica.document(&uri("/moved/a"), Which::Working, None).unwrap();
    let content = document.version.content.unwrap().hash;
    drop(replica);
    for hash in [document.version_ref.id, content] {
        let damage = |home: &std::path::Path| support::altered::payload(home, &hash);
        servers.tamper("replica", damage).unwrap();
        let replica = servers.database("replica");
        let read = || {
            let document = replica.document(&uri("/moved/a"), Which::Working, None)?;
            let content = document.version.content.unwrap();
            replica.content(&uri("/moved/a"), &content, 0..u64::MAX)?.collect::<Result<Vec<_>, _>>()
        };
        assert!(read().is_err());
        assert_eq!(replica.suspects(), [uri("/moved/a")]);
        let outcome = synchronize(&servers.primary(), &replica, "damaged", &mut Cost::default());
        assert!(outcome.is_whole(), "{outcome:?}");
        assert!(read().is_ok());
        assert!(replica.suspects().is_empty());
        servers.check_equal_one("replica");
    }
}

#[test]
fn what_the_operator_leaves_out_is_left_out_and_said() {
    let mut servers = Servers::start(2);
    for n in 0..30 {
        servers.commit([put("/long", &format!("version {n}"))]);
    }
    servers.commit([publish("/long")]);
    for n in 30..40 {
        servers.commit([put("/long", &format!("version {n}"))]);
    }
    servers.commit([put("/old", "old")]);
    let since = servers.primary().visible();
    servers.commit([put("/young", "young")]);
    let scope = SyncScope { since: apograph::format::Timestamp(since.0 + 1), max_versions: 0 };
    let second = servers.database("second");
    let outcome = synchronize_scoped(&servers.primary(), &second, "requested", scope, &mut Cost::default());
    assert!(!outcome.is_whole());
    assert!(outcome.left_out >= 2 && !outcome.equal, "{outcome:?}");
    assert!(second.document(&uri("/young"), Which::Working, None).is_ok());
    assert!(second.document(&uri("/old"), Which::Working, None).is_err());

    let scope = SyncScope { max_versions: 5, ..SyncScope::default() };
    let replica = servers.database("replica");
    let outcome = synchronize_scoped(&servers.primary(), &replica, "requested", scope, &mut Cost::default());
    assert!(outcome.is_whole(), "{outcome:?}");
    assert_eq!(outcome.cut_documents, 1);
    let document = replica.document(&uri("/long"), Which::Working, None).unwrap();
    assert_eq!((document.head.versions, document.head.state), (40, State::PublishedWithChanges));
    assert!(replica.document(&uri("/long"), Which::Live, None).is_ok(), "the live version always comes");
    assert!(replica.document(&uri("/long"), Which::Number(36), None).is_ok());
    assert!(replica.document(&uri("/long"), Which::Number(35), None).is_err());
    let digest = |database: &apograph::Database| database.digest_at(View::Full, replica.visible()).unwrap();
    assert_eq!(digest(&replica), digest(&servers.primary()));

    let live = replica.document(&uri("/long"), Which::Live, None).unwrap().version.content.unwrap();
    assert!(replica.content(&uri("/long"), &live, 0..u64::MAX).unwrap().all(|piece| piece.is_ok()));

    // Whoever is made from that copy gets no more than it has, and says so as well; what is live is whole.
    servers.commit([put("/more", "more")]);
    servers.follow_one("replica");
    let outcome = synchronize(&replica, &servers.staging(), "requested", &mut Cost::default());
    assert!(outcome.is_whole() && outcome.cut_documents == 0, "{outcome:?}");
    servers.check_equal_one("staging");
    let outcome = synchronize(&replica, &second, "requested", &mut Cost::default());
    assert_eq!(outcome.cut_documents, 1, "{outcome:?}");
    let old = second.document(&uri("/long"), Which::Number(35), None).unwrap_err();
    assert!(matches!(old, apograph::error::ReadError::NotBrought { kept_from: 36, .. }), "{old}");
    let copy = second.document(&uri("/long"), Which::Live, None).unwrap();
    assert_eq!(copy.version.content.unwrap(), live);
    assert!(outcome.is_whole(), "{outcome:?}");

    // Who asks for more gets it, although the digests are equal; who asks for no more moves nothing.
    let mut again = |max_versions: u64| {
        servers.commit([put("/more", &format!("more {max_versions}"))]);
        let scope = SyncScope { max_versions, ..SyncScope::default() };
        let outcome =
            synchronize_scoped(&servers.primary(), &replica, "requested", scope, &mut Cost::default());
        // The live one is there in any case.
        let mut numbers = (1..=40).filter(|number| *number != 30);
        let first = numbers.find(|n| replica.document(&uri("/long"), Which::Number(*n), None).is_ok());
        (outcome.documents, outcome.cut_documents, first)
    };
    assert_eq!(again(5), (1, 1, Some(36)));
    assert_eq!(again(10), (2, 1, Some(31)));
    assert_eq!(again(0), (2, 0, Some(1)));
    servers.check_equal_one("replica");
}

#[test]
fn a_staging_server_goes_on_behind_a_replica_that_stood_at_a_draft() {
    let mut servers = Servers::start(2);
    busy_history(&mut servers);
    // Nothing of this shows in the published view, and no checkpoint came yet.
    servers.commit([put("/b", "a draft"), put("/c", "another")]);
    servers.synchronize_all();
    servers.commit([put("/after", "after"), publish("/after")]);
    servers.follow();
    assert!(servers.staging().document(&uri("/after"), Which::Live, None).is_ok());
    servers.check_equal();
}

#[test]
fn a_document_of_a_kind_that_nobody_here_knows_is_held_back_alone() {
    for from_empty in [true, false] {
        let mut servers = Servers::start(1);
        busy_history(&mut servers);
        if !from_empty {
            servers.follow();
        }
        servers.commit([put("/odd", "odd, with a body"), put("/odder", "beside it"), put("/last", "last")]);
        let replica = servers.database("replica");
        let none = SyncScope::default();
        let (source, mut transfers) = begin(&servers.primary(), &replica, "rejected", none);
        let alter = |frames: &mut [u8]| with_an_unknown_kind(frames, "/odd");
        while step_altered(&source, &mut transfers[0], usize::MAX, &mut Cost::default(), alter) {}
        let outcome = replica.finish_sync(0).unwrap();
        assert!(!outcome.equal && outcome.quarantined == 1, "{outcome:?}");
        let held = replica.quarantine().unwrap();
        assert_eq!(held.len(), 1);
        assert_eq!((&held[0].uri, held[0].reason.as_str()), (&uri("/odd"), "unknown kind 127"));
        for other in ["/odder", "/last", "/moved/a"] {
            assert!(replica.document(&uri(other), Which::Working, None).is_ok(), "{other}");
        }
        servers.check_absent("replica", b"odd, with a body");
        // It follows what comes, does not claim to be equal, and gets the document as soon as it can take it.
        servers.commit([put("/after", "after")]);
        servers.follow_one("replica");
        assert!(replica.document(&uri("/after"), Which::Working, None).is_ok());
        servers.commit([put("/more", "more")]);
        let outcome = synchronize(&servers.primary(), &replica, "requested", &mut Cost::default());
        assert!(outcome.is_whole(), "{outcome:?}");
        assert!(replica.quarantine().unwrap().is_empty());
        servers.check_equal_one("replica");
    }
}

/// Between what readers see and a snapshot there was no room left for a batch. The trees said already that it was there:
/// the next round believed them, never asked for it again, and found the digests equal.
#[test]
fn what_a_snapshot_too_close_did_not_bring_the_next_one_brings() {
    let mut servers = Servers::start(1);
    servers.commit([put("/a", "one"), put("/b", "b")]);
    servers.check_exact();
    servers.commit([put("/a", "two")]);
    let (source, copy) = (servers.primary(), servers.database("replica"));
    let snapshot = source.snapshot(copy.view(), copy.sync_floor()).unwrap();
    let snapshot = Snapshot { at: Timestamp(copy.visible().0 + 2), ..snapshot };
    let (_, mut transfers) = begin_at(&source, &copy, "out-of-window", SyncScope::default(), snapshot);
    let error = loop {
        let question = transfers[0].next_question().unwrap().unwrap();
        let mut answer = source.answer(transfers[0].partition(), question).unwrap();
        let mut buffer = BytesMut::from(&answer.next(1 << 20).unwrap().unwrap()[..]);
        if let Err(error) = transfers[0].take(&mut buffer) {
            break error;
        }
    };
    assert!(matches!(error, TransferError::Sync(SyncError::TooClose)), "{error}");
    servers.commit([put("/c", "later")]);
    let outcome = synchronize(&source, &copy, "out-of-window", &mut Cost::default());
    assert!(outcome.is_whole(), "{outcome:?}");
    servers.check_equal_one("replica");
}

/// The journal of a copy has what readers see, and not what a synchronization brought since.
#[test]
fn a_store_that_is_gone_while_a_copy_synchronizes_is_missed() {
    for gone in ["store", "store/engine"] {
        let mut servers = Servers::start(2);
        servers.commit([put("/a", "one"), put("/b", "b")]);
        servers.check_exact();
        servers.commit([put("/a", "two"), put("/c", "c")]);
        let (source, copy) = (servers.primary(), servers.database("replica"));
        let (_, mut transfers) = begin(&source, &copy, "out-of-window", SyncScope::default());
        step(&source, &mut transfers, &mut Cost::default());
        drop((transfers, copy, source));
        let store = servers.path("replica").join("databases/main/partitions/001").join(gone);
        let opened = servers.tamper("replica", |_| std::fs::remove_dir_all(&store).unwrap());
        assert!(matches!(opened, Err(OpenError::LostStore { .. })), "{gone}: {opened:?}");
    }
}

/// The checkpoint of a snapshot may be ahead of the clock. What is committed next follows it at once.
#[test]
fn a_copy_that_just_synchronized_can_do_so_again() {
    let mut servers = Servers::start(2);
    servers.commit([put("/a", "one"), put("/b", "b")]);
    servers.check_exact();
    let (source, copy) = (servers.primary(), servers.database("replica"));
    for text in ["two", "three"] {
        assert!(synchronize(&source, &copy, "asked", &mut Cost::default()).is_whole());
        servers.commit([put("/a", text)]);
        assert!(synchronize(&source, &copy, "asked", &mut Cost::default()).is_whole());
    }
    servers.check_equal_one("replica");
}

/// The published tree does not name what is shown no more, and after a purge and another beginning not even the head of
/// the document tells that it was purged.
#[test]
fn a_staging_server_that_synchronizes_past_a_purge_keeps_nothing_of_what_it_showed_no_more() {
    let mut servers = Servers::start(1);
    let rounds = ["/withdrawn", "/again", "/live", "/kept"];
    for at in rounds {
        servers.commit([put(at, &format!("CANARY-OF{at} ").repeat(20)), publish(at)]);
    }
    for at in ["/withdrawn", "/again", "/kept"] {
        servers.commit([operation(at, Action::Withdraw)]);
    }
    servers.check_exact();
    for at in ["/withdrawn", "/again", "/live"] {
        servers.commit([operation(at, Action::Purge)]);
    }
    // Begun anew: once as a draft, once shown for a while.
    servers.commit([put("/again", "another")]);
    servers.commit([put("/live", "another"), publish("/live")]);
    servers.commit([operation("/live", Action::Withdraw)]);
    servers.synchronize_all();
    servers.check_equal();
    servers.wait_for_erasures("staging");
    for at in ["/withdrawn", "/again", "/live"] {
        servers.check_absent("staging", format!("CANARY-OF{at} ").as_bytes());
    }
    let canary = b"CANARY-OF/kept ";
    let holds = |bytes: &[u8]| bytes.windows(canary.len()).any(|window| window == canary);
    let files = support::files(&servers.path("staging"));
    assert!(files.iter().any(|(_, bytes)| holds(bytes)), "what was public once stays");
    assert_eq!(servers.staging().head(&uri("/kept"), None).unwrap().unwrap().state, State::Withdrawn);
}

/// Frames of an answer, without one of its payloads if there are so many.
fn without_payload(piece: &[u8], seen: &mut usize, which: usize) -> BytesMut {
    let (mut rest, mut kept) = (BytesMut::from(piece), BytesMut::new());
    while let Some((frame, bytes)) = SyncFrame::take(&mut rest).unwrap() {
        let is_payload = matches!(frame, SyncFrame::Payload(_));
        *seen += usize::from(is_payload);
        if !is_payload || *seen != which {
            kept.extend_from_slice(&bytes);
        }
    }
    kept
}

/// The digest is that of ids: a document without its bytes has it as well.
#[test]
fn an_answer_that_leaves_a_payload_out_is_not_believed() {
    let large = |letter: &str| letter.repeat(200_000);
    for is_empty in [true, false] {
        let mut told = 0;
        for which in 1.. {
            let mut servers = Servers::start(1);
            let (primary, replica) = (servers.primary(), servers.database("replica"));
            servers.commit([put("/a", "a"), put("/large", &large("a"))]);
            if !is_empty {
                servers.check_exact();
            }
            servers.commit([put("/a", "b"), put("/large", &large("b")), put("/b", "c")]);
            let (source, mut transfers) = begin(&primary, &replica, "out-of-window", SyncScope::default());
            let (mut seen, mut refused) = (0, None);
            while let Some(question) = transfers[0].next_question().unwrap() {
                let mut answer = source.answer(transfers[0].partition(), question).unwrap();
                let mut buffer = BytesMut::new();
                while let Some(piece) = answer.next(usize::MAX).unwrap() {
                    buffer.extend(without_payload(&piece, &mut seen, which));
                    match transfers[0].take(&mut buffer) {
                        Ok(true) => break,
                        Ok(false) => {}
                        Err(error) => refused = Some(error),
                    }
                }
                if refused.is_some() {
                    break;
                }
            }
            if seen < which {
                assert!(told > 3, "{which} payloads, {is_empty}, {told} times told");
                break;
            }
            // It is told, or what is not there is asked for.
            match refused {
                None => drop(replica.finish_sync(0).unwrap()),
                Some(TransferError::Unexpected { .. }) => {
                    told += 1;
                    synchronize(&primary, &replica, "out-of-window", &mut Cost::default());
                }
                Some(error) => panic!("payload {which}, {is_empty}: {error}"),
            }
            drop((source, transfers));
            drop((primary, replica));
            servers.check_equal_one("replica");
        }
    }
}

/// Documents that came twice would be counted twice.
#[test]
fn an_answer_that_says_something_twice_is_refused() {
    for is_empty in [true, false] {
        let mut servers = Servers::start(1);
        let (primary, replica) = (servers.primary(), servers.database("replica"));
        servers.commit([put("/a", "a"), put("/b", "b")]);
        if !is_empty {
            servers.check_exact();
        }
        servers.commit([put("/a", "c"), put("/b", "d")]);
        let (source, mut transfers) = begin(&primary, &replica, "out-of-window", SyncScope::default());
        let mut told = 0;
        while let Some(question) = transfers[0].next_question().unwrap() {
            let has_documents = matches!(question.ask, Ask::All { .. } | Ask::Documents { .. });
            let mut answer = source.answer(transfers[0].partition(), question).unwrap();
            let piece = answer.next(usize::MAX).unwrap().unwrap();
            let mut frames = BytesMut::from(&piece[..]);
            let (mut twice, mut rest) = (BytesMut::new(), BytesMut::new());
            while let Some((frame, bytes)) = SyncFrame::take(&mut frames).unwrap() {
                let is_end = matches!(frame, SyncFrame::End);
                if is_end { &mut rest } else { &mut twice }.extend_from_slice(&bytes);
            }
            let copies = if has_documents { 2 } else { 1 };
            let mut buffer = BytesMut::from(&[twice.repeat(copies), rest.to_vec()].concat()[..]);
            match transfers[0].take(&mut buffer) {
                Ok(_) => assert!(!has_documents || twice.is_empty(), "{is_empty}"),
                Err(TransferError::Unexpected { .. }) => told += 1,
                Err(error) => panic!("{error}"),
            }
            if told > 0 {
                break;
            }
        }
        assert_eq!(told, 1, "{is_empty}");
        drop((source, transfers));
        synchronize(&primary, &replica, "out-of-window", &mut Cost::default());
        let documents = |of: &apograph::Database| of.digest_at(View::Full, of.visible()).unwrap().documents;
        drop((primary, replica));
        servers.follow_one("replica");
        servers.check_equal_one("replica");
        assert_eq!(documents(&servers.database("replica")), documents(&servers.primary()));
    }
}

/// Something between the servers hands over what it kept of an earlier answer: once, or whenever documents are asked for.
#[test]
fn an_answer_of_before_is_asked_for_once_more_before_a_document_is_held_back() {
    for is_once in [true, false] {
        let mut servers = Servers::start(1);
        let (primary, replica) = (servers.primary(), servers.database("replica"));
        servers.commit([put("/a", "a"), put("/b", "b")]);
        servers.check_exact();
        servers.commit([put("/a", "of before")]);
        let before = primary.snapshot(View::Full, replica.sync_floor()).unwrap().reads_at;
        servers.commit([put("/a", "c")]);
        let (source, mut transfers) = begin(&primary, &replica, "out-of-window", SyncScope::default());
        let mut of_before = 0;
        while let Some(mut question) = transfers[0].next_question().unwrap() {
            if matches!(question.ask, Ask::Documents { .. }) && (of_before == 0 || !is_once) {
                question.at = before;
                of_before += 1;
            }
            let mut answer = source.answer(transfers[0].partition(), question).unwrap();
            let mut buffer = BytesMut::new();
            while let Some(piece) = answer.next(usize::MAX).unwrap() {
                buffer.extend_from_slice(&piece);
                transfers[0].take(&mut buffer).unwrap();
            }
        }
        // Held back or taken, it came once.
        assert_eq!(transfers[0].progress().documents, 1, "{is_once}");
        drop((source, transfers));
        let outcome = replica.finish_sync(0).unwrap();
        let held: Vec<_> = replica.quarantine().unwrap().into_iter().map(|held| held.uri).collect();
        if is_once {
            assert!(outcome.is_whole() && held.is_empty() && of_before == 1, "{held:?}");
        } else {
            assert!(!outcome.is_whole() && of_before == 2, "{of_before}");
            assert_eq!(held, [uri("/a")]);
            synchronize(&primary, &replica, "requested", &mut Cost::default());
        }
        drop((primary, replica));
        servers.follow_one("replica");
        servers.check_equal_one("replica");
    }
}
