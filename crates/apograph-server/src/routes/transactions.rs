//! `POST /v1/databases/{db}/transactions`: one as JSON, many as NDJSON.

mod bulk;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;

use apograph::{Database, Transaction};
use apograph_client::media_type;

use super::{commit, shape};
use crate::app::App;
use crate::durability::Wanted;
use crate::limits::TRANSACTION_BYTES_MAX;
use crate::problem::{Answer, Code};
use crate::request::path::InDatabase;
use crate::request::{body, json, transaction};
use crate::tokens::Principal;

/// Takes one transaction, or many.
pub(super) async fn post(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    commit::writable(&database)?;
    let wanted = Wanted::of(&app, &database, &headers)?;
    match json::content_type(&headers).as_deref() {
        Some(media_type::JSON) => one(&app, &principal, database, wanted, &headers, body).await,
        Some(media_type::NDJSON) => bulk::answer(app, principal, database, wanted, body),
        _ => {
            let detail = format!("this route takes {} or {}", media_type::JSON, media_type::NDJSON);
            Err(Code::MediaType.because(detail))
        }
    }
}

async fn one(
    app: &App,
    principal: &Principal,
    database: Database,
    wanted: Wanted,
    headers: &HeaderMap,
    body: Body,
) -> Answer {
    let held = body::whole(app, headers, body, TRANSACTION_BYTES_MAX).await?;
    let transaction = read(app, principal, &database, held.bytes.clone()).await?;
    drop(held);
    let done = commit::commit(app, &database, wanted, transaction).await?;
    let answer = Json(shape::transaction_answer(&done));
    let mut response: Response = (done.status(StatusCode::OK), answer).into_response();
    commit::set_token(&mut response, &done.committed.token);
    Ok(response)
}

/// From bytes to a transaction.
async fn read(app: &App, principal: &Principal, database: &Database, bytes: Bytes) -> Answer<Transaction> {
    let (principal, database) = (principal.clone(), database.clone());
    let length = bytes.len();
    app.working_through(length, move || transaction::of(&database, &principal, json::parse(&bytes)?)).await
}
