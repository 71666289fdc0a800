//! What a failover cut off comes back: as it was where nothing happened since, beside what was written where something
//! did, and never twice.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use apograph::database::roles::{KeptOrphan, Promote, RestoreError, RestoredOrphan};
use apograph::error::{CommitError, Refusal};
use apograph::format::{Frame, Operation as Done, State, Token, VersionRef};
use apograph::read::Which;
use apograph::transaction::{Action, LeftOut, Recovery};
use apograph::{Database, Operation, Role, Transaction};
use bytes::BytesMut;
use support::synchronize::{Cost, synchronize};
use support::{Servers, lock, operation, publish, put, put_content, transaction, trash, uri};

fn commit(database: &Database, operations: Vec<Operation>) -> Token {
    database.commit(Transaction { operations, ..transaction([]) }).unwrap().token
}

/// Both histories: what both share, what only the old primary has, what the new one wrote since. Ends with the old one as
/// an equal copy of the new one that keeps what it had.
fn fork(
    partitions: u16,
    shared: impl FnOnce(&Database),
    lost: impl FnOnce(&Database),
    since: impl FnOnce(&Database),
) -> Servers {
    let mut servers = Servers::start(partitions);
    for name in ["replica", "second"] {
        let copy = servers.database(name).handshake(apograph::format::View::Full).unwrap().server;
        servers.primary().announce_copy(&copy, Role::Replica).unwrap();
    }
    shared(&servers.primary());
    servers.check_exact();
    let (old, new) = (servers.primary(), servers.database("replica"));
    lost(&old);
    new.promote(Promote { reason: "the primary burned down".into(), ..Promote::default() }).unwrap();
    since(&new);
    old.learn(new.epochs()).unwrap();
    old.become_replica().unwrap();
    synchronize(&new, &old, "unknown-position", &mut Cost::default());
    servers.rearrange("replica", [("primary", "replica"), ("second", "replica"), ("staging", "replica")]);
    servers.greet();
    servers.check_equal();
    servers
}

fn kept(old: &Database) -> Vec<KeptOrphan> {
    old.kept_orphans(None).unwrap().map(Result::unwrap).collect()
}

fn give(
    new: &Database,
    orphan: &KeptOrphan,
    before: Vec<bytes::Bytes>,
) -> Result<RestoredOrphan, RestoreError> {
    let mut intake = new.orphan_intake(orphan.label.clone())?;
    for piece in before.into_iter().chain(orphan.bytes().map(Result::unwrap)) {
        let mut bytes = BytesMut::from(&piece[..]);
        while let Some(Frame::Entry(entry)) = Frame::take(&mut bytes).unwrap() {
            intake.entry(&entry)?;
        }
    }
    intake.finish("root")
}

/// Brings all of them back, and answers what became of each document's changes.
fn restore_all(servers: &Servers) -> BTreeMap<String, Vec<(Done, Recovery)>> {
    let (old, new) = (servers.database("primary"), servers.database("replica"));
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for orphan in kept(&old) {
        let restored = match give(&new, &orphan, Vec::new()) {
            Err(RestoreError::Commit(CommitError::Refused {
                refusal: Refusal::ContentMissing { hash },
                ..
            })) => {
                let content = old.kept_content(&hash).unwrap().unwrap();
                give(&new, &orphan, content.bytes().map(Result::unwrap).collect()).unwrap()
            }
            restored => restored.unwrap(),
        };
        assert!(!restored.already);
        for (uri, done, recovery) in restored.changes {
            found.entry(uri.to_string()).or_default().push((done, recovery));
        }
    }
    found
}

fn text(database: &Database, at: &str, which: Which) -> String {
    let document = database.document(&uri(at), which, None).unwrap();
    let content = document.version.content.unwrap();
    let pieces = database.content(&uri(at), &content, 0..content.bytes).unwrap();
    String::from_utf8(pieces.flat_map(|piece| piece.unwrap().to_vec()).collect()).unwrap()
}

fn head(database: &Database, at: &str) -> apograph::format::Head {
    database.head(&uri(at), None).unwrap().unwrap()
}

fn id(database: &Database, at: &str, number: u64) -> VersionRef {
    database.document(&uri(at), Which::Number(number), None).unwrap().version_ref
}

#[test]
fn what_nobody_changed_since_comes_back_as_it_was() {
    for partitions in [1, 3] {
        let mut ids = BTreeMap::new();
        let mut servers = fork(
            partitions,
            |old| {
                commit(old, vec![put("/a", "one"), publish("/a"), put("/b", "one"), put("/moves", "one")]);
                commit(old, vec![put("/trash", "one"), put("/purge", "one"), put("/locked", "one")]);
            },
            |old| {
                commit(old, vec![put("/a", "two"), put("/new", "one"), publish("/new")]);
                commit(old, vec![put("/a", "three")]);
                commit(old, vec![publish("/a"), lock("/locked", 600)]);
                commit(old, vec![operation("/moves", Action::Move { to: uri("/moved") })]);
                commit(old, vec![put("/moved", "two"), trash("/trash")]);
                commit(old, vec![operation("/purge", Action::Purge)]);
                for (at, number) in [("/a", 2), ("/a", 3), ("/new", 1), ("/moved", 2), ("/moved", 3)] {
                    ids.insert((at, number), id(old, at, number));
                }
            },
            |new| {
                commit(new, vec![put("/other", "x")]);
            },
        );
        let new = servers.database("replica");
        let found = restore_all(&servers);
        for (at, changes) in &found {
            let expected = if at == "/locked" { Recovery::Left(LeftOut::Lock) } else { Recovery::Current };
            assert!(changes.iter().all(|(_, recovery)| *recovery == expected), "{at}: {changes:?}");
        }
        assert_eq!(found["/a"].len(), 3);
        // What clients were told of versions is true again.
        for ((at, number), expected) in ids {
            assert_eq!(id(&new, at, number), expected, "{at}");
        }
        assert_eq!(
            (text(&new, "/a", Which::Working), head(&new, "/a").state),
            ("three".into(), State::Published)
        );
        assert_eq!(
            (text(&new, "/moved", Which::Working), head(&new, "/moves").state),
            ("two".into(), State::Trashed)
        );
        assert_eq!((head(&new, "/trash").state, head(&new, "/purge").state), (State::Trashed, State::Purged));
        assert_eq!(head(&new, "/new").live, head(&new, "/new").working);
        assert_eq!(head(&new, "/locked").lock, None);
        servers.check_equal();
        // Authors and times are those of the people who wrote it.
        let version = new.document(&uri("/a"), Which::Number(2), None).unwrap().version;
        assert_eq!((version.author.as_str(), version.origin), ("ann", None));
    }
}

#[test]
fn what_was_changed_since_keeps_what_it_has_and_the_lost_text_stands_beside_it() {
    for partitions in [1, 3] {
        let mut fork_of = BTreeMap::new();
        let mut servers = fork(
            partitions,
            |old| {
                commit(
                    old,
                    vec![put("/both", "one"), publish("/both"), put("/state", "one"), publish("/state")],
                );
                commit(old, vec![put("/trashed", "one"), put("/purged", "one"), put("/moves", "one")]);
                fork_of.insert("/both", id(old, "/both", 1).id);
            },
            |old| {
                commit(
                    old,
                    vec![put("/both", "lost two"), put("/trashed", "lost two"), put("/purged", "lost")],
                );
                commit(old, vec![put("/both", "lost three"), publish("/both")]);
                commit(old, vec![publish("/state"), put("/again", "the same"), put("/anew", "lost")]);
                commit(old, vec![operation("/moves", Action::Move { to: uri("/moved") })]);
                commit(old, vec![put("/moved", "lost")]);
            },
            |new| {
                commit(
                    new,
                    vec![put("/both", "kept"), operation("/state", Action::Withdraw), trash("/trashed")],
                );
                commit(new, vec![put("/again", "the same")]);
                commit(new, vec![put("/again", "and more"), put("/anew", "kept"), put("/moves", "kept")]);
                commit(new, vec![operation("/purged", Action::Purge)]);
            },
        );
        let new = servers.database("replica");
        let before = ["/both", "/anew", "/again", "/moves"].map(|at| text(&new, at, Which::Working));
        let found = restore_all(&servers);
        assert_eq!(["/both", "/anew", "/again", "/moves"].map(|at| text(&new, at, Which::Working)), before);
        let changed = Recovery::Left(LeftOut::Changed);
        assert_eq!(
            found["/both"],
            [
                (Done::Put, Recovery::Beside { version: 3 }),
                (Done::Put, Recovery::Beside { version: 5 }),
                (Done::Publish, changed)
            ]
        );
        assert_eq!(text(&new, "/both", Which::Number(3)), "lost two");
        assert_eq!(text(&new, "/both", Which::Number(5)), "lost three");
        // The parents say where each comes from: the version that both histories share, then the lost one before.
        let parents =
            |number| new.document(&uri("/both"), Which::Number(number), None).unwrap().version.parents;
        assert_eq!(parents(3), [fork_of["/both"]]);
        assert_eq!(parents(4), [id(&new, "/both", 2).id]);
        assert_eq!(parents(5), [id(&new, "/both", 3).id]);
        // What is published was not touched.
        assert_eq!(
            (text(&new, "/both", Which::Live), head(&new, "/both").working.unwrap().number),
            ("one".into(), 6)
        );
        assert_eq!(
            (&found["/state"][..], head(&new, "/state").state),
            (&[(Done::Publish, changed)][..], State::Withdrawn)
        );
        assert_eq!(found["/trashed"], [(Done::Put, Recovery::Beside { version: 2 })]);
        assert_eq!(head(&new, "/trashed").state, State::Trashed);
        assert_eq!(found["/purged"], [(Done::Put, Recovery::Left(LeftOut::Purged))]);
        assert_eq!(head(&new, "/purged").state, State::Purged);
        // Its author had saved it again when no answer came.
        assert_eq!(found["/again"], [(Done::Put, Recovery::There { version: 1 })]);
        assert_eq!(found["/anew"], [(Done::Put, Recovery::Beside { version: 2 })]);
        assert_eq!(found["/moves"], [(Done::MoveAway, changed)]);
        assert_eq!(found["/moved"], [(Done::MoveHere, changed), (Done::Put, Recovery::Current)]);
        assert_eq!(text(&new, "/moved", Which::Working), "lost");
        servers.check_equal();
        drop(new);
        servers.restart();
        servers.check_equal();
    }
}

#[test]
fn an_orphan_comes_back_once() {
    let servers = fork(
        3,
        |old| {
            commit(old, vec![put("/a", "one")]);
        },
        |old| {
            commit(old, vec![put("/a", "two"), put("/b", "one"), put("/c", "one")]);
        },
        |new| {
            commit(new, vec![put("/other", "x")]);
        },
    );
    let (old, new) = (servers.database("primary"), servers.database("replica"));
    let orphans = kept(&old);
    let orphan = orphans.iter().find(|orphan| orphan.is_whole && orphan.importer.is_none()).unwrap();
    // Everything arrived, and then the way broke: nothing happened.
    drop(new.orphan_intake(orphan.label.clone()).unwrap());
    let first = give(&new, orphan, Vec::new()).unwrap();
    let versions = head(&new, "/a").versions;
    let again = give(&new, orphan, Vec::new()).unwrap();
    assert_eq!((again.already, again.token, again.changes.len()), (true, first.token, 0));
    assert_eq!(head(&new, "/a").versions, versions);
    // The keeper remembers it, too, also when a crash tore the line.
    old.mark_restored(orphan.label.token, first.token).unwrap();
    let marks = servers.path("primary").join("databases/main/orphans.restored");
    let whole = std::fs::read(&marks).unwrap();
    for length in 0..=whole.len() {
        std::fs::write(&marks, &whole[..length]).unwrap();
        let found = old.restored_orphans().unwrap();
        assert!(found.is_empty() || length == whole.len(), "{length}");
    }
    let listed = old.orphans(apograph::format::Timestamp::ZERO, 100).unwrap();
    let listed = listed.iter().find(|listed| listed.token == orphan.label.token).unwrap();
    assert_eq!(listed.restored, Some(first.token));
    old.discard_orphans().unwrap();
    assert!(kept(&old).is_empty() && old.restored_orphans().unwrap().is_empty());
}

#[test]
fn one_alone_comes_back_on_top_of_what_both_histories_share() {
    let servers = fork(
        1,
        |old| {
            commit(old, vec![put("/a", "one")]);
        },
        |old| {
            commit(old, vec![put("/a", "two")]);
            commit(old, vec![put("/a", "three")]);
        },
        |new| {
            commit(new, vec![put("/other", "x")]);
        },
    );
    let (old, new) = (servers.database("primary"), servers.database("replica"));
    let of_a: Vec<_> = kept(&old);
    let [.., two, three] = &of_a[..] else { panic!("{of_a:?}") };
    let only: BTreeSet<_> = [three.label.token].into();
    let chosen: Vec<_> = old.kept_orphans(Some(only)).unwrap().map(Result::unwrap).collect();
    assert_eq!(chosen.len(), 1);
    let restored = give(&new, &chosen[0], Vec::new()).unwrap();
    assert_eq!(restored.changes[0].2, Recovery::Current);
    assert_eq!((text(&new, "/a", Which::Working).as_str(), head(&new, "/a").versions), ("three", 2));
    let version = new.document(&uri("/a"), Which::Working, None).unwrap().version;
    assert_eq!(version.parents, [id(&new, "/a", 1).id]);
    let origin = version.origin.unwrap();
    assert_eq!((origin.server.as_str(), origin.document.unwrap().0), ("primary", uri("/a")));
    // The one before it comes later: beside.
    let restored = give(&new, two, Vec::new()).unwrap();
    assert_eq!(restored.changes[0].2, Recovery::Beside { version: 3 });
    assert_eq!(text(&new, "/a", Which::Working), "three");
}

#[test]
fn contents_come_along_also_those_that_an_orphan_shares_with_another_one() {
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let servers = fork(
        1,
        |old| {
            commit(old, vec![put("/a", "one")]);
        },
        |old| {
            for at in ["/large", "/same"] {
                let mut spool = old.spool();
                spool.write(&large).unwrap();
                commit(old, vec![put_content(at, spool.finish().unwrap())]);
            }
            // A chunk that comes twice travels once.
            let mut spool = old.spool();
            spool.write(&vec![7; 2_500_000]).unwrap();
            commit(old, vec![put_content("/sevens", spool.finish().unwrap())]);
        },
        |new| {
            commit(new, vec![put("/other", "x")]);
        },
    );
    let (old, new) = (servers.database("primary"), servers.database("replica"));
    let orphans = kept(&old);
    let [.., large_one, same, sevens] = &orphans[..] else { panic!("{orphans:?}") };
    // Alone it lacks the content, which the keeper finds where it came.
    let missing = give(&new, same, Vec::new()).unwrap_err();
    let RestoreError::Commit(CommitError::Refused { refusal: Refusal::ContentMissing { hash }, .. }) =
        missing
    else {
        panic!("{missing}")
    };
    let content = old.kept_content(&hash).unwrap().unwrap();
    give(&new, same, content.bytes().map(Result::unwrap).collect()).unwrap();
    give(&new, large_one, Vec::new()).unwrap();
    give(&new, sevens, Vec::new()).unwrap();
    for at in ["/same", "/large"] {
        let document = new.document(&uri(at), Which::Working, None).unwrap();
        let content = document.version.content.unwrap();
        let bytes: Vec<u8> = new
            .content(&uri(at), &content, 0..content.bytes)
            .unwrap()
            .flat_map(|piece| piece.unwrap().to_vec())
            .collect();
        assert!(bytes == large, "{at}");
    }
    assert_eq!(text(&new, "/sevens", Which::Working).len(), 2_500_000);
    assert!(
        std::fs::read_dir(servers.path("replica").join("databases/main/spool")).unwrap().next().is_none()
    );
}

#[test]
fn what_is_no_orphan_is_not_taken() {
    let servers = fork(
        3,
        |old| {
            commit(old, vec![put("/a", "one")]);
        },
        |old| {
            commit(
                old,
                vec![put("/a", "two"), put("/b", "one"), put("/c", "one"), put("/d", "x"), put("/e", "x")],
            );
        },
        |new| {
            commit(new, vec![put("/other", "x")]);
        },
    );
    let (old, new) = (servers.database("primary"), servers.database("replica"));
    let orphans = kept(&old);
    let orphan = orphans.iter().find(|orphan| orphan.bytes().count() > 1).unwrap();
    // A part is missing.
    let mut intake = new.orphan_intake(orphan.label.clone()).unwrap();
    let first = orphan.bytes().next().unwrap().unwrap();
    let Some(Frame::Entry(entry)) = Frame::take(&mut BytesMut::from(&first[..])).unwrap() else { panic!() };
    intake.entry(&entry).unwrap();
    assert!(matches!(intake.finish("root"), Err(RestoreError::Partial { .. })));
    // Nothing, or another one.
    let intake = new.orphan_intake(orphan.label.clone()).unwrap();
    assert!(matches!(intake.finish("root"), Err(RestoreError::Invalid { .. })));
    // A transaction of the history that is.
    let mut label = orphan.label.clone();
    label.token.timestamp = new.visible();
    label.token.epoch = new.epoch();
    assert!(matches!(new.orphan_intake(label), Err(RestoreError::NotCut { .. })));
    // Not at a copy, and not in an editor's name.
    assert!(matches!(
        old.orphan_intake(orphan.label.clone()),
        Err(RestoreError::Commit(CommitError::ReadOnly(_)))
    ));
}

#[test]
fn orphans_are_kept_whatever_the_reason_of_the_synchronization() {
    // `fork` synchronizes as the link does; a source whose journal begins behind the fork says `out-of-window` instead.
    let mut servers = Servers::start(1);
    let copy = servers.database("replica").handshake(apograph::format::View::Full).unwrap().server;
    servers.primary().announce_copy(&copy, Role::Replica).unwrap();
    servers.check_exact();
    let (old, new) = (servers.primary(), servers.database("replica"));
    let lost = commit(&old, vec![put("/lost", "x")]);
    new.promote(Promote { reason: "dead".into(), ..Promote::default() }).unwrap();
    old.learn(new.epochs()).unwrap();
    old.become_replica().unwrap();
    synchronize(&new, &old, "out-of-window", &mut Cost::default());
    assert!(kept(&old).iter().any(|orphan| orphan.label.token == lost));
}

#[test]
fn a_part_of_what_a_copy_never_showed_is_no_orphan() {
    let mut servers = Servers::start(2);
    for name in ["replica", "second"] {
        let copy = servers.database(name).handshake(apograph::format::View::Full).unwrap().server;
        servers.primary().announce_copy(&copy, Role::Replica).unwrap();
    }
    servers.check_exact();
    let (old, new) = (servers.primary(), servers.database("replica"));
    let partitioning = old.partitioning();
    let in_partition = |partition: u16| {
        let mut names = (0..).map(|number| format!("/in/{partition}/{number}"));
        names.find(|name| partitioning.of(&uri(name)).0 == partition).unwrap()
    };
    let both = || vec![put(&in_partition(0), "x"), put(&in_partition(1), "x")];
    // Shown here, nowhere else.
    let shown = commit(&old, both());
    for partition in partitioning.all() {
        servers.follow_partition("second", partition, 100);
    }
    let visible = servers.database("second").visible();
    assert!(visible >= shown.timestamp);
    // Of the last one only one part arrives.
    let late = commit(&old, both());
    let one = partitioning.of(&uri(&in_partition(1)));
    servers.follow_partition("second", one, 100);
    assert_eq!(servers.database("second").visible(), visible);
    new.promote(Promote { reason: "the primary burned down".into(), ..Promote::default() }).unwrap();
    servers.database("second").learn(new.epochs()).unwrap();
    synchronize(&new, &servers.database("second"), "unknown-position", &mut Cost::default());

    // Also where a list ends with it.
    let second = servers.database("second");
    for limit in [1, 2, 100] {
        let listed = second.orphans(apograph::format::Timestamp::ZERO, limit).unwrap();
        let listed: Vec<_> = listed.iter().map(|orphan| (orphan.token, orphan.is_whole)).collect();
        assert_eq!(listed, [(shown, true)], "and not a part of {late}");
    }
    assert_eq!(kept(&second).iter().map(|orphan| orphan.label.token).collect::<Vec<_>>(), [shown]);
    drop(second);
    // A part of what was shown is one, and says that it is a part.
    servers
        .tamper("second", |home| {
            let partition = home.join("databases/main/partitions/000");
            let folders = std::fs::read_dir(&partition).unwrap().map(|entry| entry.unwrap().path());
            let fork = folders.into_iter().find(|path| path.to_string_lossy().contains("journal.fork-"));
            std::fs::remove_dir_all(fork.unwrap()).unwrap();
        })
        .unwrap();
    let listed = servers.database("second").orphans(apograph::format::Timestamp::ZERO, 100).unwrap();
    assert_eq!(
        listed.iter().map(|orphan| (orphan.token, orphan.is_whole)).collect::<Vec<_>>(),
        [(shown, false)]
    );
    assert_eq!(servers.database("second").discard_orphans().unwrap(), 1);
}

#[test]
fn readers_never_see_a_mixture_of_two_histories() {
    let mut servers = Servers::start(3);
    let copy = servers.database("replica").handshake(apograph::format::View::Full).unwrap().server;
    servers.primary().announce_copy(&copy, Role::Replica).unwrap();
    let documents: Vec<String> = (0..12).map(|number| format!("/d/{number}")).collect();
    let all = |text: &str| documents.iter().map(|at| put(at, text)).collect::<Vec<_>>();
    commit(&servers.primary(), all("shared"));
    servers.check_exact();
    let (old, new) = (servers.primary(), servers.database("replica"));
    commit(&old, all("lost"));
    new.promote(Promote { reason: "dead".into(), ..Promote::default() }).unwrap();
    commit(&new, all("kept"));
    commit(&new, all("kept, too"));
    let ids = |database: &Database, number| -> BTreeSet<_> {
        documents.iter().map(|at| id(database, at, number).id).collect()
    };
    let (lost, kept) = (ids(&old, 2), ids(&new, 3));
    old.learn(new.epochs()).unwrap();
    old.become_replica().unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut seen = BTreeMap::new();
            let query = apograph::read::ListQuery { prefix: "/d/".into(), limit: 100, ..Default::default() };
            while !over.load(std::sync::atomic::Ordering::Acquire) {
                // One moment of all partitions.
                let page = old.list(&query).unwrap();
                let heads: BTreeSet<_> =
                    page.documents.iter().map(|listed| listed.head.working.unwrap().id).collect();
                assert!(heads == lost || heads == kept, "a mixture: {heads:?}");
                *seen.entry(heads == kept).or_insert(0) += 1;
                // And the history of one document.
                let history = old.history(&uri("/d/0"), None, 100).unwrap();
                let ids: Vec<_> = history.iter().map(|item| item.version_ref.id).collect();
                let has = |set: &BTreeSet<_>| ids.iter().any(|id| set.contains(id));
                assert!(has(&lost) != has(&kept), "a mixture: {ids:?}");
                assert_eq!(ids.len(), if has(&kept) { 3 } else { 2 });
            }
            seen
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        synchronize(&new, &old, "unknown-position", &mut Cost::default());
        std::thread::sleep(std::time::Duration::from_millis(50));
        over.store(true, std::sync::atomic::Ordering::Release);
        reading.join().unwrap()
    });
    assert!(seen.contains_key(&false) && seen.contains_key(&true), "both were seen: {seen:?}");
}

/// Its part of the orphans was gone with it, and nothing said why they were not whole; a mark that was gone or altered was
/// another one, or none.
#[test]
fn a_journal_that_was_put_aside_and_a_mark_of_an_orphan_are_missed() {
    let mut servers = fork(
        2,
        |old| {
            commit(old, vec![put("/a", "one")]);
        },
        |old| {
            for n in 0..8 {
                commit(old, vec![put(&format!("/{n}"), "lost")]);
            }
        },
        |new| {
            commit(new, vec![put("/other", "x")]);
        },
    );
    let database = servers.path("primary").join("databases/main");
    let old = servers.database("primary");
    let tokens: Vec<Token> = kept(&old).iter().map(|orphan| orphan.label.token).collect();
    old.mark_restored(tokens[0], tokens[1]).unwrap();
    old.mark_restored(tokens[1], tokens[2]).unwrap();
    drop(old);
    servers.restart_one("primary");
    assert!(servers.database("primary").alarms().is_empty());
    let marks = database.join("orphans.restored");
    let sound = std::fs::read(&marks).unwrap();
    let alarms = |servers: &Servers, of: &str| -> usize {
        let alarms = servers.database("primary").alarms();
        alarms.iter().filter(|alarm| alarm.contains(of)).count()
    };
    let mut altered: Vec<Vec<u8>> = (0..sound.len()).step_by(7).map(|at| sound[..at].to_vec()).collect();
    altered.extend((0..sound.len()).step_by(5).map(|at| {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        bytes
    }));
    for bytes in altered {
        servers.tamper("primary", |_| std::fs::write(&marks, &bytes).unwrap()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let found = servers.database("primary").restored_orphans().unwrap();
        // The line end before the first line counts for nothing.
        assert!(found.len() == 2 || alarms(&servers, "orphans.restored") == 1, "{text}");
        assert!(found.iter().all(|(orphan, restored)| {
            [(tokens[0], tokens[1]), (tokens[1], tokens[2])].contains(&(*orphan, *restored))
        }));
    }
    servers.tamper("primary", |_| std::fs::write(&marks, &sound).unwrap()).unwrap();
    assert!(servers.database("primary").alarms().is_empty());
    servers.tamper("primary", |_| std::fs::remove_file(&marks).unwrap()).unwrap();
    assert_eq!(alarms(&servers, "orphans.restored"), 1);
    // Whoever restores all of them again is told by the primary which came back already.
    let old = servers.database("primary");
    old.mark_restored(tokens[0], tokens[1]).unwrap();
    assert_eq!(alarms(&servers, "orphans.restored"), 1);
    old.mark_restored(tokens[1], tokens[2]).unwrap();
    assert!(old.alarms().is_empty());
    drop(old);

    let is_fork =
        |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("journal.fork-");
    let entries = std::fs::read_dir(database.join("partitions/001")).unwrap().map(Result::unwrap);
    let fork = entries.into_iter().find(is_fork).unwrap().path();
    servers.tamper("primary", |_| std::fs::remove_dir_all(&fork).unwrap()).unwrap();
    assert_eq!(alarms(&servers, "journal.fork-"), 1);
    servers.database("primary").discard_orphans().unwrap();
    assert!(servers.database("primary").alarms().is_empty());
    servers.restart_one("primary");
    assert!(servers.database("primary").alarms().is_empty());
}
