//! Bad input: one clear problem each, and nothing done.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod server;

use apograph_server::tokens::TokenRole;
use reqwest::Method;
use server::{Server, json, problem};

const JSON: &str = "application/json";

async fn send(server: &Server, method: Method, path: &str, media_type: &str, body: Vec<u8>) -> (u16, String) {
    let path = format!("/v1/databases/main/{path}");
    let request = server.request(TokenRole::Editor, method, &path);
    problem(request.header("content-type", media_type).body(body).send().await.unwrap()).await
}

#[tokio::test]
async fn uris() {
    let server = Server::primary(1).await;
    let long = "x".repeat(1_024);
    let uris =
        ["a//b", "a/", "a/%2e%2e/b", "%2E", "a%00b", "a%0Ab", "e%CC%81", "%ff%fe", "a%C3", long.as_str()];
    for uri in uris {
        let found = send_raw(&server, &format!("GET /v1/databases/main/documents/{uri}")).await;
        assert!(found.contains("uri-invalid"), "{uri}: {found}");
    }
    // Decoded once, not twice.
    let found = send_raw(&server, "GET /v1/databases/main/documents/a%252e").await;
    assert!(found.contains("not-found") && found.contains("/a%2e"), "{found}");
    server.stop().await;
}

/// Without a client that tidies the path.
async fn send_raw(server: &Server, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let token = server.token(TokenRole::Reader);
    let head = format!(
        "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn bodies() {
    let server = Server::primary(1).await;
    let deep = format!(r#"{{"properties":{{"a":{}1{}}}}}"#, "[".repeat(40), "]".repeat(40));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "body-invalid"),
        (b"{".to_vec(), "body-invalid"),
        (b"[]".to_vec(), "body-invalid"),
        (b"{\"body\":\"\xff\"}".to_vec(), "body-invalid"),
        (br#"{"colour":1}"#.to_vec(), "body-invalid"),
        (br#"{"body":1}"#.to_vec(), "body-invalid"),
        (br#"{"body":"a","body":"b"}"#.to_vec(), "body-invalid"),
        (br#"{"body":"a","body_base64":"YQ=="}"#.to_vec(), "body-invalid"),
        (br#"{"body_base64":"?"}"#.to_vec(), "body-invalid"),
        (br#"{"kind":"thing"}"#.to_vec(), "body-invalid"),
        (br#"{"body":"a"} x"#.to_vec(), "body-invalid"),
        (br#"{"properties":[]}"#.to_vec(), "properties-invalid"),
        (br#"{"properties":{"a":1,"a":2}}"#.to_vec(), "properties-invalid"),
        (br#"{"properties":{"a":{"b":1,"b":2}}}"#.to_vec(), "properties-invalid"),
        (br#"{"properties":{"a":99999999999999999999}}"#.to_vec(), "properties-invalid"),
        (deep.into_bytes(), "properties-invalid"),
    ];
    for (body, code) in cases {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let found = send(&server, Method::PUT, "documents/a", JSON, body).await;
        assert_eq!(found, (400, code.into()), "{shown}");
    }
    let found = send(&server, Method::PUT, "documents/a", "text/plain", b"{}".to_vec()).await;
    assert_eq!(found, (415, "media-type".into()));
    let found = send(&server, Method::POST, "transactions", "application/xml", b"<a/>".to_vec()).await;
    assert_eq!(found, (415, "media-type".into()));
    let found = send(&server, Method::PUT, "documents/a", JSON, vec![b' '; (8 << 20) + 1]).await;
    assert_eq!(found, (413, "too-large".into()));
    let found = send(&server, Method::POST, "transactions", JSON, b"{}".to_vec()).await;
    assert_eq!(found, (400, "transaction-empty".into()));
    let list = json(server.admin(Method::GET, "/v1/databases/main/documents")).await;
    let uris: Vec<_> =
        list["documents"].as_array().unwrap().iter().filter(|item| item["kind"] == "document").collect();
    assert!(uris.is_empty(), "nothing was done: {list}");
    server.stop().await;
}

#[tokio::test]
async fn preconditions_and_queries() {
    let server = Server::primary(1).await;
    server.commit(serde_json::json!([{ "op": "put", "uri": "/a", "body": "x" }])).await;
    let headers = [
        (("if-match", "\"7\""), 412, "version-mismatch"),
        (("if-match", "7"), 400, "header-invalid"),
        (("if-match", "\"x\""), 400, "header-invalid"),
        (("if-none-match", "*"), 412, "exists"),
        (("if-none-match", "\"1\""), 400, "header-invalid"),
    ];
    for ((name, value), status, code) in headers {
        let request =
            server.admin(Method::PUT, "/v1/databases/main/documents/a").header("content-type", JSON);
        let response = request.header(name, value).body("{}").send().await.unwrap();
        assert_eq!(problem(response).await, (status, code.into()), "{name}: {value}");
    }
    let queries = [
        ("documents/a?state=half", 400, "query-invalid"),
        ("documents/a?state=live&version=1", 400, "query-invalid"),
        ("documents/a?version=one", 400, "query-invalid"),
        ("documents/a?colour=red", 400, "query-invalid"),
        ("documents/a?version=1&version=2", 400, "query-invalid"),
        ("documents/a?as_of=yesterday", 400, "query-invalid"),
        ("documents/a?at_least=x", 400, "query-invalid"),
        ("documents/a?at_least=99.1", 409, "token-other-history"),
        ("documents/a?at_least=1.9000000000000000000&wait=0", 504, "not-reached"),
        ("documents/a?version=9", 404, "no-such-version"),
        ("documents/a?state=live", 404, "not-published"),
        ("documents/b", 404, "not-found"),
        ("documents?limit=0", 400, "query-invalid"),
        ("documents?limit=1001", 400, "query-invalid"),
        ("documents?kind=thing", 400, "query-invalid"),
        ("export?view=half", 400, "query-invalid"),
        ("partitions/7/journal?from=0.0.00", 400, "query-invalid"),
        ("partitions/x/journal?from=0.0.00", 404, "no-such-partition"),
        ("nothing", 404, "no-such-route"),
    ];
    for (path, status, code) in queries {
        let response = server.admin(Method::GET, &format!("/v1/databases/main/{path}")).send().await.unwrap();
        assert_eq!(problem(response).await, (status, code.into()), "{path}");
    }
    let response = server.admin(Method::GET, "/v1/databases/other/documents").send().await.unwrap();
    assert_eq!(problem(response).await, (404, "no-such-database".into()));
    let response = server.admin(Method::POST, "/v1/status").send().await.unwrap();
    assert_eq!(problem(response).await, (405, "method-not-allowed".into()));
    server.stop().await;
}

#[tokio::test]
async fn bulk_answers_line_by_line_and_stops_at_the_first_refusal() {
    let server = Server::primary(1).await;
    let lines = [
        r#"{"operations":[{"op":"put","uri":"/a","body":"1","if_absent":true}]}"#,
        "",
        r#"{"operations":[{"op":"put","uri":"/b","body":"2"}]}"#,
        "no json",
        r#"{"operations":[{"op":"put","uri":"/c","body":"3"}]}"#,
    ];
    let request = server.admin(Method::POST, "/v1/databases/main/transactions");
    let request = request.header("content-type", "application/x-ndjson").body(lines.join("\n"));
    let text = request.send().await.unwrap().text().await.unwrap();
    let answers: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 4, "{text}");
    assert_eq!(
        (&answers[0]["results"][0]["uri"], &answers[1]["results"][0]["uri"]),
        (&"/a".into(), &"/b".into())
    );
    assert_eq!(answers[2]["code"], "body-invalid");
    assert_eq!(answers[3]["code"], "not-attempted");
    let response = server.admin(Method::GET, "/v1/databases/main/documents/c").send().await.unwrap();
    assert_eq!(problem(response).await, (404, "not-found".into()));
    server.stop().await;
}
