//! Data folders that cannot be used, and ports that are taken.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use super::super::process::{Server, apograph, done};
use super::{check, export, put, refused, segments, told};

fn serve(folder: &Path) -> Command {
    let mut command = apograph();
    command.arg("serve").arg("--dir").arg(folder);
    command
}

fn init(folder: &Path) -> Command {
    let mut command = apograph();
    command.args(["init", "--role", "primary", "--dir"]).arg(folder);
    command
}

/// Starts the server again and compares with what it had.
fn check_unchanged(server: &Server, before: &str) {
    server.start();
    server.wait();
    assert_eq!(export(server, "full"), before);
    server.stop();
}

#[test]
fn folders_of_others() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::init(root.path(), "primary", "primary", None, 1);
    server.start();
    server.wait();
    put(&server, "/a", "{}");
    let before = export(&server, "full");

    let failure = refused(&mut serve(&server.folder));
    check(&failure, "local", "");
    assert!(told(&failure).contains("is in use by process"), "{failure}");
    assert_eq!(export(&server, "full"), before, "the server that runs goes on");
    server.stop();

    let format = server.folder.join("FORMAT");
    let ours = fs::read(&format).unwrap();
    for other in ["apograph data folder 2\n", "", "hello"] {
        fs::write(&format, other).unwrap();
        let failure = refused(&mut serve(&server.folder));
        check(&failure, "local", "");
        assert!(told(&failure).contains("has the format"), "{failure}");
    }
    fs::write(&format, ours).unwrap();
    check_unchanged(&server, &before);

    let failure = refused(&mut init(&server.folder));
    check(&failure, "local", "");
    assert!(told(&failure).contains("is not empty"), "{failure}");
    check_unchanged(&server, &before);

    let empty = root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    for folder in [empty.clone(), root.path().join("absent"), root.path().join("primary.log")] {
        let failure = refused(&mut serve(&folder));
        check(&failure, "local", "");
        assert!(told(&failure).contains("is no Apograph data folder"), "{failure}");
    }
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_port_taken() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::init(root.path(), "primary", "primary", None, 1);
    let listener = TcpListener::bind(("127.0.0.1", server.port)).unwrap();
    let failure = refused(&mut serve(&server.folder));
    check(&failure, "local", "");
    assert!(told(&failure).contains(&format!("port {} is taken", server.port)), "{failure}");
    drop(listener);
    server.start();
    server.wait();
    let failure = refused(
        apograph()
            .args(["quickstart", "--dir"])
            .arg(root.path().join("three"))
            .args(["--port-base", &server.port.min(65_533).to_string()]),
    );
    check(&failure, "local", "");
    assert!(!root.path().join("three").exists(), "nothing was made");
}

#[test]
fn a_damaged_folder() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::init(root.path(), "primary", "primary", None, 1);
    server.start();
    server.wait();
    for number in 0..20 {
        put(&server, &format!("/{number}"), "{\"text\":\"long enough to hit\"}");
    }
    let before = export(&server, "full");
    server.stop();

    let segment = segments(&server.folder).pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    fs::write(&segment, &damaged).unwrap();
    let failure = refused(&mut serve(&server.folder));
    check(&failure, "damaged", "");
    assert!(told(&failure).contains("is damaged at byte"), "{failure}");
    assert!(fs::read(&segment).unwrap() == damaged, "damage is never cut");
    let failure = refused(apograph().args(["journal", "verify"]).arg(&server.folder));
    assert_eq!(failure["kind"], "damaged", "{failure}");

    fs::write(&segment, &whole).unwrap();
    check_unchanged(&server, &before);
    done(apograph().args(["journal", "verify"]).arg(&server.folder));
}
