//! Writes that wait for a copy or are refused, exactly as set, and go on by themselves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod server;

use std::time::{Duration, Instant};

use apograph::Role;
use apograph_server::tokens::TokenRole;
use reqwest::{Method, Response};
use serde_json::{Value, json as value};
use server::{Server, eventually, json, problem};

const LIMITS: &str = "/v1/databases/main/lag-limits";

async fn put(server: &Server, uri: &str) -> Response {
    let request =
        server.request(TokenRole::Editor, Method::PUT, &format!("/v1/databases/main/documents{uri}"));
    request.header("content-type", "application/json").body(r#"{"body":"text"}"#).send().await.unwrap()
}

async fn is_there(server: &Server, uri: &str) -> bool {
    let path = format!("/v1/databases/main/documents{uri}");
    server.admin(Method::GET, &path).send().await.unwrap().status() == 200
}

async fn limit(server: &Server, body: Value) -> Value {
    let request = server.admin(Method::PUT, &format!("{LIMITS}/replica"));
    json(request.header("content-type", "application/json").body(body.to_string())).await
}

async fn tell(server: &Server, what: &str) {
    let request = server.admin(Method::POST, &format!("/v1/databases/main/{what}"));
    assert_eq!(request.send().await.unwrap().status(), 200);
}

async fn database(server: &Server) -> Value {
    json(server.admin(Method::GET, "/v1/status")).await["databases"][0].clone()
}

async fn until(server: &Server, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || Some(database(server).await).filter(|database| holds(database))).await
}

/// The source shows that the copy's link is in this state.
async fn shows(primary: &Server, state: &str) {
    eventually("the source shows it", async || {
        let status = json(primary.admin(Method::GET, "/v1/status")).await;
        let links = status["links"].as_array().unwrap().clone();
        links.iter().any(|link| link["direction"] == "out" && link["state"] == state).then_some(())
    })
    .await;
}

/// A refusal says why, and when to come again.
async fn lagging(response: Response) {
    assert_eq!(response.headers()["retry-after"], "1");
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(
        (&body["status"], &body["code"], &body["link"]),
        (&value!(503), &value!("lagging"), &value!("replica"))
    );
    assert!(body["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{body}");
}

async fn pair() -> (Server, Server) {
    let primary = Server::primary(2).await;
    let replica = Server::copy(&primary, Role::Replica).await;
    shows(&primary, "following").await;
    (primary, replica)
}

async fn exact(primary: &Server, replica: &Server) {
    eventually("they are equal", async || {
        let (one, two) = (database(primary).await, database(replica).await);
        let is_equal = one["visible"] == two["visible"] && one["digests"] == two["digests"];
        (is_equal && one["digests"][0]["at"] != 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_copy_that_lacks_too_much_has_writes_refused_until_it_has_caught_up() {
    let (primary, replica) = pair().await;
    let set = value!({ "entries": 10, "action": "reject", "on_lost_contact": "warn" });
    let limits = limit(&primary, set).await;
    assert_eq!(
        (&limits[0]["server"], &limits[0]["limit"]["stall_seconds"]),
        (&value!("replica"), &value!(5))
    );
    tell(&replica, "pause").await;
    let mut refused = None;
    for number in 0..200 {
        let response = put(&primary, &format!("/a/{number}")).await;
        if response.status() == 503 {
            lagging(response).await;
            refused = Some(number);
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = refused.expect("writes are refused when it lacks more than ten entries");
    assert!(refused >= 9, "{refused} entries are within the limit");
    assert!(!is_there(&primary, &format!("/a/{refused}")).await, "what is refused is not done");
    let shown = database(&primary).await;
    assert_eq!((&shown["gate"]["action"], &shown["gate"]["link"]), (&value!("reject"), &value!("replica")));
    assert_eq!(shown["lag_limits"][0]["now"], "reject", "{shown}");
    let metrics = primary.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let line = r#"apograph_lag_limit_exceeded{database="main",link="replica",action="reject"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    // Another rule, at run time: at once.
    limit(&primary, value!({ "entries": 100_000, "action": "reject", "on_lost_contact": "warn" })).await;
    until(&primary, "the gate opens", |database| database["gate"].is_null()).await;
    assert_eq!(put(&primary, "/b").await.status(), 201);
    limit(&primary, value!({ "entries": 10, "action": "reject", "on_lost_contact": "warn" })).await;
    until(&primary, "the gate closes", |database| database["gate"].is_object()).await;
    // The limit is there after a restart, too.
    let primary = primary.restart().await;
    shows(&primary, "paused").await;
    tell(&replica, "resume").await;
    until(&primary, "the gate opens by itself", |database| {
        database["gate"].is_null() && database["lag_limits"][0]["now"].is_null()
    })
    .await;
    eventually("writes go on", async || (put(&primary, "/c").await.status() == 201).then_some(())).await;
    exact(&primary, &replica).await;
    for server in [replica, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_stalled_write_goes_on_by_itself_or_is_refused_in_time() {
    let (primary, replica) = pair().await;
    tell(&replica, "pause").await;
    shows(&primary, "paused").await;
    put(&primary, "/before").await;
    let stall = |seconds: u64| value!({ "seconds": 1, "action": "stall", "on_lost_contact": "stall", "stall_seconds": seconds });
    limit(&primary, stall(1)).await;
    until(&primary, "it is late", |database| database["gate"]["action"] == "stall").await;
    let begun = Instant::now();
    lagging(put(&primary, "/late").await).await;
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    limit(&primary, stall(50)).await;
    let waiting = put(&primary, "/waits");
    let resuming = async {
        until(&primary, "it waits", |database| database["gate"]["waiting"] == 1).await;
        assert!(!is_there(&primary, "/waits").await);
        tell(&replica, "resume").await;
    };
    let (response, ()) = tokio::join!(waiting, resuming);
    assert_eq!(response.status(), 201);
    assert!(is_there(&primary, "/waits").await && !is_there(&primary, "/late").await);
    exact(&primary, &replica).await;
    for server in [replica, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn lost_contact_is_a_part_of_the_setting_and_a_crucial_copy_must_follow() {
    let (primary, replica) = pair().await;
    limit(&primary, value!({ "action": "reject", "on_lost_contact": "reject", "crucial": true })).await;
    assert_eq!(put(&primary, "/a").await.status(), 201);
    tell(&replica, "pause").await;
    until(&primary, "it does not follow", |database| database["gate"]["action"] == "reject").await;
    lagging(put(&primary, "/b").await).await;
    tell(&replica, "resume").await;
    until(&primary, "it follows again", |database| database["gate"].is_null()).await;
    assert_eq!(put(&primary, "/b").await.status(), 201);

    let lost = |reaction: &str| value!({ "seconds": 50, "action": "stall", "on_lost_contact": reaction, "contact_seconds": 1, "stall_seconds": 1 });
    limit(&primary, lost("warn")).await;
    let replica = replica.stop().await;
    let shown = until(&primary, "it is lost", |database| database["lag_limits"][0]["now"] == "warn").await;
    assert!(
        shown["gate"].is_null() && shown["lag_limits"][0]["reason"].as_str().unwrap().contains("heard"),
        "{shown}"
    );
    assert_eq!(put(&primary, "/c").await.status(), 201);
    limit(&primary, lost("reject")).await;
    until(&primary, "writes are refused", |database| database["gate"]["action"] == "reject").await;
    lagging(put(&primary, "/d").await).await;
    limit(&primary, lost("stall")).await;
    until(&primary, "writes wait", |database| database["gate"]["action"] == "stall").await;
    lagging(put(&primary, "/d").await).await;
    let replica = Server::start(replica).await;
    eventually("writes go on by themselves", async || {
        (put(&primary, "/d").await.status() == 201).then_some(())
    })
    .await;
    exact(&primary, &replica).await;
    // Off.
    let left = json(primary.admin(Method::DELETE, &format!("{LIMITS}/replica"))).await;
    assert_eq!(left, value!([]));
    for server in [replica, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_limit_is_set_by_administrators_and_says_something() {
    let primary = Server::primary(1).await;
    for bad in [
        value!({}),
        value!({ "action": "stall", "on_lost_contact": "warn" }),
        value!({ "seconds": 1, "action": "stall" }),
        value!({ "seconds": 1, "action": "panic", "on_lost_contact": "warn" }),
        value!({ "seconds": 1, "action": "stall", "on_lost_contact": "warn", "stall_seconds": 0 }),
        value!({ "seconds": 1, "action": "stall", "on_lost_contact": "warn", "contact_seconds": 51 }),
        value!({ "seconds": -1, "action": "stall", "on_lost_contact": "warn" }),
    ] {
        let request = primary.admin(Method::PUT, &format!("{LIMITS}/replica"));
        let response =
            request.header("content-type", "application/json").body(bad.to_string()).send().await.unwrap();
        assert_eq!(problem(response).await, (400, "body-invalid".to_owned()), "{bad}");
    }
    for role in [TokenRole::Editor, TokenRole::Reader, TokenRole::LinkReplica] {
        let response =
            primary.request(role, Method::DELETE, &format!("{LIMITS}/replica")).send().await.unwrap();
        assert_eq!(problem(response).await, (403, "forbidden".to_owned()));
    }
    assert_eq!(json(primary.request(TokenRole::Reader, Method::GET, LIMITS)).await, value!([]));
    primary.stop().await;
}
