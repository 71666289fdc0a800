//! Servers of two versions, each a process of its own: who follows whom, what the others say, and the documented order of
//! updates, under writes.
//!
//! The newer one is this very program: [`serve_as_next`] runs the server with other versions than its own. No option of the
//! shipped program can do that.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use apograph_client::client::Match;
use apograph_client::format::Uri;
use apograph_client::types::DocumentRequest;
use apograph_server::{Release, ServeOptions, Versions, serve};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::exact::check_copies;
use super::process::{Server, block_on, done, eventually};

const FOLDER: &str = "APOGRAPH_TEST_NEXT_FOLDER";
const OLDEST: &str = "APOGRAPH_TEST_NEXT_PROTOCOL_MIN";

/// Not a test: what [`next`] starts.
#[test]
#[ignore = "a server, started by other tests"]
fn serve_as_next() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let current = Versions::CURRENT;
    let versions = Versions {
        software: Release { minor: current.software.minor + 1, ..current.software },
        protocol: current.protocol + 1,
        protocol_min: std::env::var(OLDEST).unwrap().parse().unwrap(),
        ..current
    };
    let options = ServeOptions { listen: None, versions };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(serve(Path::new(&folder), options, CancellationToken::new(), |_| {})).unwrap();
}

/// Starts a server as the next version, which understands sources of `oldest` and later protocols.
fn start_as_next(server: &Server, oldest: u32) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "upgrade::serve_as_next", "--nocapture"]);
    command.env(FOLDER, OsString::from(&server.folder)).env(OLDEST, oldest.to_string());
    server.start_as(&mut command);
    server.wait();
}

fn json(server: &Server, arguments: &[&str]) -> Value {
    let output = done(server.command("admin", arguments).args(["--output", "json"]));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The link of a server in this direction.
fn link(server: &Server, direction: &str, peer: &str) -> Option<Value> {
    let links = json(server, &["links"]);
    let of =
        |link: &&Value| link["direction"] == direction && (direction == "in" || link["peer"]["name"] == peer);
    links.as_array().unwrap().iter().find(of).cloned()
}

fn follows(server: &Server) -> bool {
    link(server, "in", "").is_some_and(|link| link["state"] == "following")
}

/// The reason of a link that is paused.
fn paused(server: &Server, direction: &str, peer: &str) -> Option<String> {
    let link = link(server, direction, peer)?;
    (link["state"] == "paused").then(|| link["reason"].as_str().unwrap_or_default().to_owned())
}

fn put(server: &Server, numbers: std::ops::Range<u32>) {
    let client = server.client("editor");
    for number in numbers {
        let document = DocumentRequest { body: Some(format!("text {number}")), ..DocumentRequest::default() };
        let uri = Uri::parse(&format!("/a/{number}")).unwrap();
        block_on(client.put_document("main", &uri, &document, Match::Any)).unwrap();
    }
}

fn servers(root: &Path) -> [Server; 3] {
    let primary = Server::init(root, "primary", "primary", None, 2);
    let replica = Server::init(root, "replica", "replica", Some((&primary, "link-replica")), 0);
    let staging = Server::init(root, "staging", "staging", Some((&replica, "link-staging")), 0);
    [primary, replica, staging]
}

#[test]
fn updated_copies_first_and_the_primary_by_a_switchover_every_copy_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let [primary, replica, staging] = servers(root.path());
    for server in [&primary, &replica, &staging] {
        server.start();
        server.wait();
    }
    put(&primary, 0..60);
    eventually("all follow", || follows(&replica) && follows(&staging));

    // Copies first, the furthest one first of all.
    staging.stop();
    start_as_next(&staging, 1);
    eventually("the newer staging server follows the older replica", || follows(&staging));
    replica.stop();
    start_as_next(&replica, 1);
    eventually("the newer replica follows the older primary", || follows(&replica) && follows(&staging));
    put(&primary, 60..70);
    let seen = || link(&primary, "out", "replica").map(|link| link["peer"]["protocol"].clone());
    eventually("the primary says what its copy runs", || seen() == Some(2.into()));

    // Then the role, and the last server.
    eventually("it reports", || {
        link(&primary, "out", "replica").is_some_and(|link| link["state"] == "following")
    });
    let answer = json(&primary, &["switchover", "--to", "replica"]);
    assert_eq!(answer["confirmed"], true, "{answer}");
    put(&replica, 70..80);
    eventually("the former primary is older than its source", || paused(&primary, "in", "").is_some());
    primary.stop();
    start_as_next(&primary, 1);
    eventually("it goes on by itself", || follows(&primary) && follows(&staging));
    put(&replica, 80..90);
    check_copies(&replica, &[&primary], &staging);
    let status = json(&replica, &["status"]);
    assert_eq!((&status["protocol"], &status["software"]), (&2.into(), &next_software().into()));
}

#[test]
fn an_older_copy_of_a_newer_source_pauses_and_says_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let [primary, replica, staging] = servers(root.path());
    for server in [&primary, &replica, &staging] {
        server.start();
        server.wait();
    }
    put(&primary, 0..60);
    eventually("all follow", || follows(&replica) && follows(&staging));

    // The wrong way round.
    primary.stop();
    start_as_next(&primary, 1);
    put(&primary, 60..70);
    eventually("the link is paused", || paused(&replica, "in", "").is_some());
    let reason = paused(&replica, "in", "").unwrap();
    let facts = format!(
        "source-newer: the source runs {} (protocol 2, format 1), this server {}; update this server",
        next_software(),
        Versions::CURRENT
    );
    assert!(reason.starts_with(&facts), "{reason}");
    eventually("its source knows, too", || paused(&primary, "out", "replica").as_ref() == Some(&reason));
    assert!(follows(&staging), "copies of the copy go on with what it has");
    let why = replica.command("reader", &["why", "/a/65"]).output().unwrap();
    let text = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.status.code() == Some(1) && text.contains("source-newer"), "{text}");
    assert!(text.contains("update what the reason names; the link goes on by itself then"), "{text}");
    let metrics = metrics(&replica);
    let skew = metrics.lines().find(|line| line.starts_with("apograph_link_version_skew{"));
    assert!(skew.is_some_and(|line| line.ends_with(" 1")), "{skew:?}");
    assert!(
        metrics.contains(&format!(
            "apograph_versions{{software=\"{}\",protocol=\"1\"",
            Versions::CURRENT.software
        ))
    );
    // Nobody gives the role to it.
    let refused =
        primary.command("admin", &["switchover", "--to", "replica", "--timeout", "2"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");

    // A copy that does not understand its source's protocol any more.
    staging.stop();
    start_as_next(&staging, 2);
    eventually("the link is paused", || paused(&staging, "in", "").is_some());
    let reason = paused(&staging, "in", "").unwrap();
    assert!(
        reason.starts_with("source-older: the source runs") && reason.contains("update the source"),
        "{reason}"
    );

    replica.stop();
    start_as_next(&replica, 1);
    eventually("all go on by themselves", || follows(&replica) && follows(&staging));
    check_copies(&primary, &[&replica], &staging);
}

/// What Prometheus would be given.
fn metrics(server: &Server) -> String {
    let token = std::fs::read_to_string(server.token("reader")).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        token.trim()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn next_software() -> String {
    let current = Versions::CURRENT.software;
    Release { minor: current.minor + 1, ..current }.to_string()
}
