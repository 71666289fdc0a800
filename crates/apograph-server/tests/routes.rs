//! Every route with every role: who may, and who may not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod server;

use apograph_server::routes::{Access, decisions};
use apograph_server::tokens::TokenRole;
use reqwest::{Method, Response};
use server::{Server, json, problem};

/// What an allowed request is answered, by route. A route that is missing here fails the test.
fn allowed(method: &Method, path: &str) -> Option<u16> {
    let resource = path.rsplit("{db}/").next()?;
    Some(match (method.as_str(), resource) {
        ("GET", "/health/live" | "/health/ready" | "/metrics" | "/v1/openapi.json" | "/v1/status") => 200,
        ("GET", "documents" | "digest" | "export" | "leaves" | "handshake" | "cursors/{name}") => 200,
        ("GET", "documents/{*uri}" | "contents/{*uri}" | "versions/{*uri}") => 404,
        ("GET", "why/{*uri}" | "partitions/{p}/journal" | "synchronization") => 200,
        ("POST", "synchronization") | ("GET", "backup") => 200,
        ("PUT", "documents/{*uri}" | "contents/{*uri}") => 201,
        ("DELETE", "documents/{*uri}") => 404,
        ("POST", "transactions") => 400,
        ("POST", "report" | "snapshot" | "import" | "backup") => 400,
        ("POST", "partitions/{p}/synchronize") => 415,
        ("POST", "sync" | "pause" | "resume") => 409,
        ("PUT", "throttle" | "source") => 400,
        ("GET" | "DELETE", "orphans") => 200,
        ("GET", "orphans/{timestamp}") => 404,
        ("POST", "orphans/restore") => 200,
        ("POST", "restorations") => 415,
        ("GET" | "POST", "rollback") => 400,
        ("POST", "acknowledge") => 400,
        ("GET", "lag-limits") => 200,
        ("PUT", "lag-limits/{name}") => 400,
        ("DELETE", "lag-limits/{name}") => 200,
        // Of a primary.
        ("POST", "promote") => 409,
        ("POST", "switchover" | "handover" | "epoch") => 400,
        _ => return None,
    })
}

async fn ask(
    server: &Server,
    method: &Method,
    path: &str,
    from: &str,
    authorization: Option<&str>,
) -> Response {
    let name = authorization.map_or("none".into(), |text| text.chars().skip(7).take(9).collect::<String>());
    let uri = if *method == Method::PUT { format!("new-{name}-{}", path.len()) } else { "absent".to_owned() };
    let mut url =
        path.replace("{db}", "main").replace("{*uri}", &uri).replace("{name}", "c").replace("{p}", "0");
    if path.ends_with("journal") {
        url = format!("{url}?view=published&follow=false&from={from}");
    } else if path.ends_with("handshake") {
        url = format!("{url}?view=published");
    }
    let mut request = server.http.request(method.clone(), server.url(&url));
    if *method != Method::GET {
        request = request.header("content-type", "application/json").body("{}");
    }
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    request.send().await.unwrap()
}

/// The beginning of partition 0 of the published view.
async fn beginning(server: &Server) -> String {
    let status = json(server.admin(Method::GET, "/v1/status")).await;
    let id: apograph_format::DatabaseId = status["databases"][0]["id"].as_str().unwrap().parse().unwrap();
    let genesis = id.genesis(apograph_format::View::Published, apograph_format::PartitionId(0));
    apograph_format::Position::beginning(genesis).to_string()
}

#[tokio::test]
async fn every_route_with_every_role() {
    let server = Server::primary(1).await;
    let from = beginning(&server).await;
    for (method, path, access) in decisions() {
        let expected = allowed(&method, path).unwrap_or_else(|| panic!("no expectation for {method} {path}"));
        for role in TokenRole::ALL {
            let bearer = format!("Bearer {}", server.token(role));
            let response = ask(&server, &method, path, &from, Some(&bearer)).await;
            let may = match access {
                Access::Public => true,
                Access::Roles(roles) => roles.contains(&role),
            };
            let wanted = if may { expected } else { 403 };
            assert_eq!(response.status().as_u16(), wanted, "{role} {method} {path}");
        }
        let wrong = format!("Bearer apo_a_{}", "0".repeat(64));
        let basic = format!("Basic {}", server.token(TokenRole::Admin));
        for stranger in
            [None, Some(wrong.as_str()), Some("Bearer"), Some("Bearer "), Some("\u{7f}x"), Some(&basic)]
        {
            // A header that the client refuses to send proves nothing.
            let Some(stranger) = stranger.filter(|text| text.contains('\u{7f}')).xor(stranger) else {
                if stranger.is_none() && access != Access::Public {
                    let response = ask(&server, &method, path, &from, None).await;
                    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"apograph\"");
                    assert_eq!(problem(response).await, (401, "unauthenticated".into()), "{method} {path}");
                }
                continue;
            };
            let response = ask(&server, &method, path, &from, Some(stranger)).await;
            match access {
                Access::Public => assert_eq!(response.status().as_u16(), expected, "{method} {path}"),
                Access::Roles(_) => {
                    assert_eq!(problem(response).await, (401, "unauthenticated".into()), "{method} {path}");
                }
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_staging_link_sees_the_published_view_only() {
    let server = Server::primary(1).await;
    let from = beginning(&server).await;
    for path in ["handshake?view=full".to_owned(), format!("partitions/0/journal?view=full&from={from}")] {
        let path = format!("/v1/databases/main/{path}");
        let response = server.request(TokenRole::LinkStaging, Method::GET, &path).send().await.unwrap();
        assert_eq!(problem(response).await, (403, "forbidden".into()), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_editors_may_not() {
    let server = Server::primary(1).await;
    server.commit(serde_json::json!([{ "op": "put", "uri": "/a", "body": "x" }])).await;
    let transactions = [
        r#"{"operations":[{"op":"purge","uri":"/a"}]}"#,
        r#"{"operations":[{"op":"put","uri":"/_system/config/x","kind":"config"}]}"#,
        r#"{"operations":[{"op":"move","uri":"/a","to":"/_system/a"}]}"#,
        r#"{"operations":[{"op":"trash","uri":"/a"}],"author":"somebody else"}"#,
        r#"{"operations":[{"op":"trash","uri":"/a"}],"time":"2001-01-01T00:00:00Z"}"#,
    ];
    for body in transactions {
        let request = server.request(TokenRole::Editor, Method::POST, "/v1/databases/main/transactions");
        let request = request.header("content-type", "application/json").body(body);
        assert_eq!(problem(request.send().await.unwrap()).await, (403, "forbidden".into()), "{body}");
    }
    let path = "/v1/databases/main/documents/a?purge=true";
    let response = server.request(TokenRole::Editor, Method::DELETE, path).send().await.unwrap();
    assert_eq!(problem(response).await, (403, "forbidden".into()));
    let lock = r#"{"operations":[{"op":"lock","uri":"/a","owner":"admin","seconds":60}]}"#;
    let transaction = |role, body: &'static str| {
        let request = server.request(role, Method::POST, "/v1/databases/main/transactions");
        request.header("content-type", "application/json").body(body).send()
    };
    assert_eq!(transaction(TokenRole::Admin, lock).await.unwrap().status(), 200);
    let trash = r#"{"operations":[{"op":"trash","uri":"/a"}]}"#;
    let refused = transaction(TokenRole::Editor, trash).await.unwrap();
    assert_eq!(problem(refused).await, (409, "locked".into()));
    assert_eq!(transaction(TokenRole::Admin, trash).await.unwrap().status(), 200);
    server.stop().await;
}
