//! The exact-copy check between processes, and the comparison with git.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use base64::Engine as _;
use serde_json::Value;

use super::collection::{Collection, Commit};
use apograph_bench::exact::{holder, journals};

use super::process::{Server, done, eventually};

/// Equal by `verify`, equal exports, equal journals; the published view of the primary is what a staging server holds.
/// Exempt: the `_` before the name of the open segment, and the zeros behind its end.
pub(crate) fn check_copies(primary: &Server, replicas: &[&Server], staging: &Server) {
    for copy in replicas.iter().copied().chain([staging]) {
        let (url, token) = (copy.url(), copy.token("reader"));
        let arguments = ["verify", "--against", &url, "--against-token-file", &token.to_string_lossy()];
        let output = done(&mut primary.command("reader", &arguments));
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("equal"), "{output:?}");
    }
    assert!(export(primary, "full").lines().count() > 100);
    for replica in replicas {
        check_exports(replica, primary, "full");
        eventually(&format!("{} has the primary's journal", replica.name), || {
            journals(&replica.folder) == journals(&primary.folder)
        });
    }
    check_exports(staging, primary, "published");
}

/// Both export the same bytes of a view, once the copy has what the primary writes of its own accord: it gives each replica
/// that follows it a document.
pub(crate) fn check_exports(copy: &Server, primary: &Server, view: &str) {
    eventually(&format!("{} exports the bytes of {}", copy.name, primary.name), || {
        export(copy, view) == export(primary, view)
    });
}

/// Both export the same bytes as of a time, however many: they are read side by side.
pub(crate) fn check_exports_as_of(at: &str, one: &Server, other: &Server) {
    let mut exports = [one, other].map(|server| {
        let mut command = server.command("reader", &["export", "--view", "full", "--as-of", at]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::with_capacity(1 << 20, child.stdout.take().unwrap());
        (child, lines)
    });
    let mut compared = 0;
    loop {
        let [(_, one_lines), (_, other_lines)] = &mut exports;
        let (left, right) = (one_lines.fill_buf().unwrap(), other_lines.fill_buf().unwrap());
        let length = left.len().min(right.len());
        assert!(
            left[..length] == right[..length],
            "{} and {} differ after {compared} bytes",
            one.name,
            other.name
        );
        assert_eq!(left.is_empty(), right.is_empty(), "one export ends after {compared} bytes");
        if length == 0 {
            break;
        }
        compared += length;
        one_lines.consume(length);
        other_lines.consume(length);
    }
    assert!(exports.iter_mut().all(|(child, _)| child.wait().unwrap().success()));
}

pub(crate) fn export(server: &Server, view: &str) -> String {
    String::from_utf8(done(&mut server.command("reader", &["export", "--view", view])).stdout).unwrap()
}

/// Working state, live state and history of the primary are those of the branch.
pub(crate) fn check_collection(primary: &Server, collection: &Collection) {
    let mut working = BTreeMap::new();
    let mut live = BTreeMap::new();
    let mut commits = BTreeMap::new();
    let mut contents: BTreeMap<(String, u64), Vec<u8>> = BTreeMap::new();
    let mut head = Value::Null;
    for line in export(primary, "full").lines() {
        let version: Value = serde_json::from_str(line).unwrap();
        // The first and the last line are of no document.
        let uri = version["uri"].as_str().unwrap_or("/_system/").to_owned();
        if uri.starts_with("/_system/") || uri.starts_with("/acknowledged/") {
            continue;
        }
        if version["head"].is_object() {
            head = version["head"].clone();
            continue;
        }
        let number = version["version"].as_u64().unwrap();
        if let Some(commit) =
            version["origin"]["external"].as_str().and_then(|name| name.strip_prefix("git:"))
        {
            commits.entry(commit.to_owned()).or_insert_with(|| commit_of(&version));
        }
        contents.insert((uri.clone(), number), content(&version));
        if head["working"]["number"] == number && head["state"] != "trashed" {
            let at = |version: &Value| contents[&(uri.clone(), version["number"].as_u64().unwrap())].clone();
            working.insert(uri.clone(), at(&head["working"]));
            live.insert(uri.clone(), at(&head["live"]));
        }
    }
    let files = collection.files();
    assert_eq!(
        working.keys().collect::<Vec<_>>(),
        files.keys().collect::<Vec<_>>(),
        "other documents than files"
    );
    for (uri, bytes) in &files {
        assert!(working[uri] == *bytes, "{uri} holds other bytes than its file");
    }
    assert!(working == live, "the head of the branch is published");
    let known = collection.commits();
    for (name, commit) in &commits {
        assert_eq!(Some(commit), known.get(name), "commit {name}");
    }
    check_transactions(primary, &known);
}

/// One transaction for every commit, no more and no less, by the journal's own account.
fn check_transactions(primary: &Server, known: &BTreeMap<String, Commit>) {
    let mut show = super::process::apograph();
    show.args(["journal", "show", "--output", "json"]).arg(&primary.folder);
    let shown = String::from_utf8(done(&mut show).stdout).unwrap();
    let mut transactions = BTreeMap::new();
    for line in shown.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let facts = &entry["facts"];
        let Some((_, commit)) = facts["cursor"].as_object().and_then(|cursor| cursor.iter().next()) else {
            continue;
        };
        let commit = commit.as_str().unwrap().to_owned();
        assert_eq!(facts["author"].as_str().unwrap(), known[&commit].author);
        assert_eq!(facts["comment"].as_str().unwrap().trim_end(), known[&commit].message);
        // A transaction over several partitions has an entry in each, with one timestamp.
        transactions.entry(commit).or_insert_with(BTreeSet::new).insert(entry["timestamp"].as_u64().unwrap());
    }
    assert_eq!(transactions.len(), known.len(), "commits and transactions");
    assert!(transactions.values().all(|timestamps| timestamps.len() == 1), "a commit arrived twice");
}

fn commit_of(version: &Value) -> Commit {
    let time = version["time"].as_str().unwrap();
    Commit {
        author: version["author"].as_str().unwrap().to_owned(),
        time_s: apograph_client::format::timestamp::parse_rfc3339(time).unwrap().div_euclid(1_000_000),
        message: version["comment"].as_str().unwrap().trim_end().to_owned(),
    }
}

fn content(version: &Value) -> Vec<u8> {
    let content = &version["content"];
    match (content["body"].as_str(), content["base64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(text)) => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
        (None, None) => Vec::new(),
    }
}

/// Searches every file of a server for bytes that must not be there.
pub(crate) fn check_absent(server: &Server, canary: &[u8]) {
    let found = holder(server, canary);
    assert_eq!(found, None, "{} holds what was never published", server.name);
}
