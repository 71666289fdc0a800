//! `/v1/databases/{db}/contents/{uri…}`: raw bytes, streamed both ways, never whole in memory.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use apograph::Database;
use apograph::transaction::{Action, ContentBytes, ContentChange, Operation, Put};
use apograph_format::{Content, Token, Uri};

use super::{commit, documents};
use crate::app::App;
use crate::durability::Wanted;
use crate::limits::SPOOL_PIECE_BYTES;
use crate::problem::{Answer, Code};
use crate::request::params::{self, Params};
use crate::request::path::AtDocument;
use crate::request::reading::{self, ReadParams};
use crate::request::{body, precondition, range, transaction};
use crate::stream::{self, Lane};
use crate::tokens::Principal;

/// The content of one version, or a range of it.
pub(super) async fn get(
    State(app): State<App>,
    AtDocument { database, uri }: AtDocument,
    Params(asked): Params<ReadParams>,
    headers: HeaderMap,
) -> Answer {
    let reading = reading::begin(&database, &headers, &asked).await?;
    let at = reading.at;
    let (reader, wanted) = (database.clone(), uri.clone());
    let document = app.looking(move || documents::read_document(&reader, &wanted, &reading)).await?;
    let none = || {
        Code::NoContent.because(format!("version {} of {uri} has no content", document.version_ref.number))
    };
    let content = document.version.content.clone().ok_or_else(none)?;
    let id = document.version_ref.id;
    if precondition::has_already(&headers, &id)? {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, precondition::etag(&id))]).into_response());
    }
    let range = range::parse(asked_range(&headers, &precondition::etag(&id)), content.bytes)?;
    let bytes = range.clone().unwrap_or(0..content.bytes);
    let (from, read) = (document.uri.clone(), content.clone());
    let (opening, wanted) = (database.clone(), bytes.clone());
    let reader = app.blocking(move || opening.content(&from, &read, wanted)).await?;
    let mut response = Response::new(stream::body(&app, Lane::Awaited, reader));
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = bytes.end.saturating_sub(1);
        set(&mut response, header::CONTENT_RANGE, format!("bytes {}-{last}/{}", bytes.start, content.bytes));
    }
    describe(&mut response, &uri, &content);
    set(&mut response, header::CONTENT_LENGTH, (bytes.end - bytes.start).to_string());
    set(&mut response, header::ETAG, precondition::etag(&id));
    let version = HeaderName::from_static(apograph_client::header::VERSION);
    set(&mut response, version, document.version_ref.number.to_string());
    commit::set_token(&mut response, &Token { epoch: database.epoch(), timestamp: at });
    Ok(response)
}

/// What an upload may say besides its bytes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadParams {
    kind: Option<String>,
    r#type: Option<String>,
    comment: Option<String>,
}

/// Saves a new version with the body as its content. What ends early leaves nothing behind.
pub(super) async fn put(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    AtDocument { database, uri }: AtDocument,
    Params(asked): Params<UploadParams>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    commit::writable(&database)?;
    let wanted = Wanted::of(&app, &database, &headers)?;
    let precondition = precondition::of_write(&headers)?;
    let kind = params::parse("kind", asked.kind.as_deref())?;
    let comment = asked.comment.map_or_else(|| comment_header(&headers), |comment| Ok(Some(comment)))?;
    let media_type = match headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str) {
        None => apograph_client::media_type::BYTES.to_owned(),
        Some(Ok(text)) => text.to_owned(),
        Some(Err(_)) => return Err(Code::HeaderInvalid.because("content-type is not text")),
    };
    let bytes = spool(&app, &database, body).await?;
    let content = ContentChange::Set { media_type, bytes };
    let put = Put { kind, r#type: asked.r#type, content, ..Put::default() };
    let operation = Operation { uri, precondition, action: Action::Put(put) };
    let transaction = transaction::single(&principal, comment, operation)?;
    commit::answer(&commit::commit(&app, &database, wanted, transaction).await?)
}

/// Takes the body in, piece by piece; the next piece is asked for when the one before is on the disk.
async fn spool(app: &App, database: &Database, mut body: Body) -> Answer<ContentBytes> {
    let mut spool = database.spool();
    let mut piece = BytesMut::new();
    loop {
        let more = body::next(&mut body).await?;
        let ended = more.is_none();
        piece.extend_from_slice(&more.unwrap_or_default());
        if ended || piece.len() >= SPOOL_PIECE_BYTES {
            let bytes = std::mem::take(&mut piece);
            let write = move || spool.write(&bytes).map(|()| spool);
            spool = app.blocking(write).await?;
        }
        if ended {
            return app.blocking(move || spool.finish()).await;
        }
    }
}

fn comment_header(headers: &HeaderMap) -> Answer<Option<String>> {
    let Some(value) = headers.get(apograph_client::header::COMMENT) else {
        return Ok(None);
    };
    let text = value.to_str().ok().and_then(|text| percent_decode_str(text).decode_utf8().ok());
    let refused = || Code::HeaderInvalid.because("the comment's header is not percent-encoded UTF-8");
    text.map(|text| Some(text.into_owned())).ok_or_else(refused)
}

/// The range asked for, unless it was meant for another version.
fn asked_range<'a>(headers: &'a HeaderMap, tag: &str) -> Option<&'a str> {
    let same = headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == tag.as_bytes());
    headers.get(header::RANGE).filter(|_| same)?.to_str().ok()
}

/// What the bytes are, and that a browser must not run them.
fn describe(response: &mut Response, uri: &Uri, content: &Content) {
    let media_type = HeaderValue::try_from(content.media_type.as_str());
    let unknown = HeaderValue::from_static(apograph_client::media_type::BYTES);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type.unwrap_or(unknown));
    set(response, header::ACCEPT_RANGES, "bytes".into());
    set(response, header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".into());
    if is_active(&content.media_type) {
        let name = uri.as_str().rsplit('/').next().unwrap_or_default();
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        set(response, header::CONTENT_DISPOSITION, format!("attachment; filename*=UTF-8''{name}"));
    }
}

/// Everything that is not known to be harmless in a browser.
fn is_active(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let harmless = ["text/plain", "text/markdown", "text/csv", "application/json"];
    let picture = essence.starts_with("image/") && essence != "image/svg+xml";
    !(harmless.contains(&essence.as_str())
        || picture
        || essence.starts_with("audio/")
        || essence.starts_with("video/"))
}

fn set(response: &mut Response, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}
