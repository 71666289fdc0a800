//! `POST /v1/databases/{db}/restorations`: the primary takes back what a failover cut off, from the server that kept it.
//!
//! The body is a line of JSON, which says what comes, and entries as they stood in a journal.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use bytes::{Bytes, BytesMut};

use apograph::Database;
use apograph::database::roles::{OrphanIntake, OrphanLabel, RestoreError, RestoredOrphan};
use apograph::transaction::Recovery;
use apograph_client::media_type;
use apograph_client::types::{ChangeOutcome, OrphanRestored, RestoreOutcome, RestoredChange};
use apograph_format::Token;
use apograph_format::frame::Frame;

use crate::app::App;
use crate::limits::ORPHAN_LABEL_BYTES_MAX;
use crate::problem::{Answer, Code, Refused};
use crate::request::path::InDatabase;
use crate::request::{body, json};
use crate::routes::commit;
use crate::tokens::Principal;

/// Brings one orphan back; answers what became of it.
pub(in crate::routes) async fn post(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    mut body: Body,
) -> Answer {
    commit::writable(&database)?;
    json::expect(&headers, media_type::ORPHAN)?;
    let mut buffer = BytesMut::new();
    let mut intake: Option<(Token, OrphanIntake)> = None;
    let mut share: Option<tokio::sync::OwnedSemaphorePermit> = None;
    while let Some(piece) = body::next(&mut body).await? {
        let more = app.share_of_memory(piece.len())?;
        match &mut share {
            Some(share) => share.merge(more),
            None => share = Some(more),
        }
        buffer.extend_from_slice(&piece);
        if intake.is_none() {
            let Some(label) = first_line(&mut buffer)? else { continue };
            intake = Some(begin(&app, &database, &label).await?);
        }
        while let Some(entry) = entry(&mut buffer)? {
            let Some((token, mut taking)) = intake.take() else { break };
            let take = move || taking.entry(&entry).map(|()| taking);
            intake = Some((token, app.blocking(take).await?));
        }
        if buffer.is_empty() {
            share = None;
        }
    }
    let Some((token, intake)) = intake.filter(|_| buffer.is_empty()) else {
        return Err(Code::BodyIncomplete.because("the last entry is not whole"));
    };
    let restored = app.blocking(move || intake.finish(&principal.name)).await?;
    Ok(Json(answer(token, restored)).into_response())
}

fn first_line(buffer: &mut BytesMut) -> Answer<Option<Bytes>> {
    if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
        return Ok(Some(buffer.split_to(end + 1).freeze()));
    }
    if buffer.len() > ORPHAN_LABEL_BYTES_MAX {
        return Err(
            Code::TooLarge.because(format!("the first line has at most {ORPHAN_LABEL_BYTES_MAX} bytes"))
        );
    }
    Ok(None)
}

async fn begin(app: &App, database: &Database, label: &[u8]) -> Answer<(Token, OrphanIntake)> {
    let label: OrphanLabel =
        serde_json::from_slice(label).map_err(|error| Code::BodyInvalid.because(error.to_string()))?;
    let (token, database) = (label.token, database.clone());
    Ok((token, app.blocking(move || database.orphan_intake(label)).await?))
}

fn entry(buffer: &mut BytesMut) -> Answer<Option<apograph_format::Entry>> {
    match Frame::take(buffer) {
        Ok(None) => Ok(None),
        Ok(Some(Frame::Entry(entry))) => Ok(Some(entry)),
        Ok(Some(Frame::Heartbeat(_))) => Err(Code::OrphanInvalid.because("a heartbeat is no part of it")),
        Err(error) => Err(Code::OrphanInvalid.because(error.to_string())),
    }
}

/// What became of an orphan, as it travels.
pub(super) fn answer(token: Token, restored: RestoredOrphan) -> OrphanRestored {
    let documents = restored.changes.into_iter().map(|(uri, operation, recovery)| {
        let (outcome, version, reason) = match recovery {
            Recovery::Current => (ChangeOutcome::Current, None, None),
            Recovery::Beside { version } => (ChangeOutcome::Beside, Some(version), None),
            Recovery::There { version } => (ChangeOutcome::There, Some(version), None),
            Recovery::Left(why) => (ChangeOutcome::Left, None, Some(why.to_string())),
        };
        RestoredChange { uri, operation: operation.as_str().to_owned(), outcome, version, reason }
    });
    OrphanRestored {
        token,
        outcome: if restored.already { RestoreOutcome::Already } else { RestoreOutcome::Restored },
        restored: Some(restored.token),
        reason: None,
        documents: documents.collect(),
    }
}

impl From<RestoreError> for Refused {
    fn from(error: RestoreError) -> Refused {
        let detail = error.to_string();
        match error {
            RestoreError::NotCut { .. } | RestoreError::Invalid { .. } => Code::OrphanInvalid.because(detail),
            RestoreError::Partial { .. } => Code::OrphanPartial.because(detail),
            RestoreError::Spool(error) => error.into(),
            RestoreError::Read(error) => error.into(),
            RestoreError::Commit(error) => error.into(),
        }
    }
}
