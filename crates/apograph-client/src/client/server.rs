//! What the server says of itself, and exports.

use std::time::Duration;

use apograph_format::{Timestamp, Token, View};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Serialize;

use super::request::{segment, waiting};
use super::{ByteStream, Client, ClientError, LineStream};
use crate::types::{Health, Status, ViewStatus};

#[derive(Serialize)]
struct ExportQuery<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<View>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<&'a str>,
}

#[derive(Serialize)]
struct DigestQuery {
    view: View,
    as_of: Timestamp,
    at_least: Token,
    /// In seconds.
    wait: f64,
}

impl Client {
    /// Where the server stands with its databases and links.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status", &()).await
    }

    /// Whether it is ready for requests. Needs no token.
    pub async fn ready(&self) -> Result<Health, ClientError> {
        let response = self.send_raw(self.request(Method::GET, "/health/ready"), &waiting()).await?;
        self.json(response).await
    }

    /// Whether it lives. Needs no token.
    pub async fn live(&self) -> Result<Health, ClientError> {
        let response = self.send_raw(self.request(Method::GET, "/health/live"), &waiting()).await?;
        self.json(response).await
    }

    /// The digests of a view as of a timestamp, which the server is given this long to reach.
    pub async fn digest(
        &self,
        database: &str,
        view: View,
        at: Token,
        wait: Duration,
    ) -> Result<ViewStatus, ClientError> {
        let route = format!("/v1/databases/{}/digest", segment(database));
        let query = DigestQuery { view, as_of: at.timestamp, at_least: at, wait: wait.as_secs_f64() };
        self.get(&route, &query).await
    }

    /// A canonical dump, as bytes: one line per document version, sorted. Equal copies export equal bytes.
    /// Without `view`: all that the server holds.
    pub async fn export(
        &self,
        database: &str,
        view: Option<View>,
        as_of: Option<&str>,
    ) -> Result<ByteStream, ClientError> {
        let route = format!("/v1/databases/{}/export", segment(database));
        let response = self.get_stream(&route, &ExportQuery { view, as_of }, HeaderMap::new()).await?;
        Ok(ByteStream::new(self, response, None))
    }

    /// A canonical dump, line by line.
    pub async fn export_lines(
        &self,
        database: &str,
        view: Option<View>,
        as_of: Option<&str>,
    ) -> Result<LineStream, ClientError> {
        Ok(LineStream::new(self.export(database, view, as_of).await?))
    }
}
