//! Who waits for a token is answered as soon as it is known what became of the write.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, unreachable_pub)]

mod support;

use std::sync::mpsc::channel;
use std::time::Duration;

use apograph::database::roles::Promote;
use apograph::error::WaitError;
use apograph::format::{Token, View};
use apograph::{Database, Operation, Role, Transaction};
use support::{Servers, put, transaction};

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(3_600);

/// All equal, and the primary knows its replica.
fn start() -> Servers {
    let mut servers = Servers::start(1);
    let copy = servers.database("replica").handshake(View::Full).unwrap().server;
    servers.primary().announce_copy(&copy, Role::Replica).unwrap();
    servers.check_exact();
    servers
}

fn commit(database: &Database, operations: Vec<Operation>) -> Token {
    database.commit(Transaction { operations, ..transaction([]) }).unwrap().token
}

fn promote(database: &Database) {
    database.promote(Promote { reason: "dead".into(), ..Promote::default() }).unwrap();
}

fn wait(database: &Database, token: Token, timer: impl Future<Output = ()>) -> Result<(), WaitError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(database.wait_for(token, FOR_EVER, timer))
}

#[test]
fn a_token_of_an_epoch_that_a_server_has_not_heard_of_is_waited_for() {
    let mut servers = start();
    let (second, new) = (servers.database("second"), servers.database("replica"));
    promote(&new);
    let token = commit(&new, vec![put("/a", "x")]);
    // Nobody here ever heard of it.
    let early = wait(&second, token, std::future::ready(())).unwrap_err();
    assert!(matches!(early, WaitError::OtherHistory { .. }), "{early}");
    // It comes while somebody waits.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&second, token, std::future::pending()));
        servers.rearrange("replica", [("second", "replica")]);
        servers.greet();
        servers.follow();
        waiting.join().unwrap().unwrap();
    });
}

/// They were told when their time was over: ten seconds in which nobody wrote, in one crash of fifty.
#[test]
fn who_waits_for_a_write_learns_at_once_that_a_promotion_cut_it_off() {
    let servers = start();
    let (old, new) = (servers.primary(), servers.database("replica"));
    // The replica never hears of it.
    let token = commit(&old, vec![put("/a", "lost")]);
    let (tell, told) = channel();
    let waiting = new.clone();
    std::thread::spawn(move || tell.send(wait(&waiting, token, std::future::pending())));
    assert!(told.recv_timeout(Duration::from_millis(100)).is_err(), "it may come yet");
    promote(&new);
    let told = told.recv_timeout(Duration::from_secs(10)).expect("nobody tells who waits");
    assert!(matches!(told, Err(WaitError::OtherHistory { .. })), "{told:?}");
}
