//! Hands a transaction to the engine and waits for its end.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use apograph::transaction::Committed;
use apograph::{Database, Transaction};

use super::shape;
use crate::problem::Answer;
use crate::request::precondition::etag;

/// Refuses early, before a body is read, what a copy would refuse in the end.
pub(super) fn writable(database: &Database) -> Answer<()> {
    Ok(database.check_writable()?)
}

/// Commits; the answer comes when it is durable and visible.
pub(super) async fn commit(database: &Database, transaction: Transaction) -> Answer<Committed> {
    Ok(database.submit(transaction)?.await?)
}

/// The answer to a write of one document.
pub(super) fn answer(committed: &Committed) -> Answer {
    let Some(answer) = shape::document_answer(committed) else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let status = if answer.version == Some(1) { StatusCode::CREATED } else { StatusCode::OK };
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
