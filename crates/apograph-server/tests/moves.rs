//! Documents that were moved: where their history goes on, and what their old URIs answer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod server;

use reqwest::Method;
use serde_json::{Value, json as value};
use server::{Server, json};

/// `NUMBER@URI` of every version, page by page.
async fn history(server: &Server, uri: &str, limit: usize) -> Vec<String> {
    let (mut uri, mut before, mut found) = (uri.to_owned(), String::new(), Vec::new());
    for _ in 0..50 {
        let path = format!("/v1/databases/main/versions{uri}?limit={limit}{before}");
        let page = json(server.admin(Method::GET, &path)).await;
        let versions = page["versions"].as_array().unwrap_or_else(|| panic!("{path}: {page}"));
        assert!(versions.len() <= limit);
        found.extend(
            versions.iter().map(|version| format!("{}@{}", version["version"], text(&version["uri"]))),
        );
        let Some(next) = page["next_before"].as_u64() else { return found };
        before = format!("&before={next}");
        uri = page["next_uri"].as_str().map_or(uri, str::to_owned);
    }
    panic!("the pages never end: {found:?}");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn put(uri: &str, body: &str) -> Value {
    value!({ "op": "put", "uri": uri, "body": body })
}

fn moved(from: &str, to: &str) -> Value {
    value!([{ "op": "move", "uri": from, "to": to }])
}

#[tokio::test]
async fn a_history_goes_on_at_the_old_uri() {
    let server = Server::primary(3).await;
    // The live version is older than the working one: a move takes both along.
    server.commit(value!([put("/a", "1"), { "op": "publish", "uri": "/a" }])).await;
    for body in ["2", "3"] {
        server.commit(value!([put("/a", body)])).await;
    }
    server.commit(moved("/a", "/b")).await;
    server.commit(value!([put("/b", "6")])).await;
    server.commit(moved("/b", "/a")).await;
    let expected = ["8@/a", "7@/a", "6@/b", "5@/b", "4@/b", "3@/a", "2@/a", "1@/a"];
    for limit in 1..=9 {
        assert_eq!(history(&server, "/a", limit).await, expected, "pages of {limit}");
    }
    // The old URI has what was saved under it, and what came before.
    assert_eq!(history(&server, "/b", 100).await, expected[2..]);
    server.stop().await;
}

#[tokio::test]
async fn a_history_leaves_out_who_had_the_uri_before_and_ends_where_a_purge_did() {
    let server = Server::primary(1).await;
    server.commit(value!([put("/new", "other")])).await;
    server.commit(value!([{ "op": "trash", "uri": "/new" }])).await;
    server.commit(value!([put("/old", "mine")])).await;
    server.commit(moved("/old", "/new")).await;
    assert_eq!(history(&server, "/new", 1).await, ["2@/new", "1@/old"]);
    let path = "/v1/databases/main/versions/new?before=2";
    let below = json(server.admin(Method::GET, path)).await;
    assert_eq!(below["versions"][0]["version"], 1, "it can still be read: {below}");
    server.commit(value!([{ "op": "purge", "uri": "/old" }])).await;
    assert_eq!(history(&server, "/new", 10).await, ["2@/new"]);
    server.stop().await;
}

#[tokio::test]
async fn an_old_uri_says_where_the_document_went() {
    let server = Server::primary(1).await;
    server.commit(value!([put("/a", "1"), { "op": "publish", "uri": "/a" }])).await;
    server.commit(moved("/a", "/b")).await;
    let cases = [("", 410, "trashed"), ("?state=live", 404, "not-published")];
    for resource in ["documents", "contents"] {
        for (query, status, code) in cases {
            let path = format!("/v1/databases/main/{resource}/a{query}");
            let problem = json(server.admin(Method::GET, &path)).await;
            let found = (&problem["status"], &problem["code"], &problem["moved_to"]);
            assert_eq!(found, (&value!(status), &value!(code), &value!("/b")), "{path}");
            assert_eq!(problem["next"], "it was moved: read it at /b");
        }
    }
    server.stop().await;
}
