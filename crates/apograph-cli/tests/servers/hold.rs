//! Replicas of some partitions that lost their primary, as processes: the plan says which of them goes on, that one takes in
//! what the other has (killed on the way, and again), is promoted, and the other follows it without being made anew.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use apograph_client::client::Match;
use apograph_client::format::{Partitioning, Uri};
use apograph_client::types::{DocumentRequest, ReadQuery};
use serde_json::Value;

use super::process::{Server, apograph, block_on, done, eventually};

const KILLS: u64 = 4;

fn uri(n: usize) -> Uri {
    Uri::parse(&format!("/d/{n}")).unwrap()
}

fn write(server: &Server, numbers: std::ops::Range<usize>) {
    let client = server.client("editor");
    for n in numbers {
        let text = format!("text {n} {}", "x".repeat(500));
        let document = DocumentRequest { body: Some(text), ..DocumentRequest::default() };
        block_on(client.put_document("main", &uri(n), &document, Match::Any)).unwrap();
    }
}

fn json(server: &Server, role: &str, arguments: &[&str]) -> Value {
    let mut command = server.command(role, arguments);
    serde_json::from_slice(&done(command.args(["--output", "json"])).stdout).unwrap()
}

fn part(root: &Path, name: &'static str, primary: &Server, held: &[u16]) -> Server {
    let server = Server::init(root, name, "replica", Some((primary, "link-replica")), 0);
    server.configure(|database| database["held_partitions"] = held.into());
    server.start();
    server.wait();
    server
}

fn visible(server: &Server) -> u64 {
    server.status().unwrap().databases.first().map_or(0, |database| database.visible.0)
}

fn reports(primary: &Server, copy: &Server) -> bool {
    let links = json(primary, "admin", &["links"]);
    let is_it = |link: &Value| link["direction"] == "out" && link["peer"]["name"] == copy.name;
    links.as_array().unwrap().iter().any(is_it)
}

/// `hold` of a folder whose server is stopped.
fn hold(server: &Server, source: &Server, more: &[&str]) -> std::process::Command {
    let mut command = apograph();
    command.args(["hold", "--output", "json", "--dir"]).arg(&server.folder);
    command.args(["--source", &source.url(), "--source-token-file"]).arg(source.token("link-replica"));
    command.args(more);
    command
}

#[test]
fn a_set_of_parts_goes_on_without_its_primary() {
    let root = tempfile::tempdir().unwrap();
    let primary = Server::init(root.path(), "primary", "primary", None, 3);
    primary.start();
    primary.wait();
    let left = part(root.path(), "left", &primary, &[0, 2]);
    let right = part(root.path(), "right", &primary, &[1]);
    write(&primary, 0..300);
    // Named by the primary; a part hears of it at its next contact.
    for copy in [&left, &right] {
        eventually("it reports", || reports(&primary, copy));
    }
    eventually("they are named", || {
        let named = |name: &str| {
            let at = Uri::parse(&format!("/_system/servers/{name}")).unwrap();
            block_on(primary.client("reader").document("main", &at, &ReadQuery::default())).is_ok()
        };
        named("left") && named("right")
    });
    for copy in [&left, &right] {
        copy.stop();
        copy.start();
        copy.wait();
    }
    eventually("they have all", || {
        visible(&left) == visible(&primary) && visible(&right) == visible(&primary)
    });
    // `left` is away while more is written, so `right` shows more than the set has together.
    left.stop();
    write(&primary, 300..340);
    eventually("it has all", || visible(&right) == visible(&primary));
    primary.kill();
    left.start();
    left.wait();
    let (base, above) = (visible(&left), visible(&right));
    assert!(base < above);

    // The plan names the one at the common timestamp, wherever it is asked, and what stands against it.
    for [asked, other] in [[&left, &right], [&right, &left]] {
        let token = other.token("admin");
        let (url, token) = (other.url(), token.to_str().unwrap());
        let plan = json(asked, "admin", &["promote", "--plan", "--with", &url, "--with-token-file", token]);
        assert_eq!((&plan["common"], &plan["target"]), (&base.into(), &left.url().into()), "{plan}");
        assert_eq!(plan["take_in"][0]["from"], right.url(), "{plan}");
        assert_eq!(plan["take_in"][0]["partitions"], serde_json::json!([1]));
        assert_eq!(
            (&plan["above"][0]["url"], &plan["blocks"]),
            (&right.url().into(), &serde_json::json!([]))
        );
    }
    let (url, token) = (primary.url(), primary.token("admin"));
    let arguments = ["promote", "--plan", "--with", &url, "--with-token-file", token.to_str().unwrap()];
    let blocked = left.command("admin", &arguments).output().unwrap();
    let told = String::from_utf8(blocked.stdout).unwrap();
    assert_eq!(blocked.status.code(), Some(3));
    assert!(told.contains("BLOCKED    partitions-missing") && told.contains("unreachable"), "{told}");

    // A server that runs keeps its folder; the other way round nothing is taken in.
    let refused = hold(&left, &right, &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(8), "{}", String::from_utf8_lossy(&refused.stderr));
    right.stop();
    let refused = hold(&right, &left, &["--partitions", "0"]).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(3) && told.contains("make the one that is behind whole"), "{told}");
    right.start();
    right.wait();
    assert_eq!(visible(&right), above);

    // Killed on the way, and started again as what it was.
    left.stop();
    for kill in 1..=KILLS {
        let mut going = hold(&left, &right, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(15 * kill));
        let _ = going.kill();
        going.wait().unwrap();
        left.start();
        left.wait();
        assert_eq!(visible(&left), base, "kill {kill}");
        left.stop();
    }
    let held: Value = serde_json::from_slice(&done(&mut hold(&left, &right, &[])).stdout).unwrap();
    assert_eq!((&held["whole"], &held["held"]), (&true.into(), &serde_json::json!([0, 1, 2])), "{held}");
    assert_eq!(held["at"], base);
    left.start();
    left.wait();
    assert_eq!(visible(&left), base);

    // It goes on, and what was above is no part of the history.
    let plan = json(&left, "admin", &["promote", "--plan"]);
    assert_eq!((&plan["base"], &plan["blocks"]), (&base.into(), &serde_json::json!([])), "{plan}");
    assert_eq!(json(&left, "admin", &["promote", "--reason", "the primary is lost"])["promoted"], true);
    write(&left, 400..420);
    let lost = (300..340).map(uri).find(|uri| Partitioning::new(3).unwrap().of(uri).0 == 1).unwrap();
    let read = |server: &Server, uri: &Uri| {
        block_on(server.client("reader").document("main", uri, &ReadQuery::default())).is_ok()
    };
    assert!(!read(&left, &lost) && read(&right, &lost));

    // The other follows it, keeps what was cut off, and is equal.
    let (url, token) = (left.url(), left.token("link-replica"));
    let follow = ["follow", "--source", &url, "--source-token-file", token.to_str().unwrap()];
    done(&mut right.command("admin", &follow));
    let reader = left.token("reader");
    let against =
        ["verify", "--thorough", "--against", &url, "--against-token-file", reader.to_str().unwrap()];
    eventually("it is equal", || {
        visible(&right) == visible(&left)
            && right.command("reader", &against).output().unwrap().status.success()
    });
    assert!(!read(&right, &lost));
    let orphans = done(&mut right.command("admin", &["orphans", "list", "--output", "json"])).stdout;
    assert!(String::from_utf8(orphans).unwrap().contains(lost.as_str()));

    // The old primary comes back as a replica of the new one.
    primary.start();
    primary.wait();
    let follow = ["follow", "--source", &url, "--source-token-file", token.to_str().unwrap()];
    eventually("it becomes a replica", || {
        let _ = primary.command("admin", &follow).output().unwrap();
        primary.command("reader", &against).output().unwrap().status.success()
            && visible(&primary) == visible(&left)
    });
}
