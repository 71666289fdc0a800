//! Writes that are answered when replicas have them on disk: whatever dies right after the answer, the copy has them in
//! its journal, and a copy that takes over has them in its history.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apograph_client::client::{ClientSettings, Match};
use apograph_client::format::{Durability, Timestamp, Uri};
use apograph_client::types::{DocumentRequest, ReadQuery};
use apograph_client::{Client, Secret};
use serde_json::Value;

use super::exact::check_copies;
use super::process::{Server, block_on, done, eventually};

const WRITERS: usize = 4;
const KILLS: usize = 4;

fn json(server: &Server, arguments: &[&str]) -> Value {
    let mut command = server.command("admin", arguments);
    let output = done(command.args(["--output", "json"]));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn follows(server: &Server) -> bool {
    let links = json(server, &["links"]);
    links.as_array().unwrap().iter().any(|link| link["direction"] == "in" && link["state"] == "following")
}

fn client(server: &Server, replicas: usize) -> Client {
    let secret = Secret::from_file(&server.token("editor")).unwrap();
    let settings = ClientSettings::new(server.url()).with_secret(secret);
    let within = Some(Duration::from_secs(20));
    Client::new(settings.with_durability(Some(Durability::of(replicas)), within)).unwrap()
}

fn servers(root: &std::path::Path, partitions: u16) -> [Server; 3] {
    let primary = Server::init(root, "primary", "primary", None, partitions);
    let replica = Server::init(root, "replica", "replica", Some((&primary, "link-replica")), 0);
    let staging = Server::init(root, "staging", "staging", Some((&primary, "link-staging")), 0);
    for server in [&primary, &replica, &staging] {
        server.start();
        server.wait();
        eventually("it follows", || server.name == "primary" || follows(server));
    }
    eventually("the replica counts", || {
        let put = ["put", "/probe", "-m", "probe", "--durability", "replicas=1", "--within", "200ms"];
        primary.command("editor", &put).output().unwrap().status.success()
    });
    [primary, replica, staging]
}

fn uri(round: usize, writer: usize, number: u64) -> Uri {
    Uri::parse(&format!("/w/{round}/{writer}/{number}")).unwrap()
}

/// Commit times of all entries in the journals of a folder, as the files say; no server runs on it.
fn in_journals(server: &Server) -> BTreeSet<u64> {
    let mut command = super::process::apograph();
    command.args(["journal", "show", "--output", "json"]).arg(&server.folder);
    let output = done(&mut command);
    let text = String::from_utf8(output.stdout).unwrap();
    let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    entries.map(|entry| entry["timestamp"].as_u64().unwrap()).collect()
}

/// Writes until the server dies; keeps the times of what was answered as on one replica.
fn write(primary: &Server, round: usize, writer: usize, answered: &Mutex<Vec<Timestamp>>, over: &AtomicBool) {
    let client = client(primary, 1);
    for number in 0.. {
        let document = DocumentRequest { body: Some("x".repeat(200)), ..DocumentRequest::default() };
        let at = uri(round, writer, number);
        match block_on(client.put_document("main", &at, &document, Match::Absent)) {
            Ok(answer) => {
                let durability = answer.durability.unwrap();
                assert!(durability.is_reached(), "{durability:?}");
                assert_eq!(durability.replicas, ["replica"]);
                answered.lock().unwrap().push(answer.timestamp);
            }
            Err(error) => {
                assert!(over.load(Ordering::Acquire), "{error}: {:?}", error.problem());
                return;
            }
        }
    }
}

#[test]
fn what_was_answered_as_replicated_is_in_the_copys_journal_when_everything_dies() {
    let root = tempfile::tempdir().unwrap();
    let [primary, replica, staging] = servers(root.path(), 3);
    let mut total = 0;
    for round in 0..KILLS {
        let (answered, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (primary, answered, over) = (&primary, &answered, &over);
                scope.spawn(move || write(primary, round, writer, answered, over));
            }
            eventually("clients write", || answered.lock().unwrap().len() > 40 * (round + 1));
            over.store(true, Ordering::Release);
            // Both at once: what the copy has not got by the answer it never gets.
            replica.kill();
            primary.kill();
        });
        let (answered, there) = (answered.into_inner().unwrap(), in_journals(&replica));
        for timestamp in &answered {
            assert!(there.contains(&timestamp.0), "{timestamp} was answered, and the copy does not have it");
        }
        total += answered.len();
        for server in [&primary, &replica] {
            server.start();
            server.wait();
        }
        eventually("both copies follow", || follows(&replica) && follows(&staging));
    }
    println!("{total} writes were answered as on one replica, and all were in its journal, {KILLS} times");
    check_copies(&primary, &[&replica], &staging);
}

#[test]
fn a_copy_that_takes_over_has_all_that_was_answered_as_replicated() {
    let root = tempfile::tempdir().unwrap();
    let [primary, replica, staging] = servers(root.path(), 2);
    drop(staging);
    let (answered, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (primary, answered, over) = (&primary, &answered, &over);
            scope.spawn(move || write(primary, 0, writer, answered, over));
        }
        eventually("clients write", || answered.lock().unwrap().len() > 100);
        over.store(true, Ordering::Release);
        primary.kill();
    });
    let promoted = json(&replica, &["promote", "--force", "--reason", "the primary is gone"]);
    assert_eq!(promoted["promoted"], true);
    let reader = replica.client("reader");
    for timestamp in answered.into_inner().unwrap() {
        let query = ReadQuery { at_least: Some(format!("1.{}", timestamp.0)), ..ReadQuery::default() };
        let read = block_on(reader.document("main", &uri(0, 0, 0), &query));
        assert!(read.is_ok(), "{timestamp}: {read:?}");
    }
}

#[test]
fn the_command_line_says_what_was_reached_and_its_exit_status_does() {
    let root = tempfile::tempdir().unwrap();
    let [primary, replica, staging] = servers(root.path(), 1);
    let put = |more: &[&str]| {
        let arguments = [&["put", "/news/a", "--property", "a=1"][..], more].concat();
        primary.command("editor", &arguments).output().unwrap()
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let reached = put(&["--durability", "replicas=1", "--within", "10s"]);
    assert!(text(&reached.stdout).contains("durable here and on replica, after"), "{reached:?}");
    println!("{}", text(&reached.stdout));
    replica.stop();
    let missed = put(&["--durability", "replicas=1", "--within", "500ms"]);
    assert_eq!(missed.status.code(), Some(10), "{missed:?}");
    assert!(
        text(&missed.stdout).contains("COMMITTED, but durable here and on no replica only"),
        "{missed:?}"
    );
    println!("{}", text(&missed.stdout));
    let missed = put(&["--durability", "replicas=1", "--within", "500ms", "--output", "json"]);
    let answer: Value = serde_json::from_slice(&missed.stdout).unwrap();
    assert_eq!(
        (&answer["results"][0]["version"], &answer["durability"]["missed"]),
        (&3.into(), &"deadline".into())
    );
    assert!(text(&missed.stderr).contains("\"exit_status\":10"), "{missed:?}");
    for wrong in [["--durability", "replicas=0"], ["--within", "5"]] {
        assert_eq!(put(&wrong).status.code(), Some(2));
    }
    replica.start();
    replica.wait();
    eventually("it follows again", || follows(&replica));
    // How long replicas take, besides; a number to look at, not to fail by.
    let document = DocumentRequest { body: Some("x".into()), ..DocumentRequest::default() };
    for replicas in [0, 1, 0, 1] {
        let client = client(&primary, replicas);
        let mut took: Vec<_> = (0..200)
            .map(|number| {
                let begun = Instant::now();
                let at = uri(replicas, 0, number);
                block_on(client.put_document("main", &at, &document, Match::Any)).unwrap();
                begun.elapsed()
            })
            .collect();
        took.sort();
        println!("replicas {replicas}: median {:?}, 99 of 100 within {:?}", took[100], took[198]);
    }
    check_copies(&primary, &[&replica], &staging);
}

/// Stops or continues the process of a server, as `kill -STOP` does.
fn signal(server: &Server, signal: &str) {
    let process = server.process_id().unwrap().to_string();
    done(std::process::Command::new("kill").args([signal, &process]));
}

#[test]
fn a_frozen_copy_holds_writes_as_set_and_lets_them_go_when_it_is_back() {
    let root = tempfile::tempdir().unwrap();
    let [primary, replica, staging] = servers(root.path(), 2);
    let text = |arguments: &[&str]| {
        let output = done(&mut primary.command("admin", arguments));
        String::from_utf8(output.stdout).unwrap()
    };
    let set = ["lag-limit", "replica", "--seconds", "2", "--action", "stall"];
    let set = [&set[..], &["--on-lost-contact", "stall", "--contact", "2", "--stall", "30"]].concat();
    println!("{}", text(&set));
    // A staging server holds a part: it has no limit.
    eventually("the staging server reports", || {
        let refused =
            ["lag-limit", "staging", "--entries", "1", "--action", "warn", "--on-lost-contact", "warn"];
        primary.command("admin", &refused).output().unwrap().status.code() == Some(3)
    });
    if text(&["lag-limit"]).contains("staging") {
        text(&["lag-limit", "staging", "--off"]);
    }
    let (over, written) = (AtomicBool::new(false), Mutex::new(0_u64));
    let longest = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (client, mut longest) = (client(&primary, 0), Duration::ZERO);
            for number in 0.. {
                if over.load(Ordering::Acquire) {
                    return longest;
                }
                let document = DocumentRequest { body: Some("x".into()), ..DocumentRequest::default() };
                let begun = Instant::now();
                // Nobody sees an error, only the wait.
                block_on(client.put_document("main", &uri(7, 0, number), &document, Match::Absent)).unwrap();
                longest = longest.max(begun.elapsed());
                *written.lock().unwrap() = number + 1;
            }
            longest
        });
        eventually("clients write", || *written.lock().unwrap() > 50);
        signal(&replica, "-STOP");
        eventually("writes wait", || {
            let gate = &json(&primary, &["status"])["databases"][0]["gate"];
            gate["action"] == "stall" && gate["waiting"] == 1
        });
        println!("{}", text(&["status"]));
        println!("{}", text(&["lag-limit"]));
        let before = *written.lock().unwrap();
        // Reads and other members go on; who would rather know than wait is told at once when that is set.
        assert!(text(&["ls", "/w/7/", "--limit", "1"]).contains("/w/7/"));
        let reject = ["lag-limit", "replica", "--seconds", "2", "--action", "reject"];
        let reject = [&reject[..], &["--on-lost-contact", "warn", "--contact", "50"]].concat();
        assert_eq!(*written.lock().unwrap(), before, "nothing was written meanwhile");
        signal(&replica, "-CONT");
        eventually("writes go on by themselves", || *written.lock().unwrap() > before + 50);
        over.store(true, Ordering::Release);
        let longest = writer.join().unwrap();
        text(&reject);
        longest
    });
    assert!(longest < Duration::from_secs(30));
    println!("the longest write waited {longest:?}");
    signal(&replica, "-STOP");
    eventually("writes are refused", || {
        let put = primary.command("editor", &["put", "/x", "-m", "x"]).output().unwrap();
        let said = String::from_utf8_lossy(&put.stderr).into_owned();
        let is_refused =
            put.status.code() == Some(3) && said.contains("writes are kept back for the copy replica");
        if is_refused {
            println!("{said}");
        }
        is_refused
    });
    signal(&replica, "-CONT");
    assert!(text(&["lag-limit", "replica", "--off"]).contains("no copy has a limit"));
    done(&mut primary.command("editor", &["put", "/x", "-m", "x"]));
    eventually("both copies follow", || follows(&replica) && follows(&staging));
    check_copies(&primary, &[&replica], &staging);
}
