//! `GET /v1/databases/{db}/documents?prefix=&kind=&type=&state=&limit=&after=`

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use serde::Deserialize;

use apograph::read::ListQuery;
use apograph_client::types::ListPage;

use super::{commit, shape};
use crate::app::App;
use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use crate::problem::{Answer, Code};
use crate::request::params::{self, Params};
use crate::request::path::InDatabase;
use crate::request::reading;

/// Which documents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    #[serde(default)]
    prefix: String,
    kind: Option<String>,
    r#type: Option<String>,
    state: Option<String>,
    limit: Option<String>,
    after: Option<String>,
    as_of: Option<String>,
    at_least: Option<String>,
    wait: Option<String>,
}

/// Documents in the order of their URIs.
pub(super) async fn get(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    Params(asked): Params<ListParams>,
    headers: HeaderMap,
) -> Answer {
    let limit = limit(asked.limit.as_deref())?;
    let kind = params::parse("kind", asked.kind.as_deref())?;
    let state = params::parse("state", asked.state.as_deref())?;
    let after = params::parse("after", asked.after.as_deref())?;
    let (as_of, at_least, wait) = (asked.as_of.as_deref(), asked.at_least.as_deref(), asked.wait.as_deref());
    let at = reading::at(&database, &headers, as_of, at_least, wait).await?;
    let query =
        ListQuery { prefix: asked.prefix, kind, r#type: asked.r#type, state, after, limit, as_of: Some(at) };
    let held = database.clone();
    let page = app.blocking(move || database.list(&query)).await?;
    let documents = page.documents.into_iter().map(shape::listed).collect();
    let partitions = held.is_part().then(|| held.held_partitions().iter().collect());
    let page = ListPage { documents, next_after: page.next_after, as_of: at, partitions };
    let mut response = Json(page).into_response();
    commit::set_held(&mut response, &held);
    Ok(response)
}

/// How many items on a page.
pub(super) fn limit(asked: Option<&str>) -> Answer<usize> {
    match params::parse("limit", asked)? {
        None => Ok(PAGE_ITEMS_DEFAULT),
        Some(limit) if (1..=PAGE_ITEMS_MAX).contains(&limit) => Ok(limit),
        Some(limit) => {
            Err(Code::QueryInvalid.because(format!("limit is 1 to {PAGE_ITEMS_MAX}, not {limit}")))
        }
    }
}
