//! `/health/live` and `/health/ready`, without a token.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use apograph::Role;
use apograph_client::types::Health;

use crate::app::App;

/// The server runs and answers.
pub(super) async fn live() -> Response {
    answer(Vec::new())
}

/// Every database takes what it is there for: a primary edits, a copy the entries of its source, end to end.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let mut reasons = Vec::new();
    if app.shutdown.is_cancelled() {
        reasons.push("the server stops".to_owned());
    }
    for (name, role) in app.names() {
        match app.database(&name) {
            Err(_) => reasons.push(format!("{name} has not met its source yet")),
            Ok(database) if database.stopped().is_some() => reasons.push(format!("{name} is stopped")),
            Ok(_) if role != Role::Primary => reasons.extend(app.board.not_ready(&name)),
            Ok(_) => {}
        }
    }
    answer(reasons)
}

fn answer(reasons: Vec<String>) -> Response {
    let ok = reasons.is_empty();
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Health { ok, reasons })).into_response()
}
