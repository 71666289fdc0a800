//! Two servers that do not know of each other begin epochs of one number: two epochs, in one order, and one of them goes on.
//! `docs/decisions/0024-epochs.md`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod support;

use std::time::Duration;

use apograph::database::Fate;
use apograph::database::roles::{EpochStart, Promote, RoleError};
use apograph::error::{CommitError, TakeError, WaitError};
use apograph::format::{Epoch, Frame, Position, Right, Token};
use apograph::read::Which;
use apograph::status::ServerIdentity;
use apograph::{Database, Operation, Role, Transaction};
use bytes::BytesMut;
use support::synchronize::{Cost, synchronize};
use support::{Servers, publish, put, transaction, uri};

fn commit(database: &Database, operations: Vec<Operation>) -> Token {
    database.commit(Transaction { operations, ..transaction([]) }).unwrap().token
}

fn identity(database: &Database) -> ServerIdentity {
    database.handshake(database.view()).unwrap().server
}

fn because(reason: &str) -> Promote {
    Promote { reason: reason.into(), ..Promote::default() }
}

fn wait(database: &Database, token: Token) -> Result<(), WaitError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(database.wait_for(token, Duration::ZERO, std::future::ready(())))
}

fn has(database: &Database, at: &str) -> bool {
    database.document(&uri(at), Which::Working, None).is_ok()
}

fn ends(database: &Database) -> Vec<Position> {
    database.resume().into_iter().map(|(_, at, _)| at).collect()
}

/// Servers that know of each other, and hold `/a`.
fn start() -> Servers {
    let mut servers = Servers::start(3);
    for name in ["replica", "second"] {
        let copy = identity(&servers.database(name));
        servers.primary().announce_copy(&copy, Role::Replica).unwrap();
    }
    servers.commit([put("/a", "x"), publish("/a")]);
    servers.check_exact();
    servers
}

/// The one that goes on, and the one that gives way.
fn ordered<'a>(
    one: (&'static str, &'a Database),
    other: (&'static str, &'a Database),
) -> [(&'static str, &'a Database); 2] {
    if one.1.epoch() > other.1.epoch() { [one, other] } else { [other, one] }
}

fn refused(database: &Database) -> bool {
    matches!(database.commit(transaction([put("/x", "x")])), Err(CommitError::Fenced(_)))
}

/// Who gave way becomes a copy of the other one, with all of its writes as orphans; in the end there is one history.
fn heals(servers: &mut Servers, goes_on: &'static str, gave_way: &'static str, cut: Token) {
    let (winner, loser) = (servers.database(goes_on), servers.database(gave_way));
    loser.become_replica().unwrap();
    synchronize(&winner, &loser, "unknown-position", &mut Cost::default());
    let kept: Vec<Token> =
        loser.kept_orphans(None).unwrap().map(|orphan| orphan.unwrap().label.token).collect();
    assert!(kept.contains(&cut), "{cut} is kept: {kept:?}");
    // It comes back, once, beside what the other history has.
    let orphan = loser
        .kept_orphans(None)
        .unwrap()
        .map(Result::unwrap)
        .find(|orphan| orphan.label.token == cut)
        .unwrap();
    for _ in 0..2 {
        let mut intake = winner.orphan_intake(orphan.label.clone()).unwrap();
        for piece in orphan.bytes().map(Result::unwrap) {
            let mut bytes = BytesMut::from(&piece[..]);
            while let Some(Frame::Entry(entry)) = Frame::take(&mut bytes).unwrap() {
                intake.entry(&entry).unwrap();
            }
        }
        intake.finish("root").unwrap();
    }
    assert!(has(&winner, "/beside"));
    winner.learn(loser.epochs()).unwrap();
    let old = servers.primary();
    old.learn(winner.epochs()).unwrap();
    if old.role() == Role::Primary {
        old.become_replica().unwrap();
    }
    drop((winner, loser, old));
    let copies = [("primary", goes_on), (gave_way, goes_on), ("staging", goes_on)];
    servers.rearrange(goes_on, copies);
    servers.greet();
    servers.check_equal();
}

#[test]
fn two_promotions_into_one_number_are_two_epochs_and_one_gives_way() {
    let mut servers = start();
    // Both were cut off from each other, and both were promoted.
    let (replica, second) = (servers.database("replica"), servers.database("second"));
    let began = [replica.promote(because("split")).unwrap(), second.promote(because("split")).unwrap()];
    assert_eq!(began.each_ref().map(|began| began.epoch.number()), [2, 2]);
    assert_ne!(began[0].epoch, began[1].epoch);
    let [(goes_on, winner), (gave_way, loser)] = ordered(("replica", &replica), ("second", &second));
    // Both acknowledge, each in its own epoch.
    let cut = commit(loser, vec![put("/beside", "x")]);
    let kept = commit(winner, vec![put("/kept", "x"), publish("/kept")]);
    assert!(kept.timestamp > cut.timestamp && cut.epoch < kept.epoch);
    // Nobody takes the token of the one for one of the other, heard of or not.
    assert!(matches!(wait(winner, cut), Err(WaitError::OtherHistory { .. })));
    assert!(wait(loser, kept).is_err());

    winner.learn(loser.epochs()).unwrap();
    commit(winner, vec![put("/goes/on", "x")]);
    loser.learn(winner.epochs()).unwrap();
    assert!(refused(loser));
    for server in [winner, loser] {
        let alarms = server.alarms();
        assert!(alarms.iter().any(|alarm| alarm.contains("two servers began")), "{alarms:?}");
    }
    for server in [winner, loser] {
        assert!(matches!(wait(server, cut), Err(WaitError::OtherHistory { .. })));
    }
    assert_eq!(loser.fate(cut), Fate::CutOff { epoch: winner.epoch(), primary: identity(winner) });
    drop((replica, second));
    // It is decided for good: also after a start.
    servers.restart_one(gave_way);
    assert!(refused(&servers.database(gave_way)));
    heals(&mut servers, goes_on, gave_way, cut);
}

#[test]
fn a_role_that_was_given_goes_before_one_that_was_taken_by_who_had_not_heard() {
    let mut servers = start();
    let (old, heir, second) = (servers.primary(), servers.database("replica"), servers.database("second"));
    // What only the heir has when the other one is promoted.
    commit(&old, vec![put("/late", "x")]);
    servers.follow_one("replica");
    let held = old.hold_writes(Duration::from_secs(600)).unwrap();
    servers.follow_one("replica");
    let handover = old.step_down(identity(&heir), held.positions).unwrap();
    assert_eq!(ends(&heir), handover.positions);
    let taken = second.promote(because("has not heard of it")).unwrap();
    assert_eq!(taken.epoch.number(), handover.epoch.number());
    assert!(taken.epoch < handover.epoch, "whatever their keys are");
    let cut = commit(&second, vec![put("/beside", "x")]);
    // The heir heard of the other one before it begins: it may begin all the same.
    heir.learn(second.epochs()).unwrap();
    heir.learn(old.epochs()).unwrap();
    heir.promote(Promote { handover: Some(handover), ..because("planned") }).unwrap();
    let kept = commit(&heir, vec![put("/kept", "x")]);
    assert!(cut.epoch < kept.epoch);
    // A copy that knows both takes nothing of the lower one.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    old.learn(second.epochs()).unwrap();
    old.learn(heir.epochs()).unwrap();
    for (partition, from, _) in old.resume() {
        let Ok(mut feed) = second.feed(partition, old.view(), from, None) else { continue };
        let Some(bytes) = feed.next(1 << 20).unwrap() else { continue };
        let Some(Frame::Entry(entry)) = Frame::take(&mut BytesMut::from(&bytes[..])).unwrap() else {
            panic!()
        };
        let error = runtime.block_on(old.take(partition, vec![entry])).unwrap_err();
        assert!(matches!(error, TakeError::LowerEpoch { .. }), "{error}");
    }
    second.learn(heir.epochs()).unwrap();
    assert!(refused(&second));
    drop((old, heir, second));
    heals(&mut servers, "replica", "second", cut);
    assert!(has(&servers.primary(), "/late"));
}

/// The operator was faster than the answer of the switchover: the heir was promoted, and hears then that the role was given to it.
#[test]
fn a_server_that_was_promoted_before_it_heard_that_the_role_is_its_own_goes_on() {
    let mut servers = start();
    let (old, heir) = (servers.primary(), servers.database("replica"));
    let held = old.hold_writes(Duration::from_secs(600)).unwrap();
    servers.follow_one("replica");
    let handover = old.step_down(identity(&heir), held.positions).unwrap();
    let taken = heir.promote(because("the answer did not come")).unwrap();
    assert_eq!((taken.base, taken.epoch < handover.epoch), (handover.base, true));
    let kept = commit(&heir, vec![put("/kept", "x")]);
    heir.learn(old.epochs()).unwrap();
    assert_eq!((heir.epoch().number(), heir.fenced()), (3, None));
    commit(&heir, vec![put("/goes/on", "x"), publish("/goes/on")]);
    wait(&heir, kept).unwrap();
    // Once is enough.
    heir.learn(old.epochs()).unwrap();
    assert_eq!(heir.epoch().number(), 3);
    assert!(heir.alarms().is_empty(), "{:?}", heir.alarms());
    old.learn(heir.epochs()).unwrap();
    assert!(old.kept_orphans(None).unwrap().next().is_none());
    drop((old, heir));
    servers.rearrange("replica", [("primary", "replica"), ("second", "replica"), ("staging", "second")]);
    servers.greet();
    servers.check_exact();
}

#[test]
fn an_operator_decides_for_the_other_one() {
    let mut servers = start();
    let (replica, second) = (servers.database("replica"), servers.database("second"));
    replica.promote(because("split")).unwrap();
    second.promote(because("split")).unwrap();
    let [(goes_on, winner), (gave_way, loser)] = ordered(("replica", &replica), ("second", &second));
    let kept = commit(loser, vec![put("/wanted", "x")]);
    let cut = commit(winner, vec![put("/beside", "x")]);
    loser.learn(winner.epochs()).unwrap();
    assert!(
        matches!(loser.promote(because("this one")), Err(RoleError::Blocked { .. })),
        "it would lose something"
    );
    let began = loser.promote(Promote { force: true, ..because("this one") }).unwrap();
    assert_eq!(began.epoch.number(), 3);
    // The history of the third epoch leads through its own second one, and not through the other.
    commit(loser, vec![put("/later", "x")]);
    winner.learn(loser.epochs()).unwrap();
    assert!(refused(winner));
    for server in [winner, loser] {
        assert!(matches!(wait(server, cut), Err(WaitError::OtherHistory { .. })));
    }
    wait(loser, kept).unwrap();
    drop((replica, second));
    heals(&mut servers, gave_way, goes_on, cut);
    wait(&servers.database("primary"), kept).unwrap();
}

#[test]
fn nobody_begins_an_epoch_with_the_mark_of_another() {
    let mut servers = start();
    let (replica, second) = (servers.database("replica"), servers.database("second"));
    let epoch = Epoch::FIRST.next(&identity(&replica).key, Right::Given).unwrap();
    let base = servers.primary().visible();
    let forged = EpochStart { epoch, previous: Some(Epoch::FIRST), base, primary: identity(&second) };
    let refused = servers.primary().learn(vec![forged]);
    assert!(matches!(refused, Err(RoleError::NotItsEpoch { .. })), "{refused:?}");
    servers.commit([put("/b", "x"), publish("/b")]);
    drop((replica, second));
    servers.check_exact();
}
