//! What the server says of itself, and exports.

use std::time::Duration;

use apograph_format::{Timestamp, Token, Uri, View};
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

/// A part of a view at one time.
#[derive(Debug, Clone)]
pub struct Part {
    /// The view.
    pub view: View,
    /// The time.
    pub at: Timestamp,
    /// Which documents.
    pub scope: Scope,
    /// Only those of these partitions; of all that the server holds, if there are none.
    pub partitions: Vec<u16>,
}

/// Which documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All.
    Whole,
    /// Those whose URIs begin with this.
    Prefix(String),
    /// One.
    Document(Uri),
}

#[derive(Serialize)]
struct PartQuery<'a> {
    view: View,
    as_of: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<&'a Uri>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<String>,
    /// What cannot be read becomes a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<&'static str>,
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

    /// A part of a canonical dump, line by line.
    pub async fn export_lines(&self, database: &str, part: &Part) -> Result<LineStream, ClientError> {
        let route = format!("/v1/databases/{}/export", segment(database));
        let response = self
            .get_stream(
                &route,
                &PartQuery { damage: Some("listed"), ..PartQuery::of(part) },
                HeaderMap::new(),
            )
            .await?;
        Ok(LineStream::new(ByteStream::new(self, response, None)))
    }

    /// The leaves of a part of a view: lines of [`LeafLine`](crate::types::LeafLine), in the order of their URIs.
    pub async fn leaf_lines(&self, database: &str, part: &Part) -> Result<LineStream, ClientError> {
        let route = format!("/v1/databases/{}/leaves", segment(database));
        let response = self.get_stream(&route, &PartQuery::of(part), HeaderMap::new()).await?;
        Ok(LineStream::new(ByteStream::new(self, response, None)))
    }
}

impl<'a> PartQuery<'a> {
    fn of(part: &'a Part) -> PartQuery<'a> {
        let (prefix, document) = match &part.scope {
            Scope::Whole => (None, None),
            Scope::Prefix(prefix) => (Some(prefix.as_str()), None),
            Scope::Document(uri) => (None, Some(uri)),
        };
        let partitions = part.partitions.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let partitions = Some(partitions).filter(|partitions| !partitions.is_empty());
        PartQuery { view: part.view, as_of: part.at, prefix, document, partitions, damage: None }
    }
}
