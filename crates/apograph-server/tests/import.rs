//! Loading exports over HTTP: what is answered, and what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod server;

use apograph_server::tokens::TokenRole;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use server::{Server, problem};

const NDJSON: &str = "application/x-ndjson";

async fn import(server: &Server, query: &str, body: String) -> Response {
    let path = format!("/v1/databases/main/import?cursor=ndjson:x{query}");
    server.admin(Method::POST, &path).header("content-type", NDJSON).body(body).send().await.unwrap()
}

async fn answers(response: Response) -> Vec<Value> {
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn export(server: &Server) -> String {
    let request = server.admin(Method::GET, "/v1/databases/main/export?view=full");
    request.send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn an_export_is_loaded_and_gone_on_with() {
    let source = Server::primary(1).await;
    for n in 0..3 {
        source.commit(json!([{ "op": "put", "uri": format!("/{n}"), "body": "text" }])).await;
    }
    let exported = export(&source).await;
    let target = Server::primary(2).await;
    let before = export(&target).await;
    let asked = answers(import(&target, "&dry_run=true", String::new()).await).await;
    assert!(asked.len() == 1 && asked[0]["done"].is_object(), "{asked:?}");
    assert_eq!(export(&target).await, before, "asking changes nothing");

    // It breaks off: nothing of what came was enough for a transaction.
    let lines: Vec<&str> = exported.lines().collect();
    let part = format!("{}\n", lines[..lines.len() - 1].join("\n"));
    let refused = answers(import(&target, "", part).await).await;
    let last = &refused.last().unwrap()["refused"];
    assert_eq!((&last["code"], &last["line"]), (&json!("export-invalid"), &json!(lines.len())), "{last}");

    let done = answers(import(&target, "", exported.clone()).await).await;
    let done = &done.last().unwrap()["done"];
    assert_eq!((&done["documents"], &done["versions"]), (&json!(3), &json!(3)), "{done}");
    assert_eq!(done["left_out"], json!(["/_system/servers/primary"]));
    assert!(export(&target).await.contains(lines[2]), "the line of a version is the same");

    let again = import(&target, "", exported.clone()).await;
    let (status, code) = problem(again).await;
    assert_eq!((status, code.as_str()), (409, "cursor"));
    let cursor = target.admin(Method::GET, "/v1/databases/main/cursors/ndjson:x");
    let position = server::json(cursor).await["position"].as_str().unwrap().to_owned();
    assert!(position.ends_with(":end"), "{position}");
    let (status, code) = problem(import(&target, &format!("&from={position}"), exported).await).await;
    assert_eq!((status, code.as_str()), (409, "cursor"));
    target.stop().await;
    source.stop().await;
}

#[tokio::test]
async fn what_cannot_be_loaded_is_refused() {
    let server = Server::primary(1).await;
    let path = "/v1/databases/main/import?cursor=x";
    for (role, status) in [(TokenRole::Editor, 403), (TokenRole::LinkReplica, 403)] {
        let response = server.request(role, Method::POST, path).header("content-type", NDJSON).send().await;
        assert_eq!(response.unwrap().status(), status);
    }
    let response =
        server.admin(Method::POST, path).header("content-type", "text/plain").send().await.unwrap();
    assert_eq!(problem(response).await, (415, "media-type".into()));
    assert_eq!(
        problem(import(&server, "&from=1:2", String::new()).await).await,
        (400, "query-invalid".into())
    );
    assert_eq!(problem(import(&server, "&from=1:2:3:4", String::new()).await).await, (409, "cursor".into()));
    let long = format!("{}\n", "x".repeat(9 << 20));
    let header = "{\"format\":\"apograph-export/1\",\"view\":\"full\"}\n";
    for (body, code, line) in [
        (String::new(), "export-invalid", json!(1)),
        ("{}\n".to_owned(), "export-invalid", json!(1)),
        ("{\"format\":\"apograph-export/2\",\"more\":1}\n".to_owned(), "export-newer", json!(1)),
        (format!("{header}\n"), "export-invalid", json!(2)),
        (format!("{header}\u{0}"), "export-invalid", json!(2)),
        (format!("{header}{long}"), "too-large", Value::Null),
    ] {
        let refused = answers(import(&server, "", body).await).await;
        let refused = &refused.last().unwrap()["refused"];
        assert_eq!((refused["code"].as_str().unwrap(), &refused["line"]), (code, &line), "{refused}");
    }
    server.commit(json!([{ "op": "put", "uri": "/a", "body": "text" }])).await;
    assert_eq!(problem(import(&server, "", String::new()).await).await, (409, "not-empty".into()));
    server.stop().await;
}
