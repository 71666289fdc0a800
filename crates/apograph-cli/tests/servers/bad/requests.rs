//! Requests that cannot be done, at the command line and on the wire; what the server's own tests cover is not here.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::super::process::{Server, apograph, done};
use super::{check, export, put, refused, told};

#[test]
fn requests_that_are_refused_change_nothing() {
    let root = tempfile::tempdir().unwrap();
    let server = Server::init(root.path(), "primary", "primary", None, 1);
    server.start();
    server.wait();
    put(&server, "/a", "{}");
    done(&mut server.command("editor", &["move", "/a", "/b"]));
    let before = export(&server, "full");
    tokens(&server);
    uris(&server);
    preconditions(&server);
    bodies(&server);
    wire(&server);
    assert_eq!(export(&server, "full"), before);
}

fn tokens(server: &Server) {
    let ls = |file: &std::path::Path| {
        let mut command = apograph();
        command.args(["ls", "--server", &server.url(), "--token-file"]).arg(file);
        command
    };
    check(&refused(apograph().args(["ls", "--server", &server.url()])), "denied", "unauthenticated");
    let file = server.folder.with_extension("token");
    fs::write(&file, "not-a-token-of-this-server").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    check(&refused(&mut ls(&file)), "denied", "unauthenticated");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(told(&refused(&mut ls(&file))).contains("can be read by others"));
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    check(&refused(&mut ls(&file)), "local", "");
    check(&refused(&mut ls(&file.with_extension("absent"))), "local", "");
    for (role, arguments) in [
        ("reader", &["put", "/x"][..]),
        ("link-replica", &["put", "/x"]),
        ("link-staging", &["ls"]),
        ("editor", &["purge", "/b", "--yes"]),
        ("editor", &["put", "/_system/users/x", "--kind", "user"]),
    ] {
        check(&refused(&mut server.command(role, arguments)), "denied", "forbidden");
    }
}

fn uris(server: &Server) {
    let long = format!("/{}", "x".repeat(1024));
    for uri in ["", "a", "/", "/a//b", "/a/", "/a/../b", "/a/.", "/a\nb", "/e\u{301}", &long] {
        let output = server.command("reader", &["get", uri]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{uri:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // What is typed is the URI: nothing is decoded.
    let failure = refused(&mut server.command("reader", &["get", "/%2e%2e/%00/%2F"]));
    check(&failure, "not-found", "not-found");
    assert_eq!(failure["problem"]["uri"], "/%2e%2e/%00/%2F");
}

fn preconditions(server: &Server) {
    for (arguments, code) in [
        (&["put", "/b", "--if-absent"][..], "exists"),
        (&["put", "/b", "--if-version", "9"], "version-mismatch"),
        (&["put", "/absent", "--if-version", "1"], "version-mismatch"),
        (&["publish", "/b", "--if-version", "1"], "version-mismatch"),
        (&["unlock", "/b"], "not-locked"),
        (&["restore", "/b"], "not-trashed"),
        (&["move", "/b", "/b"], "exists"),
        (&["put", "/b", "--kind", "node"], "kind"),
        (&["put", "/x", "--kind", "user"], "kind"),
    ] {
        check(&refused(&mut server.command("editor", arguments)), "refused", code);
    }
    let failure = refused(&mut server.command("reader", &["get", "/a"]));
    check(&failure, "not-found", "trashed");
    assert_eq!(failure["next"], "it was moved: apograph get /b");
    let history = done(&mut server.command("reader", &["history", "/b"])).stdout;
    assert!(String::from_utf8_lossy(&history).contains("  as /a\n"), "the history goes on at the old URI");
}

fn bodies(server: &Server) {
    for properties in ["{\"a\":1,\"a\":2}", &format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40))] {
        let failure = refused(&mut server.command("editor", &["put", "/b", "--properties", properties]));
        check(&failure, "refused", "properties-invalid");
    }
    let folder = server.folder.to_string_lossy().into_owned();
    for (file, kind) in [("/absent/file", "local"), (folder.as_str(), "usage")] {
        assert_eq!(refused(&mut server.command("editor", &["put", "/b", file]))["kind"], kind);
    }
    let nobody = server.command("reader", &["ls", "--database", "other"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(4));
    check(&refused(apograph().args(["ls", "--server", "http://127.0.0.1:1"])), "unreachable", "");
}

/// Without a client that tidies requests.
fn wire(server: &Server) {
    let get = |uri: &str| send(server, &format!("GET /v1/databases/main/documents/{uri}"), "");
    for uri in ["%c0%af", "%c0%ae%c0%ae/x", "%e0%80%af", "..%2f..%2fetc%2fpasswd", "a%2F%2Fb", "a%2F", "%2Fa"]
    {
        assert_eq!(get(uri)["code"], "uri-invalid", "{uri}");
    }
    let found = get("x%2Fy");
    assert_eq!((&found["code"], &found["uri"]), (&"not-found".into(), &"/x/y".into()), "one and the same");
    let bodies = [
        (r#"{"operations":[{"op":"put","uri":"/x","colour":1}]}"#, "body-invalid"),
        (r#"{"operations":[{"op":"paint","uri":"/x"}]}"#, "body-invalid"),
        (r#"{"operations":[{"op":"put","op":"trash","uri":"/x"}]}"#, "body-invalid"),
        (r#"{"operations":[{"op":"put","uri":"/x","if_version":"one"}]}"#, "body-invalid"),
        (r#"{"operations":[{"op":"put","uri":"/x/../y"}]}"#, "uri-invalid"),
        (r#"{"operations":[{"op":"put","uri":"/x"},{"op":"publish","uri":"/absent"}]}"#, "not-found"),
        (r#"{"operations":[{"op":"put","uri":"/x"}],"colour":1}"#, "body-invalid"),
        (&"[".repeat(100_000), "body-invalid"),
    ];
    for (body, code) in bodies {
        let found = send(server, "POST /v1/databases/main/transactions", body);
        assert_eq!(found["code"], code, "{found}");
    }
}

fn send(server: &Server, request: &str, body: &str) -> Value {
    let token = fs::read_to_string(server.token("editor")).unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        token.trim(),
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (_, problem) = answer.split_once("\r\n\r\n").unwrap();
    let problem: Value = serde_json::from_str(problem).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert!(problem["next"].is_string(), "{problem}");
    problem
}
