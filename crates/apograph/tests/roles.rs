//! Roles that change at run time: promotion of a copy, handing over, fencing, and what the other servers make of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod support;

use std::path::Path;
use std::time::Duration;

use apograph::database::roles::{Block, EpochStart, Promote, RoleError};
use apograph::error::{CommitError, TakeError};
use apograph::format::{Epoch, Frame, PartitionId, Position, Right, Timestamp, Token, View};
use apograph::read::Which;
use apograph::status::ServerIdentity;
use apograph::synchronize::SnapshotError;
use apograph::{Database, OpenError, Operation, Role, Transaction};
use bytes::BytesMut;
use serde_json::{Value, json};
use support::{Servers, publish, put, transaction, uri};

/// One URI for each of three partitions.
fn uris(database: &Database) -> [String; 3] {
    let of = |partition| {
        (0..).map(|n| format!("/{n}")).find(|at| database.partitioning().of(&uri(at)).0 == partition)
    };
    [0, 1, 2].map(|partition| of(partition).unwrap())
}

fn commit(database: &Database, operations: Vec<Operation>) -> Token {
    database.commit(Transaction { operations, ..transaction([]) }).unwrap().token
}

/// The identity of a server, as itself says.
fn identity(database: &Database) -> ServerIdentity {
    database.handshake(database.view()).unwrap().server
}

/// The primary names its copies, as it does when they report.
fn announce(servers: &Servers) {
    for name in ["replica", "second"] {
        let copy = servers.database(name);
        servers.primary().announce_copy(&identity(&copy), Role::Replica).unwrap();
    }
}

fn ends(database: &Database) -> Vec<Position> {
    database.resume().into_iter().map(|(_, at, _)| at).collect()
}

fn because(reason: &str) -> Promote {
    Promote { reason: reason.into(), ..Promote::default() }
}

fn has(database: &Database, at: &str) -> bool {
    database.document(&uri(at), Which::Working, None).is_ok()
}

/// The primary is gone: everybody else follows `to`, and ends as an exact copy of it.
fn without_primary(servers: &mut Servers) {
    servers.rearrange("replica", [("second", "replica"), ("staging", "replica")]);
    servers.greet();
    servers.check_exact();
}

#[test]
fn a_copy_takes_the_place_of_a_lost_primary_and_the_others_follow_it() {
    for partitions in [1, 3] {
        let mut servers = Servers::start(partitions);
        announce(&servers);
        servers.commit([put("/a", "one"), publish("/a")]);
        servers.check_exact();
        let lost = commit(&servers.primary(), vec![put("/lost", "never replicated")]);

        let replica = servers.database("replica");
        let plan = replica.plan_promotion().unwrap();
        assert_eq!((plan.blocks.len(), plan.cut_total, plan.next_epoch.number()), (0, 0, 2));
        assert_eq!(plan.base, replica.visible());
        let kept = Token { epoch: Epoch::FIRST, timestamp: plan.base };
        let promoted = replica.promote(because("the primary burned down")).unwrap();
        assert_eq!((promoted.epoch, promoted.base), (plan.next_epoch, plan.base));
        assert_eq!((replica.role(), replica.epoch()), (Role::Primary, promoted.epoch));

        let token = commit(&replica, vec![put("/b", "two"), publish("/b")]);
        assert_eq!(token.epoch, promoted.epoch);
        without_primary(&mut servers);
        for name in ["second", "staging"] {
            let copy = servers.database(name);
            assert_eq!((copy.epoch(), copy.primary()), (promoted.epoch, identity(&replica)), "{name}");
            assert_eq!(copy.primary_url(), replica.primary_url(), "{name}");
            assert!(copy.status().unwrap().partitions.iter().all(|of| of.last_checkpoint.is_some()));
        }
        // Who wrote what is lost is told so, at once; who wrote what is kept is not.
        for name in ["replica", "second"] {
            let wait = |token| wait(&servers.database(name), token);
            assert!(!wait(lost), "{name}");
            assert!(wait(kept) && wait(token), "{name}");
        }
        // All of it survives restarts.
        drop(replica);
        for name in ["replica", "second", "staging"] {
            servers.restart_one(name);
        }
        assert_eq!(servers.database("replica").role(), Role::Primary);
        servers.commit([put("/c", "three"), publish("/c")]);
        servers.check_exact();
        assert!(!has(&servers.primary(), "/lost"));
    }
}

fn wait(database: &Database, token: Token) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(database.wait_for(token, Duration::ZERO, std::future::ready(()))).is_ok()
}

#[test]
fn the_new_history_begins_where_everything_is_complete() {
    let mut servers = Servers::start(3);
    announce(&servers);
    let [a, b, c] = uris(&servers.primary());
    servers.commit([put(&a, "before"), put(&b, "before"), put(&c, "before")]);
    servers.check_exact();
    // Two transactions; of the first the replica gets one part of two, of the second both.
    commit(&servers.primary(), vec![put(&a, "half"), put(&b, "half")]);
    commit(&servers.primary(), vec![put(&b, "after the half"), put(&c, "after the half")]);
    servers.follow_partition("replica", PartitionId(1), 2);
    servers.follow_partition("replica", PartitionId(2), 1);
    servers.follow_one("second");
    let replica = servers.database("replica");
    let visible = replica.visible();
    let plan = replica.plan_promotion().unwrap();
    assert_eq!(plan.base, visible);
    assert_eq!(plan.cut_total, 2);
    let documents: Vec<Vec<String>> =
        plan.cut.iter().map(|cut| cut.documents.iter().map(ToString::to_string).collect()).collect();
    let cut = [vec![b.clone()], vec![b, c]];
    assert_eq!(documents, cut);
    assert!(plan.cut.iter().all(|cut| cut.author == "ann"));

    let promoted = replica.promote(because("lost")).unwrap();
    assert_eq!((promoted.base, promoted.cut_total), (visible, 2));
    commit(&replica, vec![put(&a, "new"), put("/new", "new"), publish(&a)]);
    // The second replica got as much of the incomplete transactions as the first: it cuts them by itself.
    without_primary(&mut servers);
    assert_eq!(servers.database("second").plan_promotion().unwrap().cut_total, 0);
}

#[test]
fn what_a_crash_leaves_of_a_promotion_is_finished_or_never_was() {
    let mut servers = Servers::start(3);
    announce(&servers);
    let [a, b, c] = uris(&servers.primary());
    servers.commit([put(&a, "x"), put(&b, "x"), publish(&b)]);
    servers.check_exact();
    commit(&servers.primary(), vec![put(&b, "half"), put(&c, "half")]);
    servers.follow_partition("replica", PartitionId(1), 1);
    let (before, after) = (servers.path("before"), servers.path("after"));
    support::snapshot(&servers.path("replica"), &before);
    let replica = servers.database("replica");
    let base = replica.visible();
    let began = replica.promote(because("a test")).unwrap().epoch;
    drop(replica);
    support::snapshot(&servers.path("replica"), &after);
    let decided = decided(&after);

    // Nothing is decided: the old role. Decided, and nothing else, or the `epoch` entry in some partitions: the new one.
    let journals: [&[usize]; 4] = [&[], &[0], &[1, 2], &[0, 1, 2]];
    for (is_decided, written) in
        std::iter::once((false, journals[0])).chain(journals.iter().map(|written| (true, *written)))
    {
        servers
            .tamper("replica", |home| {
                std::fs::remove_dir_all(home).unwrap();
                support::copy_folder(&before, home).unwrap();
                if is_decided {
                    std::fs::write(home.join("databases/main/database.json"), &decided).unwrap();
                }
                for partition in written {
                    // Written and synced, and nothing acknowledged yet.
                    let journal = format!("databases/main/partitions/{partition:03}/journal");
                    for file in std::fs::read_dir(after.join(&journal)).unwrap() {
                        let path = file.unwrap().path();
                        if path.extension().is_some_and(|extension| extension == "segment") {
                            std::fs::copy(&path, home.join(&journal).join(path.file_name().unwrap()))
                                .unwrap();
                        }
                    }
                }
            })
            .unwrap();
        let replica = servers.database("replica");
        if !is_decided {
            assert_eq!((replica.role(), replica.epoch()), (Role::Replica, Epoch::FIRST));
            continue;
        }
        assert_eq!((replica.role(), replica.epoch()), (Role::Primary, began), "{written:?}");
        let start = replica.epochs().pop().unwrap();
        assert_eq!((start.epoch, start.base), (began, base), "{written:?}");
        assert!(replica.commit(transaction([put("/goes/on", "y")])).is_ok());
        // Opened again it does not begin another epoch.
        drop(replica);
        servers.restart_one("replica");
        assert_eq!(servers.database("replica").epoch(), began);
    }
    without_primary(&mut servers);
}

/// `database.json` as it is when a promotion is decided and nothing else happened.
fn decided(home: &Path) -> Vec<u8> {
    let mut file: Value =
        serde_json::from_slice(&std::fs::read(home.join("databases/main/database.json")).unwrap()).unwrap();
    assert!(file.get("promoting").is_none());
    file.as_object_mut().unwrap().remove("checksum").unwrap();
    file["promoting"] = json!({ "epoch": file["epoch"], "previous_epoch": 1, "reason": "a test" });
    serde_json::to_vec(&file).unwrap()
}

#[test]
fn the_role_goes_to_and_fro_and_nothing_is_lost() {
    for partitions in [1, 3] {
        let mut servers = Servers::start(partitions);
        announce(&servers);
        servers.commit([put("/0", "x"), publish("/0")]);
        servers.check_exact();
        for round in 1..=6 {
            let (from, to) = if round % 2 == 1 { ("primary", "replica") } else { ("replica", "primary") };
            let (old, new) = (servers.database(from), servers.database(to));
            commit(&old, vec![put(&format!("/before/{round}"), "x")]);
            let held = old.hold_writes(Duration::from_secs(60)).unwrap();
            // A writer that comes now waits, and learns that it has to ask again.
            let waiting = old.submit(transaction([put(&format!("/waited/{round}"), "x")])).unwrap();
            // Too early: the other one has not got everything.
            let short = ends(&new);
            assert!(matches!(old.step_down(identity(&new), short), Err(RoleError::NotReached { .. })));
            servers.follow();
            let reached = ends(&new);
            assert_eq!(reached, held.positions);
            let handover = old.step_down(identity(&new), reached).unwrap();
            assert_eq!(handover.base, held.visible);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let refused = runtime.block_on(waiting).unwrap_err();
            assert!(matches!(refused, CommitError::Held { .. }), "{refused}");
            // In between nobody is primary.
            assert!(matches!(old.commit(transaction([put("/x", "x")])), Err(CommitError::Held { .. })));
            assert!(matches!(new.commit(transaction([put("/x", "x")])), Err(CommitError::ReadOnly(_))));
            // As the link hears it.
            let greeting = old.handshake(new.view()).unwrap();
            new.learn(greeting.epochs).unwrap();
            let order = Promote { handover: greeting.handover, ..because("planned") };
            let promoted = new.promote(order).unwrap();
            assert_eq!((promoted.epoch, promoted.cut_total), (handover.epoch, 0));
            commit(&new, vec![put(&format!("/{round}"), "x"), publish(&format!("/{round}"))]);
            if to == "replica" {
                servers.rearrange(
                    "replica",
                    [("primary", "replica"), ("second", "primary"), ("staging", "second")],
                );
            } else {
                servers.rearrange(
                    "primary",
                    [("replica", "primary"), ("second", "replica"), ("staging", "replica")],
                );
            }
            servers.check_exact();
            assert_eq!(old.handover(), None);
            assert!(matches!(old.commit(transaction([put("/x", "x")])), Err(CommitError::ReadOnly(_))));
            drop((old, new));
            for name in ["primary", "replica", "second", "staging"] {
                assert_eq!(servers.database(name).epoch(), handover.epoch, "{name}");
                servers.restart_one(name);
            }
        }
        for round in 0..=6 {
            assert!(has(&servers.primary(), &format!("/{round}")));
            assert!(!has(&servers.primary(), &format!("/waited/{round}")));
        }
    }
}

#[test]
fn a_switchover_that_breaks_off_leaves_one_primary() {
    let mut servers = Servers::start(3);
    announce(&servers);
    servers.commit([put("/a", "x")]);
    servers.check_exact();
    let (old, new) = (servers.primary(), servers.database("replica"));

    // Nobody came for the hold: writes that waited are done.
    old.hold_writes(Duration::from_millis(50)).unwrap();
    commit(&old, vec![put("/waited", "x")]);
    assert!(has(&old, "/waited"));
    assert!(matches!(old.step_down(identity(&new), ends(&old)), Err(RoleError::NotHeld)));
    // It was given up: the same.
    old.hold_writes(Duration::from_secs(600)).unwrap();
    let waiting = old.submit(transaction([put("/waited/too", "x")])).unwrap();
    old.release_writes().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(waiting).unwrap();
    // A stranger cannot become primary: nobody would believe it.
    old.hold_writes(Duration::from_secs(600)).unwrap();
    let stranger = ServerIdentity { key: "ab".repeat(32).parse().unwrap(), ..identity(&new) };
    assert!(matches!(old.step_down(stranger, ends(&old)), Err(RoleError::UnknownServer { .. })));
    old.release_writes().unwrap();
    servers.check_exact();

    // It stepped down, and then everything crashed: whoever starts again knows who may go on, and nobody else does.
    old.hold_writes(Duration::from_secs(600)).unwrap();
    servers.follow();
    old.step_down(identity(&new), ends(&new)).unwrap();
    drop((old, new));
    for name in ["primary", "replica", "second"] {
        servers.restart_one(name);
    }
    let (old, new) = (servers.primary(), servers.database("replica"));
    assert_eq!((old.role(), new.role()), (Role::Replica, Role::Replica));
    let greeting = old.handshake(new.view()).unwrap();
    let handover = greeting.handover.unwrap();
    // Another server cannot use the right.
    let second = servers.database("second");
    let order = |handover: &apograph::database::roles::Handover| Promote {
        handover: Some(handover.clone()),
        ..because("planned")
    };
    assert!(matches!(second.promote(order(&handover)), Err(RoleError::HandedToAnother { .. })));
    new.promote(order(&handover)).unwrap();
    // Twice is once.
    assert!(matches!(new.promote(order(&handover)), Err(RoleError::LowerEpoch { .. })));
    drop((old, new, second));
    servers.rearrange("replica", [("primary", "replica"), ("second", "primary"), ("staging", "second")]);
    servers.commit([put("/after", "x"), publish("/after")]);
    servers.check_exact();
}

#[test]
fn who_handed_over_to_a_server_that_never_came_back_can_take_its_role_again() {
    let mut servers = Servers::start(1);
    announce(&servers);
    servers.commit([put("/a", "x"), publish("/a")]);
    servers.check_exact();
    let (old, new) = (servers.primary(), servers.database("replica"));
    let held = old.hold_writes(Duration::from_secs(600)).unwrap();
    servers.follow();
    let handover = old.step_down(identity(&new), held.positions).unwrap();
    let promoted = old.promote(because("it never came")).unwrap();
    assert_eq!(
        promoted.epoch.number(),
        handover.epoch.number() + 1,
        "the epoch that was given away is never used by another"
    );
    commit(&old, vec![put("/b", "x"), publish("/b")]);
    // The other one wakes up late, and hears first what happened.
    new.learn(old.epochs()).unwrap();
    let late = new.promote(Promote { handover: Some(handover), ..because("planned") });
    assert!(matches!(late, Err(RoleError::LowerEpoch { .. })), "{late:?}");
    drop((old, new));
    servers.check_exact();
}

#[test]
fn lower_epochs_are_refused() {
    let mut servers = Servers::start(1);
    announce(&servers);
    servers.commit([put("/a", "x"), publish("/a")]);
    servers.check_exact();
    let (old, replica, second) = (servers.primary(), servers.database("replica"), servers.database("second"));
    replica.promote(because("the network is split")).unwrap();
    commit(&replica, vec![put("/b", "x")]);
    // The old one does not know, and goes on: in its own epoch.
    assert_eq!(commit(&old, vec![put("/orphan", "x")]).epoch, Epoch::FIRST);

    // A copy that knows the new epoch takes nothing that the old one wrote after it began.
    second.learn(replica.epochs()).unwrap();
    let (partition, from, _) = second.resume().remove(0);
    let mut feed = old.feed(partition, second.view(), from, None).unwrap();
    let mut buffer = BytesMut::from(&feed.next(1 << 20).unwrap().unwrap()[..]);
    let Some(Frame::Entry(entry)) = Frame::take(&mut buffer).unwrap() else { panic!("no entry") };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let refused = runtime.block_on(second.take(partition, vec![entry])).unwrap_err();
    assert_eq!(refused, TakeError::LowerEpoch { found: Epoch::FIRST, seen: replica.epoch() });

    // The old one hears of it: it is fenced, loudly, and stays so; then it becomes a replica.
    old.learn(second.epochs()).unwrap();
    let refused = old.commit(transaction([put("/x", "x")])).unwrap_err();
    assert!(
        matches!(&refused, CommitError::Fenced(fenced) if (fenced.epoch, fenced.seen) == (Epoch::FIRST, replica.epoch())),
        "{refused}"
    );
    assert_eq!(old.alarms().len(), 1);
    assert!(matches!(old.hold_writes(Duration::from_secs(1)), Err(RoleError::Fenced(_))));
    let plan = old.plan_promotion().unwrap();
    assert!(
        matches!(plan.blocks[..], [Block::LaterEpoch { seen, epoch: Epoch::FIRST, .. }] if seen == replica.epoch()),
        "{plan:?}"
    );
    drop((old, feed));
    servers.restart_one("primary");
    let old = servers.primary();
    assert!(matches!(old.commit(transaction([put("/x", "x")])), Err(CommitError::Fenced(_))));
    assert_eq!(old.alarms().len(), 1);
    old.become_replica().unwrap();
    assert!(old.alarms().is_empty());
    assert!(matches!(old.commit(transaction([put("/x", "x")])), Err(CommitError::ReadOnly(_))));
    assert_eq!(old.primary_url(), replica.primary_url());
    // What was cut off goes no further, not to a copy that synchronizes either.
    let refused = old.snapshot(View::Full, Timestamp::ZERO).unwrap_err();
    assert!(matches!(refused, SnapshotError::Stopped { .. }), "{refused}");
    // It is a copy that has to synchronize: the new primary does not know where it is.
    let (partition, from, _) = old.resume().remove(0);
    assert!(replica.feed(partition, old.view(), from, None).is_err());
}

/// The old primary wrote in one partition after the new history began: it must not go on in the others, or it would show
/// documents of two histories.
#[test]
fn a_copy_that_shows_what_was_cut_off_takes_nothing_of_the_new_history_in_any_partition() {
    let mut servers = Servers::start(3);
    announce(&servers);
    servers.commit([put("/a", "x"), publish("/a")]);
    servers.check_exact();
    let (old, replica) = (servers.primary(), servers.database("replica"));
    replica.promote(because("the network is split")).unwrap();
    commit(&old, vec![put("/orphan", "x")]);
    old.learn(replica.epochs()).unwrap();
    old.become_replica().unwrap();
    let visible = old.visible();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut refused = 0;
    for (partition, from, _) in old.resume() {
        // Where the orphan is the position is unknown already.
        let Ok(mut feed) = replica.feed(partition, old.view(), from, None) else { continue };
        let mut buffer = BytesMut::from(&feed.next(1 << 20).unwrap().unwrap()[..]);
        let Some(Frame::Entry(entry)) = Frame::take(&mut buffer).unwrap() else { panic!("no entry") };
        let error = runtime.block_on(old.take(partition, vec![entry])).unwrap_err();
        assert!(matches!(error, TakeError::Forked { epoch, .. } if epoch == replica.epoch()), "{error}");
        refused += 1;
    }
    assert!(refused > 0);
    assert_eq!((old.visible(), old.epoch()), (visible, Epoch::FIRST));
}

/// Epochs carry the mark of who began them, and the first one of a database has none: whoever says that he began that one, too, has a
/// copy of a folder that nobody should have.
#[test]
fn a_primary_that_hears_of_another_one_in_its_own_epoch_takes_no_writes_until_somebody_decides() {
    let mut servers = Servers::start(1);
    announce(&servers);
    servers.commit([put("/a", "x"), publish("/a")]);
    servers.check_exact();
    let (old, second) = (servers.primary(), servers.database("second"));
    let rival = EpochStart { primary: identity(&second), ..old.epochs().remove(0) };
    old.learn(vec![rival]).unwrap();
    assert!(matches!(old.commit(transaction([put("/x", "x")])), Err(CommitError::Fenced(_))));
    assert_eq!(old.alarms().len(), 1, "{:?}", old.alarms());
    assert_eq!(old.promote(because("this one")).unwrap().epoch.number(), 2);
    commit(&old, vec![put("/b", "x")]);
}

#[test]
fn an_epoch_of_a_stranger_is_not_believed() {
    let mut servers = Servers::start(1);
    servers.commit([put("/a", "x"), publish("/a")]);
    servers.check_exact();
    // Nobody ever said who this replica is.
    let (replica, second) = (servers.database("replica"), servers.database("second"));
    let plan = replica.plan_promotion().unwrap();
    assert!(matches!(&plan.blocks[..], [block @ Block::Unnamed { .. }] if block.may_be_forced()), "{plan:?}");
    let refused = replica.promote(because("nobody knows me"));
    assert!(matches!(refused, Err(RoleError::Blocked { .. })), "{refused:?}");
    // It may be the only one that is left.
    replica.promote(Promote { force: true, ..because("nobody knows me") }).unwrap();
    assert!(matches!(second.learn(replica.epochs()), Err(RoleError::UnknownServer { .. })));
    assert!(matches!(servers.primary().learn(replica.epochs()), Err(RoleError::UnknownServer { .. })));
    assert!(servers.primary().commit(transaction([put("/b", "x")])).is_ok());
    let (partition, from, _) = second.resume().remove(0);
    let mut feed = replica.feed(partition, second.view(), from, None).unwrap();
    let mut buffer = BytesMut::from(&feed.next(1 << 20).unwrap().unwrap()[..]);
    let Some(Frame::Entry(entry)) = Frame::take(&mut buffer).unwrap() else { panic!("no entry") };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let refused = runtime.block_on(second.take(partition, vec![entry])).unwrap_err();
    assert!(
        matches!(refused, TakeError::UnknownPrimary { epoch, .. } if epoch == replica.epoch()),
        "{refused}"
    );
    // A name is not taken from the one it belongs to.
    let other = ServerIdentity { key: "cd".repeat(32).parse().unwrap(), ..identity(&replica) };
    servers.primary().announce_copy(&identity(&replica), Role::Replica).unwrap();
    let taken = servers.primary().announce_copy(&other, Role::Replica);
    assert!(matches!(taken, Err(RoleError::NameTaken { .. })));
}

#[test]
fn what_must_not_be_promoted_is_not() {
    let mut servers = Servers::start(1);
    announce(&servers);
    servers.commit([put("/a", "x"), publish("/a")]);
    servers.check_exact();
    let blocks = |name| match servers.database(name).promote(because("try")) {
        Err(RoleError::Blocked { blocks }) => blocks,
        other => panic!("{other:?}"),
    };
    assert!(matches!(blocks("primary")[..], [Block::Primary { epoch: Epoch::FIRST }]));
    assert!(matches!(blocks("staging")[..], [Block::PartOfTheDatabase { .. }]));
    // Only a part of the other epoch is known.
    let primary = identity(&servers.database("second"));
    let epoch = Epoch::FIRST.next(&primary.key, Right::Taken).unwrap();
    let ahead = EpochStart { epoch, previous: Some(Epoch::FIRST), base: Timestamp::ZERO, primary };
    servers.database("replica").learn(vec![ahead]).unwrap();
    assert!(matches!(blocks("replica")[..], [Block::LaterEpoch { .. }]));
    let forced = Promote { force: true, ..because("the other one is gone for good") };
    assert_eq!(servers.database("replica").promote(forced).unwrap().epoch.number(), 3);

    // Entries that were acknowledged are missing: it does not even open.
    let lost = servers.tamper("second", |home| {
        let journal = home.join("databases/main/partitions/000/journal");
        for file in std::fs::read_dir(&journal).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "segment") {
                let length = path.metadata().unwrap().len();
                std::fs::File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
            }
        }
    });
    assert!(matches!(lost, Err(OpenError::Journal { .. })), "{lost:?}");
}
