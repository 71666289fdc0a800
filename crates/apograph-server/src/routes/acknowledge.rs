//! `POST /v1/databases/{db}/acknowledge`: what a full copy has on disk. Kept in memory; writes that wait for replicas wait
//! for it.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;

use apograph_client::types::{Acknowledgement, AcknowledgementAnswer};

use crate::app::App;
use crate::limits::REPORT_BYTES_MAX;
use crate::problem::{Answer, Code};
use crate::request::json;
use crate::request::path::InDatabase;

/// Takes an acknowledgement.
pub(super) async fn post(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let said: Acknowledgement = json::whole(&app, &headers, body, REPORT_BYTES_MAX).await?;
    let name = database.name().to_owned();
    let key = said.server.key;
    if key == app.folder.identity().key {
        return Err(Code::UnknownServer.because("a server does not acknowledge to itself"));
    }
    // Only who could become primary counts. A new copy is made known by its first report.
    if !app.copies.knows(&name, &key) {
        let (asked, app) = (database.clone(), app.clone());
        if !app.blocking(move || Ok::<_, crate::problem::Refused>(asked.knows_server(&key))).await? {
            let detail = format!("no server document names {} with that key yet", said.server.name);
            return Err(Code::UnknownServer.because(detail));
        }
    }
    // Whoever has more than this server shows has it from somewhere else.
    if said.epoch == database.epoch() && said.durable > database.visible() {
        let (durable, visible) = (said.durable, database.visible());
        let detail = format!("{} has {durable}, and this server ends at {visible}", said.server.name);
        return Err(Code::UnknownPosition.because(detail));
    }
    let wanted = app.copies.note(&name, &said);
    Ok(Json(AcknowledgementAnswer { wanted }).into_response())
}
