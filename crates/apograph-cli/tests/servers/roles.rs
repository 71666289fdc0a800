//! The role of primary goes from server to server while clients write: nothing acknowledged is lost or doubled, all
//! copies are exact afterwards. And a primary that is killed is replaced.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apograph_client::client::Match;
use apograph_client::format::{Uri, View};
use apograph_client::types::{DocumentRequest, EpochNotice, ReadQuery};
use serde_json::Value;

use super::exact::{check_copies, check_exports};
use super::process::{Server, block_on, done, eventually};

const SWITCHOVERS: usize = 6;
const WRITERS: u64 = 4;

fn json(server: &Server, arguments: &[&str]) -> Value {
    let mut command = server.command("admin", arguments);
    let output = done(command.args(["--output", "json"]));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn json_lines(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let mut command = server.command("admin", arguments);
    let output = done(command.args(["--output", "json"]));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn role(server: &Server) -> Value {
    json(server, &["status"])["databases"][0]["role"].clone()
}

fn follows(server: &Server) -> bool {
    let links = json(server, &["links"]);
    links.as_array().unwrap().iter().any(|link| link["direction"] == "in" && link["state"] == "following")
}

fn uri(writer: u64, number: u64) -> Uri {
    Uri::parse(&format!("/w/{writer}/{number}")).unwrap()
}

/// Writes documents one after the other, at whoever is primary: a write that is not acknowledged is tried again under
/// the same name, and must not be there yet. Answers how many there are, and the longest it had to wait.
fn write(servers: [&Server; 2], writer: u64, over: &AtomicBool, acknowledged: &AtomicU64) -> (u64, Duration) {
    let clients = servers.map(|server| server.client("editor"));
    let (mut number, mut at, mut longest, mut begun) = (0, 0, Duration::ZERO, Instant::now());
    while !over.load(Ordering::Acquire) {
        let text = format!("{writer} {number}");
        let document = DocumentRequest { body: Some(text), ..DocumentRequest::default() };
        let written =
            block_on(clients[at].put_document("main", &uri(writer, number), &document, Match::Absent));
        match written {
            Ok(_) => {
                longest = longest.max(begun.elapsed());
                begun = Instant::now();
                number += 1;
                acknowledged.fetch_add(1, Ordering::AcqRel);
            }
            Err(error) => {
                let code = error.problem().map(|problem| problem.code.clone()).unwrap_or_default();
                assert!(matches!(code.as_str(), "read-only" | "handing-over"), "{code} {error}");
                at = (at + 1) % clients.len();
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
    (number, longest)
}

/// The number of an epoch.
fn number(epoch: &Value) -> u32 {
    epoch.as_str().unwrap().parse::<apograph_client::format::Epoch>().unwrap().number()
}

#[test]
fn the_role_goes_to_and_fro_under_writes() {
    for partitions in [1, 3] {
        to_and_fro(partitions);
    }
}

fn to_and_fro(partitions: u16) {
    let root = tempfile::tempdir().unwrap();
    let primary = Server::init(root.path(), "primary", "primary", None, partitions);
    let replica = Server::init(root.path(), "replica", "replica", Some((&primary, "link-replica")), 0);
    let second = Server::init(root.path(), "second", "replica", Some((&primary, "link-replica")), 0);
    let staging = Server::init(root.path(), "staging", "staging", Some((&replica, "link-staging")), 0);
    for server in [&primary, &replica, &second, &staging] {
        server.start();
        server.wait();
        eventually("it follows", || server.name == "primary" || follows(server));
    }
    let (over, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let (written, pauses) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn({
                    let (over, acknowledged, servers) = (&over, &acknowledged, [&primary, &replica]);
                    move || write(servers, writer, over, acknowledged)
                })
            })
            .collect();
        let mut pauses = Vec::new();
        for round in 0..SWITCHOVERS {
            let (from, to) = if round % 2 == 0 { (&primary, &replica) } else { (&replica, &primary) };
            eventually("both ends know each other", || follows(to) && reports(from, to));
            let before = acknowledged.load(Ordering::Acquire);
            eventually("clients write", || acknowledged.load(Ordering::Acquire) > before + 20);
            let answer = json(from, &["switchover", "--to", to.name]);
            assert_eq!(answer["confirmed"], true, "{answer}");
            assert_eq!(number(&answer["epoch"]), round as u32 + 2, "{answer}");
            assert_eq!((role(from), role(to)), ("replica".into(), "primary".into()));
            pauses.push(answer["paused_ms"].as_u64().unwrap());
        }
        let before = acknowledged.load(Ordering::Acquire);
        eventually("clients write", || acknowledged.load(Ordering::Acquire) > before + 20);
        over.store(true, Ordering::Release);
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        (written, pauses)
    });
    // An even number of times: the first one is primary again.
    eventually("all follow", || [&replica, &second, &staging].into_iter().all(follows));
    // Who gave its role back follows, and says nothing any more of a link to the one it follows.
    let links = json(&replica, &["links"]);
    let to_primary = |link: &Value| link["direction"] == "out" && link["peer"]["name"] == primary.name;
    assert!(!links.as_array().unwrap().iter().any(to_primary), "{links}");
    check_copies(&primary, &[&replica, &second], &staging);
    let client = primary.client("reader");
    for (writer, (count, _)) in written.iter().enumerate() {
        for number in 0..*count {
            let found = block_on(client.document("main", &uri(writer as u64, number), &ReadQuery::default()));
            let found = found.unwrap();
            // Acknowledged once, there once.
            assert_eq!(
                (found.version, found.body.as_deref()),
                (1, Some(format!("{writer} {number}").as_str()))
            );
        }
    }
    let longest = written.iter().map(|(_, longest)| *longest).max().unwrap();
    let total: u64 = written.iter().map(|(count, _)| count).sum();
    println!(
        "{partitions} partitions: {SWITCHOVERS} switchovers, {total} writes acknowledged by {WRITERS} clients, writes held for {pauses:?} ms, the longest a client waited {longest:?}"
    );
}

fn reports(source: &Server, copy: &Server) -> bool {
    let links = json(source, &["links"]);
    links.as_array().unwrap().iter().any(|link| {
        link["direction"] == "out" && link["peer"]["name"] == copy.name && link["state"] == "following"
    })
}

/// Its link was told behind the answer: whoever was gone by then, because a disk was slow, left a replica that followed nobody.
#[test]
fn a_former_primary_follows_though_nobody_waited_for_its_answer() {
    let root = tempfile::tempdir().unwrap();
    let primary = Server::init(root.path(), "primary", "primary", None, 1);
    let replica = Server::init(root.path(), "replica", "replica", Some((&primary, "link-replica")), 0);
    for server in [&primary, &replica] {
        server.start();
        server.wait();
    }
    eventually("they know each other", || follows(&replica) && reports(&primary, &replica));
    primary.kill();
    json(&replica, &["promote", "--force", "--reason", "it was killed"]);
    let handshake = block_on(replica.client("admin").handshake("main", View::Full)).unwrap();
    let token = std::fs::read_to_string(replica.token("link-replica")).unwrap().trim().to_owned();
    let notice = EpochNotice { server: handshake.server, epochs: handshake.epochs, token };
    let notice = serde_json::to_string(&notice).unwrap();
    // Nobody else tells it.
    replica.kill();
    primary.start();
    primary.wait();
    let token = std::fs::read_to_string(primary.token("link-replica")).unwrap();
    let request = format!(
        "POST /v1/databases/main/epoch HTTP/1.1\r\nhost: primary\r\nauthorization: Bearer {}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{notice}",
        token.trim(),
        notice.len()
    );
    eventually("it hears it", || {
        let mut line = TcpStream::connect(("127.0.0.1", primary.port)).unwrap();
        line.write_all(request.as_bytes()).unwrap();
        drop(line);
        role(&primary) == "replica"
    });
    replica.start();
    replica.wait();
    eventually("it follows", || follows(&primary));
}

#[test]
fn a_killed_primary_is_replaced_and_comes_back_as_a_replica() {
    let root = tempfile::tempdir().unwrap();
    let primary = Server::init(root.path(), "primary", "primary", None, 3);
    let replica = Server::init(root.path(), "replica", "replica", Some((&primary, "link-replica")), 0);
    let second = Server::init(root.path(), "second", "replica", Some((&primary, "link-replica")), 0);
    let staging = Server::init(root.path(), "staging", "staging", Some((&replica, "link-staging")), 0);
    for server in [&primary, &replica, &second, &staging] {
        server.start();
        server.wait();
        eventually("it follows", || server.name == "primary" || follows(server));
    }
    let put = |server: &Server, number: u64| {
        let document = DocumentRequest { body: Some("x".into()), ..DocumentRequest::default() };
        let client = server.client("editor");
        block_on(client.put_document("main", &uri(0, number), &document, Match::Absent)).unwrap()
    };
    (0..20).for_each(|number| drop(put(&primary, number)));
    let last = put(&primary, 20).timestamp;
    eventually("it has all", || {
        json(&replica, &["status"])["databases"][0]["visible"].as_u64() >= Some(last.0)
    });

    // While it lives nobody is promoted by mistake.
    let refused = replica.command("admin", &["promote"]).output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(3) && text.contains("switchover"), "{text}");

    // What the replica never hears of: it is away.
    replica.kill();
    second.kill();
    let lost = put(&primary, 21).token;
    primary.kill();
    for server in [&replica, &second] {
        server.start();
        server.wait();
    }
    let plan = json(&replica, &["promote", "--plan"]);
    assert_eq!((&plan["promoted"], number(&plan["next_epoch"])), (&false.into(), 2), "{plan}");
    let promoted = json(&replica, &["promote", "--reason", "it was killed"]);
    assert_eq!(promoted["promoted"], true, "{promoted}");
    assert_eq!(role(&replica), "primary");
    put(&replica, 22);

    // A copy of the lost one goes elsewhere, and nowhere else is a copy made of a primary.
    let (url, token) = (replica.url(), replica.token("link-replica"));
    let arguments = ["follow", "--source", &url, "--source-token-file", &token.to_string_lossy()];
    assert_eq!(number(&json(&second, &arguments)["epoch"]), 2);
    eventually("it follows the new primary", || follows(&second));
    let (to_second, of_second) = (second.url(), second.token("link-replica"));
    let arguments = ["follow", "--source", &to_second, "--source-token-file", &of_second.to_string_lossy()];
    assert_eq!(replica.command("admin", &arguments).output().unwrap().status.code(), Some(3));
    assert_eq!(role(&replica), "primary");

    // It comes back, believes to be primary, and is told by the new one.
    primary.start();
    primary.wait();
    eventually("it becomes a replica", || role(&primary) == "replica" && follows(&primary));
    let refused = primary.client("editor");
    let document = DocumentRequest { body: Some("x".into()), ..DocumentRequest::default() };
    let refused = block_on(refused.put_document("main", &uri(0, 99), &document, Match::Absent)).unwrap_err();
    assert_eq!(
        refused.problem().and_then(|problem| problem.primary_url().map(str::to_owned)),
        Some(replica.url())
    );
    // Its journal begins anew, where it met the new history; all that can be read is equal.
    for copy in [&primary, &second, &staging] {
        let (url, token) = (copy.url(), copy.token("reader"));
        let arguments = ["verify", "--against", &url, "--against-token-file", &token.to_string_lossy()];
        done(&mut replica.command("reader", &arguments));
    }
    check_exports(&primary, &replica, "full");
    check_exports(&staging, &replica, "published");
    let mut found = BTreeMap::new();
    for server in [&primary, &replica] {
        let client = server.client("reader");
        for number in [20, 21, 22] {
            let read = block_on(client.document("main", &uri(0, number), &ReadQuery::default()));
            found.insert((server.name, number), read.is_ok());
        }
        // Who wrote what is lost is told so.
        let query = ReadQuery { at_least: Some(lost.to_string()), ..ReadQuery::default() };
        let read = block_on(client.document("main", &uri(0, 20), &query)).unwrap_err();
        assert_eq!(read.problem().map(|problem| problem.code.as_str()), Some("token-other-history"));
    }
    // It is not lost: the old primary lists it, with its author and its text.
    assert!(json_lines(&replica, &["orphans", "list"]).is_empty());
    let orphans = json_lines(&primary, &["orphans", "list"]);
    let of_document = |orphan: &&Value| orphan["documents"][0]["uri"] == uri(0, 21).as_str();
    let orphan = orphans.iter().find(of_document).unwrap();
    assert_eq!((&orphan["token"], &orphan["author"]), (&lost.to_string().into(), &"editor".into()));
    assert_eq!(orphan["is_whole"], true);
    let versions = json_lines(&primary, &["orphans", "show", &lost.to_string()]);
    assert_eq!((versions.len(), &versions[0]["body"]), (1, &"x".into()), "{versions:?}");
    // It comes back to the primary, with its text, its author and its id; and once.
    let none = replica.command("admin", &["orphans", "list"]).output().unwrap();
    let told = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(none.status.success() && told.contains("this server keeps none"), "{told}");
    let refused = primary.command("admin", &["orphans", "restore", "--all"]).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("primary_token"), "{told}");
    let token_file = replica.token("admin").to_string_lossy().into_owned();
    let restore = ["orphans", "restore", "--all", "--primary-token-file", &token_file];
    let answers = json_lines(&primary, &restore);
    let of_token = |answers: &[Value], outcome: &str| {
        answers.iter().any(|answer| answer["token"] == lost.to_string() && answer["outcome"] == outcome)
    };
    assert!(of_token(&answers, "restored"), "{answers:?}");
    let back =
        block_on(replica.client("reader").document("main", &uri(0, 21), &ReadQuery::default())).unwrap();
    assert_eq!((back.body.as_deref(), back.author.as_str(), back.version), (Some("x"), "editor", 1));
    assert_eq!(Value::from(back.id.to_string()), versions[0]["id"]);
    let again = json_lines(&primary, &restore);
    assert!(
        of_token(&again, "already") && again.iter().all(|answer| answer["outcome"] == "already"),
        "{again:?}"
    );
    // The keeper forgot, the primary did not.
    std::fs::remove_file(primary.folder.join("databases/main/orphans.restored")).unwrap();
    assert!(json_lines(&primary, &restore).iter().all(|answer| answer["outcome"] == "already"));
    let listed = json_lines(&primary, &["orphans", "list"]);
    assert!(listed.iter().all(|orphan| orphan["restored"].is_string()), "{listed:?}");
    let unknown = ["orphans", "restore", "1.5", "--primary-token-file", &token_file];
    let output = primary.command("admin", &unknown).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    // An editor of the primary may not.
    let editors = replica.token("editor").to_string_lossy().into_owned();
    std::fs::remove_file(primary.folder.join("databases/main/orphans.restored")).unwrap();
    let output = primary.command("admin", &["orphans", "restore", "--all", "--primary-token-file", &editors]);
    let output = { output }.output().unwrap();
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("takes admin"),
        "{output:?}"
    );
    assert_eq!(json(&primary, &["orphans", "discard", "--all"])["discarded"], orphans.len());
    assert!(json_lines(&primary, &["orphans", "list"]).is_empty());
    let expected = ["primary", "replica"]
        .into_iter()
        .flat_map(|name| [((name, 20), true), ((name, 21), false), ((name, 22), true)]);
    assert_eq!(found, expected.collect());
    println!("{}", String::from_utf8_lossy(&done(&mut primary.command("admin", &["status"])).stdout));
}
