//! What an operator types at a copy: pause, throttle, sync, resume; in words, as JSON, with exit statuses.

use std::process::Output;

use serde_json::Value;

use super::process::{Server, done, eventually};

fn link(server: &Server) -> Value {
    let output = done(&mut server.command("admin", &["links", "--output", "json"]));
    let links: Value = serde_json::from_slice(&output.stdout).unwrap();
    links[0].clone()
}

fn text(server: &Server, arguments: &[&str]) -> String {
    String::from_utf8(done(&mut server.command("admin", arguments)).stdout).unwrap()
}

fn tried(server: &Server, arguments: &[&str]) -> (Output, Option<i32>) {
    let output = server.command("admin", arguments).output().unwrap();
    let status = output.status.code();
    (output, status)
}

#[test]
fn an_operator_at_a_copy() {
    let root = tempfile::tempdir().unwrap();
    let primary = Server::init(root.path(), "primary", "primary", None, 1);
    let replica = Server::init(root.path(), "replica", "replica", Some((&primary, "link-replica")), 0);
    for server in [&primary, &replica] {
        server.start();
        server.wait();
    }
    let content = root.path().join("content");
    std::fs::write(&content, "text of a document ".repeat(50)).unwrap();
    let put = |uri: &str| {
        done(&mut primary.command("editor", &["put", uri, &content.to_string_lossy()]));
    };
    put("/a");
    eventually("it follows", || link(&replica)["state"] == "following");

    assert!(text(&replica, &["pause"]).contains("\n  paused for "));
    assert!(text(&replica, &["throttle", "2M"]).contains("  throttle   2.0 MB/s\n"));
    put("/b");
    // A killed server is still paused, and so its source sees it.
    replica.kill();
    replica.start();
    replica.wait();
    eventually("both ends say so", || {
        link(&replica)["state"] == "paused" && text(&primary, &["links"]).contains("\n  paused for ")
    });
    let (output, status) = tried(&replica, &["sync", "--wait"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(status == Some(3) && error.contains("resume lets it go on"), "{status:?} {error}");
    assert!(text(&replica, &["links"]).contains("progress   not begun yet"));

    assert!(text(&replica, &["resume"]).contains("  reason     resumed: "));
    let answer = text(&replica, &["sync", "--wait", "--max-versions", "0"]);
    assert!(answer.contains("\n  following for "), "{answer}");
    let measure: Value =
        serde_json::from_str(&text(&replica, &["sync", "--dry-run", "--output", "json"])).unwrap();
    assert_eq!((&measure["documents"], &measure["bytes"]), (&0.into(), &0.into()), "{measure}");
    assert_eq!(text(&primary, &["export"]), text(&replica, &["export"]));

    assert_eq!(tried(&primary, &["pause"]).1, Some(3), "a primary has no link to pause");
    assert_eq!(tried(&replica, &["throttle", "a lot"]).1, Some(2));
    assert_eq!(tried(&replica, &["sync", "--since", "soon"]).1, Some(2));
    assert_eq!(tried(&replica, &["sync", "--since", "2020-01-01", "--full"]).1, Some(2));
    let denied = replica.command("reader", &["pause"]).output().unwrap();
    assert_eq!(denied.status.code(), Some(5));
}
