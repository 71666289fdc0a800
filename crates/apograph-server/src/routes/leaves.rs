//! `GET /v1/databases/{db}/leaves?view=&as_of=&prefix=&document=&partitions=`: what two servers compare to find the
//! documents that differ, without moving any.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;

use apograph::database::{LeavesQuery, ListedLeaf};
use apograph_client::media_type;
use apograph_client::types::LeafLine;
use apograph_format::{Token, View};

use super::{commit, export};
use crate::app::App;
use crate::problem::Answer;
use crate::request::params::{self, Params};
use crate::request::path::InDatabase;
use crate::request::reading;
use crate::stream::{self, Lane, Lines};

/// Which leaves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeavesParams {
    view: Option<String>,
    as_of: Option<String>,
    at_least: Option<String>,
    wait: Option<String>,
    prefix: Option<String>,
    document: Option<String>,
    partitions: Option<String>,
}

/// One line per document of a view.
pub(super) async fn get(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    Params(asked): Params<LeavesParams>,
    headers: HeaderMap,
) -> Answer {
    let view: View = params::parse("view", asked.view.as_deref())?.unwrap_or(database.view());
    let (as_of, at_least, wait) = (asked.as_of.as_deref(), asked.at_least.as_deref(), asked.wait.as_deref());
    let scope = export::scope(asked.prefix, asked.document.as_deref())?;
    let count = database.partitioning().count();
    let partitions = asked.partitions.as_deref().map(|asked| params::partitions(asked, count)).transpose()?;
    let partitions = partitions.unwrap_or_default().iter().collect();
    let at = reading::at(&database, &headers, as_of, at_least, wait).await?;
    let token = Token { epoch: database.epoch(), timestamp: at };
    let query = LeavesQuery { view, scope, partitions, as_of: Some(at) };
    let held = database.clone();
    let leaves = app.blocking(move || database.leaves(query)).await?;
    let lines = leaves.map(|leaf| leaf.map(line));
    let mut response = Response::new(stream::body(&app, Lane::Bulk, Lines(lines)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::NDJSON));
    commit::set_token(&mut response, &token);
    commit::set_held(&mut response, &held);
    Ok(response)
}

fn line(leaf: ListedLeaf) -> String {
    let line = LeafLine { uri: leaf.uri, hash: leaf.hash };
    serde_json::to_string(&line).expect("a line holds only text")
}
