//! A database goes back to an earlier moment, and back again, while copies follow; and the primary is killed in the middle.

use std::collections::BTreeMap;

use apograph_client::client::Match;
use apograph_client::format::{Timestamp, Uri};
use apograph_client::types::{DocumentRequest, RollbackAnswer, RollbackRequest};
use serde_json::Value;

use super::exact::{check_copies, export};
use super::process::{Server, block_on, done, eventually};

const DOCUMENTS: u32 = 150;

/// Working and live texts with their states, by an export.
fn seen(export: &str) -> BTreeMap<String, Value> {
    let mut seen: BTreeMap<String, Value> = BTreeMap::new();
    let mut head = Value::Null;
    for line in export.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(uri) = line["uri"].as_str().filter(|uri| !uri.starts_with("/_system/servers/")) else {
            continue;
        };
        if line["head"].is_object() {
            head = line["head"].clone();
            if head["state"] != "trashed" && head["state"] != "purged" {
                seen.insert(uri.to_owned(), serde_json::json!({ "state": head["state"] }));
            }
            continue;
        }
        for which in ["working", "live"] {
            if let (true, Some(seen)) = (head[which]["number"] == line["version"], seen.get_mut(uri)) {
                seen[which] = serde_json::json!([line["type"], line["properties"], line["content"]["body"]]);
            }
        }
    }
    seen
}

fn uri(number: u32) -> Uri {
    Uri::parse(&format!("/a/{number}")).unwrap()
}

fn put(server: &Server, number: u32, text: &str) -> Timestamp {
    let document = DocumentRequest { body: Some(text.to_owned()), ..DocumentRequest::default() };
    let client = server.client("editor");
    block_on(client.put_document("main", &uri(number), &document, Match::Any)).unwrap().timestamp
}

fn say(server: &Server, arguments: &[&str]) {
    done(&mut server.command("admin", arguments));
}

fn json(server: &Server, arguments: &[&str]) -> Value {
    let output = done(server.command("admin", arguments).args(["--output", "json"]));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn there_and_back_again_also_through_a_crash() {
    let root = tempfile::tempdir().unwrap();
    let primary = Server::init(root.path(), "primary", "primary", None, 3);
    let replica = Server::init(root.path(), "replica", "replica", Some((&primary, "link-replica")), 0);
    let staging = Server::init(root.path(), "staging", "staging", Some((&replica, "link-staging")), 0);
    for server in [&primary, &replica, &staging] {
        server.start();
        server.wait();
    }
    for number in 0..DOCUMENTS {
        put(&primary, number, "then");
        if number % 3 == 0 {
            say(&primary, &["publish", uri(number).as_str()]);
        }
    }
    let to = put(&primary, 0, "the last of then").to_string();
    let then = seen(&export(&primary, "full"));
    for number in 0..DOCUMENTS {
        put(&primary, number, "now");
    }
    say(&primary, &["publish", "/a/1"]);
    say(&primary, &["withdraw", "/a/3"]);
    say(&primary, &["trash", "/a/4"]);
    say(&primary, &["move", "/a/5", "/moved"]);
    put(&primary, DOCUMENTS, "new");
    say(&primary, &["publish", &format!("/a/{DOCUMENTS}")]);
    let before = seen(&export(&primary, "full"));
    assert_ne!(then, before);

    // Asked first: nothing happens. A copy knows it as well as the primary.
    let ask = |server: &Server| {
        eventually("the copy is as far", || {
            json(server, &["status"])["databases"][0]["visible"].as_u64()
                >= json(&primary, &["status"])["databases"][0]["visible"].as_u64()
        });
        let output =
            done(server.command("admin", &["rollback", "--to", &to, "--dry-run"]).args(["--output", "json"]));
        String::from_utf8(output.stdout).unwrap()
    };
    let lines = ask(&primary);
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["progress"]["documents"], DOCUMENTS + 2, "{last}");
    assert_eq!(lines.lines().count() as u32, DOCUMENTS + 3);
    assert_eq!(ask(&replica).lines().next(), lines.lines().next());
    let unsure = primary.command("admin", &["rollback", "--to", &to]).output().unwrap();
    assert_eq!(unsure.status.code(), Some(2), "{unsure:?}");
    assert_eq!(seen(&export(&primary, "full")), before);
    let late = replica.command("admin", &["rollback", "--to", &to, "--yes"]).output().unwrap();
    let text = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(late.status.code() == Some(3) && text.contains("edits go to its primary"), "{text}");

    // In small steps, and the primary is killed in the middle.
    let request = RollbackRequest { to: to.clone(), comment: None, documents_max: Some(1) };
    block_on(async {
        let client = primary.client("admin");
        let mut answers = client.roll_back("main", &request).await.unwrap();
        for _ in 0..5 {
            let answer = answers.next().await.unwrap().unwrap();
            assert!(matches!(answer, RollbackAnswer::Progress(_)), "{answer:?}");
        }
        primary.kill();
    });
    primary.start();
    primary.wait();
    let status = json(&primary, &["status"]);
    let of = &status["databases"][0];
    assert_eq!((&of["rollback"]["done"], &of["rollback"]["to"].to_string()), (&false.into(), &to), "{of}");
    let from = of["rollback"]["from"].to_string();
    assert!(of["alarms"].to_string().contains(&format!("apograph rollback --to {to}")), "{of}");
    assert_ne!(seen(&export(&primary, "full")), then);

    let done_once = json_last(&primary, &["rollback", "--to", &to, "--yes", "-m", "the importer went mad"]);
    assert_eq!(done_once["from"].to_string(), from, "the moment before it began: {done_once}");
    assert_eq!(seen(&export(&primary, "full")), then);
    assert_eq!(json(&primary, &["status"])["databases"][0]["alarms"], serde_json::json!([]));
    check_copies(&primary, &[&replica], &staging);

    let again = json_last(&primary, &["rollback", "--to", &to, "--yes"]);
    assert_eq!(again["progress"]["transactions"], 0, "{again}");
    let back = json_last(&primary, &["rollback", "--to", &from, "--yes"]);
    assert_eq!(back["progress"]["transactions"], 1, "{back}");
    assert_eq!(seen(&export(&primary, "full")), before);
    check_copies(&primary, &[&replica], &staging);

    // What was purged since cannot come back, and is said.
    say(&primary, &["purge", "/a/7", "--yes"]);
    let output = primary.command("admin", &["rollback", "--to", &to, "--yes"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("LOST  /a/7  purged  it was purged since: nothing brings it back"), "{text}");
    check_copies(&primary, &[&replica], &staging);
}

fn json_last(server: &Server, arguments: &[&str]) -> Value {
    let output = done(server.command("admin", arguments).args(["--output", "json"]));
    serde_json::from_str(String::from_utf8(output.stdout).unwrap().lines().last().unwrap()).unwrap()
}
