//! What copies ask to synchronize: `POST /v1/databases/{db}/snapshot` and
//! `POST /v1/databases/{db}/partitions/{p}/synchronize`. Answers: `docs/formats/synchronize.md`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;

use apograph::synchronize::{SnapshotError, SyncAnswer};
use apograph_client::media_type;
use apograph_client::types::SnapshotRequest;
use apograph_format::SyncQuestion;
use apograph_format::synchronize::SYNC_QUESTION_BYTES_MAX;

use super::journal::view_for;
use crate::app::App;
use crate::limits::{REPORT_BYTES_MAX, STREAM_PIECE_BYTES};
use crate::links::ask_for_newer;
use crate::problem::{Answer, Code};
use crate::request::path::{InDatabase, InPartition};
use crate::request::{body, json};
use crate::serve::patience::Patience;
use crate::stream::{self, Lane};
use crate::tokens::Principal;

/// The newest state of this server, or that of a time that the copy names, to be copied.
pub(super) async fn snapshot(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: SnapshotRequest = json::whole(&app, &headers, body, REPORT_BYTES_MAX).await?;
    let view = view_for(&principal, asked.view)?;
    let links = app.clone();
    let snapshot = move || {
        if let Some(at) = asked.at {
            return database.snapshot_as_of(view, at);
        }
        let snapshot = database.snapshot(view, asked.above);
        if database.lacks_room(asked.above, &snapshot) {
            ask_for_newer(&links, database, asked.above);
        }
        snapshot
    };
    let snapshot = app.blocking(snapshot).await?;
    Ok(Json(snapshot).into_response())
}

/// An answer to one question about a snapshot, frame by frame.
pub(super) async fn ask(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    Extension(patience): Extension<Patience>,
    InPartition { database, partition }: InPartition,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    json::expect(&headers, media_type::SYNCHRONIZE)?;
    let asked = body::whole(&app, &headers, body, SYNC_QUESTION_BYTES_MAX).await?;
    patience.set(true);
    let question = SyncQuestion::decode(Bytes::copy_from_slice(&asked.bytes))
        .map_err(|error| Code::BodyInvalid.because(error.to_string()))?;
    view_for(&principal, question.view)?;
    let answer = app.aside(move || database.answer(partition, question)).await?;
    let mut response = Response::new(stream::body(&app, Lane::Bulk, Pieces(answer)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::SYNCHRONIZE));
    Ok(response)
}

/// An answer in pieces of a good size.
struct Pieces(SyncAnswer);

impl Iterator for Pieces {
    type Item = Result<Bytes, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(STREAM_PIECE_BYTES).transpose()
    }
}
