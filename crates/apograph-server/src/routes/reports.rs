//! `POST /v1/databases/{db}/report`: how far a copy is. Kept in memory, shown in the status, and answered with how long the
//! source keeps what it lacks.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::{Extension, Json};

use apograph::database::roles::RoleError;
use apograph::{Database, Role};
use apograph_client::types::{LinkReport, LinkState, ReportAnswer};
use apograph_format::View;

use super::{journal, shape};
use crate::app::App;
use crate::clock;
use crate::limits::REPORT_BYTES_MAX;
use crate::problem::Answer;
use crate::request::json;
use crate::request::path::InDatabase;
use crate::tokens::{Principal, TokenRole};

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
    if principal.role == TokenRole::LinkReplica && report.view == View::Full {
        note(&app, &database, &report).await;
    }
    let take_over = app.roles.is_wanted(&name, &report.server.key);
    if app.windows.is_stale(&name) {
        app.windows.note(app.blocking(move || database.status()).await?);
    }
    let settings = app.folder.settings().databases.get(&name);
    let forecast = app.board.reported(&name, report, visible, clock::now_us(), |report, oldest| {
        app.windows.forecast(&name, settings?, report, oldest)
    });
    Ok(Json(ReportAnswer { forecast, take_over }).into_response())
}

/// What a full copy says of itself and of epochs. A report that says something that nobody believes is a report still.
async fn note(app: &App, database: &Database, report: &LinkReport) {
    let (database, name) = (database.clone(), report.server.name.clone());
    let (server, epoch) = (report.server.clone(), report.epoch.clone());
    let is_following = report.state == LinkState::Following;
    let noted = app.blocking(move || -> Result<(), RoleError> {
        database.learn(shape::engine_epochs(epoch.into_iter().collect()))?;
        if is_following && database.check_writable().is_ok() {
            database.announce_copy(&shape::engine_identity(server), Role::Replica)?;
        }
        Ok(())
    });
    if let Err(refused) = noted.await {
        tracing::warn!(copy = name, detail = refused.into_problem().detail, "a copy is not what it says");
    }
}
