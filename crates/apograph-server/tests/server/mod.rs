//! Servers in this process, on free ports, in folders that go away.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use apograph::settings::{DatabaseSettings, ServerSettings, SourceSettings};
use apograph::{Folder, Role};
use apograph_server::tokens::{self, TokenRole};
use apograph_server::{ServeError, ServeOptions, serve};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running server.
pub(crate) struct Server {
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) http: Client,
    // Bound and not listened on: nobody's connection gets its port while it does not run.
    reserved: TcpSocket,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    /// A primary with the database `main`.
    pub(crate) async fn primary(partitions: u16) -> Server {
        let settings = DatabaseSettings { partitions, ..DatabaseSettings::new(Role::Primary) };
        Server::start(init("primary", settings)).await
    }

    /// A copy of `source`, with the token for its role.
    pub(crate) async fn copy(source: &Server, role: Role) -> Server {
        Server::copy_with(source, role, |_| {}).await
    }

    /// A copy whose source has more settings.
    pub(crate) async fn copy_with(
        source: &Server,
        role: Role,
        change: impl FnOnce(&mut SourceSettings),
    ) -> Server {
        let token = if role == Role::Staging { TokenRole::LinkStaging } else { TokenRole::LinkReplica };
        let token_file = tokens::token_path(source.folder.path(), token);
        let mut source = SourceSettings::new(source.url(""), token_file);
        change(&mut source);
        let settings = DatabaseSettings { source: Some(source), ..DatabaseSettings::new(role) };
        Server::start(init(&role.to_string(), settings)).await
    }

    pub(crate) async fn start(folder: TempDir) -> Server {
        let reserved = TcpSocket::new_v4().unwrap();
        reserved.set_reuseaddr(true).unwrap();
        reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Server::start_at(folder, reserved).await
    }

    /// As itself again, where others look for it.
    pub(crate) async fn restart(self) -> Server {
        let (folder, reserved) = self.end().await;
        Server::start_at(folder, reserved).await
    }

    async fn start_at(folder: TempDir, reserved: TcpSocket) -> Server {
        let address = reserved.local_addr().unwrap();
        let (shutdown, path) = (CancellationToken::new(), folder.path().to_owned());
        let (ready, at) = oneshot::channel();
        let stop = shutdown.clone();
        let running = tokio::spawn(async move {
            let options = ServeOptions { listen: Some(address), ..ServeOptions::default() };
            serve(&path, options, stop, |address| ready.send(address).unwrap()).await
        });
        let Ok(address) = at.await else {
            panic!("the server did not start: {:?}", running.await);
        };
        let http = Client::builder().no_proxy().build().unwrap();
        Server { folder, address, http, reserved, shutdown, running }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn token(&self, role: TokenRole) -> String {
        std::fs::read_to_string(tokens::token_path(self.folder.path(), role)).unwrap().trim().to_owned()
    }

    pub(crate) fn request(&self, role: TokenRole, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(self.token(role))
    }

    /// As administrator.
    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(TokenRole::Admin, method, path)
    }

    /// One transaction as administrator; its token.
    pub(crate) async fn commit(&self, operations: Value) -> String {
        let body = serde_json::json!({ "operations": operations });
        let request = self.admin(Method::POST, "/v1/databases/main/transactions");
        let answer = json(request.header("content-type", "application/json").body(body.to_string())).await;
        answer["token"].as_str().unwrap_or_else(|| panic!("refused: {answer}")).to_owned()
    }

    pub(crate) async fn stop(self) -> TempDir {
        self.end().await.0
    }

    async fn end(self) -> (TempDir, TcpSocket) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        (self.folder, self.reserved)
    }

    /// Files below a folder of the data folder.
    pub(crate) fn files(&self, below: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.folder.path().join(below), &mut found);
        found.sort();
        found
    }
}

pub(crate) fn init(name: &str, database: DatabaseSettings) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let settings = ServerSettings {
        name: name.to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        url: None,
        backup_folder: None,
        databases: [("main".to_owned(), database)].into(),
    };
    drop(Folder::init(folder.path(), &settings).unwrap());
    folder
}

/// The body as JSON, whatever the status.
pub(crate) async fn json(request: RequestBuilder) -> Value {
    let text = request.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

/// Status and stable code of a refusal, which must be a whole problem.
pub(crate) async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json", "status {status}");
    assert_eq!(response.headers()["apograph"], env!("CARGO_PKG_VERSION"));
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(body["status"], status);
    for member in ["type", "title", "detail", "next"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {body}");
    }
    (status, body["code"].as_str().unwrap().to_owned())
}

/// Asks again until it holds; gives up after a long time.
pub(crate) async fn eventually<T>(what: &str, mut holds: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..2_400 {
        if let Some(value) = holds().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came: {what}");
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}
