//! What operators tell links: pause, resume, throttle, synchronize; it lasts, and both ends show it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod server;

use std::os::unix::fs::PermissionsExt;

use apograph::Role;
use apograph::settings::DatabaseSettings;
use apograph_server::tokens::TokenRole;
use reqwest::Method;
use serde_json::{Value, json as value};
use server::{Server, eventually, init, json, problem};

/// The only link of a server, as its status shows it.
async fn link(server: &Server) -> Value {
    json(server.admin(Method::GET, "/v1/status")).await["links"][0].clone()
}

async fn until(server: &Server, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || Some(link(server).await).filter(|link| holds(link))).await
}

fn reason(link: &Value) -> &str {
    link["reason"].as_str().unwrap_or_default()
}

/// Tells the link; it must be done.
async fn tell(server: &Server, method: Method, what: &str, body: Value) -> Value {
    let response = ask(server, method, what, body).await;
    let status = response.status();
    let answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn ask(server: &Server, method: Method, what: &str, body: Value) -> reqwest::Response {
    let request = server.admin(method, &format!("/v1/databases/main/{what}"));
    request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap()
}

async fn reached(server: &Server, token: &str) -> bool {
    let path = format!("/v1/databases/main/documents?at_least={token}&wait=0.01");
    server.admin(Method::GET, &path).send().await.unwrap().status() == 200
}

async fn put(server: &Server, uri: &str) -> String {
    server.commit(value!([{ "op": "put", "uri": uri, "body": "text ".repeat(100) }])).await
}

fn request_file(server: &Server) -> std::path::PathBuf {
    server.folder.path().join("databases/main/sync-request.json")
}

fn edit(server: &Server, change: impl FnOnce(&mut Value)) {
    let path = request_file(server);
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut file);
    std::fs::write(&path, file.to_string()).unwrap();
}

#[tokio::test]
async fn a_paused_link_stays_paused_until_it_is_resumed() {
    let primary = Server::primary(2).await;
    let copy = Server::copy(&primary, Role::Replica).await;
    until(&copy, "it follows", |link| link["state"] == "following").await;
    let paused = tell(&copy, Method::POST, "pause", value!({})).await;
    assert_eq!((&paused["state"], &paused["direction"]), (&value!("paused"), &value!("in")));
    let token = put(&primary, "/a").await;
    until(&primary, "its source knows", |link| link["state"] == "paused" && link["lag"]["entries"] != 0)
        .await;
    assert!(!reached(&copy, &token).await);
    // Twice is not worse than once.
    tell(&copy, Method::POST, "pause", value!({})).await;
    let copy = Server::start(copy.stop().await).await;
    let paused = until(&copy, "it is still paused", |link| link.is_object()).await;
    assert!(paused["state"] == "paused" && reason(&paused).starts_with("paused: "), "{paused}");
    let primary = primary.restart().await;
    until(&primary, "its source learns it again", |link| link["state"] == "paused").await;
    tell(&copy, Method::POST, "resume", value!({})).await;
    eventually("the copy reaches the token", async || reached(&copy, &token).await.then_some(())).await;
    until(&primary, "its source knows that, too", |link| link["state"] == "following").await;
    for server in [copy, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_throttle_lasts_and_both_ends_show_it() {
    let primary = Server::primary(1).await;
    let bound = |source: &mut apograph::settings::SourceSettings| {
        source.throttle_bytes_per_second = std::num::NonZeroU64::new(5_000_000);
    };
    let copy = Server::copy_with(&primary, Role::Replica, bound).await;
    let shows = async |server: &Server, bound: Value| {
        until(server, "the bound is shown", |link| link["throttle_bytes_per_second"] == bound).await;
    };
    shows(&copy, value!(5_000_000)).await;
    shows(&primary, value!(5_000_000)).await;
    tell(&copy, Method::PUT, "throttle", value!({ "bytes_per_second": 2000 })).await;
    let copy = Server::start(copy.stop().await).await;
    shows(&copy, value!(2000)).await;
    shows(&primary, value!(2000)).await;
    // Some 60 kB at 2 kB in a second: it is on its way, and not there.
    let mut token = String::new();
    for number in 0..100 {
        token = put(&primary, &format!("/n/{number}")).await;
    }
    assert!(!reached(&copy, &token).await);
    let none = tell(&copy, Method::PUT, "throttle", value!({ "bytes_per_second": null })).await;
    assert_eq!(none["throttle_bytes_per_second"], Value::Null, "off is more than what the settings say");
    eventually("the copy reaches the token", async || reached(&copy, &token).await.then_some(())).await;
    for bad in [value!({}), value!({ "bytes_per_second": 0 }), value!({ "bytes_per_second": "1k" })] {
        let refused = problem(ask(&copy, Method::PUT, "throttle", bad).await).await;
        assert_eq!(refused, (400, "body-invalid".to_owned()));
    }
    for server in [copy, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_requested_synchronization_waits_in_a_file_that_can_be_edited() {
    let primary = Server::primary(1).await;
    let copy = Server::copy(&primary, Role::Replica).await;
    until(&copy, "it follows", |link| link["state"] == "following").await;
    tell(&copy, Method::POST, "pause", value!({})).await;
    let asked = value!({ "since": "2020-02-29", "max_versions": 7 });
    let answer = tell(&copy, Method::POST, "sync", asked).await;
    assert_eq!(
        (&answer["state"], &answer["progress"]["reason"]),
        (&value!("paused"), &value!("requested")),
        "{answer}"
    );
    let path = request_file(&copy);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let expected = value!({
        "reason": "requested", "since": "2020-02-29T00:00:00Z", "max_versions_per_document": 7,
        "check_everything": false, "approved": true,
    });
    assert_eq!(file, expected);
    // It is due after a restart, too; and what cannot be understood is not sent.
    edit(&copy, |file| file["since"] = value!("the day before yesterday"));
    let copy = Server::start(copy.stop().await).await;
    tell(&copy, Method::POST, "resume", value!({})).await;
    let stopped = until(&copy, "it stops", |link| link["state"] == "stopped").await;
    assert!(
        reason(&stopped).starts_with("sync-request: ") && reason(&stopped).contains("\"since\""),
        "{stopped}"
    );
    edit(&copy, |file| file["since"] = Value::Null);
    tell(&copy, Method::POST, "resume", value!({})).await;
    until(&copy, "it goes on", |link| !reason(link).contains("sync-request") && link["state"] != "paused")
        .await;
    for server in [copy, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_synchronization_under_review_waits_for_its_approval() {
    let primary = Server::primary(1).await;
    let copy = Server::copy_with(&primary, Role::Replica, |source| source.review = true).await;
    until(&copy, "it follows", |link| link["state"] == "following").await;
    tell(&copy, Method::POST, "sync", value!({})).await;
    let is_waiting = |link: &Value| {
        link["state"] == "planning" && reason(link).contains("sync-request.json to be approved")
    };
    let shown = until(&copy, "it waits", is_waiting).await;
    assert_eq!((&shown["progress"]["phase"], &shown["progress"]["round"]), (&value!("planning"), &value!(1)));
    let there = until(&primary, "its source shows the same", is_waiting).await;
    assert_eq!(there["progress"], shown["progress"]);
    let copy = Server::start(copy.stop().await).await;
    until(&copy, "it still waits", is_waiting).await;
    edit(&copy, |file| file["approved"] = value!(true));
    until(&copy, "it goes on", |link| !is_waiting(link)).await;
    for server in [copy, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn both_ends_say_how_long_the_copy_may_be_away() {
    let settings =
        DatabaseSettings { retention_bytes_max: Some(1_000_000), ..DatabaseSettings::new(Role::Primary) };
    let primary = Server::start(init("primary", settings)).await;
    let copy = Server::copy(&primary, Role::Replica).await;
    until(&copy, "it follows", |link| link["state"] == "following").await;
    let is_known = |link: &Value| link["forecast"]["leaves_in_s"].is_u64();
    let known = async |server: &Server| {
        eventually("the forecast", async || {
            put(&primary, "/a").await;
            Some(link(server).await).filter(is_known)
        })
        .await["forecast"]
            .clone()
    };
    for forecast in [known(&copy).await, known(&primary).await] {
        assert_eq!(
            (&forecast["limit"], &forecast["is_out"]),
            (&value!("bytes"), &value!(false)),
            "{forecast}"
        );
        assert_eq!(forecast["is_estimate"], false, "the bytes of an exact copy are known: {forecast}");
        let cost = forecast["cost_bytes"].as_u64().unwrap();
        assert!((900_000..=1_000_000).contains(&cost), "a window full: {forecast}");
    }
    tell(&copy, Method::POST, "pause", value!({})).await;
    put(&primary, "/b").await;
    eventually("what is missing, to the byte", async || {
        let shown = link(&copy).await;
        let missing = appended(&primary).await - appended(&copy).await;
        (missing > 0 && shown["state"] == "paused" && shown["forecast"]["missing_bytes"] == missing)
            .then_some(())
    })
    .await;
    let metrics = copy.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for name in ["apograph_link_paused", "apograph_link_missing_bytes", "apograph_link_leaves_window_seconds"]
    {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name} in {metrics}");
    }
    for server in [copy, primary] {
        server.stop().await;
    }
}

/// Bytes that its journal ever got.
async fn appended(server: &Server) -> u64 {
    let status = json(server.admin(Method::GET, "/v1/status")).await;
    status["databases"][0]["partitions"][0]["journal_bytes_appended"].as_u64().unwrap()
}

#[tokio::test]
async fn a_copy_that_left_the_window_synchronizes_and_follows() {
    let settings = DatabaseSettings {
        partitions: 2,
        segment_bytes_max: Some(4 << 10),
        retention_bytes_max: Some(32 << 10),
        ..DatabaseSettings::new(Role::Primary)
    };
    let primary = Server::start(init("primary", settings)).await;
    let (replica, staging) =
        (Server::copy(&primary, Role::Replica).await, Server::copy(&primary, Role::Staging).await);
    for copy in [&replica, &staging] {
        until(copy, "it follows", |link| link["state"] == "following").await;
        tell(copy, Method::POST, "pause", value!({})).await;
    }
    let mut token = String::new();
    for number in 0..100 {
        let uri = format!("/n/{number}");
        let put = value!({ "op": "put", "uri": uri, "body": format!("{number} ").repeat(300) });
        token = primary.commit(value!([put, { "op": "publish", "uri": uri }])).await;
    }
    // What the store has not written out is kept whatever the budget says: a stop writes it out.
    let primary = primary.restart().await;
    for copy in [&replica, &staging] {
        let out = until(copy, "it is out of the window", |link| link["forecast"]["is_out"] == true).await;
        assert!(out["forecast"]["cost_bytes"].as_u64() > Some(32 << 10), "{out}");
        tell(copy, Method::POST, "resume", value!({})).await;
        eventually("the copy reaches the token", async || reached(copy, &token).await.then_some(())).await;
        let follows = until(copy, "it follows", |link| {
            link["state"] == "following" && link["forecast"]["is_out"] == false
        })
        .await;
        assert_eq!((&follows["reason"], &follows["progress"]), (&Value::Null, &Value::Null));
        eventually("nothing is due", async || (!request_file(copy).exists()).then_some(())).await;
    }
    for (copy, view) in [(&replica, "full"), (&staging, "published")] {
        let path = format!("/v1/databases/main/export?view={view}");
        let export = async |server: &Server| {
            server.admin(Method::GET, &path).send().await.unwrap().text().await.unwrap()
        };
        eventually(&format!("the exports of {view} are equal"), async || {
            (export(copy).await == export(&primary).await).then_some(())
        })
        .await;
    }
    let measure = tell(&replica, Method::POST, "sync", value!({ "dry_run": true })).await;
    assert_eq!((&measure["documents"], &measure["bytes"]), (&value!(0), &value!(0)), "{measure}");
    for server in [staging, replica, primary] {
        server.stop().await;
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let primary = Server::primary(1).await;
    let copy = Server::copy(&primary, Role::Replica).await;
    until(&copy, "it follows", |link| link["state"] == "following").await;
    for bad in [
        value!({ "since": "soon" }),
        value!({ "since": "2120-01-01" }),
        value!({ "since": "2020-01-01", "full": true }),
        value!({ "max_versions": -1 }),
        value!({ "everything": true }),
    ] {
        let refused = problem(ask(&copy, Method::POST, "sync", bad.clone()).await).await;
        assert_eq!(refused, (400, "body-invalid".to_owned()), "{bad}");
    }
    assert!(!request_file(&copy).exists(), "nothing was begun");
    for what in ["sync", "pause", "resume"] {
        let refused = problem(ask(&primary, Method::POST, what, value!({})).await).await;
        assert_eq!(refused, (409, "not-a-copy".to_owned()), "{what}");
        let path = format!("/v1/databases/other/{what}");
        let request = copy.admin(Method::POST, &path).header("content-type", "application/json").body("{}");
        assert_eq!(problem(request.send().await.unwrap()).await, (404, "no-such-database".to_owned()));
        let request = copy.request(TokenRole::Editor, Method::POST, &format!("/v1/databases/main/{what}"));
        assert_eq!(problem(request.send().await.unwrap()).await, (403, "forbidden".to_owned()));
    }
    for server in [copy, primary] {
        server.stop().await;
    }
}

/// Where nobody writes, a copy shows all that a replica has, which can write nothing newer: its primary can.
#[tokio::test]
async fn a_copy_of_a_replica_synchronizes_though_nobody_writes() {
    let primary = Server::primary(2).await;
    let replica = Server::copy(&primary, Role::Replica).await;
    let cascade = Server::copy(&replica, Role::Replica).await;
    let staging = Server::copy(&replica, Role::Staging).await;
    let token = put(&primary, "/a").await;
    for copy in [&cascade, &staging] {
        eventually("the copy reaches the token", async || reached(copy, &token).await.then_some(())).await;
    }
    for copy in [&cascade, &staging] {
        tell(copy, Method::POST, "sync", value!({})).await;
        let last = eventually("it has synchronized", async || {
            let path = "/v1/databases/main/synchronization";
            let last = json(copy.admin(Method::GET, path)).await["last"].clone();
            (last["reason"] == "requested").then_some(last)
        })
        .await;
        assert_eq!(last["equal"], true, "{last}");
    }
    for server in [cascade, staging, replica, primary] {
        server.stop().await;
    }
}
