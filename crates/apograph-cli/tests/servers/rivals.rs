//! Two copies are promoted on two sides that do not know of each other, as processes: two epochs of one number, one of them goes on, and
//! what the other one acknowledged is listed and comes back.

use apograph_client::client::Match;
use apograph_client::format::{Token, Uri};
use apograph_client::types::{DocumentRequest, ReadQuery};
use serde_json::Value;

use super::exact::check_exports;
use super::process::{Server, block_on, done, eventually};

fn json(server: &Server, arguments: &[&str]) -> Value {
    let output = done(&mut server.command("admin", &[arguments, &["--output", "json"]].concat()));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn put(server: &Server, at: &str) -> Token {
    let document = DocumentRequest { body: Some("x".into()), ..DocumentRequest::default() };
    let client = server.client("editor");
    let at = Uri::parse(at).unwrap();
    block_on(client.put_document("main", &at, &document, Match::Absent)).unwrap().token
}

fn code_of_read(server: &Server, token: Token) -> Option<String> {
    let query = ReadQuery { at_least: Some(token.to_string()), ..ReadQuery::default() };
    let read = block_on(server.client("reader").document("main", &Uri::parse("/shared").unwrap(), &query));
    read.err().and_then(|error| error.problem().map(|problem| problem.code.clone()))
}

fn database(server: &Server) -> Value {
    json(server, &["status"])["databases"][0].clone()
}

fn follows(server: &Server) -> bool {
    json(server, &["links"]).as_array().is_some_and(|links| {
        links.iter().any(|link| link["direction"] == "in" && link["state"] == "following")
    })
}

/// Some servers are primary, by a person's word, once nothing stands against it any more.
fn promote(server: &Server) {
    let plan = || server.command("admin", &["promote", "--plan"]).output().unwrap().status.success();
    eventually("nothing stands against it", plan);
    assert_eq!(json(server, &["promote", "--reason", "a split"])["promoted"], true);
}

#[test]
fn two_that_are_promoted_at_once_end_as_one_history_and_a_list() {
    let root = tempfile::tempdir().unwrap();
    let old = Server::init(root.path(), "old", "primary", None, 3);
    let source = Some((&old, "link-replica"));
    let one = Server::init(root.path(), "one", "replica", source, 0);
    let other = Server::init(root.path(), "other", "replica", source, 0);
    for server in [&old, &one, &other] {
        server.start();
        server.wait();
    }
    let shared = put(&old, "/shared").timestamp;
    for server in [&one, &other] {
        // A copy that nobody names yet is no heir, and says so.
        eventually("it has all, and is named", || {
            let plan = server.command("admin", &["promote", "--plan", "--output", "json"]).output().unwrap();
            let is_named = !String::from_utf8_lossy(&plan.stdout).contains("unnamed");
            is_named && database(server)["visible"].as_u64() >= Some(shared.0)
        });
    }
    old.kill();
    promote(&one);
    promote(&other);
    let tokens = [put(&one, "/of-one"), put(&other, "/of-other")];
    assert_eq!(tokens.map(|token| token.epoch.number()), [2, 2]);
    assert_ne!(tokens[0].epoch, tokens[1].epoch);
    let [(winner, kept), (loser, lost)] = match tokens[0].epoch > tokens[1].epoch {
        true => [(&one, tokens[0]), (&other, tokens[1])],
        false => [(&other, tokens[1]), (&one, tokens[0])],
    };
    // Neither heard of the other, and a token is good at one of them.
    put(winner, "/later");
    assert_eq!(code_of_read(winner, lost).as_deref(), Some("token-other-history"));
    assert_eq!(code_of_read(winner, kept), None);

    // The lower one cannot be followed, the higher one can; its follower says what happened.
    let follow = |at: &Server, source: &Server| {
        let (url, token) = (source.url(), source.token("link-replica"));
        let token = token.to_string_lossy().into_owned();
        at.command("admin", &["follow", "--source", &url, "--source-token-file", &token]).output().unwrap()
    };
    let refused = follow(winner, loser);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let alarms = database(winner)["alarms"].to_string();
    assert!(alarms.contains("two servers began an epoch of the number 2"), "{alarms}");
    put(winner, "/goes-on");
    let followed = follow(loser, winner);
    assert!(followed.status.success(), "{followed:?}");
    eventually("it follows", || database(loser)["role"] == "replica" && follows(loser));
    // The lost primary comes back, and is told by the one that goes on.
    old.start();
    old.wait();
    eventually("it becomes a replica", || database(&old)["role"] == "replica" && follows(&old));
    assert_eq!(code_of_read(loser, lost).as_deref(), Some("token-other-history"));

    let list = done(&mut loser.command("admin", &["orphans", "list", "--output", "json"]));
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains(&lost.to_string()), "{lost}: {list}");
    let token = winner.token("admin").to_string_lossy().into_owned();
    done(&mut loser.command("admin", &["orphans", "restore", "--all", "--primary-token-file", &token]));
    let back = Uri::parse(if std::ptr::eq(loser, &one) { "/of-one" } else { "/of-other" }).unwrap();
    block_on(winner.client("reader").document("main", &back, &ReadQuery::default())).unwrap();
    let visible = database(winner)["visible"].as_u64();
    for copy in [loser, &old] {
        eventually("it has all", || database(copy)["visible"].as_u64() >= visible);
        check_exports(copy, winner, "full");
    }

    // Who is primary cannot be given the role.
    for itself in [winner.name.to_owned(), winner.url()] {
        let refused = winner.command("admin", &["switchover", "--to", &itself]).output().unwrap();
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(3) && told.contains("is the primary already"), "{told}");
    }
}
