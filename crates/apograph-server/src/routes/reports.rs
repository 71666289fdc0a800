//! `POST /v1/databases/{db}/report`: how far a copy is. Kept in memory, shown in the status.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use apograph_client::media_type;
use apograph_client::types::LinkReport;

use super::journal;
use crate::app::App;
use crate::clock;
use crate::limits::REPORT_BYTES_MAX;
use crate::problem::Answer;
use crate::request::path::InDatabase;
use crate::request::{body, json};
use crate::tokens::Principal;

/// Takes a report.
pub(super) async fn post(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    json::expect(&headers, media_type::JSON)?;
    let held = body::whole(&app, &headers, body, REPORT_BYTES_MAX).await?;
    let report: LinkReport = json::parse(&held.bytes)?;
    journal::view_for(&principal, report.view)?;
    app.board.reported(database.name(), report, database.visible(), clock::now_us());
    Ok(StatusCode::NO_CONTENT.into_response())
}
