//! `POST /v1/databases/{db}/report`: how far a copy is. Kept in memory, shown in the status, and answered with how long the
//! source keeps what it lacks.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::{Extension, Json};

use apograph_client::types::{LinkReport, ReportAnswer};

use super::journal;
use crate::app::App;
use crate::clock;
use crate::limits::REPORT_BYTES_MAX;
use crate::problem::Answer;
use crate::request::json;
use crate::request::path::InDatabase;
use crate::tokens::Principal;

/// Takes a report.
pub(super) async fn post(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let report: LinkReport = json::whole(&app, &headers, body, REPORT_BYTES_MAX).await?;
    journal::view_for(&principal, report.view)?;
    let (name, visible) = (database.name().to_owned(), database.visible());
    if app.windows.is_stale(&name) {
        app.windows.note(app.blocking(move || database.status()).await?);
    }
    let settings = app.folder.settings().databases.get(&name);
    let forecast = app.board.reported(&name, report, visible, clock::now_us(), |report, oldest| {
        app.windows.forecast(&name, settings?, report, oldest)
    });
    Ok(Json(ReportAnswer { forecast }).into_response())
}
