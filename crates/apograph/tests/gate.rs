//! The gate before the committer: what waits there, what is refused, and that neither leaves a trace until it is let in. And
//! what a server says that it has on disk.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, unreachable_pub)]

mod support;

use std::time::{Duration, Instant};

use apograph::database::roles::Promote;
use apograph::database::{Fate, Gate, GateMode, PendingCommit};
use apograph::error::CommitError;
use apograph::format::{Epoch, Token};
use apograph::read::Which;
use apograph::{Database, Role};
use support::{Servers, put, transaction, uri};

fn gate(mode: GateMode) -> Option<Gate> {
    Some(Gate { link: "replica".into(), reason: "it is late".into(), mode })
}

fn stall(ms: u64) -> Option<Gate> {
    gate(GateMode::Stall { at_most: Duration::from_millis(ms) })
}

fn has(database: &Database, at: &str) -> bool {
    database.document(&uri(at), Which::Working, None).is_ok()
}

fn submit(database: &Database, at: &str) -> PendingCommit {
    database.submit(transaction([put(at, "x")])).unwrap()
}

fn end(pending: PendingCommit) -> Result<Token, CommitError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(pending).map(|committed| committed.token)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn writes_wait_in_order_and_go_on_when_the_gate_opens() {
    let mut servers = Servers::start(3);
    let primary = servers.primary();
    primary.set_gate(stall(600_000));
    let waiting: Vec<_> = (0..20).map(|number| submit(&primary, &format!("/w/{number}"))).collect();
    until("all wait", || primary.waiting_writes() == 20);
    assert!((0..20).all(|number| !has(&primary, &format!("/w/{number}"))));
    // What comes as the gate opens does not overtake what waits.
    primary.set_gate(None);
    let last = submit(&primary, "/last");
    let mut tokens: Vec<_> = waiting.into_iter().map(|pending| end(pending).unwrap()).collect();
    tokens.push(end(last).unwrap());
    assert!(tokens.is_sorted(), "{tokens:?}");
    assert_eq!((primary.waiting_writes(), primary.gate()), (0, None));
    servers.check_exact();
}

#[test]
fn who_waits_too_long_or_may_not_wait_is_refused_and_nothing_of_it_is_done() {
    let mut servers = Servers::start(2);
    let primary = servers.primary();
    servers.settle_primary();
    let before = primary.durable();
    primary.set_gate(stall(300));
    let begun = Instant::now();
    let refused = end(submit(&primary, "/late"));
    assert!(matches!(&refused, Err(CommitError::Lagging { link, .. }) if link == "replica"), "{refused:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    primary.set_gate(gate(GateMode::Reject));
    let refused = primary.submit(transaction([put("/at/once", "x")]));
    assert!(matches!(refused, Err(CommitError::Lagging { .. })), "{refused:?}");
    // Who waits when waiting ends is refused, too.
    primary.set_gate(stall(600_000));
    let waiting = submit(&primary, "/waiting");
    until("it waits", || primary.waiting_writes() == 1);
    primary.set_gate(gate(GateMode::Reject));
    assert!(matches!(end(waiting), Err(CommitError::Lagging { .. })));
    assert_eq!(primary.durable(), before, "nothing was appended");
    // The document of a server passes: a copy that nobody knows could never end it.
    let copy = servers.database("replica").handshake(servers.database("replica").view()).unwrap().server;
    primary.announce_copy(&copy, Role::Replica).unwrap();
    assert!(primary.knows_server(&copy.key));
    primary.set_gate(None);
    end(submit(&primary, "/on/it/goes")).unwrap();
    for lost in ["/late", "/at/once", "/waiting"] {
        assert!(!has(&primary, lost), "{lost}");
    }
    servers.check_exact();
}

#[test]
fn no_more_wait_than_there_is_room_for_and_a_stop_refuses_them() {
    let mut servers = Servers::start(1);
    let primary = servers.primary();
    primary.set_gate(stall(600_000));
    let mut waiting = Vec::new();
    for number in 0..1_100 {
        match primary.submit(transaction([put(&format!("/w/{number}"), "x")])) {
            Ok(pending) => waiting.push(pending),
            Err(CommitError::Busy) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    }
    until("the room is full", || primary.waiting_writes() == 1_024);
    // A switchover holds them as well, and gives them back to the gate.
    primary.hold_writes(Duration::from_secs(600)).unwrap();
    primary.release_writes().unwrap();
    assert_eq!(primary.waiting_writes(), 1_024);
    primary.shutdown();
    let refused = waiting.into_iter().map(end).filter(Result::is_err).count();
    assert!(refused >= 1_024, "{refused}");
    drop(primary);
    servers.restart_one("primary");
    assert!(!has(&servers.primary(), "/w/0"));
    servers.check_exact();
}

#[test]
fn a_gate_does_not_keep_a_primary_that_lost_its_role_from_saying_so() {
    let mut servers = Servers::start(1);
    let copy = servers.database("replica").handshake(servers.database("replica").view()).unwrap().server;
    servers.primary().announce_copy(&copy, Role::Replica).unwrap();
    servers.check_exact();
    let (old, new) = (servers.primary(), servers.database("replica"));
    let kept = new.durable();
    let token = Token { epoch: Epoch::FIRST, timestamp: kept.up_to };
    assert_eq!(old.fate(token), Fate::Kept { by: Vec::new() });
    let lost = old.commit(transaction([put("/lost", "x")])).unwrap().token;
    old.set_gate(stall(600_000));
    let waiting = submit(&old, "/waiting");
    until("it waits", || old.waiting_writes() == 1);
    new.promote(Promote { reason: "a test".into(), force: true, ..Promote::default() }).unwrap();
    old.learn(new.epochs()).unwrap();
    let refused = end(waiting);
    assert!(matches!(refused, Err(CommitError::Fenced(_))), "{refused:?}");
    // What was written before says what became of it.
    assert_eq!(old.fate(token), Fate::Kept { by: vec![copy.clone()] });
    assert_eq!(old.fate(lost), Fate::CutOff { epoch: new.epoch(), primary: copy });
}

#[test]
fn a_copy_says_that_it_has_what_is_complete_in_all_partitions() {
    let mut servers = Servers::start(3);
    servers.commit([put("/a", "x")]);
    servers.check_exact();
    let (primary, replica) = (servers.primary(), servers.database("replica"));
    assert_eq!(replica.durable(), primary.durable());
    assert!(replica.may_acknowledge() && !primary.may_acknowledge());
    assert!(!servers.staging().may_acknowledge(), "it has a part only");
    // A transaction of all partitions, of which two arrive: entries are durable there, and it is not.
    let before = replica.durable();
    let of = |partition: u16| {
        (0..).map(|n| format!("/{n}")).find(|at| primary.partitioning().of(&uri(at)).0 == partition).unwrap()
    };
    let at = [of(0), of(1), of(2)];
    let done = primary.commit(transaction([put(&at[0], "x"), put(&at[1], "x"), put(&at[2], "x")])).unwrap();
    for partition in [0, 1] {
        servers.follow_partition("replica", apograph::format::PartitionId(partition), 1);
    }
    let torn = replica.durable();
    assert!(torn.partitions[0].1.sequence > before.partitions[0].1.sequence);
    assert_eq!(torn.up_to, before.up_to, "a promotion would cut what is not complete");
    servers.follow();
    assert!(replica.durable().up_to >= done.timestamp());
    servers.check_exact();
}
