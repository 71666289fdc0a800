//! `/v1/databases/{db}/lag-limits`: how far copies may be behind, and how they stand to it.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;

use apograph_client::types::LagLimit;

use crate::app::App;
use crate::lag_limits::LimitError;
use crate::limits::{LAG_LIMIT_NAME_BYTES_MAX, LAG_LIMIT_SECONDS_MAX, ORDER_BYTES_MAX};
use crate::problem::{Answer, Code, Refused, failed};
use crate::request::json;
use crate::request::path::{AtName, InDatabase};

/// All limits.
pub(super) async fn list(State(app): State<App>, InDatabase(database): InDatabase) -> Answer {
    Ok(Json(app.lag_limits.list(database.name())).into_response())
}

/// Sets one.
pub(super) async fn put(
    State(app): State<App>,
    AtName { database, name: server }: AtName,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let limit: LagLimit = json::whole(&app, &headers, body, ORDER_BYTES_MAX).await?;
    check(&server, &limit)?;
    if app.board.is_partial(database.name(), &server) {
        let detail = format!("{server} holds a part of the database: limits are for full copies");
        return Err(Code::BodyInvalid.because(detail));
    }
    set(&app, database.name(), server, Some(limit)).await
}

/// Takes one away.
pub(super) async fn delete(State(app): State<App>, AtName { database, name: server }: AtName) -> Answer {
    set(&app, database.name(), server, None).await
}

async fn set(app: &App, database: &str, server: String, limit: Option<LagLimit>) -> Answer {
    let (setting, name) = (app.clone(), database.to_owned());
    app.blocking(move || setting.lag_limits.set(&setting, &name, &server, limit)).await?;
    Ok(Json(app.lag_limits.list(database)).into_response())
}

fn check(server: &str, limit: &LagLimit) -> Answer<()> {
    let refused = |detail: String| Err(Code::BodyInvalid.because(detail));
    if server.is_empty() || server.len() > LAG_LIMIT_NAME_BYTES_MAX || server.contains(char::is_control) {
        return refused("the name of the copy's server is missing or too long".to_owned());
    }
    if limit.seconds.or(limit.entries).or(limit.bytes).is_none() && !limit.crucial {
        return refused("give seconds, entries or bytes, or crucial".to_owned());
    }
    let times = [("contact_seconds", limit.contact_seconds), ("stall_seconds", limit.stall_seconds)];
    for (name, seconds) in times {
        if seconds == 0 || seconds > LAG_LIMIT_SECONDS_MAX {
            return refused(format!("{name}: from 1 to {LAG_LIMIT_SECONDS_MAX}"));
        }
    }
    Ok(())
}

impl From<LimitError> for Refused {
    fn from(error: LimitError) -> Refused {
        match error {
            LimitError::TooMany => Code::TooLarge.because(error.to_string()),
            LimitError::Folder(error) => failed(&error),
        }
    }
}
