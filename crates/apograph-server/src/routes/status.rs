//! `GET /v1/status`: where this server stands with every database and every link.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;

use apograph_client::types::Status;
use apograph_format::timestamp::rfc3339;

use super::{rollback, shape};
use crate::app::App;
use crate::clock;
use crate::lag_limits;
use crate::problem::{Answer, Refused};

/// Where this server stands.
pub(super) async fn get(State(app): State<App>) -> Answer {
    let open = app.databases();
    let read = move || {
        open.iter().map(|database| database.status().map_err(Refused::from)).collect::<Answer<Vec<_>>>()
    };
    let databases = app.blocking(read).await?;
    let now = clock::now_us();
    let mut links = app.board.inbound();
    links.extend(databases.iter().flat_map(|database| app.board.outbound(database, now)));
    let status = Status {
        server: shape::identity(app.folder.identity()),
        software: app.versions.software.to_string(),
        protocol: app.versions.protocol,
        format: app.versions.format,
        now,
        started: rfc3339(app.started),
        databases: databases
            .into_iter()
            .map(|mut database| {
                database.alarms.extend(app.lag_limits.alarm(&database.name));
                let open = app.database(&database.name).ok();
                let gate = open.as_ref().and_then(lag_limits::gate);
                let limits = app.lag_limits.list(&database.name);
                let rollback = open.as_ref().and_then(rollback::status);
                shape::database(database, gate, limits, rollback)
            })
            .collect(),
        links,
    };
    Ok(Json(status).into_response())
}
