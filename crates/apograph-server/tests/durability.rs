//! Writes that are answered when replicas have them on disk: what counts, what the answer says when it takes too long,
//! and what it says when the role of primary goes elsewhere meanwhile.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod server;

use std::time::{Duration, Instant};

use apograph::Role;
use apograph::settings::DatabaseSettings;
use apograph_server::tokens::TokenRole;
use reqwest::{Method, Response};
use serde_json::{Value, json as value};
use server::{Server, eventually, init, json, problem};

const DOCUMENT: &str = "/v1/databases/main/documents";

/// Puts a document as durably as asked.
async fn put(server: &Server, uri: &str, durability: &str, within: &str) -> Response {
    let request = server.admin(Method::PUT, &format!("{DOCUMENT}{uri}"));
    let request = request.header("content-type", "application/json").body(r#"{"body":"text"}"#);
    let request =
        if durability.is_empty() { request } else { request.header("apograph-durability", durability) };
    let request = if within.is_empty() { request } else { request.header("apograph-within", within) };
    request.send().await.unwrap()
}

async fn put_json(server: &Server, uri: &str, durability: &str, within: &str) -> (u16, Value) {
    let response = put(server, uri, durability, within).await;
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

async fn is_there(server: &Server, uri: &str) -> bool {
    server.admin(Method::GET, &format!("{DOCUMENT}{uri}")).send().await.unwrap().status() == 200
}

async fn tell(server: &Server, what: &str, body: Value) -> Value {
    let request = server.admin(Method::POST, &format!("/v1/databases/main/{what}"));
    json(request.header("content-type", "application/json").body(body.to_string())).await
}

/// The copy follows, and counts.
async fn counts(primary: &Server, number: usize) {
    eventually("the copies acknowledge", async || {
        let (status, _) = put_json(primary, "/probe", &format!("replicas={number}"), "0.2").await;
        (status != 202).then_some(())
    })
    .await;
}

async fn follow(primary: &Server, name: &str) -> Server {
    let url = primary.url("");
    let token = apograph_server::tokens::token_path(primary.folder.path(), TokenRole::LinkReplica);
    let source = apograph::settings::SourceSettings::new(url, token);
    let settings = DatabaseSettings { source: Some(source), ..DatabaseSettings::new(Role::Replica) };
    Server::start(init(name, settings)).await
}

async fn visible(server: &Server) -> u64 {
    let status = json(server.admin(Method::GET, "/v1/status")).await;
    status["databases"][0]["visible"].as_u64().unwrap()
}

#[tokio::test]
async fn an_answer_names_the_replicas_that_have_the_write_and_each_counts_once() {
    for partitions in [1, 3] {
        let primary = Server::primary(partitions).await;
        let (one, two) = (follow(&primary, "one").await, follow(&primary, "two").await);
        let staging = Server::copy(&primary, Role::Staging).await;
        counts(&primary, 2).await;
        for number in 0..20 {
            let (status, answer) = put_json(&primary, &format!("/a/{number}"), "replicas=1", "10").await;
            assert_eq!(status, 201, "{answer}");
            let durability = &answer["durability"];
            assert_eq!(
                (&durability["asked"], &durability["reached"]),
                (&value!("replicas=1"), &value!("replicas=1"))
            );
            let names = durability["replicas"].as_array().unwrap();
            assert!(names.contains(&value!("one")) || names.contains(&value!("two")), "{answer}");
            let (_, answer) = put_json(&primary, &format!("/a/{number}"), "replicas=2", "10").await;
            assert_eq!(answer["durability"]["replicas"], value!(["one", "two"]), "{answer}");
            for copy in [&one, &two] {
                assert!(visible(copy).await >= answer["timestamp"].as_u64().unwrap());
            }
        }
        // A staging server has a part only, and none counts twice.
        let (status, answer) = put_json(&primary, "/b", "replicas=3", "0.3").await;
        assert_eq!((status, &answer["durability"]["missed"]), (202, &value!("deadline")), "{answer}");
        assert_eq!(
            (&answer["durability"]["reached"], &answer["version"]),
            (&value!("replicas=2"), &value!(1))
        );
        let (status, answer) = put_json(&primary, "/c", "local", "").await;
        assert_eq!((status, &answer["durability"]), (201, &Value::Null));
        for server in [one, two, staging, primary] {
            server.stop().await;
        }
    }
}

#[tokio::test]
async fn a_missed_deadline_says_that_the_write_is_committed_and_holds_nobody() {
    let primary = Server::primary(1).await;
    let begun = Instant::now();
    let waiting = put_json(&primary, "/a", "replicas=1", "5");
    let other = async {
        // While it waits others write, and see it.
        eventually("it is visible before it is answered", async || {
            is_there(&primary, "/a").await.then_some(())
        })
        .await;
        let answer = put(&primary, "/b", "", "").await;
        (answer.status().as_u16(), begun.elapsed())
    };
    let ((status, answer), (other, took)) = tokio::join!(waiting, other);
    assert_eq!((status, other), (202, 201), "{answer}");
    assert!(took < Duration::from_secs(5) && begun.elapsed() >= Duration::from_secs(5), "{took:?}");
    let durability = &answer["durability"];
    assert_eq!((&durability["reached"], &durability["missed"]), (&value!("local"), &value!("deadline")));
    assert_eq!(durability["replicas"], Value::Null);
    assert!(answer["token"].is_string() && answer["version"] == 1, "{answer}");
    // Nothing of a refused header is committed.
    for (durability, within) in
        [("replicas=0", ""), ("replicas=x", ""), ("all", ""), ("local", "-1"), ("local", "61")]
    {
        let refused = problem(put(&primary, "/c", durability, within).await).await;
        assert_eq!(refused, (400, "header-invalid".to_owned()), "{durability} {within}");
    }
    assert!(!is_there(&primary, "/c").await);
    // Many lines in one request miss one deadline, not one after the other.
    let lines: String = (0..20)
        .map(|n| format!("{{\"operations\":[{{\"op\":\"put\",\"uri\":\"/n/{n}\",\"body\":\"x\"}}]}}\n"))
        .collect();
    let begun = Instant::now();
    let request = primary.admin(Method::POST, "/v1/databases/main/transactions");
    let request =
        request.header("content-type", "application/x-ndjson").header("apograph-durability", "replicas=1");
    let text = request.header("apograph-within", "1").body(lines).send().await.unwrap().text().await.unwrap();
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(answers.len() == 20 && begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(answers.iter().all(|answer| answer["durability"]["missed"] == "deadline"), "{text}");
    let metrics = primary.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("apograph_durability_waits_total{outcome=\"missed\"} 21"), "{metrics}");
    primary.stop().await;
}

#[tokio::test]
async fn a_database_has_a_default_and_a_request_may_say_otherwise() {
    let settings = DatabaseSettings {
        durability: Some("replicas=1".parse().unwrap()),
        durability_within_seconds: std::num::NonZeroU64::new(1),
        ..DatabaseSettings::new(Role::Primary)
    };
    let primary = Server::start(init("primary", settings)).await;
    let (status, answer) = put_json(&primary, "/a", "", "").await;
    assert_eq!((status, &answer["durability"]["asked"]), (202, &value!("replicas=1")), "{answer}");
    let (status, _) = put_json(&primary, "/a", "local", "").await;
    assert_eq!(status, 200);
    let replica = follow(&primary, "replica").await;
    counts(&primary, 1).await;
    let (status, answer) = put_json(&primary, "/a", "", "10").await;
    assert_eq!((status, &answer["durability"]["replicas"]), (200, &value!(["replica"])), "{answer}");
    // A paused copy takes nothing, so it has nothing.
    tell(&replica, "pause", value!({})).await;
    let (status, answer) = put_json(&primary, "/a", "", "").await;
    assert_eq!((status, &answer["durability"]["reached"]), (202, &value!("local")), "{answer}");
    tell(&replica, "resume", value!({})).await;
    counts(&primary, 1).await;
    for server in [replica, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn who_waits_while_the_role_moves_is_told_what_is_true() {
    let primary = Server::primary(2).await;
    let replica = follow(&primary, "replica").await;
    counts(&primary, 1).await;
    // Handed over: the new primary has it, and nobody else can be waited for any more.
    let waiting = put_json(&primary, "/a", "replicas=2", "60");
    let moving = async {
        eventually("it is committed", async || is_there(&primary, "/a").await.then_some(())).await;
        tell(&primary, "switchover", value!({ "to": "replica" })).await
    };
    let ((status, answer), moved) = tokio::join!(waiting, moving);
    assert!(moved["epoch"].as_str().unwrap().starts_with("2-s"), "{moved}");
    let durability = &answer["durability"];
    assert_eq!((status, &durability["missed"]), (202, &value!("role_moved")), "{answer}");
    assert_eq!(durability["replicas"], value!(["replica"]), "{answer}");
    assert!(is_there(&replica, "/a").await);

    for server in [replica, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn who_waits_while_a_failover_cuts_the_write_off_is_told_so() {
    let primary = Server::primary(2).await;
    let replica = follow(&primary, "replica").await;
    counts(&primary, 1).await;
    tell(&replica, "pause", value!({})).await;
    eventually("the pause is known", async || {
        let status = json(primary.admin(Method::GET, "/v1/status")).await;
        let links = status["links"].as_array().unwrap().clone();
        links.iter().any(|link| link["direction"] == "out" && link["state"] == "paused").then_some(())
    })
    .await;
    let waiting = put(&primary, "/lost", "replicas=1", "60");
    let promoting = async {
        eventually("it is committed", async || is_there(&primary, "/lost").await.then_some(())).await;
        tell(&replica, "promote", value!({ "force": true, "reason": "a test" })).await
    };
    let (response, promoted) = tokio::join!(waiting, promoting);
    assert_eq!(promoted["promoted"], true, "{promoted}");
    let text = response.text().await.unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&answer["status"], &answer["code"]), (&value!(409), &value!("cut-off")), "{answer}");
    assert!(answer["token"].is_string() && !is_there(&replica, "/lost").await);
    for server in [replica, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn only_known_full_copies_acknowledge() {
    let primary = Server::primary(1).await;
    let said = |key: &str| value!({ "server": { "name": "x", "key": key }, "epoch": 1, "durable": u64::MAX / 2, "partitions": [] });
    let post = async |role: TokenRole, body: Value| {
        let request = primary.request(role, Method::POST, "/v1/databases/main/acknowledge");
        request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap()
    };
    for role in [TokenRole::Admin, TokenRole::Editor, TokenRole::Reader, TokenRole::LinkStaging] {
        assert_eq!(problem(post(role, said(&"ab".repeat(32))).await).await, (403, "forbidden".to_owned()));
    }
    let unknown = problem(post(TokenRole::LinkReplica, said(&"ab".repeat(32))).await).await;
    assert_eq!(unknown, (409, "unknown-server".to_owned()));
    let status = json(primary.admin(Method::GET, "/v1/status")).await;
    let own = status["server"]["key"].as_str().unwrap();
    assert_eq!(problem(post(TokenRole::LinkReplica, said(own)).await).await.1, "unknown-server");
    let (status, _) = put_json(&primary, "/a", "replicas=1", "0.1").await;
    assert_eq!(status, 202);
    // A known one that claims more than there is has another history.
    let replica = follow(&primary, "replica").await;
    counts(&primary, 1).await;
    tell(&replica, "pause", value!({})).await;
    let key = json(replica.admin(Method::GET, "/v1/status")).await["server"]["key"].clone();
    let claimed = problem(post(TokenRole::LinkReplica, said(key.as_str().unwrap())).await).await;
    assert_eq!(claimed, (409, "unknown-position".to_owned()));
    let (status, _) = put_json(&primary, "/b", "replicas=1", "0.1").await;
    assert_eq!(status, 202);
    for server in [replica, primary] {
        server.stop().await;
    }
}
