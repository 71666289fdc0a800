//! Backups of a server under writes: made, proven, interrupted, restored as every role.
//!
//! `APOGRAPH_TEST_DOCUMENTS` makes it a measurement, `docs/operate/backup.md` says how.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use apograph_bench::documents::{Corpus, Documents};
use apograph_bench::load::load;
use apograph_bench::writer::{Phase, Writer};
use serde_json::Value;

use super::exact::check_exports_as_of;
use super::process::{Server, apograph, disk_bytes, done, eventually};

/// What a server may have resident.
const RESIDENT_MIB_MAX: u64 = 400;

fn documents() -> u64 {
    std::env::var("APOGRAPH_TEST_DOCUMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

fn made(server: &Server, arguments: &[&str]) -> Value {
    let arguments = [&["backup", "--output", "json"], arguments].concat();
    serde_json::from_slice(&done(&mut server.command("admin", &arguments)).stdout).unwrap()
}

fn offline(arguments: &[&str], path: &Path, more: &[&str]) -> Command {
    let mut command = apograph();
    command.arg("backup").args(arguments).arg(path).args(more);
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn backups_of_a_server_that_is_written() {
    let root = tempfile::tempdir().unwrap();
    let primary = Server::init(root.path(), "primary", "primary", None, 3);
    primary.start();
    primary.wait();
    let count = documents();
    load(&primary.client("admin"), "main", &Documents::new(Corpus::load(), 1, count), |_| {}).unwrap();
    let backups = primary.folder.join("backups");
    let writer = Writer::start(&primary, 50);
    writer.phase(Phase::Disturbed);
    primary.forget_peak();

    let (began, first) = (Instant::now(), made(&primary, &["--dir", "one"]));
    let first_s = began.elapsed().as_secs_f64();
    let (began, second) = (Instant::now(), made(&primary, &["--dir", "two", "--incremental-to", "one"]));
    let second_s = began.elapsed().as_secs_f64();
    let peak = primary.resident_peak_mib();
    let written = writer.stop().unwrap();
    println!(
        "{count} documents: backup of {} MB in {first_s:.1} s, the next one ({} MB linked) in {second_s:.1} s; \
         writers waited {:.1} and {:.1} ms, {} commits beside, p99 {:.1} ms, longest {:.1} ms; server at most {peak} MiB",
        first["bytes"].as_u64().unwrap() / 1_000_000,
        second["bytes_linked"].as_u64().unwrap() / 1_000_000,
        first["pause_us"].as_f64().unwrap() / 1e3,
        second["pause_us"].as_f64().unwrap() / 1e3,
        written.commits(Phase::Disturbed),
        written.percentile_ms(Phase::Disturbed, 99.0),
        written.percentile_ms(Phase::Disturbed, 100.0),
    );
    assert!(peak < RESIDENT_MIB_MAX, "{peak} MiB");
    assert!(second["at"].as_u64() > first["at"].as_u64());

    for name in ["one", "two"] {
        let began = Instant::now();
        let output = done(&mut offline(&["verify"], &backups.join(name), &[]));
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("sound"), "{output:?}");
        println!("verified in {:.1} s", began.elapsed().as_secs_f64());
    }
    killed_in_the_middle(&primary, &backups);
    refusals(&primary, &backups);
    restored(root.path(), &primary, &backups.join("one"), &first);
    println!("{} MB on disk", disk_bytes(root.path()) / 1_000_000);
}

/// What a killed server leaves is no backup; the same command makes one of it.
fn killed_in_the_middle(primary: &Server, backups: &Path) {
    let path = backups.join("killed");
    let mut command = primary.command("admin", &["backup", "--dir", "killed"]);
    let mut child =
        command.stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).spawn().unwrap();
    eventually("the backup was begun", || {
        path.join("files.ndjson.part").exists() || path.join("MANIFEST").exists()
    });
    primary.kill();
    child.wait().unwrap();
    if !path.join("MANIFEST").exists() {
        let output = offline(&["verify"], &path, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(8), "{output:?}");
        assert!(told(&output).contains("was interrupted"), "{output:?}");
    } else {
        // It was faster than the kill.
        fs::remove_dir_all(&path).unwrap();
    }
    primary.start();
    primary.wait();
    made(primary, &["--dir", "killed"]);
    done(&mut offline(&["verify"], &path, &[]));
}

fn refusals(primary: &Server, backups: &Path) {
    let refused = |role: &str, arguments: &[&str]| {
        let output = primary.command(role, &[&["backup"], arguments].concat()).output().unwrap();
        (output.status.code().unwrap(), told(&output))
    };
    for outside in ["../outside", "/tmp/outside", "."] {
        let (status, told) = refused("admin", &["--dir", outside]);
        assert!(status == 3 && told.contains("backup folder"), "{outside}: {told}");
    }
    assert_eq!(refused("editor", &["--dir", "new"]).0, 5);
    let (status, told) = refused("admin", &["--dir", "one"]);
    assert!(status == 3 && told.contains("holds a backup already"), "{told}");
    let (status, told) = refused("admin", &["--dir", "new", "--incremental-to", "none"]);
    assert!(status == 3 && told.contains("holds no backup"), "{told}");
    // One flipped byte of one file.
    let copy = backups.join("killed");
    let segment = super::process::files(&copy)
        .into_iter()
        .find(|file| file.extension().is_some_and(|extension| extension == "segment"))
        .unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&segment, bytes).unwrap();
    let output = offline(&["verify"], &copy, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("its hash differs"), "{output:?}");
}

fn restored(root: &Path, primary: &Server, backup: &Path, first: &Value) {
    let at = first["at"].to_string();
    // A replica begins with the backup, follows, and is equal.
    let replica = Server::init(root, "replica", "replica", Some((primary, "link-replica")), 0);
    let to = |server: &Server| ["--to".to_owned(), server.folder.to_string_lossy().into_owned()];
    let began = Instant::now();
    done(offline(&["restore"], backup, &[]).args(to(&replica)));
    println!("restored in {:.1} s", began.elapsed().as_secs_f64());
    let twice = offline(&["restore"], backup, &[]).args(to(&replica)).output().unwrap();
    assert!(told(&twice).contains("there is a database"), "{twice:?}");
    replica.start();
    replica.wait();
    let expected = || primary.status().map(|status| status.databases[0].visible);
    eventually("the replica has everything", || {
        replica.status().map(|status| status.databases[0].visible) == expected()
    });
    let token = replica.token("reader");
    let url = replica.url();
    let verify = ["verify", "--against", &url, "--against-token-file", &token.to_string_lossy()];
    let output = done(&mut primary.command("reader", &verify));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("equal"), "{output:?}");
    let visible = replica.status().unwrap().databases[0].visible.to_string();
    check_exports_as_of(&visible, &replica, primary);
    let synchronized = replica.whole_log().contains("synchronized");
    assert!(!synchronized, "it had only to follow");

    // A new primary is what the old one was then, and takes writes in a new epoch.
    let second = Server::init(root, "second", "primary", None, 1);
    done(offline(&["restore"], backup, &["--at", &at]).args(to(&second)));
    second.start();
    second.wait();
    check_exports_as_of(&at, &second, primary);
    let status = second.status().unwrap();
    let number = |text: &str| text.parse::<apograph_client::format::Epoch>().unwrap().number();
    assert_eq!(status.databases[0].epoch.number(), number(first["epoch"].as_str().unwrap()) + 1);
    assert_eq!(status.databases[0].partitions.len(), 3);
    let file = root.join("text");
    fs::write(&file, "text").unwrap();
    done(&mut second.command("editor", &["put", "/after/restore", &file.to_string_lossy()]));

    // A server that is stopped can be backed up as well, from its folder.
    second.stop();
    let target = root.join("stopped");
    let folder = second.folder.to_string_lossy().into_owned();
    done(&mut offline(&["--data-folder", &folder, "--dir"], &target, &[]));
    done(&mut offline(&["verify"], &target, &[]));
}
