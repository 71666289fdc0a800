//! The client against a scripted socket: what it makes of good, bad and foreign answers.

use std::time::Duration;

use apograph_format::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::types::{BulkAnswer, ReadQuery, TransactionRequest};

/// Answers every connection with `answer`, as it is, and closes it.
async fn server(answer: &'static str) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    let mut settings = ClientSettings::new(url);
    settings.retries = 0;
    settings.idle_timeout = Duration::from_millis(300);
    Client::new(settings).unwrap()
}

async fn refusal(answer: &'static str) -> String {
    let error = server(answer).await.status().await.unwrap_err();
    let text = error.to_string();
    let port = text.find("127.0.0.1:").map(|at| {
        let end = text[at + 10..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |end| at + 10 + end);
        text[at..end].to_owned()
    });
    port.map_or(text.clone(), |port| text.replace(&port, "HOST"))
}

#[tokio::test]
async fn answers_of_others_are_recognised() {
    let html = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(
        refusal(html).await,
        "what answers at http://HOST is not Apograph: it answers 200 OK with text/html"
    );
    assert_eq!(refusal("SSH-2.0-OpenSSH_9.6\r\n").await, "the server http://HOST cannot be reached");
}

#[tokio::test]
async fn bad_answers_are_told_apart() {
    let cases = [
        ("HTTP/1.1 200 OK\r\napograph: 0.1.0\r\ncontent-length: 100\r\n\r\n{", "broke off after 1 bytes"),
        (
            "HTTP/1.1 200 OK\r\napograph: 0.1.0\r\ncontent-length: 2\r\n\r\n{}",
            "cannot be understood: missing field",
        ),
        ("HTTP/1.1 500 No\r\napograph: 0.1.0\r\ncontent-length: 2\r\n\r\n{}", "without a problem"),
        (
            "HTTP/1.1 409 No\r\napograph: 0.1.0\r\ncontent-length: 83\r\n\r\n{\"type\":\"urn:x\",\"title\":\"T\",\"status\":409,\"detail\":\"it is so\",\"code\":\"read-only\"}   ",
            "it is so",
        ),
    ];
    for (answer, expected) in cases {
        let found = refusal(answer).await;
        assert!(found.contains(expected), "{expected:?} not in {found:?}");
    }
}

#[tokio::test]
async fn nobody_and_silence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut settings = ClientSettings::new(url);
    settings.idle_timeout = Duration::from_millis(50);
    settings.retries = 0;
    let silent = Client::new(settings.clone()).unwrap().status().await.unwrap_err();
    assert!(matches!(silent, ClientError::Silent { .. }), "{silent}");
    drop(listener);
    let nobody = Client::new(settings).unwrap().status().await.unwrap_err();
    assert!(matches!(nobody, ClientError::Unreachable { .. }), "{nobody}");
}

#[tokio::test]
async fn urls_are_checked() {
    for bad in ["", "127.0.0.1:7700", "https://127.0.0.1", "http://127.0.0.1/v1", "http://127.0.0.1?x"] {
        assert!(matches!(Client::new(ClientSettings::new(bad)), Err(ClientError::Url { .. })), "{bad}");
    }
}

#[tokio::test]
async fn a_truncated_content_is_no_end() {
    let client = server("HTTP/1.1 200 OK\r\napograph: 0.1.0\r\ncontent-length: 10\r\n\r\nhello").await;
    let uri = Uri::parse("/a").unwrap();
    let mut content = client.content("main", &uri, &ReadQuery::default(), None).await.unwrap();
    assert_eq!(content.body.next().await.unwrap().unwrap(), "hello");
    assert!(matches!(content.body.next().await, Err(ClientError::Truncated { received: 5, .. })));
}

#[tokio::test]
async fn bulk_answers_come_while_transactions_go() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let head = "HTTP/1.1 200 OK\r\napograph: 0.1.0\r\ntransfer-encoding: chunked\r\n\r\n";
        let (mut seen, mut answered) = (Vec::new(), 0);
        loop {
            let mut bytes = [0; 4096];
            let count = socket.read(&mut bytes).await.unwrap();
            if seen.is_empty() {
                socket.write_all(head.as_bytes()).await.unwrap();
            }
            seen.extend_from_slice(&bytes[..count]);
            let text = String::from_utf8_lossy(&seen).into_owned();
            let lines = text.matches("\"comment\"").count();
            for timestamp in answered..lines {
                let line =
                    format!("{{\"timestamp\":{timestamp},\"token\":\"1.{timestamp}\",\"results\":[]}}\n");
                socket.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await.unwrap();
            }
            answered = lines;
            if text.ends_with("0\r\n\r\n") {
                socket.write_all(b"0\r\n\r\n").await.unwrap();
                return;
            }
        }
    });
    let client = Client::new(ClientSettings::new(url)).unwrap();
    let (sender, mut answers) = client.bulk("main");
    let transaction = TransactionRequest { comment: "x".into(), ..TransactionRequest::default() };
    for expected in 0..3 {
        sender.send(&transaction).await.unwrap();
        let Some(BulkAnswer::Committed(answer)) = answers.next().await.unwrap() else { panic!("no answer") };
        assert_eq!(answer.timestamp.0, expected, "the answer came before the next transaction went");
    }
    drop(sender);
    assert!(answers.next().await.unwrap().is_none());
}
