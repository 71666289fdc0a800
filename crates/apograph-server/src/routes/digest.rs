//! `GET /v1/databases/{db}/digest?view=&as_of=&at_least=&wait=`: what two servers compare, without stopping writes.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use serde::Deserialize;

use apograph_format::View;

use super::shape;
use crate::app::App;
use crate::problem::Answer;
use crate::request::params::{self, Params};
use crate::request::path::InDatabase;
use crate::request::reading;

/// Of what, and of when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DigestParams {
    view: Option<String>,
    as_of: Option<String>,
    at_least: Option<String>,
    wait: Option<String>,
}

/// The digests of a view at one timestamp.
pub(super) async fn get(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    Params(asked): Params<DigestParams>,
    headers: HeaderMap,
) -> Answer {
    let view: View = params::parse("view", asked.view.as_deref())?.unwrap_or(database.view());
    let (as_of, at_least, wait) = (asked.as_of.as_deref(), asked.at_least.as_deref(), asked.wait.as_deref());
    let at = reading::at(&database, &headers, as_of, at_least, wait).await?;
    let status = app.blocking(move || database.digest_at(view, at)).await?;
    Ok(Json(shape::view(status)).into_response())
}
