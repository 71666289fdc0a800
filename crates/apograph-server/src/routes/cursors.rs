//! `GET /v1/databases/{db}/cursors/{name}`

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;

use apograph_client::types::CursorAnswer;

use crate::app::App;
use crate::problem::Answer;
use crate::request::path::AtName;

/// Where a cursor stands.
pub(super) async fn get(State(app): State<App>, AtName { database, name }: AtName) -> Answer {
    let wanted = name.clone();
    let position = app.looking(move || database.cursor(&wanted)).await?;
    Ok(Json(CursorAnswer { name, position }).into_response())
}
