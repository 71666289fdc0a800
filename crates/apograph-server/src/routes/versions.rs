//! `GET /v1/databases/{db}/versions/{uri…}?before=&limit=`

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;

use apograph_client::types::HistoryPage;

use super::{list, shape};
use crate::app::App;
use crate::problem::Answer;
use crate::request::params::{self, Params};
use crate::request::path::AtDocument;

/// Which versions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionsParams {
    before: Option<String>,
    limit: Option<String>,
}

/// The versions of a document, newest first.
pub(super) async fn get(
    State(app): State<App>,
    AtDocument { database, uri }: AtDocument,
    Params(asked): Params<VersionsParams>,
) -> Answer {
    let before = params::parse("before", asked.before.as_deref())?;
    let limit = list::limit(asked.limit.as_deref())?;
    let document = uri.clone();
    let items = app.blocking(move || database.history(&document, before, limit)).await?;
    let full = items.len() == limit;
    let versions: Vec<_> = items.into_iter().map(shape::history_item).collect();
    let next_before = versions.last().filter(|_| full).map(|item| item.version).filter(|number| *number > 1);
    Ok(Json(HistoryPage { uri, versions, next_before }).into_response())
}
