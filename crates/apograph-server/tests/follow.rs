//! Copies in one process: they follow, refuse edits, and are exact.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod server;

use std::path::Path;

use apograph::Role;
use reqwest::Method;
use serde_json::json as value;
use server::{Server, eventually, json, problem};

async fn export(server: &Server, view: &str) -> String {
    let request = server.admin(Method::GET, &format!("/v1/databases/main/export?view={view}"));
    request.send().await.unwrap().text().await.unwrap()
}

/// The primary gives each replica that follows it a document: the exports are equal when the copy has that, too.
async fn check_exports(copy: &Server, primary: &Server, view: &str) {
    eventually("the exports are equal", async || {
        (export(copy, view).await == export(primary, view).await).then_some(())
    })
    .await;
}

async fn reached(server: &Server, token: &str) {
    let path = format!("/v1/databases/main/documents?at_least={token}");
    eventually("the copy reaches the token", async || {
        let response = server.admin(Method::GET, &path).send().await.unwrap();
        (response.status() == 200).then_some(())
    })
    .await;
}

/// The journals' segments, byte for byte, without the zeros ahead of the end of an open one.
fn journals(server: &Server) -> Vec<(String, Vec<u8>)> {
    let root = server.folder.path();
    let mut files = server.files("databases/main/partitions");
    files.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    let name = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
    let entries = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_')) {
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        }
        bytes
    };
    files.iter().map(|path| (name(path), entries(path))).collect()
}

#[tokio::test]
async fn a_replica_and_a_staging_server_follow() {
    for partitions in [1, 4] {
        let primary = Server::primary(partitions).await;
        let replica = Server::copy(&primary, Role::Replica).await;
        let staging = Server::copy(&primary, Role::Staging).await;
        let cascade = Server::copy(&replica, Role::Replica).await;
        for number in 0..40 {
            let (even, odd) = (format!("/n/{number}"), format!("/m/{number}"));
            primary.commit(value!([
                { "op": "put", "uri": even, "body": format!("public {number}"), "properties": { "n": number } },
                { "op": "publish", "uri": even },
                { "op": "put", "uri": odd, "body": "canary-unpublished" },
            ])).await;
        }
        let token = primary
            .commit(
                value!([{ "op": "trash", "uri": "/n/3" }, { "op": "move", "uri": "/n/4", "to": "/moved" }]),
            )
            .await;
        for copy in [&replica, &cascade] {
            reached(copy, &token).await;
            check_exports(copy, &primary, "full").await;
        }
        reached(&staging, &token).await;
        check_exports(&staging, &primary, "published").await;
        // A checkpoint may follow the last transaction at any time.
        eventually("journals are equal byte for byte", async || {
            let journal = journals(&primary);
            assert!(journal.len() >= usize::from(partitions), "a segment for every partition");
            (journals(&replica) == journal && journals(&cascade) == journal).then_some(())
        })
        .await;
        for file in staging.files("databases") {
            let bytes = std::fs::read(&file).unwrap();
            let canary = b"canary-unpublished";
            assert!(!bytes.windows(canary.len()).any(|window| window == canary), "{}", file.display());
        }
        refuses_edits(&replica).await;
        shows_its_links(&primary, &[&replica, &staging]).await;
        for server in [cascade, staging, replica, primary] {
            server.stop().await;
        }
    }
}

async fn refuses_edits(copy: &Server) {
    let request =
        copy.admin(Method::PUT, "/v1/databases/main/documents/x").header("content-type", "application/json");
    let response = request.body("{}").send().await.unwrap();
    assert_eq!(response.status(), 409);
    let body: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(body["code"], "read-only");
    assert!(body["primary_url"].is_string(), "{body}");
}

async fn shows_its_links(primary: &Server, copies: &[&Server]) {
    for copy in copies {
        eventually("the copy is ready", async || {
            let response = copy.http.get(copy.url("/health/ready")).send().await.unwrap();
            (response.status() == 200).then_some(())
        })
        .await;
        let link = json(copy.admin(Method::GET, "/v1/status")).await["links"][0].clone();
        assert_eq!((&link["state"], &link["direction"]), (&value!("following"), &value!("in")), "{link}");
        assert_eq!(
            (&link["lag"]["entries"], &link["lag"]["oldest_unapplied_age_ms"]),
            (&value!(0), &value!(0)),
            "{link}"
        );
    }
    eventually("the primary knows its copies", async || {
        let status = json(primary.admin(Method::GET, "/v1/status")).await;
        let out = status["links"].as_array().unwrap().iter().filter(|link| link["direction"] == "out");
        (out.filter(|link| link["lag"]["entries"] == 0).count() == copies.len()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_copy_catches_up_after_either_side_was_away() {
    let primary = Server::primary(2).await;
    let replica = Server::copy(&primary, Role::Replica).await;
    let token = primary.commit(value!([{ "op": "put", "uri": "/a", "body": "1" }])).await;
    reached(&replica, &token).await;
    let folder = replica.stop().await;
    let token = primary.commit(value!([{ "op": "put", "uri": "/b", "body": "2" }])).await;
    let replica = Server::start(folder).await;
    reached(&replica, &token).await;
    check_exports(&replica, &primary, "full").await;
    for server in [replica, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_link_that_cannot_go_on_says_why() {
    let primary = Server::primary(1).await;
    let copy = Server::copy(&primary, Role::Replica).await;
    let response = copy.http.get(copy.url("/health/live")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let token = primary.commit(value!([{ "op": "put", "uri": "/a", "body": "1" }])).await;
    reached(&copy, &token).await;
    // Nobody's tokens are good any more: open streams end, too.
    std::fs::write(primary.folder.path().join("tokens.json"), r#"{"tokens":[]}"#).unwrap();
    eventually("the link is denied", async || {
        let link = json(copy.admin(Method::GET, "/v1/status")).await["links"][0].clone();
        let denied = link["reason"].as_str().is_some_and(|reason| reason.starts_with("denied: "));
        (link["state"] == "stopped" && denied).then_some(())
    })
    .await;
    let response = copy.http.get(copy.url("/health/ready")).send().await.unwrap();
    assert_eq!(response.status(), 503);
    let response = copy.admin(Method::GET, "/v1/databases/main/documents/a").send().await.unwrap();
    assert_eq!(response.status(), 200, "what it has it serves");
    assert_eq!(problem(primary.admin(Method::GET, "/v1/status").send().await.unwrap()).await.0, 401);
    for server in [copy, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_folder_in_use_and_a_port_taken_are_told() {
    use apograph_server::{ServeError, ServeOptions, serve};
    let server = Server::primary(1).await;
    let again = serve(server.folder.path(), ServeOptions::default(), Default::default(), |_| {}).await;
    assert!(matches!(again, Err(ServeError::Folder(_))), "{again:?}");
    let other = server::init("other", apograph::settings::DatabaseSettings::new(Role::Primary));
    let options = ServeOptions { listen: Some(server.address), ..ServeOptions::default() };
    let taken = serve(other.path(), options, Default::default(), |_| {}).await;
    let Err(ServeError::PortTaken { address }) = taken else { panic!("{taken:?}") };
    assert_eq!(address, server.address);
    server.stop().await;
}
