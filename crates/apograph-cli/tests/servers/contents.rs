//! A content larger than memory should hold: in, along, out again, whole and by range.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::Command;

use super::process::{Server, done, eventually};

/// What a server may have resident.
const RESIDENT_MIB_MAX: u64 = 300;

/// 256 MiB, or `APOGRAPH_TEST_CONTENT_MIB`.
fn size_mib() -> u64 {
    std::env::var("APOGRAPH_TEST_CONTENT_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(256)
}

#[test]
fn a_large_content_is_never_whole_in_memory() {
    let root = tempfile::tempdir().unwrap();
    let primary = Server::init(root.path(), "primary", "primary", None, 1);
    let replica = Server::init(root.path(), "replica", "replica", Some((&primary, "link-replica")), 0);
    let staging = Server::init(root.path(), "staging", "staging", Some((&primary, "link-staging")), 0);
    let all = [&primary, &replica, &staging];
    all.iter().for_each(|server| server.start());
    all.iter().for_each(|server| server.wait());
    let path = root.path().join("large");
    write_large(&path);

    let file = path.to_string_lossy();
    done(&mut primary.command("editor", &["put", "/large.bin", &file, "--publish"]));
    for server in all {
        let out = root.path().join("out");
        let target = out.to_string_lossy().into_owned();
        let get = ["get", "/large.bin", "--content", "--live", "-o", &target];
        eventually(&format!("{} has it", server.name), || {
            server.command("reader", &get).output().unwrap().status.success()
        });
        done(Command::new("cmp").arg(&path).arg(&out));
        std::fs::remove_file(&out).unwrap();
        let range = done(
            &mut server
                .command("reader", &["get", "/large.bin", "--content", "--range", "70000000-70999999"]),
        );
        assert!(range.stdout == piece(&path, 70_000_000, 1_000_000), "{}", server.name);
        let peak = server.resident_peak_mib();
        println!("{} MiB of content: {} resident MiB {peak}", size_mib(), server.name);
        assert!(peak < RESIDENT_MIB_MAX, "{}: {peak} MiB", server.name);
    }
}

fn write_large(path: &std::path::Path) {
    let mut file = File::create(path).unwrap();
    let mut state = 7_u64;
    let mut block = vec![0; 1 << 20];
    for _ in 0..size_mib() {
        for word in block.chunks_exact_mut(8) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block).unwrap();
    }
}

fn piece(path: &std::path::Path, start: u64, length: u64) -> Vec<u8> {
    let mut file = File::open(path).unwrap();
    file.seek(SeekFrom::Start(start)).unwrap();
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).unwrap();
    bytes
}
