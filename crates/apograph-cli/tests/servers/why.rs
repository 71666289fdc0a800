//! `why` against servers: the copy's word and its source's, put together.

use serde_json::Value;

use super::process::{Server, apograph, done, eventually};

const CANARY: &str = "CANARY-77a1-never-published";

/// A primary, a replica of it, a replica of that, and a staging server.
struct Servers {
    primary: Server,
    replica: Server,
    second: Server,
    staging: Server,
    _root: tempfile::TempDir,
}

impl Servers {
    fn start() -> Servers {
        let root = tempfile::tempdir().unwrap();
        let primary = Server::init(root.path(), "primary", "primary", None, 2);
        let replica = Server::init(root.path(), "replica", "replica", Some((&primary, "link-replica")), 0);
        let second = Server::init(root.path(), "second", "replica", Some((&replica, "link-replica")), 0);
        let staging = Server::init(root.path(), "staging", "staging", Some((&primary, "link-staging")), 0);
        for server in [&primary, &replica, &second, &staging] {
            server.start();
            server.wait();
        }
        Servers { primary, replica, second, staging, _root: root }
    }

    fn edit(&self, arguments: &[&str]) {
        done(&mut self.primary.command("admin", arguments));
    }

    /// Exit status, and the answer, of the question about `copy`, compared with the primary.
    fn why(&self, uri: &str, copy: &Server, more: &[&str]) -> (i32, Value) {
        let (url, token) = (copy.url(), copy.token("reader"));
        let token = token.to_string_lossy();
        let mut arguments = vec!["why", uri, "--on", &url, "--on-token-file", &token, "--output", "json"];
        arguments.extend(more);
        answer(&mut self.primary.command("reader", &arguments))
    }

    /// Waits until everything that was written can be seen on a copy.
    fn arrived(&self, copy: &Server) {
        let newest = status(&self.primary)["databases"][0]["visible"].as_u64().unwrap();
        eventually(&format!("{} has everything", copy.name), || {
            let status = status(copy);
            let visible = status["databases"][0]["visible"].as_u64();
            status["links"][0]["state"] == "following" && visible.is_some_and(|visible| visible >= newest)
        });
    }
}

fn answer(command: &mut std::process::Command) -> (i32, Value) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let answer = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{command:?}: {text}{error}"));
    (output.status.code().unwrap(), answer)
}

fn status(server: &Server) -> Value {
    let output = done(&mut server.command("reader", &["status", "--output", "json"]));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn codes(answer: &Value) -> Vec<&str> {
    answer["causes"].as_array().unwrap().iter().map(|cause| cause["code"].as_str().unwrap()).collect()
}

#[test]
fn one_answer_for_every_state_of_a_document() {
    let servers = Servers::start();
    for uri in ["/live", "/changed", "/withdrawn", "/trashed", "/moved", "/purged"] {
        servers.edit(&["put", uri, "--type", "article", "--publish"]);
    }
    servers.edit(&["put", "/changed", "--property", "edition=2"]);
    servers.edit(&["put", "/secret", "--comment", CANARY]);
    servers.edit(&["withdraw", "/withdrawn", "-m", "not yet"]);
    servers.edit(&["trash", "/trashed"]);
    servers.edit(&["move", "/moved", "/new/place"]);
    servers.edit(&["purge", "/purged", "--yes", "-m", "erasure 118"]);
    let Servers { replica, staging, .. } = &servers;
    servers.arrived(replica);
    servers.arrived(staging);

    let cases: [(&str, &Server, &[&str], i32, &str); 18] = [
        ("/live", staging, &[], 0, "here"),
        ("/live", replica, &[], 0, "here"),
        ("/changed", staging, &[], 0, "here"),
        ("/changed", staging, &["--working"], 1, "changes-not-published"),
        ("/changed", replica, &["--version", "1"], 0, "here"),
        ("/changed", staging, &["--version", "2"], 1, "version-not-in-view"),
        ("/changed", replica, &["--version", "9"], 1, "no-such-version"),
        ("/secret", staging, &[], 1, "never-published"),
        ("/secret", replica, &[], 0, "here"),
        ("/secret", replica, &["--live"], 1, "never-published"),
        ("/withdrawn", staging, &[], 1, "withdrawn"),
        ("/withdrawn", replica, &[], 0, "here"),
        ("/trashed", staging, &[], 1, "trashed"),
        ("/trashed", replica, &[], 1, "trashed"),
        ("/moved", staging, &[], 1, "moved"),
        ("/new/place", staging, &[], 0, "here"),
        ("/purged", staging, &[], 1, "purged"),
        ("/nowhere", staging, &[], 1, "never-existed"),
    ];
    for (uri, copy, more, exit, code) in cases {
        let (found, answer) = servers.why(uri, copy, more);
        assert_eq!((found, codes(&answer)[0]), (exit, code), "{uri} {more:?} on {}: {answer}", copy.name);
        assert_eq!(answer["source"]["server"]["name"], "primary");
        assert_eq!(answer["here"]["server"]["name"], copy.name);
    }
    let (_, answer) = servers.why("/moved", staging, &[]);
    assert_eq!(answer["causes"][0]["to"], "/new/place");
    let (_, answer) = servers.why("/purged", staging, &[]);
    let purge = &answer["causes"][0]["change"];
    assert_eq!((&purge["author"], &purge["comment"]), (&"admin".into(), &"erasure 118".into()), "{answer}");
    let (_, answer) = servers.why("/changed", staging, &[]);
    assert_eq!(codes(&answer), ["here", "changes-not-published"], "{answer}");

    // A staging server alone says what it knows, and knows nothing of the rest.
    let (exit, answer) = answer_of(staging, "/secret");
    assert_eq!((exit, codes(&answer)), (1, vec!["nothing-known"]));
    assert!(!answer.to_string().contains(CANARY));
    let (_, answer) = answer_of(staging, "/withdrawn");
    assert_eq!(codes(&answer), ["retracted"]);
    assert!(!answer.to_string().contains("not yet"), "{answer}");
    assert_eq!(codes(&answer_of(staging, "/purged").1), ["purged"]);
}

/// Of one server, without another to compare it with.
fn answer_of(server: &Server, uri: &str) -> (i32, Value) {
    answer(&mut server.command("reader", &["why", uri, "--output", "json"]))
}

#[test]
fn a_copy_that_is_cut_off_and_one_that_does_not_answer() {
    let servers = Servers::start();
    servers.edit(&["put", "/a", "--type", "one"]);
    servers.arrived(&servers.second);
    assert_eq!(servers.why("/a", &servers.second, &[]).0, 0);

    eventually("the primary has heard of the replica", || {
        let links = status(&servers.primary)["links"].as_array().unwrap().clone();
        links.iter().any(|link| link["peer"]["url"] == servers.replica.url())
    });
    servers.replica.kill();
    servers.edit(&["put", "/a", "--type", "two", "-m", "while it was away"]);
    servers.edit(&["put", "/b"]);
    eventually("the link sees that its source is gone", || {
        status(&servers.second)["links"][0]["state"] != "following"
    });
    let (exit, answer) = servers.why("/a", &servers.second, &[]);
    assert_eq!((exit, &answer["standing"]), (1, &"outdated".into()), "{answer}");
    assert_eq!(codes(&answer), ["not-arrived", "not-following"]);
    let change = &answer["causes"][0]["change"];
    assert_eq!((&change["operation"], &change["comment"]), (&"put".into(), &"while it was away".into()));
    let expected = &answer["source"]["held"]["last_change"]["change"]["position"];
    assert_eq!(&change["position"], expected, "{answer}");
    let (exit, answer) = servers.why("/b", &servers.second, &[]);
    assert_eq!((exit, &answer["standing"], codes(&answer)[0]), (1, &"absent".into(), "not-arrived"));
    // Versions do not change: the old one is here, whatever else is missing.
    assert_eq!(servers.why("/a", &servers.second, &["--version", "1"]).0, 0);

    let (exit, answer) = servers.why("/a", &servers.replica, &[]);
    assert_eq!((exit, &answer["standing"], codes(&answer)), (6, &"unknown".into(), vec!["unreachable"]));
    // The primary says how the copy stood when it last reported.
    assert_eq!(answer["causes"][0]["last_report"]["peer"]["name"], "replica", "{answer}");

    servers.replica.start();
    servers.replica.wait();
    servers.arrived(&servers.second);
    let (exit, answer) = servers.why("/a", &servers.second, &[]);
    assert_eq!((exit, codes(&answer)[0]), (0, "here"), "{answer}");
}

#[test]
fn servers_by_name_tokens_that_may_not_and_other_databases() {
    let servers = Servers::start();
    servers.edit(&["put", "/a", "--publish"]);
    servers.arrived(&servers.staging);
    let token = servers.staging.token("reader");
    let on_token = ["--on-token-file", &token.to_string_lossy()];
    let ask = |arguments: &[&str]| {
        let mut command = servers.primary.command("reader", &["why", "/a", "--output", "json"]);
        command.args(arguments).output().unwrap()
    };
    eventually("the primary knows the staging server's URL", || {
        ask(&[&["--on", "staging"], &on_token[..]].concat()).status.code() == Some(0)
    });
    let unknown = ask(&["--on", "nobody"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", String::from_utf8_lossy(&unknown.stderr));

    // Without a token for the source the copy's own word is left, and says so.
    let mut command = servers.staging.command("reader", &["why", "/a", "--output", "json"]);
    command.args(["--against", &servers.primary.url()]);
    let (exit, own) = answer(&mut command);
    assert_eq!((exit, codes(&own)), (0, vec!["here", "source-not-asked"]));
    // Without one for the server in question there is no answer.
    assert_eq!(ask(&["--on", "staging"]).status.code(), Some(5));

    let root = tempfile::tempdir().unwrap();
    let other = Server::init(root.path(), "other", "primary", None, 1);
    other.start();
    other.wait();
    let token = other.token("reader");
    let two = ask(&["--on", &other.url(), "--on-token-file", &token.to_string_lossy()]);
    assert_eq!(two.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&two.stderr).contains("two databases"));
}

#[test]
fn what_a_person_reads_fits_a_screen() {
    let servers = Servers::start();
    servers.edit(&["put", "/draft"]);
    servers.arrived(&servers.staging);
    let token = servers.staging.token("reader");
    let arguments =
        ["why", "/draft", "--on", &servers.staging.url(), "--on-token-file", &token.to_string_lossy()];
    let output = servers.primary.command("reader", &arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty(), "the answer says all");
    assert!(text.starts_with("/draft  is NOT here: published version, on staging ("), "{text}");
    assert!(text.contains("because  it exists and was never published"), "{text}");
    assert!(
        text.contains(&format!(
            "next   publish it: apograph publish /draft --server {}",
            servers.primary.url()
        )),
        "{text}"
    );
    assert!(text.lines().count() < 24, "{text}");
    let mut wrong = apograph();
    assert_eq!(wrong.args(["why", "draft"]).output().unwrap().status.code(), Some(2));
}
