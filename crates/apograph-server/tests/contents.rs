//! Contents: streamed both ways, ranges, and uploads that end early or stall.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod server;

use std::time::Duration;

use apograph_server::tokens::TokenRole;
use reqwest::Method;
use server::{Server, eventually, json, problem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATH: &str = "/v1/databases/main/contents/big.bin";

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| u8::try_from(index * 7 % 251).unwrap()).collect()
}

#[tokio::test]
async fn bytes_go_in_and_come_out() {
    let server = Server::primary(1).await;
    for count in [0, 1, 1 << 20, (3 << 20) + 17] {
        let content = bytes(count);
        let request =
            server.admin(Method::PUT, PATH).header("content-type", "image/png").body(content.clone());
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{count}: {}", response.text().await.unwrap());
        let response = server.admin(Method::GET, PATH).send().await.unwrap();
        let headers = response.headers().clone();
        assert_eq!(
            (&headers["content-type"], &headers["x-content-type-options"]),
            (&"image/png".parse().unwrap(), &"nosniff".parse().unwrap())
        );
        assert_eq!(headers["content-length"], count.to_string());
        assert_eq!(response.bytes().await.unwrap(), content, "{count}");
    }
    let content = bytes((3 << 20) + 17);
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=1048570-1048590", 1_048_570..1_048_591),
        ("bytes=-17", content.len() - 17..content.len()),
    ] {
        let response = server.admin(Method::GET, PATH).header("range", range).send().await.unwrap();
        assert_eq!(response.status(), 206);
        assert_eq!(response.bytes().await.unwrap(), content[expected], "{range}");
    }
    let response = server.admin(Method::GET, PATH).header("range", "bytes=99999999-").send().await.unwrap();
    assert_eq!(response.headers()["content-range"], format!("bytes */{}", content.len()));
    assert_eq!(problem(response).await, (416, "range-invalid".into()));
    let tag = server.admin(Method::GET, PATH).send().await.unwrap().headers()["etag"].clone();
    let response = server.admin(Method::GET, PATH).header("if-none-match", tag).send().await.unwrap();
    assert_eq!(response.status(), 304);
    server.stop().await;
}

#[tokio::test]
async fn what_a_browser_might_run_is_an_attachment() {
    let server = Server::primary(1).await;
    for (media_type, attached) in
        [("text/html", true), ("image/svg+xml", true), ("TEXT/HTML; charset=x", true), ("text/plain", false)]
    {
        server.admin(Method::PUT, PATH).header("content-type", media_type).body("<b>").send().await.unwrap();
        let response = server.admin(Method::GET, PATH).send().await.unwrap();
        assert_eq!(response.headers().contains_key("content-disposition"), attached, "{media_type}");
        assert_eq!(response.headers()["content-security-policy"], "default-src 'none'; sandbox");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_upload_that_ends_early_leaves_nothing() {
    let server = Server::primary(1).await;
    let token = server.token(TokenRole::Editor);
    for length in ["content-length: 9000000", "transfer-encoding: chunked"] {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        let head =
            format!("PUT {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{length}\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        if length.starts_with('t') {
            socket.write_all(b"400000\r\n").await.unwrap();
        }
        socket.write_all(&bytes(4 << 20)).await.unwrap();
        eventually("the upload reaches the spool", async || {
            (!server.files("databases/main/spool").is_empty()).then_some(())
        })
        .await;
        drop(socket);
        eventually("the spool is empty", async || {
            server.files("databases/main/spool").is_empty().then_some(())
        })
        .await;
    }
    let response = server.admin(Method::GET, PATH).send().await.unwrap();
    assert_eq!(problem(response).await, (404, "not-found".into()));
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_never_ends_and_one_too_large() {
    let server = Server::primary(1).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(30), socket.read_to_end(&mut answer));
    assert!(closed.await.is_ok(), "the connection is closed");
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let flood = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    // The server may close before everything is written.
    let _ = socket.write_all(flood.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    assert!(json(server.admin(Method::GET, "/v1/status")).await.is_object(), "the server answers others");
    server.stop().await;
}

/// The refusal comes while the body is still on its way: it has to be read nevertheless.
#[tokio::test]
async fn a_refused_upload_says_why() {
    let server = Server::primary(1).await;
    let path = "/v1/databases/main/contents/large";
    for _ in 0..10 {
        let body = vec![7; 20 << 20];
        let request = server.request(TokenRole::Reader, Method::PUT, path).body(body.clone());
        assert_eq!(problem(request.send().await.unwrap()).await, (403, "forbidden".into()));
        let request = server.admin(Method::PUT, path).header("if-match", "x").body(body);
        assert_eq!(problem(request.send().await.unwrap()).await, (400, "header-invalid".into()));
    }
    server.stop().await;
}
