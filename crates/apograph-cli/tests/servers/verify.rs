//! `verify` on pairs that are equal, and on pairs that are not: what differs is named.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::process::{Server, done, eventually};

/// Exit status and verdict.
fn verify(one: &Server, other: &Server, more: &[&str]) -> (i32, Value) {
    let (url, token) = (other.url(), other.token("reader"));
    let token = token.to_string_lossy();
    let mut arguments = vec!["verify", "--against", &url, "--against-token-file", &token, "--output", "json"];
    arguments.extend(more);
    let output = one.command("reader", &arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let verdict = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{more:?}: {error}"));
    (output.status.code().unwrap(), verdict)
}

/// Waits until the other one has everything that this one had.
fn arrived(one: &Server, other: &Server) {
    let (url, token) = (other.url(), other.token("reader"));
    let arguments = ["verify", "--against", &url, "--against-token-file", &token.to_string_lossy()];
    eventually("it is equal", || {
        let output = one.command("reader", &arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).starts_with("equal")
            && !String::from_utf8_lossy(&output.stdout).contains("behind")
    });
}

fn edit(server: &Server, arguments: &[&str]) {
    done(&mut server.command("admin", arguments));
}

/// `URI: what`, of every difference.
fn listed(verdict: &Value) -> Vec<String> {
    let differences = verdict["differences"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let differences = differences.filter(|found| found["uri"] != "/end");
    differences.map(|found| format!("{}: {}", text(&found["uri"]), text(&found["what"]))).collect()
}

/// The details of one document, without values that are different each time.
fn details(verdict: &Value, uri: &str) -> Vec<String> {
    let differences = verdict["differences"].as_array().unwrap();
    let found =
        differences.iter().find(|found| found["uri"] == uri).unwrap_or_else(|| panic!("{uri}: {verdict}"));
    let text = |detail: &Value| {
        let members = ["differs", "field", "version", "members"].map(|name| detail[name].to_string());
        let known = members.iter().filter(|text| *text != "null").map(|text| text.replace('"', ""));
        known.collect::<Vec<_>>().join(" ")
    };
    found["details"].as_array().unwrap().iter().map(text).collect()
}

fn large(path: &Path, byte: u8) -> PathBuf {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|index| byte ^ (index * 31 % 251) as u8).collect();
    fs::write(path, bytes).unwrap();
    path.to_owned()
}

#[test]
fn equal_servers_by_digest_by_prefix_by_document_and_byte_by_byte() {
    let root = tempfile::tempdir().unwrap();
    let primary = Server::init(root.path(), "primary", "primary", None, 3);
    let staging = Server::init(root.path(), "staging", "staging", Some((&primary, "link-staging")), 0);
    for server in [&primary, &staging] {
        server.start();
        server.wait();
    }
    let file = large(&root.path().join("large"), 1);
    edit(&primary, &["put", "/news/film", &file.to_string_lossy(), "--publish"]);
    edit(&primary, &["put", "/news/draft"]);
    edit(&primary, &["put", "/other", "--publish"]);
    arrived(&primary, &staging);
    for more in [
        &[][..],
        &["--thorough"],
        &["--prefix", "/news/"],
        &["--prefix", "/news/", "--thorough"],
        &["--document", "/news/film"],
    ] {
        let (exit, verdict) = verify(&primary, &staging, more);
        assert_eq!(
            (exit, &verdict["equal"], &verdict["view"]),
            (0, &true.into(), &"published".into()),
            "{verdict}"
        );
    }
    // Of the documents below the prefix one is published, and it is one document however many lines it takes.
    let (_, verdict) = verify(&primary, &staging, &["--prefix", "/news/", "--thorough"]);
    assert_eq!(verdict["documents"], 1);
    assert_eq!(verify(&primary, &staging, &["--prefix", "/nowhere"]).1["documents"], 0);

    // Both go on while they are compared.
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..60 {
                edit(&primary, &["put", "/news/live", "--property", &format!("n={number}"), "--publish"]);
            }
        });
        while !writer.is_finished() {
            for more in [&["--prefix", "/news/"][..], &["--thorough"], &["--document", "/news/live"]] {
                let (exit, verdict) = verify(&primary, &staging, more);
                assert_eq!(exit, 0, "{verdict}");
            }
        }
    });
}

#[test]
fn two_primaries_of_one_database_that_went_apart() {
    let root = tempfile::tempdir().unwrap();
    let one = Server::init(root.path(), "one", "primary", None, 3);
    one.start();
    one.wait();
    for uri in ["/news/1", "/news/2", "/news/3", "/news/4", "/same"] {
        edit(&one, &["put", uri, "--property", "a=1", "--publish"]);
    }
    one.stop();
    let other = twin(&one, root.path());
    for server in [&one, &other] {
        server.start();
        server.wait();
    }
    let file = large(&root.path().join("large"), 1);
    edit(&one, &["put", "/news/1", "--property", "a=2", "-m", "here"]);
    edit(&one, &["trash", "/news/2"]);
    edit(&one, &["put", "/only/here", &file.to_string_lossy()]);
    edit(&other, &["put", "/news/1", "--property", "a=3", "-m", "there"]);
    edit(&other, &["put", "/news/1", "--property", "a=4"]);
    edit(&other, &["lock", "/news/3", "--for", "1h"]);
    edit(&other, &["purge", "/news/4", "--yes"]);
    edit(&other, &["put", "/only/there"]);
    // What is compared is what was written before the last writes of both.
    edit(&one, &["put", "/end"]);
    edit(&other, &["put", "/end"]);

    let (exit, verdict) = verify(&one, &other, &["--wait", "1"]);
    assert_eq!((exit, &verdict["view"]), (1, &"full".into()), "{verdict}");
    let expected = [
        "/_system/servers/one: different",
        "/news/1: different",
        "/news/2: different",
        "/news/3: different",
        "/news/4: different",
        "/only/here: only-here",
        "/only/there: only-there",
    ];
    assert_eq!(listed(&verdict), expected);
    let one_news = details(&verdict, "/news/1");
    assert!(one_news.contains(&"version 2 [comment,id,properties,time]".to_owned()), "{one_news:?}");
    assert!(one_news.contains(&"version-only-there 3".to_owned()), "{one_news:?}");
    assert!(one_news.contains(&"head working".to_owned()), "{one_news:?}");
    assert_eq!(details(&verdict, "/news/2"), ["head changed", "head live", "head state"]);
    assert_eq!(details(&verdict, "/news/3"), ["head changed", "head lock"]);
    assert!(details(&verdict, "/news/4").contains(&"version-only-here 1".to_owned()), "{verdict}");

    // The same documents are found by reading every byte, and by each part.
    let (_, thorough) = verify(&one, &other, &["--wait", "1", "--thorough"]);
    assert_eq!(thorough["differences"], verdict["differences"]);
    let (exit, below) = verify(&one, &other, &["--wait", "1", "--prefix", "/news/"]);
    assert_eq!((exit, listed(&below)), (1, expected[1..5].iter().map(|text| (*text).to_owned()).collect()));
    assert_eq!(verify(&one, &other, &["--wait", "1", "--document", "/same"]).0, 0);
    assert_eq!(verify(&one, &other, &["--wait", "1", "--document", "/news/3"]).0, 1);
    let (exit, published) = verify(&one, &other, &["--wait", "1", "--view", "published"]);
    assert_eq!(exit, 1);
    assert_eq!(
        listed(&published),
        ["/_system/servers/one: different", "/news/2: only-there", "/news/4: only-here"]
    );
    let (_, first) = verify(&one, &other, &["--wait", "1", "--limit", "2"]);
    assert_eq!((first["differences"].as_array().unwrap().len(), &first["more"]), (2, &true.into()));
}

#[test]
fn bytes_altered_behind_the_back_of_a_copy() {
    let root = tempfile::tempdir().unwrap();
    let primary = Server::init(root.path(), "primary", "primary", None, 1);
    let replica = Server::init(root.path(), "replica", "replica", Some((&primary, "link-replica")), 0);
    for server in [&primary, &replica] {
        server.start();
        server.wait();
    }
    let file = large(&root.path().join("large"), 1);
    edit(&primary, &["put", "/media/film", &file.to_string_lossy(), "--publish"]);
    edit(&primary, &["put", "/media/text", "--property", "a=1"]);
    arrived(&primary, &replica);
    // It would mend itself as soon as somebody reads what is damaged.
    edit(&replica, &["pause"]);
    replica.stop();
    alter(&replica.folder);
    replica.start();
    replica.wait();

    // Digests cover names, and the names are what they were.
    let verify = |here: &Server, there: &Server, more: &[&str]| {
        verify(here, there, &[more, &["--wait", "1"]].concat())
    };
    assert_eq!(verify(&primary, &replica, &[]).0, 0);
    for more in [&["--thorough"][..], &["--prefix", "/media/", "--thorough"], &["--document", "/media/film"]]
    {
        let (exit, verdict) = verify(&primary, &replica, more);
        assert_eq!((exit, listed(&verdict)), (1, vec!["/media/film: different".to_owned()]), "{verdict}");
        assert_eq!(details(&verdict, "/media/film"), ["unreadable-there 1"]);
        // From the other side it is here.
        let (_, verdict) = verify(&replica, &primary, more);
        assert_eq!(details(&verdict, "/media/film"), ["unreadable-here 1"]);
    }
    assert_eq!(verify(&primary, &replica, &["--document", "/media/text"]).0, 0);
    let output = replica.command("reader", &["why", "/media/film", "--output", "json"]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &answer["causes"][0]["code"]),
        (Some(1), &"damaged".into()),
        "{answer}"
    );
}

/// The same server again, as it stands, at another port.
fn twin(one: &Server, root: &Path) -> Server {
    let other = Server::init(root, "other", "primary", None, 3);
    let settings = fs::read_to_string(one.folder.join("server.json")).unwrap();
    let port = other.port;
    fs::remove_dir_all(&other.folder).unwrap();
    copy(&one.folder, &other.folder);
    let settings = settings.replace(&one.port.to_string(), &port.to_string());
    fs::write(other.folder.join("server.json"), settings).unwrap();
    other
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(drop).unwrap() }
    }
}

/// Changes one byte of a large content in the store.
fn alter(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.components().any(|part| part.as_os_str() == "chunks") {
                let file = fs::File::options().read(true).write(true).open(&path).unwrap();
                let mut byte = [0];
                file.read_exact_at(&mut byte, 1000).unwrap();
                return file.write_all_at(&[byte[0] ^ 1], 1000).unwrap();
            }
        }
    }
    panic!("no chunk in {}", folder.display());
}
