//! `/v1/databases/{db}/documents/{uri…}`

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Deserialize;

use apograph::Database;
use apograph::error::{ReadError, Refusal};
use apograph::read::Document;
use apograph::transaction::{Action, Operation};
use apograph_client::media_type;
use apograph_client::types::DocumentRequest;
use apograph_format::Uri;

use super::{commit, shape};
use crate::app::App;
use crate::durability::Wanted;
use crate::limits::{DOCUMENT_BYTES_MAX, INLINE_CONTENT_BYTES_MAX};
use crate::problem::{Answer, Refused};
use crate::request::params::Params;
use crate::request::path::AtDocument;
use crate::request::reading::{self, ReadParams, Reading};
use crate::request::{body, json, precondition, transaction};
use crate::tokens::Principal;

/// A document in one version, with its content if that is a short text.
pub(super) async fn get(
    State(app): State<App>,
    AtDocument { database, uri }: AtDocument,
    Params(asked): Params<ReadParams>,
    headers: HeaderMap,
) -> Answer {
    let reading = reading::begin(&database, &headers, &asked).await?;
    let read = move || {
        let document = read_document(&database, &uri, &reading)?;
        let body = short_text(&database, &document)?;
        Ok::<_, Refused>((document, body))
    };
    let (document, body) = app.looking(read).await?;
    let id = document.version_ref.id;
    let tag = HeaderValue::try_from(precondition::etag(&id));
    let mut response = if precondition::has_already(&headers, &id)? {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(shape::document(document, body, reading.at)).into_response()
    };
    if let Ok(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// One version of a document. A refusal says where the document went, if it was moved.
pub(super) fn read_document(database: &Database, uri: &Uri, reading: &Reading) -> Answer<Document> {
    let error = match database.document(uri, reading.which, Some(reading.at)) {
        Ok(document) => return Ok(document),
        Err(error) => error,
    };
    let is_nothing_live = matches!(&error, ReadError::Refused { refusal: Refusal::NotPublished, .. });
    let head = if is_nothing_live { database.head(uri, Some(reading.at))? } else { None };
    Err(Refused::from(error).moved_to(head.and_then(|head| head.moved_to).as_ref()))
}

/// Saves a new version.
pub(super) async fn put(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    AtDocument { database, uri }: AtDocument,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    commit::writable(&database)?;
    let wanted = Wanted::of(&app, &database, &headers)?;
    json::expect(&headers, media_type::JSON)?;
    let precondition = precondition::of_write(&headers)?;
    let held = body::whole(&app, &headers, body, DOCUMENT_BYTES_MAX).await?;
    let spooling = database.clone();
    let bytes = held.bytes.len();
    let read = move || {
        let request: DocumentRequest = json::parse(&held.bytes)?;
        let action = Action::Put(transaction::put(&spooling, request)?);
        transaction::single(&principal, None, Operation { uri, precondition, action })
    };
    let transaction = app.working_through(bytes, read).await?;
    commit::answer(&commit::commit(&app, &database, wanted, transaction).await?)
}

/// What a deletion may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteParams {
    #[serde(default)]
    purge: bool,
    comment: Option<String>,
}

/// Into the trash, or erased everywhere.
pub(super) async fn delete(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    AtDocument { database, uri }: AtDocument,
    Params(asked): Params<DeleteParams>,
    headers: HeaderMap,
) -> Answer {
    commit::writable(&database)?;
    let precondition = precondition::of_write(&headers)?;
    let wanted = Wanted::of(&app, &database, &headers)?;
    let action = if asked.purge { Action::Purge } else { Action::Trash };
    let operation = Operation { uri, precondition, action };
    let transaction = transaction::single(&principal, asked.comment, operation)?;
    commit::answer(&commit::commit(&app, &database, wanted, transaction).await?)
}

/// The content, if it is short and text. One that is not here is left to `contents`, which says why; one that is damaged
/// is a damaged document.
fn short_text(database: &Database, document: &Document) -> Result<Option<String>, ReadError> {
    let short = document.version.content.as_ref().filter(|content| content.bytes <= INLINE_CONTENT_BYTES_MAX);
    let Some(content) = short else { return Ok(None) };
    match database
        .content(&document.uri, content, 0..content.bytes)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
    {
        Ok(pieces) => Ok(String::from_utf8(pieces.concat()).ok()),
        Err(error @ ReadError::Store(_)) => Err(error),
        Err(_) => Ok(None),
    }
}
