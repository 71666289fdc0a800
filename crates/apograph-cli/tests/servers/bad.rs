//! Bad input to real processes: one clear problem each, the exit status of its kind, and nothing lost or half done.

mod disk;
mod folders;
mod requests;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use apograph_bench::exact::journals;
use serde_json::Value;

use super::exact::{check_exports, export};
use super::process::{Server, done, eventually};

/// Runs a command that must fail; answers its one line of JSON on standard error.
fn refused(command: &mut Command) -> Value {
    let output = command.args(["--output", "json"]).output().unwrap();
    assert!(!output.status.success(), "{command:?} should fail");
    problem_of(&output)
}

/// The failure that a command tells as its last line; it says what to do next.
fn problem_of(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().last().unwrap_or_default();
    let failure: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {text}"));
    let failure = failure["error"].clone();
    assert_eq!(failure["exit_status"], i64::from(output.status.code().unwrap()), "{failure}");
    failure
}

/// Kind, stable code if a server refused, and whether there is a next step.
#[track_caller]
fn check(failure: &Value, kind: &str, code: &str) {
    let found = failure["problem"]["code"].as_str().unwrap_or("");
    assert_eq!((failure["kind"].as_str().unwrap(), found), (kind, code), "{failure}");
    assert!(failure["next"].as_str().is_some_and(|next| !next.is_empty()), "no next step: {failure}");
}

/// Everything that a failure says, on one line.
fn told(failure: &Value) -> String {
    format!("{} {}", failure["message"], failure["causes"])
}

fn put(server: &Server, uri: &str, properties: &str) {
    done(&mut server.command("editor", &["put", uri, "--publish", "--properties", properties]));
}

/// The exact-copy check: digests, exports, journals byte for byte. The open segment's `_` and the zeros behind its end are exempt.
fn check_equal(primary: &Server, copy: &Server) {
    let (url, token) = (copy.url(), copy.token("reader"));
    let arguments = ["verify", "--against", &url, "--against-token-file", &token.to_string_lossy()];
    eventually("both stand at one timestamp and are equal", || {
        primary.command("reader", &arguments).output().unwrap().status.success()
    });
    check_exports(copy, primary, "full");
    eventually("the journals are equal", || journals(&primary.folder) == journals(&copy.folder));
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(segments(&path));
        } else if path.extension().is_some_and(|extension| extension == "segment") {
            found.push(path);
        }
    }
    found
}
