//! Hands a transaction to the engine and waits for its end.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use apograph::transaction::Committed;
use apograph::{Database, Transaction};
use apograph_client::types::DurabilityAnswer;
use tokio::time::Instant;

use super::shape;
use crate::app::App;
use crate::durability::{Waiter, Wanted};
use crate::problem::Answer;
use crate::request::precondition::etag;

/// Refuses early, before a body is read, what a copy would refuse in the end.
pub(super) fn writable(database: &Database) -> Answer<()> {
    Ok(database.check_writable()?)
}

/// A transaction that is committed, and how durable it is if more than `local` was wanted.
pub(super) struct Done {
    pub(super) committed: Committed,
    pub(super) durability: Option<DurabilityAnswer>,
}

impl Done {
    /// What `status` would be, if nothing more is to come: 202 says that fewer replicas than wanted had it in time.
    pub(super) fn status(&self, status: StatusCode) -> StatusCode {
        let is_missed = self.durability.as_ref().is_some_and(|durability| !durability.is_reached());
        if is_missed { StatusCode::ACCEPTED } else { status }
    }
}

/// Commits; the answer comes when it is visible, and as durable as wanted.
pub(super) async fn commit(
    app: &App,
    database: &Database,
    wanted: Wanted,
    transaction: Transaction,
) -> Answer<Done> {
    let (waiter, submitted) = (Waiter::new(app, database, wanted)?, Instant::now());
    let committed = database.submit(transaction)?.await?;
    let durability = waiter.wait(committed.token, submitted).await?;
    Ok(Done { committed, durability })
}

/// The answer to a write of one document.
pub(super) fn answer(done: &Done) -> Answer {
    let committed = &done.committed;
    let Some(answer) = shape::document_answer(done) else {
        return Ok(done.status(StatusCode::NO_CONTENT).into_response());
    };
    let status = if answer.version == Some(1) { StatusCode::CREATED } else { StatusCode::OK };
    let status = done.status(status);
    let tag = answer.id.as_ref().map(etag);
    let mut response = (status, Json(answer)).into_response();
    set_token(&mut response, &committed.token);
    if let Some(Ok(tag)) = tag.map(HeaderValue::try_from) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Says which token the answer is of.
pub(super) fn set_token(response: &mut Response, token: &apograph_format::Token) {
    let name = HeaderName::from_static(apograph_client::header::TOKEN);
    if let Ok(value) = HeaderValue::try_from(token.to_string()) {
        response.headers_mut().insert(name, value);
    }
}

/// Says which partitions the answer is of, if this server does not hold all of them.
pub(super) fn set_held(response: &mut Response, database: &Database) {
    let name = HeaderName::from_static(apograph_client::header::PARTITIONS);
    let held = database.is_part().then(|| HeaderValue::try_from(database.held_partitions().to_string()));
    if let Some(Ok(held)) = held {
        response.headers_mut().insert(name, held);
    }
}
