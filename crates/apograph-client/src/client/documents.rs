//! Documents, their lists and their versions.

use apograph_format::{Hash, Kind, State, Uri};
use reqwest::header::{IF_MATCH, IF_NONE_MATCH};
use reqwest::{Method, RequestBuilder};
use serde::Serialize;

use super::request::{path, quoted, segment, waiting};
use super::{Client, ClientError};
use crate::types::{
    DocumentAnswer, DocumentRequest, DocumentView, HistoryPage, ListPage, ReadQuery, WhyAnswer, WhyQuery,
};

/// What must be true of a document before it is written: `If-Match` and `If-None-Match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Match {
    /// Nothing.
    #[default]
    Any,
    /// The working version has this number.
    Version(u64),
    /// The working version has this id.
    Id(Hash),
    /// There is no such document.
    Absent,
}

/// Which documents to list.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ListFilter {
    /// Only URIs that begin with this.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Only this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Only this type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// Only this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// At most this many in one page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only URIs after this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Uri>,
    /// As of this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Wait, bounded, until the server has reached this token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<String>,
}

#[derive(Serialize)]
struct HistoryQuery {
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<u64>,
    limit: usize,
}

impl Match {
    pub(super) fn apply(self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Match::Any => request,
            Match::Version(number) => request.header(IF_MATCH, quoted(number)),
            Match::Id(id) => request.header(IF_MATCH, quoted(id)),
            Match::Absent => request.header(IF_NONE_MATCH, "*"),
        }
    }
}

impl Client {
    /// Saves a new version of a document.
    pub async fn put_document(
        &self,
        database: &str,
        uri: &Uri,
        document: &DocumentRequest,
        precondition: Match,
    ) -> Result<DocumentAnswer, ClientError> {
        let request = self.write(Method::PUT, &document_path(database, uri)).json(document);
        self.json(self.send(precondition.apply(request), &waiting()).await?).await
    }

    /// Reads a document in one version.
    pub async fn document(
        &self,
        database: &str,
        uri: &Uri,
        query: &ReadQuery,
    ) -> Result<DocumentView, ClientError> {
        self.get(&document_path(database, uri), query).await
    }

    /// Puts a document into the trash.
    pub async fn delete_document(
        &self,
        database: &str,
        uri: &Uri,
        precondition: Match,
    ) -> Result<DocumentAnswer, ClientError> {
        let request = self.write(Method::DELETE, &document_path(database, uri));
        self.json(self.send(precondition.apply(request), &waiting()).await?).await
    }

    /// Reads one page of a list.
    pub async fn list(&self, database: &str, filter: &ListFilter) -> Result<ListPage, ClientError> {
        self.get(&format!("/v1/databases/{}/documents", segment(database)), filter).await
    }

    /// Reads up to `limit` versions of a document, newest first, those below number `before`.
    pub async fn history(
        &self,
        database: &str,
        uri: &Uri,
        before: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage, ClientError> {
        let route = format!("/v1/databases/{}/versions/{}", segment(database), path(uri));
        self.get(&route, &HistoryQuery { before, limit }).await
    }

    /// Why a document is, or is not, on the server, by what the server itself knows.
    pub async fn why(&self, database: &str, uri: &Uri, query: &WhyQuery) -> Result<WhyAnswer, ClientError> {
        let route = format!("/v1/databases/{}/why/{}", segment(database), path(uri));
        self.get(&route, query).await
    }
}

fn document_path(database: &str, uri: &Uri) -> String {
    format!("/v1/databases/{}/documents/{}", segment(database), path(uri))
}
