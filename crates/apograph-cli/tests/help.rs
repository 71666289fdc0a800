//! What `--help` says of every verb, and what wrong command lines get. Golden files: `tests/help/*.txt`;
//! `UPDATE_GOLDEN=1 cargo test -p apograph-cli --test help` writes them anew: read the difference.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

fn apograph(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apograph"));
    for variable in ["SERVER", "TOKEN_FILE", "DATABASE", "AGAINST_TOKEN_FILE", "ON_TOKEN_FILE"] {
        command.env_remove(format!("APOGRAPH_{variable}"));
    }
    command.args(arguments).env("COLUMNS", "110").output().unwrap()
}

fn compare(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{} differs; UPDATE_GOLDEN=1 writes it anew", path.display());
}

#[test]
fn every_verb_explains_itself() {
    let verbs = [
        "quickstart",
        "init",
        "serve",
        "import",
        "put",
        "get",
        "publish",
        "withdraw",
        "trash",
        "restore",
        "purge",
        "move",
        "lock",
        "unlock",
        "history",
        "ls",
        "status",
        "links",
        "sync",
        "repair",
        "quarantine",
        "pause",
        "resume",
        "throttle",
        "lag-limit",
        "follow",
        "hold",
        "orphans",
        "promote",
        "rollback",
        "switchover",
        "why",
        "verify",
        "export",
        "backup",
        "journal",
    ];
    let all = String::from_utf8(apograph(&["--help"]).stdout).unwrap();
    compare("apograph", &all);
    for verb in verbs {
        assert!(all.contains(&format!("\n  {verb}")), "{verb} is not listed");
        let output = apograph(&[verb, "--help"]);
        assert!(output.status.success());
        compare(verb, &String::from_utf8(output.stdout).unwrap());
    }
    for (verb, inner) in [
        ("import", "git"),
        ("import", "ndjson"),
        ("journal", "list"),
        ("journal", "show"),
        ("journal", "verify"),
        ("backup", "verify"),
        ("backup", "restore"),
    ] {
        let output = apograph(&[verb, inner, "--help"]);
        compare(&format!("{verb}-{inner}"), &String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn wrong_command_lines_end_with_2() {
    let cases: [(&[&str], &str); 24] = [
        (&[], "Usage"),
        (&["fly"], "unrecognized subcommand 'fly'"),
        (&["get"], "<URI>"),
        (&["get", "a/b"], "a URI starts with `/`"),
        (&["get", "/a//b"], "segment 2"),
        (&["get", "/a", "--live", "--version", "3"], "cannot be used with"),
        (&["get", "/a", "--range", "9-3"], "expected something like 0-99"),
        (&["put", "/a", "--property", "x"], "expected KEY=VALUE"),
        (&["put", "/a", "--properties", "[]"], "expected a JSON object"),
        (&["put", "/a", "--properties", "{}", "--property", "a=1"], "cannot be used with"),
        (&["put", "/a", "--property", "a=1", "--property", "a=2"], "given twice"),
        (&["put", "/a", "--if-absent", "--if-version", "1"], "cannot be used with"),
        (&["put", "/a", "--media-type", "text/plain"], "<FILE>"),
        (&["lock", "/a", "--for", "soon"], "expected something like 30m"),
        (&["ls", "--state", "gone"], "unknown state"),
        (&["ls", "--server", "localhost:7700"], "no URL of a server"),
        (&["init", "--dir", "x", "--role", "king"], "unknown role"),
        (&["init", "--dir", "x", "--role", "primary", "--source", "http://a"], "a primary has no --source"),
        (&["init", "--dir", "x", "--role", "replica"], "a copy needs --source"),
        (&["init", "--dir", "x", "--role", "primary", "--partitions", "65"], "1 to 64 partitions"),
        (&["quickstart", "--branch", "main"], "--import"),
        (&["purge", "/a"], "nothing was purged"),
        (&["why", "/a", "--live", "--version", "3"], "cannot be used with"),
        (&["verify", "--against", "http://a", "--prefix", "/a", "--document", "/a"], "cannot be used with"),
    ];
    for (arguments, expected) in cases {
        let output = apograph(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {expected:?} not in {said:?}");
    }
}

#[test]
fn failures_of_this_machine_and_the_way_end_with_their_status() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    // A port that was free a moment ago: nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("http://127.0.0.1:{port}");
    let cases: [(&[&str], i32, &str); 7] = [
        (&["ls", "--server", &nobody], 6, "next: is it running?"),
        (&["ls", "--server", &nobody, "--output", "json"], 6, "{\"error\":{\"causes\":["),
        (&["ls", "--token-file", "/nowhere/token"], 8, "next: name the token's file"),
        (&["journal", "verify", path], 8, "holds no journal"),
        (&["serve", "--dir", path], 8, "next: make one with `apograph init"),
        (&["put", "/a", "/nowhere/file", "--server", &nobody], 8, "/nowhere/file cannot be used"),
        (&["import", "git", path, "--server", &nobody], 8, "not a git repository"),
    ];
    for (arguments, status, expected) in cases {
        let output = apograph(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {expected:?} not in {said:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn init_makes_a_folder_once() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("primary");
    let arguments = ["init", "--dir", dir.to_str().unwrap(), "--role", "primary", "--partitions", "4"];
    let output = apograph(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(dir.join("tokens/admin.token").is_file());
    let settings = std::fs::read_to_string(dir.join("server.json")).unwrap();
    assert!(settings.contains("\"partitions\": 4") || settings.contains("\"partitions\":4"), "{settings}");
    let again = apograph(&arguments);
    assert_eq!(again.status.code(), Some(8));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty"));
}
