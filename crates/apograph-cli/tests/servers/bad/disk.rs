//! A full disk: writes are refused, reads go on, and space brings everything back without a restart.

use std::fs;
use std::path::Path;

use apograph_bench::small_disk::SmallDisk;

use super::super::process::{Server, eventually};
use super::{check, check_equal, export, put, refused};

#[test]
fn a_full_disk() {
    let root = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&root.path().join("small")) else {
        println!("skipped: mounting a tmpfs is not permitted here");
        return;
    };
    // The log is on the full disk, too.
    let primary = Server::init(disk.path(), "primary", "primary", None, 2);
    let replica = Server::init(root.path(), "replica", "replica", Some((&primary, "link-replica")), 0);
    for server in [&primary, &replica] {
        server.start();
        server.wait();
    }
    put(&primary, "/before", "{\"n\":1}");
    let (small, large) = (root.path().join("small.txt"), root.path().join("large.bin"));
    fs::write(&small, "x".repeat(100_000)).unwrap();
    fs::write(&large, vec![7; 5 << 20]).unwrap();
    let put_file = |uri: &str, path: &Path| primary.command("editor", &["put", uri, &path.to_string_lossy()]);

    for round in 0..3 {
        let filler = disk.fill();
        // The journal may have a page left.
        let mut accepted = 0;
        while put_file(&format!("/filling/{round}/{accepted}"), &small).output().unwrap().status.success() {
            accepted += 1;
            assert!(accepted < 100, "the disk is never full");
        }
        let before = export(&primary, "full");
        for (uri, path) in [("/small", &small), ("/large", &large)] {
            check(&refused(&mut put_file(uri, path)), "server", "disk-full");
            check(&refused(&mut primary.command("reader", &["get", uri])), "not-found", "not-found");
        }
        assert_eq!(export(&primary, "full"), before, "nothing of what was refused is there");
        fs::remove_file(filler).unwrap();
        eventually("writes are taken again", || {
            put_file(&format!("/after/{round}"), &small).output().unwrap().status.success()
        });
    }
    check_equal(&primary, &replica);
    let status = primary.command("reader", &["status"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&status.stdout).contains("STOPPED"), "{status:?}");
    primary.stop();
    primary.start();
    primary.wait();
    check_equal(&primary, &replica);
    // Before the disk goes.
    primary.kill();
}
