//! `GET /v1/databases/{db}/export?view=&as_of=`: equal copies export equal bytes.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;

use apograph_client::media_type;
use apograph_format::{Token, View};

use super::commit;
use crate::app::App;
use crate::problem::Answer;
use crate::request::params::{self, Params};
use crate::request::path::InDatabase;
use crate::request::reading;
use crate::stream::{self, Lines};

/// What to export.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportParams {
    view: Option<String>,
    as_of: Option<String>,
    at_least: Option<String>,
    wait: Option<String>,
}

/// Everything of a view at one time, one line per document version.
pub(super) async fn get(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    Params(asked): Params<ExportParams>,
    headers: HeaderMap,
) -> Answer {
    let view: View = params::parse("view", asked.view.as_deref())?.unwrap_or(database.view());
    let (as_of, at_least, wait) = (asked.as_of.as_deref(), asked.at_least.as_deref(), asked.wait.as_deref());
    let at = reading::at(&database, &headers, as_of, at_least, wait).await?;
    let token = Token { epoch: database.epoch(), timestamp: at };
    let export = app.blocking(move || database.export(view, Some(at))).await?;
    let mut response = Response::new(stream::body(&app, Lines(export)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::NDJSON));
    commit::set_token(&mut response, &token);
    Ok(response)
}
