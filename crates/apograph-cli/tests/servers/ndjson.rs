//! An export of every kind of server, loaded into an empty primary with its own copies, while that is killed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::collection::Collection;
use super::exact::{check_absent, check_copies, export};
use super::process::{Server, apograph, done, eventually};

const CANARY: &str = "CANARY-77aa-never-published";
/// A loading server is killed this often.
const KILLS: u32 = 12;
/// Upper bound of what a server may have resident.
const RESIDENT_MIB_MAX: u64 = 300;

#[test]
fn exports_of_all_servers_are_loaded() {
    let root = tempfile::tempdir().unwrap();
    let collection = Collection::bare(root.path());
    let [primary, replica, staging] = three(root.path(), "", 2);
    let path = collection.path.to_string_lossy();
    done(&mut primary.command("admin", &["import", "git", &path, "--branch", collection.branch]));
    write_by_hand(&primary);
    eventually("copies have everything", || {
        export(&replica, "full") == export(&primary, "full")
            && export(&staging, "published") == export(&primary, "published")
    });
    for (n, (server, view)) in [(&replica, "full"), (&staging, "published")].into_iter().enumerate() {
        let exported = root.path().join(format!("{view}.ndjson"));
        done(&mut server.command("reader", &["export", "--to-file", &exported.to_string_lossy()]));
        let suffix = ["-of-full", "-of-published"][n];
        let [loaded, replica, staging] = three(root.path(), suffix, 3);
        let runs = load_under_kills(&loaded, &exported);
        let found = export(&loaded, view);
        assert!(normal(&found) == normal(&fs::read_to_string(&exported).unwrap()), "{view} differs");
        check_copies(&loaded, &[&replica], &staging);
        check_absent(&staging, CANARY.as_bytes());
        let again = done(&mut import(&loaded, &exported, &[]));
        assert!(String::from_utf8_lossy(&again.stdout).contains("nothing was new"), "{again:?}");
        // Its own copies may have been named meanwhile.
        assert!(normal(&export(&loaded, view)) == normal(&found), "{view} differs");
        let peak = loaded.resident_peak_mib();
        println!("{view}: loaded in {runs} runs, {peak} MiB resident");
        assert!(peak < RESIDENT_MIB_MAX, "{peak}");
    }
}

/// A primary, a replica and a staging server, running.
fn three(root: &Path, suffix: &'static str, partitions: u16) -> [Server; 3] {
    let name = |name: &str| -> &'static str { format!("{name}{suffix}").leak() };
    let primary = Server::init(root, name("primary"), "primary", None, partitions);
    let replica = Server::init(root, name("replica"), "replica", Some((&primary, "link-replica")), 0);
    let staging = Server::init(root, name("staging"), "staging", Some((&primary, "link-staging")), 0);
    for server in [&primary, &replica, &staging] {
        server.start();
        server.wait();
    }
    [primary, replica, staging]
}

/// What a repository has nothing of.
fn write_by_hand(primary: &Server) {
    let run = |arguments: &[&str]| drop(done(&mut primary.command("admin", arguments)));
    run(&["put", "/hand/draft", "--properties", &format!("{{\"secret\":\"{CANARY}\"}}")]);
    run(&["put", "/hand/out", "--publish"]);
    run(&["withdraw", "/hand/out"]);
    run(&["put", "/hand/gone", "--publish"]);
    run(&["purge", "/hand/gone", "--yes"]);
    run(&["put", "/hand/gone", "--publish"]);
    run(&["put", "/hand/from", "--publish"]);
    run(&["move", "/hand/from", "/hand/to"]);
    run(&["lock", "/hand/to"]);
    run(&["put", "/hand/often", "--publish"]);
    for n in 0..30 {
        run(&["put", "/hand/often", "--comment", &format!("change {n}")]);
    }
    let bytes: Vec<u8> = (0..6_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let large = primary.folder.with_extension("large");
    fs::write(&large, bytes).unwrap();
    run(&["put", "/hand/large", &large.to_string_lossy(), "--publish"]);
}

/// Imports while the server is killed; answers how many runs it took.
fn load_under_kills(server: &Server, file: &Path) -> u32 {
    std::thread::scope(|scope| {
        let importer = scope.spawn(|| {
            for run in 1..500 {
                let output = import(server, file, &[]).output().unwrap();
                if output.status.success() {
                    return run;
                }
                // The server is gone or not there yet: unreachable, nothing else.
                let error = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(6), "{error}");
                server.wait();
            }
            panic!("the import never came to its end");
        });
        for n in 0..KILLS {
            std::thread::sleep(Duration::from_millis(150 + 90 * u64::from(n % 5)));
            if importer.is_finished() {
                break;
            }
            server.kill();
            server.start();
        }
        importer.join().unwrap()
    })
}

fn import(server: &Server, file: &Path, more: &[&str]) -> std::process::Command {
    let mut arguments = vec!["import", "ndjson"];
    let file = file.to_string_lossy();
    arguments.push(&file);
    arguments.extend(more);
    server.command("admin", &arguments)
}

/// Without what is new by nature: times of commits, the servers' own documents, the line that counts and hashes both.
fn normal(export: &str) -> Vec<Value> {
    let lines = export.lines().map(|line| serde_json::from_str(line).unwrap());
    let is_compared = |line: &Value| {
        let uri = line["uri"].as_str().unwrap_or_default();
        !uri.starts_with("/_system/servers/") && line.get("end").is_none()
    };
    let without_time = |mut line: Value| {
        if let Some(changed) = line.pointer_mut("/head/changed") {
            *changed = Value::Null;
        }
        line
    };
    lines.filter(is_compared).map(without_time).collect()
}

#[test]
fn files_that_cannot_be_loaded_are_refused_before_anything_is_sent() {
    let root = tempfile::tempdir().unwrap();
    let source = Server::init(root.path(), "source", "primary", None, 1);
    source.start();
    source.wait();
    for n in 0..5 {
        let uri = format!("/{n}");
        done(&mut source.command("admin", &["put", &uri, "--publish", "--comment", "a change"]));
    }
    let sound = root.path().join("sound.ndjson");
    done(&mut source.command("reader", &["export", "--to-file", &sound.to_string_lossy()]));
    let text = fs::read_to_string(&sound).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let target = Server::init(root.path(), "target", "primary", None, 1);
    target.start();
    target.wait();
    let before = export(&target, "full");
    let cut = lines[..6].join("\n") + "\n";
    let cases = [
        ("empty", String::new(), 8, "line 1: this is no export"),
        ("foreign", "{\"uri\":\"/a\"}\n".to_owned(), 8, "line 1: this is no export"),
        ("newer", text.replace("apograph-export/1", "apograph-export/2"), 8, "format apograph-export/2"),
        ("cut", cut, 7, "line 7: the export is cut off here"),
        ("half a line", text[..text.len() - 30].to_owned(), 7, "the export is cut off here"),
        ("altered", text.replacen("a change", "a chance", 1), 7, "line 3: /0: version 1 has the id"),
        ("altered head", text.replacen("\"changed\":1", "\"changed\":2", 1), 7, "has the hash"),
        ("not UTF-8", text.replacen("a change", "a \u{fffd}", 1), 7, "line 3: /0: version 1 has the id"),
    ];
    for (what, text, status, reason) in cases {
        let file = root.path().join("bad.ndjson");
        fs::write(&file, text).unwrap();
        let output = import(&target, &file, &[]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{what}: {error}");
        assert!(error.contains(reason), "{what}: {error}");
        assert_eq!(export(&target, "full"), before, "{what}");
    }
    // Who may, and where to.
    let refused = |server: &Server, role: &str, file: &Path| {
        let file = file.to_string_lossy();
        let output = server.command(role, &["import", "ndjson", &file]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(refused(&target, "editor", &sound).0, Some(5));
    let (status, error) = refused(&source, "admin", &sound);
    assert!(status == Some(3) && error.contains("not empty") && error.contains("/0"), "{status:?} {error}");
    // Trying is not doing.
    let tried = done(&mut import(&target, &sound, &["--dry-run", "--output", "json"]));
    let tried: Value = serde_json::from_slice(&tried.stdout).unwrap();
    assert_eq!((&tried["documents"], &tried["versions"]), (&Value::from(6), &Value::from(6)));
    assert_eq!(tried["left_out"], serde_json::json!(["/_system/servers/source"]));
    assert_eq!(export(&target, "full"), before);
    let loaded = done(&mut import(&target, &sound, &["--output", "json"]));
    let loaded: Value = serde_json::from_slice(&loaded.stdout).unwrap();
    assert_eq!((&loaded["documents"], &loaded["versions"]), (&Value::from(5), &Value::from(5)));
    assert_eq!(normal(&export(&target, "full")), normal(&text));
    let piped = apograph().args(["import", "ndjson", "/dev/null"]).output().unwrap();
    assert!(String::from_utf8_lossy(&piped.stderr).contains("must be a file"), "{piped:?}");
}
