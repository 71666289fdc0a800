//! Sources that are no Apograph, are another database, or have a bad line.

use std::path::Path;

use apograph_bench::proxy::{Line, Proxy};
use serde_json::Value;

use super::super::process::{Server, done, eventually};
use super::{check, check_equal, export, put, refused};

const HTML: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 12\r\n\r\n<html></html";

/// A primary with some documents.
fn primary(root: &Path, name: &'static str) -> Server {
    let server = Server::init(root, name, "primary", None, 1);
    server.start();
    server.wait();
    for number in 0..40 {
        let text = format!("{number} of {name} ").repeat(40 + number);
        put(&server, &format!("/{name}/{number}"), &format!("{{\"text\":\"{text}\"}}"));
    }
    server
}

/// A replica whose source is at the proxy, with the token of `of`.
fn replica(root: &Path, name: &'static str, of: &Server, proxy: &Proxy) -> Server {
    let server = Server::init(root, name, "replica", Some((of, "link-replica")), 0);
    server.point(proxy.port, of);
    server
}

/// Waits until the link into the server stands like this, and says why in words that begin with `code:`.
fn link_says(server: &Server, state: &str, code: &str) {
    let mut last = Value::Null;
    eventually(&format!("{}: {state}, {code}", server.name), || {
        let status = done(&mut server.command("reader", &["status", "--output", "json"])).stdout;
        let status: Value = serde_json::from_slice(&status).unwrap();
        last = status["links"][0].clone();
        let reason = last["reason"].as_str().unwrap_or_default();
        // What happened, and what to do.
        last["state"] == state && reason.starts_with(&format!("{code}: ")) && reason.contains("; ")
    });
}

#[test]
fn a_source_that_is_no_apograph() {
    let root = tempfile::tempdir().unwrap();
    let source = primary(root.path(), "primary");
    let cases = [
        ("html", Line::Says(HTML), "stopped", "not-apograph"),
        ("garbage", Line::Says(b"\x00\xffSSH-2.0-garbage\r\n\r\n"), "stopped", "not-apograph"),
        ("closes", Line::Says(b""), "waiting", "unavailable"),
        ("silent", Line::Silence, "waiting", "unavailable"),
    ];
    std::thread::scope(|scope| {
        for (name, line, state, code) in cases {
            let (root, source) = (root.path(), &source);
            scope.spawn(move || {
                let proxy = Proxy::start(line.clone());
                let copy = replica(root, name, source, &proxy);
                copy.start();
                copy.wait();
                link_says(&copy, state, code);
                check(&refused(&mut copy.command("reader", &["ls"])), "unreachable", "not-ready");
                if line != Line::Silence {
                    let url = format!("http://127.0.0.1:{}", proxy.port);
                    let mut ls = super::super::process::apograph();
                    let failure = refused(ls.args(["ls", "--server", &url]));
                    check(&failure, "unreachable", "");
                }
                copy.stop();
                proxy.switch(Line::To(source.port));
                copy.start();
                copy.wait();
                check_equal(source, &copy);
            });
        }
    });
}

#[test]
fn a_source_that_is_another_database() {
    let root = tempfile::tempdir().unwrap();
    let (one, other) = (primary(root.path(), "one"), primary(root.path(), "other"));
    let proxy = Proxy::start(Line::To(one.port));
    let copy = replica(root.path(), "copy", &one, &proxy);
    copy.start();
    copy.wait();
    eventually("the copy has met its source", || {
        copy.command("reader", &["ls"]).output().unwrap().status.success()
    });
    check_equal(&one, &copy);
    let before = export(&copy, "full");
    copy.stop();
    let log = copy.log();
    assert!(!log.contains("waits for its source"), "a stop is no news of the source:\n{log}");
    assert!(!log.contains('\u{1b}'), "a file gets no colours:\n{log}");

    proxy.switch(Line::To(other.port));
    copy.start();
    copy.wait();
    link_says(&copy, "stopped", "denied");
    copy.stop();
    copy.point(proxy.port, &other);
    copy.start();
    copy.wait();
    link_says(&copy, "stopped", "other-database");
    assert_eq!(export(&copy, "full"), before, "what it has it keeps and serves");
    let (url, token) = (other.url(), other.token("reader"));
    let verify = ["verify", "--against", &url, "--against-token-file", &token.to_string_lossy()];
    let failure = refused(&mut copy.command("reader", &verify));
    assert!(failure["message"].as_str().unwrap().contains("two databases"), "{failure}");
    copy.stop();

    proxy.switch(Line::To(one.port));
    copy.point(proxy.port, &one);
    put(&one, "/one/more", "{}");
    copy.start();
    copy.wait();
    check_equal(&one, &copy);
}

/// Every one of many bad lines, each a little later in the stream; afterwards the copy is exact.
fn bad_lines(name: &'static str, times: u64, line: impl Fn(u16) -> Line) {
    let root = tempfile::tempdir().unwrap();
    let source = primary(root.path(), "primary");
    let proxy = Proxy::start(Line::To(source.port));
    let copy = replica(root.path(), name, &source, &proxy);
    copy.start();
    copy.wait();
    check_equal(&source, &copy);
    proxy.switch(line(source.port));
    eventually("enough bad journals", || {
        // Something to send, and to send again.
        put(
            &source,
            "/more",
            "{\"text\":\"something that is long enough to be hit somewhere in the middle of it\"}",
        );
        proxy.journals() > times
    });
    // Whatever the link waits for now, a good line is enough.
    copy.kill();
    proxy.switch(Line::To(source.port));
    copy.start();
    copy.wait();
    check_equal(&source, &copy);
}

#[test]
fn a_source_that_goes_away_in_the_middle_of_an_entry() {
    bad_lines("cut", 25, |port| Line::Cut { port, times: 25 });
}

#[test]
fn a_journal_that_is_damaged_on_its_way() {
    bad_lines("flipped", 12, |port| Line::Flip { port, times: 12 });
}

#[test]
fn a_journal_that_goes_on_as_garbage() {
    bad_lines("garbage", 12, |port| Line::Garbage { port, times: 12 });
}
