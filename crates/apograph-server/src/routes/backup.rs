//! `GET|POST /v1/databases/{db}/backup`: backups on the server's machine, below its backup folder.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use apograph_client::types::BackupOrder;

use crate::app::App;
use crate::backups;
use crate::limits::ORDER_BYTES_MAX;
use crate::problem::Answer;
use crate::request::json;
use crate::request::path::InDatabase;

/// How far the last one is.
pub(super) async fn get(State(app): State<App>, InDatabase(database): InDatabase) -> Answer {
    Ok(Json(app.backups.status(database.name())).into_response())
}

/// Begins one. Answered when it is begun, not when it is done.
pub(super) async fn post(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let order: BackupOrder = json::whole(&app, &headers, body, ORDER_BYTES_MAX).await?;
    let status = backups::begin(&app, database, &order)?;
    Ok((StatusCode::ACCEPTED, Json(status)).into_response())
}
