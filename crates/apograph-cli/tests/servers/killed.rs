//! An import while every server is killed again and again: nothing acknowledged is missing, copies stay exact.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use apograph_client::client::Match;
use apograph_client::format::Uri;
use apograph_client::types::{DocumentRequest, ReadQuery};

use super::collection::Collection;
use super::exact::{check_absent, check_collection, check_copies};
use super::process::{Server, block_on, done};

/// How often each server is killed.
const KILLS: u64 = 20;
/// Upper bound of what a server may have resident.
const RESIDENT_MIB_MAX: u64 = 300;
const CANARY: &str = "CANARY-3b9f-never-published";

#[test]
fn one_partition() {
    import_under_kills(1, 0x5eed);
}

#[test]
fn four_partitions() {
    import_under_kills(4, 0xf00d);
}

fn import_under_kills(partitions: u16, seed: u64) {
    let root = tempfile::tempdir().unwrap();
    let collection = Collection::bare(root.path());
    let primary = Server::init(root.path(), "primary", "primary", None, partitions);
    let replica = Server::init(root.path(), "replica", "replica", Some((&primary, "link-replica")), 0);
    let second = Server::init(root.path(), "second", "replica", Some((&replica, "link-replica")), 0);
    let staging = Server::init(root.path(), "staging", "staging", Some((&primary, "link-staging")), 0);
    let all = [&primary, &replica, &second, &staging];
    all.iter().for_each(|server| server.start());
    primary.wait();

    let over = AtomicBool::new(false);
    let kills = AtomicU64::new(0);
    let (acknowledged, (imports, during)) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&primary, &over));
        let importer = scope.spawn(|| {
            let imports = import_until_done(&primary, &collection);
            (imports, kills.load(Ordering::Acquire))
        });
        kill_all(&all, seed, &kills);
        let imports = importer.join().unwrap();
        over.store(true, Ordering::Release);
        (writer.join().unwrap(), imports)
    });
    primary.wait();
    put_canaries(&primary);
    all.iter().for_each(|server| server.wait());

    check_copies(&primary, &[&replica, &second], &staging);
    check_collection(&primary, &collection);
    check_acknowledged(&primary, acknowledged);
    check_absent(&staging, CANARY.as_bytes());
    let peaks: Vec<_> = all.iter().map(|server| (server.name, server.resident_peak_mib())).collect();
    println!(
        "{partitions} partitions: {} kills, {during} of them during {imports} runs of the import, {acknowledged} other writes acknowledged, resident MiB {peaks:?}",
        kills.load(Ordering::Acquire)
    );
    assert!(peaks.iter().all(|(_, peak)| *peak < RESIDENT_MIB_MAX), "{peaks:?}");
    for server in all {
        server.stop();
        let mut verify = super::process::apograph();
        done(verify.args(["journal", "verify"]).arg(&server.folder));
    }
}

/// Kills every server `KILLS` times, at random moments and in random order, and starts it again at once.
fn kill_all(servers: &[&Server], seed: u64, kills: &AtomicU64) {
    let mut state = seed;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..KILLS {
        let first = random(servers.len() as u64) as usize;
        for offset in 0..servers.len() {
            std::thread::sleep(Duration::from_millis(10 + random(80)));
            let server = servers[(first + offset) % servers.len()];
            server.kill();
            server.start();
            kills.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Imports until an import came to its end; answers how many it took.
fn import_until_done(primary: &Server, collection: &Collection) -> u32 {
    for run in 1..500 {
        let path = collection.path.to_string_lossy();
        let arguments = ["import", "git", &path, "--branch", collection.branch];
        let output = primary.command("admin", &arguments).output().unwrap();
        if output.status.success() {
            return run;
        }
        // The server is gone or not there yet: unreachable, nothing else.
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(6), "{error}");
        primary.wait();
    }
    panic!("the import never came to its end");
}

/// Writes documents one after the other and answers how many the server acknowledged, whatever happened to it.
fn write_until(primary: &Server, over: &AtomicBool) -> u64 {
    let client = primary.client("editor");
    let mut acknowledged = 0;
    while !over.load(Ordering::Acquire) {
        let text = format!("acknowledged {acknowledged}");
        let document = DocumentRequest { body: Some(text), ..DocumentRequest::default() };
        let written = block_on(client.put_document("main", &uri(acknowledged), &document, Match::Any));
        acknowledged += u64::from(written.is_ok());
        std::thread::sleep(Duration::from_millis(2));
    }
    acknowledged
}

fn check_acknowledged(primary: &Server, count: u64) {
    let client = primary.client("reader");
    for n in 0..count {
        let found = block_on(client.document("main", &uri(n), &ReadQuery::default())).unwrap();
        assert_eq!(found.body.as_deref(), Some(format!("acknowledged {n}").as_str()));
    }
}

fn uri(n: u64) -> Uri {
    Uri::parse(&format!("/acknowledged/{n}")).unwrap()
}

/// Into content, properties, comment and name of versions that are never published.
fn put_canaries(primary: &Server) {
    let published = ["put", "/acknowledged/public", "--type", "public", "--publish"];
    done(&mut primary.command("editor", &published));
    for uri in ["/acknowledged/public".to_owned(), format!("/acknowledged/{CANARY}")] {
        let properties = format!("{{\"secret\":\"{CANARY}\"}}");
        let arguments = ["put", &uri, "--properties", &properties, "--comment", CANARY, "--type", CANARY];
        done(&mut primary.command("editor", &arguments));
    }
    done(&mut primary.command("editor", &["trash", &format!("/acknowledged/{CANARY}")]));
}
